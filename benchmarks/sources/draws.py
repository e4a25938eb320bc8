"""Random draws that are the same on every machine and Python version. They use only integers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Draws:
    """A stream of draws that is determined by a seed and further keys, such as a length and an index.

    Only `getrandbits` of the Mersenne Twister is used, seeded with an integer: `choice`, `sample` and `shuffle` of the
    standard library have changed between versions.
    """

    def __init__(self, seed: int, *keys: int | str) -> None:
        name = repr((int(seed), *keys)).encode()
        self._bits = random.Random(int.from_bytes(hashlib.sha256(name).digest(), "big")).getrandbits

    def below(self, n: int) -> int:
        """Draw an integer from 0 to n - 1; n is positive and far below 2**64."""
        return (self._bits(64) * n) >> 64

    def between(self, low: int, high: int) -> int:
        """Draw an integer from low to high, both inclusive."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[T]) -> T:
        """Draw one of the items."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return all items in a random order."""
        return self.some(items, len(items))

    def some(self, items: Sequence[T], k: int) -> list[T]:
        """Draw k distinct items in a random order; all items if there are fewer."""
        moved: dict[int, int] = {}
        chosen = []
        # A Fisher-Yates shuffle that stores only the swapped positions.
        for i in range(min(k, len(items))):
            j = i + self.below(len(items) - i)
            chosen.append(items[moved.get(j, j)])
            moved[j] = moved.get(i, i)
        return chosen

    def many_below(self, n: int, count: int) -> NDArray[np.int64]:
        """Draw `count` integers from 0 to n - 1; n is at most 2**32."""
        words = np.frombuffer(self._bits(32 * count).to_bytes(4 * count, "little") if count else b"", dtype="<u4")
        return ((words.astype(np.uint64) * np.uint64(n)) >> np.uint64(32)).astype(np.int64)

    def weighted(self, weights: Sequence[int], count: int) -> NDArray[np.int64]:
        """Draw `count` indices into `weights`, with probability proportional to the integer weights."""
        edges = np.cumsum(np.asarray(weights, dtype=np.int64))
        return np.searchsorted(edges, self.many_below(int(edges[-1]), count), side="right")

    def order(self, n: int) -> NDArray[np.int64]:
        """Return the integers 0 to n - 1 in a random order."""
        low, high = self.many_below(1 << 31, n), self.many_below(1 << 31, n)
        # Sorting by random keys needs one vectorised pass; ties in 62 bits keep the earlier index first.
        return np.argsort((high << 31) | low, kind="stable")
