"""Confidence intervals of a mean score between 0 and 1: binary or not, clustered or not, all equal or not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Between-cluster variance cannot be estimated from fewer: with two clusters a t interval spans nearly everything.
MIN_CLUSTERS = 3

# Samples at 0 and at 1, each, that graded scores are reckoned to have besides those that were seen.
UNSEEN = 0.25

# Below so many binary scores Wilson's coverage can fall to 0.90, so that the exact interval is taken.
SMALL_N = 10


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    n: values; clusters: independent groups of them (n where there are none); se: standard error of the mean.
    n_effective: independent binary values that would carry the same information.
    kind: how the interval was made. scope: `population`, or `these windows` where there were too few clusters to speak
    of others.
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

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def mean_interval(
    values: ArrayLike, clusters: ArrayLike | None = None, *, units: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """Interval of the mean of scores in [0, 1]; NaN values are left out.

    Binary scores without clusters get the Wilson interval, or the exact one below SMALL_N of them. All others get the
    Wilson interval at the effective sample size n* = m(1 - m) / se² · (z/t)², where m is the mean, se its standard
    error, clustered if need be but at least that of independent scores, and t has the degrees of freedom of se (Korn &
    Graubard 1998, Survey Methodology 24; compared with others by Franco et al. 2019, J. Survey Stat. Methodol. 7:334).
    Where scores are graded, m and the least se are of the scores with UNSEEN more at 0 and at 1: ten answers that all
    came close to 0, as OOLONG's can, say little of the one in ten that is right. Like Wilson's the interval stays
    within [0, 1], is wider on the side away from the bound and never has zero width. Where all scores are equal the
    data say nothing of their variance: n* is then n without clusters, and with G clusters √(G n) · (z/t)², halfway
    between clusters that each tell one thing and scores that are independent, but at least G; at G itself the interval
    of scores that are all 0, or all 1, is that of G independent ones.

    values: shape (n,). clusters: shape (n,), labels of groups whose errors are not independent. units: shape (n,),
    labels of smaller groups (samples that were run in several epochs), used where there are fewer than MIN_CLUSTERS
    clusters; the interval then holds for these clusters only and its scope says so.
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
        # Clusters that happen to have equal means are no evidence for more information than independence gives.
        least_se, centre = (clustered_se(x, None), mean) if is_binary(x) else _with_unseen(x)
        effective = centre * (1 - centre) / max(se, least_se) ** 2 * narrowed
    if mean in (0.0, 1.0) and effective == count < SMALL_N:
        # Clusters that tell one thing each are so many independent scores.
        kind, right = "exact, clustered", int(mean) * count
        low, high = proportion_interval(right, count, level=level, method="exact")
    else:
        low, high = wilson(mean, effective, level)
    return Interval(mean, low, high, n, count, se, effective, kind, scope)


def _with_unseen(x: Floats) -> tuple[float, float]:
    """Standard error and mean of graded scores with UNSEEN samples more at either end."""
    n, mean = len(x) + 2 * UNSEEN, float(x.mean())
    squares = float(np.sum((x - mean) ** 2)) + UNSEEN * (mean**2 + (1 - mean) ** 2)
    return math.sqrt(squares / n / len(x)), (float(x.sum()) + UNSEEN) / n


def proportion_interval(successes: int, n: int, *, level: float = 0.95, method: str = "wilson") -> tuple[float, float]:
    """Interval of a proportion: `wilson` (Wilson 1927) or `exact` (Clopper & Pearson 1934, never below its level).

    Raises ValueError for counts that cannot be or another method. n = 0 gives (nan, nan).
    """
    if method not in ("wilson", "exact"):
        raise ValueError(f"method is {method!r}: wanted 'wilson' or 'exact'")
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes} of {n}: wanted 0 <= successes <= n")
    if n == 0:
        return math.nan, math.nan
    if method == "wilson":
        return wilson(successes / n, float(n), level)
    from scipy.stats import binomtest

    found = binomtest(successes, n).proportion_ci(confidence_level=level, method="exact")
    return float(found.low), float(found.high)


def clustered_se(values: ArrayLike, clusters: ArrayLike | None = None) -> float:
    """Standard error of the mean, clustered (CR1).

    se² = G/(G - 1) · Σ_g (Σ_{i in g} (x_i - m))² / n², which for clusters of one is s²/n (Liang & Zeger 1986; for
    evaluations, Miller 2024, arXiv:2411.00640). NaN with fewer than two clusters.
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
    """Degrees of freedom of a (clustered) standard error: (Σ n_g)² / Σ n_g² - 1, at least 1.

    That is G - 1 for clusters of equal size and less where few large ones carry the mean.
    """
    if groups is None:
        return max(1.0, n - 1.0)
    sizes = np.bincount(group_codes(groups)).astype(float)
    return max(1.0, float(sizes.sum() ** 2 / np.sum(sizes**2)) - 1)


def cluster_bootstrap(
    values: ArrayLike, clusters: ArrayLike | None = None, *, level: float = 0.95, draws: int = 9_999, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of any values, whole clusters redrawn (Davison & Hinkley 1997, 3.8).

    For quantities without bounds, such as cost. (nan, nan) for no values; with one cluster, or all values equal, the
    interval has no width, as there is nothing to redraw.
    """
    x = np.asarray(values, dtype=float)
    _, low, high = cluster_ratio_bootstrap(x, np.ones(len(x)), clusters, level=level, draws=draws, seed=seed)
    return low, high


def cluster_ratio_bootstrap(
    numerator: ArrayLike,
    denominator: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    draws: int = 9_999,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Ratio of two sums over the same samples with its percentile bootstrap interval, whole clusters redrawn.

    Shape (n,) each; samples in which either is NaN are left out. 0 / 0 is NaN, anything else over 0 infinite.
    """
    top, bottom = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    kept = ~np.isnan(top) & ~np.isnan(bottom)
    groups = np.arange(kept.sum()) if clusters is None else group_codes(np.asarray(clusters)[kept])
    if not len(groups):
        return math.nan, math.nan, math.nan
    tops, bottoms = np.bincount(groups, weights=top[kept]), np.bincount(groups, weights=bottom[kept])
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
    low, high = np.nanquantile(np.concatenate(ratios), [(1 - level) / 2, (1 + level) / 2])
    return ratio, float(low), float(high)


def bootstrap_means(
    columns: ArrayLike, clusters: ArrayLike | None = None, *, draws: int = 4_000, seed: int = 0
) -> Floats:
    """Draws of the means of several scores of the same samples, shape (draws, columns).

    The Bayesian bootstrap (Rubin 1981): clusters are weighted by Dirichlet(1, .., 1) instead of being redrawn. Two more
    clusters of half a sample each, all 0 and all 1, stand for what was not seen, so that ten right of ten do not pass
    for certainty; for binary scores without clusters this is the Jeffreys posterior, Beta(k + 1/2, n - k + 1/2).

    columns: shape (samples, columns), scores in [0, 1], the same weights for all columns. Zero rows give NaN.
    """
    x = np.atleast_2d(np.asarray(columns, dtype=float))
    rows, width = x.shape
    if rows == 0:
        return np.full((draws, width), np.nan)
    groups = np.arange(rows) if clusters is None else group_codes(clusters)
    count = int(groups.max()) + 1
    sizes = np.bincount(groups).astype(float)
    sums = np.stack([np.bincount(groups, weights=x[:, j]) for j in range(width)], axis=1)
    typical = sizes.mean()
    sums = np.vstack([sums, np.zeros(width), np.full(width, typical)])
    sizes = np.append(sizes, [typical, typical])
    shape = np.append(np.ones(count), [0.5, 0.5])
    rng = np.random.default_rng(seed)
    weights = rng.gamma(shape, size=(draws, count + 2))
    return (weights @ sums) / (weights @ sizes)[:, None]


def difference_of_intervals(first: Interval, second: Interval) -> tuple[float, float]:
    """Interval of first - second for independent estimates, from their own intervals (Newcombe 1998, method 10)."""
    gap = first.estimate - second.estimate
    low = gap - math.hypot(first.estimate - first.low, second.high - second.estimate)
    high = gap + math.hypot(first.high - first.estimate, second.estimate - second.low)
    return low, high


def clean(
    values: ArrayLike, clusters: ArrayLike | None, units: ArrayLike | None
) -> tuple[Floats, NDArray[np.intp] | None, str]:
    """Values without NaN, the codes of the groups that are independent, and what an interval of them speaks of."""
    x = np.asarray(values, dtype=float)
    if x.ndim != 1:
        raise ValueError(f"values have shape {x.shape}: wanted one dimension")
    kept = ~np.isnan(x)
    groups, smaller = (
        None if labels is None else group_codes(np.asarray(labels)[kept]) for labels in (clusters, units)
    )
    x, scope = x[kept], "population"
    if groups is not None and len(x) and groups.max() + 1 < MIN_CLUSTERS and groups.max() + 1 < len(x):
        groups, scope = smaller, "these windows"
    if groups is not None and len(x) and groups.max() + 1 == len(x):
        groups = None
    return x, groups, scope


def group_codes(labels: ArrayLike) -> NDArray[np.intp]:
    return np.unique(np.asarray(labels), return_inverse=True)[1]


def is_binary(x: Floats) -> bool:
    """Whether all scores are 0 or 1."""
    return bool(np.all((x == 0) | (x == 1)))


def _check_unit_range(x: Floats) -> None:
    if x.min() < -1e-9 or x.max() > 1 + 1e-9:
        raise ValueError(f"scores run from {x.min():g} to {x.max():g}: wanted values between 0 and 1")


def wilson(proportion: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson interval of a proportion of n values; n may be an effective, fractional number."""
    # Own formula, since statsmodels and scipy take whole counts only; equal to theirs there (see the tests).
    z2 = z_quantile(level) ** 2
    centre = (proportion + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * max(proportion * (1 - proportion), 0.0) / n + z2**2 / (4 * n**2)) / (1 + z2 / n)
    return min(max(0.0, centre - half), proportion), max(min(1.0, centre + half), proportion)


def z_quantile(level: float) -> float:
    """Two-sided quantile of the normal distribution: 1.96 for 0.95."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def t_quantile(level: float, freedom: float) -> float:
    """Two-sided quantile of Student's t with so many (fractional) degrees of freedom, at least 1."""
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1.0), (1 + level) / 2))


def _chunks(draws: int, width: int, cells: int = 4_000_000) -> list[int]:
    """Split `draws` so that no array of draws by width has many more than `cells` entries."""
    size = max(1, cells // max(width, 1))
    return [min(size, draws - start) for start in range(0, draws, size)]
