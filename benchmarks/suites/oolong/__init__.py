"""OOLONG (trec_coarse): questions about the labels of many lines."""

from benchmarks.suites.oolong.suite import Oolong

__all__ = ["Oolong"]
