"""S-NIAH: find one needle in a haystack, as in RULER."""

from benchmarks.suites.sniah.suite import SNIAH

__all__ = ["SNIAH"]
