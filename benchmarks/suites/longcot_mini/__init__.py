"""LongCoT-Mini: puzzles with short prompts and long solutions, checked by rules."""

from benchmarks.suites.longcot_mini.suite import LongCoTMini

__all__ = ["LongCoTMini"]
