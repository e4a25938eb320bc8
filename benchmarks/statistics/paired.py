"""Paired comparison of two methods on the same samples: mean difference, interval, test and detectable difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.statistics.intervals import (
    Floats,
    clean,
    clustered_se,
    degrees_of_freedom,
    is_binary,
    t_quantile,
    t_test_p,
    z_quantile,
)
from benchmarks.statistics.power import POWER, detectable_difference
from benchmarks.statistics.sign_flip import sign_flip_p

# Smaller differences, such as between two answers that are both far off, count as zero.
NO_DIFFERENCE = 5e-4
ALL_EQUAL = "all equal"


@dataclass(frozen=True)
class PairedDifference:
    """The mean of first - second over n pairs, with its interval.

    p: two-sided p value of the hypothesis of no difference. test: name of the test. centre, se, freedom: the interval
    is centre ± t · se; freedom is infinite for z. scope: as in Interval.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    clusters: int
    centre: float
    se: float
    freedom: float
    test: str
    scope: str

    def detectable(self, *, alpha: float = 0.05, power: float = POWER) -> float:
        """Return the smallest true difference that this comparison finds with this power."""
        return detectable_difference(self.se, self.freedom, alpha=alpha, power=power)

    def lower(self, alpha: float) -> float:
        """Return the one-sided lower limit of the difference at confidence 1 - alpha."""
        if self.test == ALL_EQUAL:
            return self.difference - missed_share(self.clusters, alpha) * (1 + self.difference)
        return max(-1.0, min(self.difference, self.centre - t_quantile(1 - 2 * alpha, self.freedom) * self.se))

    def upper(self, alpha: float) -> float:
        """Return the one-sided upper limit of the difference at confidence 1 - alpha."""
        if self.test == ALL_EQUAL:
            return self.difference + missed_share(self.clusters, alpha) * (1 - self.difference)
        return min(1.0, max(self.difference, self.centre + t_quantile(1 - 2 * alpha, self.freedom) * self.se))


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> PairedDifference:
    """Compare scores in [0, 1] of the same samples in the same order; pairs with a NaN are omitted.

    Binary scores without clusters get the exact McNemar test and the interval of Bonett & Price (2012, J. Educ. Behav.
    Stat. 37:479): d' ± z √((p12 + p21 - d'²) / (n + 2)), with one pair added to each discordant cell. Other scores
    without clusters get the sign-flip test and the t interval. Clustered scores get a t test and a t interval with the
    clustered standard error. With fewer than MIN_CLUSTERS clusters the comparison ignores the clusters, and its scope
    is `these windows`.
    Differences below NO_DIFFERENCE count as zero. If all differences are equal, the interval covers the share of the
    population that n samples may have missed, at most 1 - (α/2)^(1/n) (Clopper & Pearson 1934).

    first, second: shape (n,). clusters: shape (n,), as in mean_interval. Raises ValueError for different lengths and
    for scores outside [0, 1].
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"first has {a.size} scores and second {b.size}: expected the same samples in both")
    d, groups, scope = clean(a - b, clusters, None)
    n = len(d)
    if n == 0:
        nan = math.nan
        return PairedDifference(nan, nan, nan, nan, 0, 0, nan, nan, nan, "none", scope)
    if np.abs(d).max() > 1 + 1e-9:
        raise ValueError(f"a difference of scores is {np.abs(d).max():g}: expected scores between 0 and 1")
    gap = float(d.mean())
    count = n if groups is None else int(groups.max()) + 1
    d = np.where(np.abs(d) < NO_DIFFERENCE, 0.0, d)
    if np.ptp(d) <= 1e-12:
        return _all_equal(gap, n, count, level, scope)
    kept = ~np.isnan(a - b)
    if groups is not None:
        # Clusters whose means are equal by chance must not give less variance than independent samples.
        centre, se = float(d.mean()), max(clustered_se(d, groups), clustered_se(d, None))
        freedom, test = degrees_of_freedom(groups, n), "clustered t"
        p = t_test_p(gap, se, freedom)
    elif is_binary(a[kept]) and is_binary(b[kept]):
        centre, se, freedom, test = *_bonett_price(d), math.inf, "McNemar exact"
        p = mcnemar_exact(int((d > 0).sum()), int((d < 0).sum()))
    else:
        centre, se, freedom, test = float(d.mean()), clustered_se(d, None), n - 1.0, "sign flip"
        p = sign_flip_p(d)
    half = t_quantile(level, freedom) * se
    low, high = max(-1.0, min(gap, centre - half)), min(1.0, max(gap, centre + half))
    return PairedDifference(gap, low, high, p, n, count, centre, se, freedom, test, scope)


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Return the two-sided p value of McNemar's exact test over samples that only one of two methods solves."""
    # scipy.stats takes longer to import than a report takes to compute.
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(first_only, second_only), first_only + second_only, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for multiple comparisons (Holm 1979), in the given order.

    A NaN remains NaN and is not counted.
    """
    p = np.asarray(p_values, dtype=float)
    tested = ~np.isnan(p)
    if tested.sum() < 2:
        return [float(value) for value in p]
    order = np.argsort(p[tested], kind="stable")
    multiplied = p[tested][order] * np.arange(len(order), 0, -1)
    sorted_back = np.empty(len(order))
    sorted_back[order] = np.minimum(np.maximum.accumulate(multiplied), 1.0)
    adjusted = np.full(len(p), np.nan)
    adjusted[tested] = sorted_back
    return [float(value) for value in adjusted]


def missed_share(n: int, alpha: float) -> float:
    """Return the upper limit, at confidence 1 - alpha, of the part of a population that n samples may have missed."""
    return 1 - alpha ** (1 / n)


def _bonett_price(d: Floats) -> tuple[float, float]:
    n = len(d) + 2
    first_only, second_only = (int((d > 0).sum()) + 1) / n, (int((d < 0).sum()) + 1) / n
    centre = first_only - second_only
    return centre, math.sqrt((first_only + second_only - centre**2) / n)


def _all_equal(gap: float, n: int, clusters: int, level: float, scope: str) -> PairedDifference:
    missed = missed_share(clusters, (1 - level) / 2)
    low, high = gap - missed * (1 + gap), gap + missed * (1 - gap)
    se = (high - low) / 2 / z_quantile(level)
    p = mcnemar_exact(clusters, 0) if abs(gap) >= NO_DIFFERENCE else 1.0
    return PairedDifference(gap, low, high, p, n, clusters, gap, se, max(1.0, clusters - 1.0), ALL_EQUAL, scope)
