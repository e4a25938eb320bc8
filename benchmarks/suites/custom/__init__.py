"""Custom: a user's own questions, contexts and answers."""

from benchmarks.suites.custom.suite import Custom

__all__ = ["Custom"]
