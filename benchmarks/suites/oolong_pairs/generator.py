"""Generates windows of OOLONG-Pairs in which every task has pairs."""

from __future__ import annotations

from functools import lru_cache

from benchmarks.suites.oolong.generator import generated_window
from benchmarks.suites.oolong.windows import LabelledWindow
from benchmarks.suites.oolong_pairs.conditions import gold_pairs

# Version 2: a task without pairs in the shared window of its length gets another window.
GENERATOR = "oolong-pairs-generated-2"
# Symmetric and asymmetric tasks take turns; tasks that are likely to have pairs in a short window come first.
ORDER = (3, 17, 1, 12, 8, 13, 2, 20, 6, 15, 4, 18, 10, 14, 7, 11, 9, 16, 5, 19)

# Tokens reserved for the question and the instruction.
_ROOM = 140
# Few conditions hold in shorter windows, so the shared window is the best of several candidates.
_SHORT = 2048
_CANDIDATES = 16
# The number of windows that are tried for a task without pairs in the shared one. Few tasks need many.
_MOST_TRIED = 2000


class GeneratedWindows:
    """The windows of a seed. Tasks of one length and number share a window, except tasks without pairs in it.

    frame_tokens: the tokens that are kept free for a text before the question.
    """

    def __init__(self, seed: int, encoding: str, frame_tokens: int = 0) -> None:
        self._seed, self._encoding, self._room = seed, encoding, _ROOM + frame_tokens
        self._shared = lru_cache(maxsize=2)(self._choose)

    def window(self, length: int, number: int, task: int) -> LabelledWindow:
        """Return the number-th window of a length, or the first of further windows in which the task has pairs."""
        shared = self._shared(length, number)
        if len(gold_pairs(task, shared.lines)):
            return shared
        for index in range(_MOST_TRIED):
            other = self._generated(length, (number + 1) * 1_000_000 + index)
            if len(gold_pairs(task, other.lines)):
                return other
        return shared

    def _choose(self, length: int, number: int) -> LabelledWindow:
        if length >= _SHORT:
            return self._generated(length, number)
        candidates = [self._generated(length, number * _CANDIDATES + i) for i in range(_CANDIDATES)]

        def tasks_with_pairs(window: LabelledWindow) -> tuple[int, int]:
            found = [len(gold_pairs(task, window.lines)) > 0 for task in ORDER]
            return sum(found[:4]), sum(found)

        return max(candidates, key=tasks_with_pairs)

    def _generated(self, length: int, index: int) -> LabelledWindow:
        return generated_window(length, index, self._seed, self._encoding, self._room)
