"""The sign-flip test of paired differences, with a p value that needs no random draws."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.statistics.intervals import Floats, clustered_se, t_test_p

# With up to this many pairs, every change of signs is counted, in two halves of 2^20 sums.
MAX_COUNTED = 40
# Differences without a common step are rounded to a grid of their sum divided by this.
CELLS = 2**18
# The maximum number of additions in one convolution. Beyond it the t test is used, which then gives the same digits.
MAX_ADDITIONS = 4 * 10**8
_LARGEST_DENOMINATOR = 4096
_SAME = 1e-9


def sign_flip_p(differences: ArrayLike) -> float:
    """Return the two-sided p value: the fraction of sign changes with a sum at least as large.

    The hypothesis is that there is no difference. Valid for samples whose two scores are exchangeable, with any
    distribution (Fisher 1935). Nothing is drawn at random, and the order of the differences does not matter. The value
    is exact for differences that are multiples of a common step, as those of graded answers or of means of epochs are,
    and for up to MAX_COUNTED unequal pairs. Other differences are rounded to a grid of CELLS steps, which changes p by
    less than a million random draws would.
    """
    d = np.asarray(differences, dtype=float)
    d = d[np.abs(d) > 1e-12]
    if len(d) < 2:
        return 1.0
    sizes, observed = np.sort(np.abs(d)), abs(math.fsum(d))
    steps = _in_steps(sizes)
    if steps is not None:
        whole, share = steps
        return _convolved(whole, round(observed * share))
    if len(d) <= MAX_COUNTED:
        return _counted(sizes, observed)
    if len(d) * CELLS > MAX_ADDITIONS:
        x = np.sort(d)
        return t_test_p(float(x.mean()), clustered_se(x), len(x) - 1.0)
    scale = CELLS / float(sizes.sum())
    return _convolved(np.rint(sizes * scale).astype(np.int64), math.floor(observed * scale))


def _in_steps(sizes: Floats) -> tuple[NDArray[np.int64], int] | None:
    """Return the sizes as multiples of a common step, and the number of steps in 1; None if there is no such step."""
    fractions = [Fraction(float(size)).limit_denominator(_LARGEST_DENOMINATOR) for size in np.unique(sizes)]
    share = math.lcm(*(fraction.denominator for fraction in fractions))
    if share > MAX_ADDITIONS / (len(sizes) * float(sizes.sum())):
        return None
    whole = np.rint(sizes * share)
    exact = bool((np.abs(whole / share - sizes) < _SAME).all())
    return (whole.astype(np.int64), share) if exact else None


def _convolved(sizes: NDArray[np.int64], observed: int) -> float:
    """Return P(|sum of the sizes with random signs| >= observed), by convolution over the sum of the positive ones."""
    total = int(sizes.sum())
    chances = np.zeros(total + 1)
    chances[0], reached = 1.0, 0
    for size in sizes.tolist():
        chances[size : reached + size + 1] += chances[: reached + 1].copy()
        chances *= 0.5
        reached += size
    # If p is the sum of the positive ones, the signed sum is 2 p - total.
    least = -((-observed - total) // 2)
    return min(1.0, 2.0 * float(chances[least:].sum())) if observed > 0 else 1.0


def _counted(sizes: Floats, observed: float) -> float:
    """Return the exact p value for sizes without a common step.

    The sizes are split into two halves, and signed sums of the first are matched with sorted sums of the second.
    """
    first, second = _signed_sums(sizes[::2]), np.sort(_signed_sums(sizes[1::2]))
    least = observed - _SAME
    if least <= 0:
        return 1.0
    reached = len(second) - np.searchsorted(second, least - first, side="left")
    return min(1.0, 2.0 * float(reached.sum()) / (len(first) * len(second)))


def _signed_sums(sizes: Floats) -> Floats:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    return sums
