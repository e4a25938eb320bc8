"""MRCR: repeat one of several similar pieces of writing in a long conversation, as in OpenAI's data set."""

from benchmarks.suites.mrcr.suite import MRCR

__all__ = ["MRCR"]
