"""Confidence intervals of mean scores between 0 and 1, and bootstrap intervals of other means and ratios.

No result depends on the order of the samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Fewer clusters cannot give the between-cluster variance: with two clusters, a t interval spans nearly everything.
MIN_CLUSTERS = 3

# The number of pseudo-samples added at 0 and at 1 to graded scores.
UNSEEN = 0.25

# With fewer binary scores the coverage of Wilson's interval can fall to 0.90, so the exact interval is used.
SMALL_N = 10

# Numbers that a bootstrap draws at a time.
_CELLS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    n: number of values. clusters: number of independent groups of values (n without groups). se: standard error of the
    mean. n_effective: number of independent binary values that carry the same information. kind: the method of the
    interval. scope: `population`, or `these windows` if there are too few clusters to generalise to other clusters.
    """

    estimate: float
    low: float
    high: float
    n: int
    clusters: int
    se: float
    n_effective: float
    kind: str
    scope: str = "population"


def mean_interval(
    values: ArrayLike, clusters: ArrayLike | None = None, *, units: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """Compute an interval of the mean of scores in [0, 1]. NaN values are omitted.

    Binary scores without clusters get the Wilson interval, or the exact interval if there are fewer than SMALL_N. All
    other scores get the Wilson interval at the effective sample size n* = m(1 - m) / se² · (z/t)². Here m is the mean;
    se is its standard error, clustered if there are clusters and never below that of independent scores; t has the
    degrees of freedom of se (Korn & Graubard 1998, Survey Methodology 24; compared with others by Franco et al. 2019,
    J. Survey Stat. Methodol. 7:334). The interval stays within [0, 1], is wider on the side away from the bound and
    never has zero width.
    For graded scores, m and the lower bound of se include UNSEEN pseudo-samples at 0 and at 1: ten OOLONG answers that
    are all nearly 0 carry little information about a rare correct answer.
    If all scores are equal, their variance cannot be estimated. Then n* is n without clusters. With G clusters it is
    √(G n) · (z/t)², the middle between fully dependent and independent scores within a cluster, but at least G. If n*
    is G and all scores are 0, or all are 1, the interval is the exact one of G independent scores.

    values: shape (n,). clusters: shape (n,), labels of groups with correlated errors. units: shape (n,), labels of
    smaller groups (a sample and its epochs). The units replace the clusters if there are fewer than MIN_CLUSTERS
    clusters; the interval then holds for these clusters only, and its scope is `these windows`.
    """
    x, groups, scope = clean(values, clusters, units)
    n = len(x)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0, 0, math.nan, 0.0, "none", scope)
    _check_unit_range(x)
    mean = float(x.mean())
    count = n if groups is None else int(groups.max()) + 1
    if groups is None and is_binary(x):
        method = "exact" if n < SMALL_N else "wilson"
        low, high = proportion_interval(int(x.sum()), n, level=level, method=method)
        return Interval(mean, low, high, n, n, math.sqrt(mean * (1 - mean) / n), float(n), method, scope)
    se = clustered_se(x, groups)
    kind = "wilson, clustered" if groups is not None else "wilson, effective n"
    narrowed = (z_quantile(level) / t_quantile(level, degrees_of_freedom(groups, n))) ** 2
    if not se > 1e-9:
        effective = float(n) if groups is None else max(float(count), math.sqrt(count * n) * narrowed)
    else:
        # Clusters whose means are equal by chance must not give more information than independent scores.
        least_se, centre = (clustered_se(x, None), mean) if is_binary(x) else _with_unseen(x)
        effective = centre * (1 - centre) / max(se, least_se) ** 2 * narrowed
    if mean in (0.0, 1.0) and effective == count < SMALL_N:
        # Each cluster counts as one independent score.
        kind, right = "exact, clustered", int(mean) * count
        low, high = proportion_interval(right, count, level=level, method="exact")
    else:
        low, high = wilson(mean, effective, level)
    return Interval(mean, low, high, n, count, se, effective, kind, scope)


def _with_unseen(x: Floats) -> tuple[float, float]:
    """Return standard error and mean of graded scores with UNSEEN pseudo-samples at each end."""
    n, mean = len(x) + 2 * UNSEEN, float(x.mean())
    squares = float(np.sum((x - mean) ** 2)) + UNSEEN * (mean**2 + (1 - mean) ** 2)
    return math.sqrt(squares / n / len(x)), (float(x.sum()) + UNSEEN) / n


def proportion_interval(successes: int, n: int, *, level: float = 0.95, method: str = "wilson") -> tuple[float, float]:
    """Compute an interval of a proportion: `wilson` (Wilson 1927) or `exact` (Clopper & Pearson 1934, conservative).

    n = 0 gives (nan, nan). Raises ValueError for impossible counts and for any other method.
    """
    if method not in ("wilson", "exact"):
        raise ValueError(f"method is {method!r}: expected 'wilson' or 'exact'")
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes} of {n}: expected 0 <= successes <= n")
    if n == 0:
        return math.nan, math.nan
    if method == "wilson":
        return wilson(successes / n, float(n), level)
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


def clustered_se(values: ArrayLike, clusters: ArrayLike | None = None) -> float:
    """Compute the clustered standard error (CR1) of the mean.

    se² = G/(G - 1) · Σ_g (Σ_{i in g} (x_i - m))² / n² (Liang & Zeger 1986; for evaluations, Miller 2024,
    arXiv:2411.00640). With one value per cluster this is s²/n. NaN with fewer than two clusters.
    """
    x = np.asarray(values, dtype=float)
    groups = None if clusters is None else group_codes(clusters)
    count = len(x) if groups is None else (int(groups.max()) + 1 if len(groups) else 0)
    if count < 2:
        return math.nan
    residuals = x - x.mean()
    sums = residuals if groups is None else np.bincount(groups, weights=residuals)
    return float(math.sqrt(count / (count - 1) * np.sum(sums**2)) / len(x))


def degrees_of_freedom(groups: ArrayLike | None, n: int) -> float:
    """Compute the degrees of freedom of a (clustered) standard error: (Σ n_g)² / Σ n_g² - 1, at least 1.

    G - 1 for clusters of equal size, less if a few large clusters dominate the mean.
    """
    if groups is None:
        return max(1.0, n - 1.0)
    sizes = np.bincount(group_codes(groups)).astype(float)
    return max(1.0, float(sizes.sum() ** 2 / np.sum(sizes**2)) - 1)


def cluster_ratio_bootstrap(
    numerator: ArrayLike,
    denominator: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    draws: int = 9_999,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Compute the ratio of two sums over the same samples, with a percentile bootstrap interval over clusters.

    Both have shape (n,). Samples with a NaN in either are omitted. 0 / 0 is NaN; x / 0 is infinite.
    """
    top, bottom = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    kept = ~np.isnan(top) & ~np.isnan(bottom)
    groups = np.arange(kept.sum()) if clusters is None else group_codes(np.asarray(clusters)[kept])
    if not len(groups):
        return math.nan, math.nan, math.nan
    order = np.lexsort((bottom[kept], top[kept], groups))
    tops, bottoms = (np.bincount(groups[order], weights=values[kept][order]) for values in (top, bottom))
    order = np.lexsort((bottoms, tops))
    tops, bottoms = tops[order], bottoms[order]
    if not bottoms.any():
        return (math.inf,) * 3 if tops.any() else (math.nan,) * 3
    ratio = float(tops.sum() / bottoms.sum())
    if bottoms.all() and np.ptp(tops / bottoms) <= 1e-12 * abs(ratio):
        return ratio, ratio, ratio
    rng, count, ratios = np.random.default_rng(seed), len(tops), []
    with np.errstate(divide="ignore", invalid="ignore"):
        for chunk in _chunks(draws, count):
            picked = rng.integers(0, count, size=(chunk, count))
            ratios.append(tops[picked].sum(axis=1) / bottoms[picked].sum(axis=1))
    drawn, ends = np.concatenate(ratios), [(1 - level) / 2, (1 + level) / 2]
    with np.errstate(invalid="ignore"):
        found = np.nanquantile(drawn, ends)
    # Between two infinite draws there is nothing to interpolate.
    low, high = np.where(np.isnan(found), np.nanquantile(drawn, ends, method="nearest"), found)
    return ratio, float(low), float(high)


def bootstrap_means(
    columns: ArrayLike, clusters: ArrayLike | None = None, *, draws: int = 4_000, seed: int = 0
) -> Floats:
    """Draw the means of several scores of the same samples; returns shape (draws, columns).

    The Bayesian bootstrap (Rubin 1981) weights clusters by Dirichlet(1, .., 1) instead of resampling them. Two
    pseudo-clusters of weight 1/2, one all 0 and one all 1, keep ten correct of ten from counting as certainty. For
    binary scores without clusters the result is the Jeffreys posterior, Beta(k + 1/2, n - k + 1/2).

    columns: shape (samples, columns), scores in [0, 1]; all columns get the same weights. Zero rows give NaN.
    """
    x = np.atleast_2d(np.asarray(columns, dtype=float))
    rows, width = x.shape
    if rows == 0:
        return np.full((draws, width), np.nan)
    groups = np.zeros(rows, dtype=int) if clusters is None else group_codes(clusters)
    order = np.lexsort((*x.T, groups))
    x, groups = x[order], np.arange(rows) if clusters is None else groups[order]
    count = int(groups.max()) + 1
    sizes = np.bincount(groups).astype(float)
    sums = np.stack([np.bincount(groups, weights=x[:, j]) for j in range(width)], axis=1)
    order = np.lexsort((*sums.T, sizes))
    sizes, sums = sizes[order], sums[order]
    typical = sizes.mean()
    sums = np.vstack([sums, np.zeros(width), np.full(width, typical)])
    sizes = np.append(sizes, [typical, typical])
    shape = np.append(np.ones(count), [0.5, 0.5])
    rng = np.random.default_rng(seed)
    weights = rng.gamma(shape, size=(draws, count + 2))
    return (weights @ sums) / (weights @ sizes)[:, None]


def difference_of_intervals(first: Interval, second: Interval) -> tuple[float, float]:
    """Compute an interval of first - second from two independent intervals (Newcombe 1998, method 10)."""
    gap = first.estimate - second.estimate
    low = gap - math.hypot(first.estimate - first.low, second.high - second.estimate)
    high = gap + math.hypot(first.high - first.estimate, second.estimate - second.low)
    return low, high


def clean(
    values: ArrayLike, clusters: ArrayLike | None, units: ArrayLike | None
) -> tuple[Floats, NDArray[np.intp] | None, str]:
    """Return values without NaN in a canonical order, the codes of their groups, and the scope of an interval."""
    x = np.asarray(values, dtype=float)
    if x.ndim != 1:
        raise ValueError(f"values have shape {x.shape}: expected one dimension")
    kept = ~np.isnan(x)
    groups, smaller = (
        None if labels is None else group_codes(np.asarray(labels)[kept]) for labels in (clusters, units)
    )
    x, scope = x[kept], "population"
    if groups is not None and len(x) and groups.max() + 1 < MIN_CLUSTERS and groups.max() + 1 < len(x):
        groups, scope = smaller, "these windows"
    if groups is not None and len(x) and groups.max() + 1 == len(x):
        groups = None
    # The last digit of a sum of floats depends on the order.
    order = np.argsort(x) if groups is None else np.lexsort((x, groups))
    return x[order], None if groups is None else groups[order], scope


def group_codes(labels: ArrayLike) -> NDArray[np.intp]:
    """Encode labels as numbers from 0, in the order of the sorted labels."""
    return np.unique(np.asarray(labels), return_inverse=True)[1]


def is_binary(x: Floats) -> bool:
    """True if all scores are 0 or 1."""
    return bool(np.all((x == 0) | (x == 1)))


def _check_unit_range(x: Floats) -> None:
    if x.min() < -1e-9 or x.max() > 1 + 1e-9:
        raise ValueError(f"scores run from {x.min():g} to {x.max():g}: expected values between 0 and 1")


def wilson(proportion: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Compute the Wilson interval of a proportion of n values; n may be fractional (an effective sample size)."""
    # statsmodels and scipy accept only integer counts.
    z2 = z_quantile(level) ** 2
    centre = (proportion + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * max(proportion * (1 - proportion), 0.0) / n + z2**2 / (4 * n**2)) / (1 + z2 / n)
    return min(max(0.0, centre - half), proportion), max(min(1.0, centre + half), proportion)


def z_quantile(level: float) -> float:
    """Return the two-sided quantile of the normal distribution: 1.96 for 0.95."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def t_quantile(level: float, freedom: float) -> float:
    """Return the two-sided quantile of Student's t distribution; fewer than 1 degree of freedom counts as 1."""
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1.0), (1 + level) / 2))


def _chunks(draws: int, width: int) -> list[int]:
    """Split `draws` into parts so that an array of (part, width) has about _CELLS entries at most."""
    size = max(1, _CELLS // max(width, 1))
    return [min(size, draws - start) for start in range(0, draws, size)]


def t_test_p(gap: float, se: float, freedom: float) -> float:
    """Return the two-sided p value of Student's t test; NaN without a positive standard error."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(gap) / se)) if se > 0 else math.nan
