"""OOLONG-Pairs: list all pairs of users that meet a condition."""

from benchmarks.suites.oolong_pairs.suite import OolongPairs

__all__ = ["OolongPairs"]
