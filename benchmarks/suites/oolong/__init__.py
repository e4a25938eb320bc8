"""OOLONG (oolong-synth, trec_coarse): aggregate questions about the labels of hundreds of lines."""

from benchmarks.suites.oolong.suite import Oolong

__all__ = ["Oolong"]
