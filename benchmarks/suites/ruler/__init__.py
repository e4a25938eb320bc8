"""RULER: the 13 tasks, from needles to questions over documents."""

from benchmarks.suites.ruler.suite import Ruler

__all__ = ["Ruler"]
