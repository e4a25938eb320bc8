"""Two methods on the same samples: the mean difference with its interval, a test, and what could have been detected."""

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
    z_quantile,
)
from benchmarks.statistics.power import POWER, detectable_difference

# Differences below a twentieth of a point, as between two answers that are both far off, are none.
NO_DIFFERENCE = 5e-4

# Above this many pairs that differ, the t test and the sign-flip test agree to the digits that are shown.
MAX_FLIPPED = 400
ALL_EQUAL = "all equal"


@dataclass(frozen=True)
class PairedDifference:
    """Mean of first - second over n pairs with its interval.

    p: two-sided, of no difference; test: what gave p. centre, se, freedom: the interval is centre ± t · se (infinite
    freedom for z). scope: as in Interval.
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
        """The smallest true difference that this comparison would have found with this power."""
        return detectable_difference(self.se, self.freedom, alpha=alpha, power=power)

    def lower(self, alpha: float) -> float:
        """One-sided lower limit of the difference at confidence 1 - alpha."""
        if self.test == ALL_EQUAL:
            return self.difference - missed_share(self.clusters, alpha) * (1 + self.difference)
        return max(-1.0, min(self.difference, self.centre - t_quantile(1 - 2 * alpha, self.freedom) * self.se))

    def upper(self, alpha: float) -> float:
        """One-sided upper limit of the difference at confidence 1 - alpha."""
        if self.test == ALL_EQUAL:
            return self.difference + missed_share(self.clusters, alpha) * (1 - self.difference)
        return min(1.0, max(self.difference, self.centre + t_quantile(1 - 2 * alpha, self.freedom) * self.se))


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compare scores in [0, 1] of the same samples in the same order; pairs with a NaN are left out.

    Binary scores without clusters: exact McNemar test, and the interval of Bonett & Price (2012, J. Educ. Behav. Stat.
    37:479), d' ± z √((p12 + p21 - d'²) / (n + 2)) with one pair added to each discordant cell.
    Other scores without clusters: sign-flip permutation test (scipy) and t interval.
    Clustered: t test and interval with clustered standard error. Fewer than MIN_CLUSTERS clusters: as without clusters,
    and the scope says that the result holds for these windows only.
    Differences below NO_DIFFERENCE count as none. Where all are equal, the interval covers what n samples can have
    missed: the share of samples that differ from all seen is below 1 - (α/2)^(1/n) (Clopper & Pearson 1934).

    first, second: shape (n,). clusters: shape (n,), as in mean_interval. Raises ValueError for scores that do not pair.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"first has {a.size} scores and second {b.size}: wanted the same samples in both")
    d, groups, scope = clean(a - b, clusters, None)
    n = len(d)
    if n == 0:
        return PairedDifference(*[math.nan] * 4, 0, 0, *[math.nan] * 3, "none", scope)
    if np.abs(d).max() > 1 + 1e-9:
        raise ValueError(f"a difference of scores is {np.abs(d).max():g}: wanted scores between 0 and 1")
    gap = float(d.mean())
    count = n if groups is None else int(groups.max()) + 1
    d = np.where(np.abs(d) < NO_DIFFERENCE, 0.0, d)
    if np.ptp(d) <= 1e-12:
        return _all_equal(gap, n, count, level, scope)
    kept = ~np.isnan(a - b)
    if groups is not None:
        # Cluster means that happen to agree are no evidence for less variance than independent samples have.
        centre, se = float(d.mean()), max(clustered_se(d, groups), clustered_se(d, None))
        freedom, test = degrees_of_freedom(groups, n), "clustered t"
        p = _t_test_p(gap, se, freedom)
    elif is_binary(a[kept]) and is_binary(b[kept]):
        centre, se, freedom, test = *_bonett_price(d), math.inf, "McNemar exact"
        p = mcnemar_exact(int((d > 0).sum()), int((d < 0).sum()))
    else:
        centre, se, freedom, test = float(d.mean()), clustered_se(d, None), n - 1.0, "sign flip"
        p = sign_flip_p(d, seed=seed)
    half = t_quantile(level, freedom) * se
    low, high = max(-1.0, min(gap, centre - half)), min(1.0, max(gap, centre + half))
    return PairedDifference(gap, low, high, p, n, count, centre, se, freedom, test, scope)


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Two-sided p that samples solved by one method alone fall to either with equal chance (McNemar 1947, exact)."""
    from scipy.stats import binomtest

    discordant = first_only + second_only
    return 1.0 if discordant == 0 else float(binomtest(first_only, discordant, 0.5).pvalue)


def sign_flip_p(differences: ArrayLike, *, resamples: int = 9_999, seed: int = 0) -> float:
    """Two-sided p of no difference, from all or `resamples` random changes of the signs of the differences.

    Exact for samples whose two scores could as well have been exchanged, whatever their distribution (Fisher 1935).
    With more than MAX_FLIPPED pairs that differ, the t test stands for it.
    """
    from scipy.stats import permutation_test

    d = np.asarray(differences, dtype=float)
    d = d[np.abs(d) > 1e-12]
    if len(d) < 2:
        return 1.0
    if len(d) > MAX_FLIPPED:
        return _t_test_p(float(d.mean()), clustered_se(d), len(d) - 1.0)

    def total(x: Floats, axis: int) -> Floats:
        # Rounded, so that sums equal but for the order of addition count as equal.
        return np.round(np.sum(x, axis=axis), 10)

    found = permutation_test(
        (d,), total, permutation_type="samples", vectorized=True, n_resamples=resamples, batch=2_000,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(min(found.pvalue, 1.0))


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """p values adjusted for their number (Holm 1979), in the order given; NaN stays NaN and is not counted."""
    p = np.asarray(p_values, dtype=float)
    tested = ~np.isnan(p)
    if tested.sum() < 2:
        return [float(value) for value in p]
    from statsmodels.stats.multitest import multipletests

    adjusted = np.full(len(p), np.nan)
    adjusted[tested] = multipletests(p[tested], alpha=alpha, method="holm")[1]
    return [float(value) for value in adjusted]


def missed_share(n: int, alpha: float) -> float:
    """Upper limit, at confidence 1 - alpha, of the share of a population that n samples without one of it leave."""
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


def _t_test_p(gap: float, se: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(gap) / se)) if se > 0 else math.nan
