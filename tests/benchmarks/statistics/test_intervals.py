"""Intervals against closed forms, statsmodels and simulations with a known truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from benchmarks.statistics import (
    bootstrap_means,
    cluster_ratio_bootstrap,
    clustered_se,
    difference_of_intervals,
    mean_interval,
    proportion_interval,
)


def coverage(draw, truth, runs=400, seed=0):
    """Share of runs whose interval holds the truth; draw(rng) gives scores and clusters."""
    rng = np.random.default_rng(seed)
    intervals = [mean_interval(*draw(rng)) for _ in range(runs)]
    return np.mean([i.low <= truth <= i.high for i in intervals])


@pytest.mark.parametrize("n", [10, 11, 50, 333])
def test_binary_scores_get_the_wilson_interval_of_statsmodels(n):
    for right in (0, 1, n // 2, n - 1, n):
        found = mean_interval([1.0] * right + [0.0] * (n - right))
        assert (found.low, found.high) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)
        assert found.kind == "wilson"


def test_few_binary_scores_get_the_exact_interval():
    found = mean_interval([1, 1, 0, 1])
    assert (found.low, found.high) == pytest.approx(proportion_confint(3, 4, method="beta"))
    assert found.kind == "exact"


def test_proportion_interval_refuses_other_methods_and_impossible_counts():
    assert proportion_interval(3, 20, method="exact") == pytest.approx(proportion_confint(3, 20, method="beta"))
    assert all(math.isnan(end) for end in proportion_interval(0, 0))
    with pytest.raises(ValueError, match="method is 'wald'"):
        proportion_interval(1, 2, method="wald")
    with pytest.raises(ValueError, match="3 of 2"):
        proportion_interval(3, 2)


def test_clustered_standard_error_equals_that_of_statsmodels():
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(12), rng.integers(1, 9, 12))
    scores = np.clip(rng.normal(0.5, 0.2, 12)[clusters] + rng.normal(0, 0.1, len(clusters)), 0, 1)
    fitted = OLS(scores, np.ones(len(scores))).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    assert clustered_se(scores, clusters) == pytest.approx(fitted.bse[0])


def test_clusters_of_one_are_no_clusters():
    scores = np.random.default_rng(2).beta(2, 3, 40)
    assert clustered_se(scores, np.arange(40)) == pytest.approx(scores.std(ddof=1) / math.sqrt(40))
    assert mean_interval(scores, np.arange(40)) == mean_interval(scores)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_scores_that_are_all_equal_are_no_certainty(value, n):
    for clusters in (None, ["a"] * n, [f"w{i // 5}" for i in range(n)]):
        found = mean_interval([value] * n, clusters)
        assert found.low <= value <= found.high
        assert found.high - found.low > 0.1


def test_no_scores_and_missing_scores():
    assert math.isnan(mean_interval([]).low)
    assert mean_interval([math.nan]).n == 0
    assert mean_interval([1, math.nan, 0, 1], ["a", "b", "c", "d"]) == mean_interval([1, 0, 1])
    assert math.isnan(clustered_se([0.3]))


def test_scores_out_of_range_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([0.5, 56.0])
    with pytest.raises(ValueError, match="one dimension"):
        mean_interval([[0.5, 0.5]])


def test_an_interval_of_one_or_two_clusters_is_limited_to_them():
    scores = [1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0]
    found = mean_interval(scores, ["a"] * 6 + ["b"] * 6)
    assert found.scope == "these windows"
    assert found.low == mean_interval(scores).low
    assert mean_interval(scores, ["a"] * 4 + ["b"] * 4 + ["c"] * 4).scope == "population"


def width(interval):
    return interval.high - interval.low


def test_epochs_of_a_sample_in_one_window_are_no_further_samples():
    once = [1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0]
    thrice = np.repeat(once, 3)
    found = mean_interval(thrice, ["window"] * 36, units=np.repeat(np.arange(12), 3))
    assert width(found) >= width(mean_interval(once))
    right = mean_interval([1] * 6, ["window"] * 6, units=[0, 0, 0, 1, 1, 1])
    assert (right.low, right.high) == proportion_interval(2, 2, method="exact")


def test_clusters_widen_the_interval_when_their_scores_agree():
    scores = np.repeat([1, 0, 1, 0, 1, 1, 0, 1], 10)
    clustered = mean_interval(scores, np.repeat(np.arange(8), 10))
    assert width(clustered) > 2 * width(mean_interval(scores))


@settings(max_examples=150, deadline=None)
@given(
    # Rounded, because 1 - s of a tiny s is 1, and binary scores have an interval of their own.
    st.lists(st.sampled_from([0.0, 1.0]) | st.floats(0, 1).map(lambda s: round(s, 9)), min_size=1, max_size=40),
    st.integers(1, 12),
    st.sampled_from([0.5, 0.8, 0.95, 0.99]),
)
def test_every_interval_holds_its_estimate_within_0_and_1(scores, size, level):
    clusters = [i // size for i in range(len(scores))]
    for found in (mean_interval(scores, level=level), mean_interval(scores, clusters, level=level)):
        assert 0 <= found.low <= found.estimate + 1e-12
        assert found.estimate <= found.high + 1e-12
        assert found.high <= 1
        mirrored = mean_interval(
            [1 - s for s in scores], clusters if found.kind == "wilson, clustered" else None, level=level
        )
        if found.kind == mirrored.kind:
            assert mirrored.low == pytest.approx(1 - found.high, abs=1e-6)


@pytest.mark.parametrize(("n", "share"), [(20, 0.5), (50, 0.3), (50, 0.9), (150, 0.05), (150, 0.5)])
def test_coverage_of_binary_scores(n, share):
    # Exact, since the counts are few: the sum of binomial probabilities over the counts whose interval holds the truth.
    total = 0.0
    for right in range(n + 1):
        low, high = proportion_interval(right, n)
        if low <= share <= high:
            total += math.comb(n, right) * share**right * (1 - share) ** (n - right)
    assert 0.93 <= total <= 0.975


@pytest.mark.parametrize(("n", "a", "b"), [(10, 2, 2), (20, 0.5, 0.5), (50, 0.1, 0.3), (150, 1, 9)])
def test_coverage_of_graded_scores(n, a, b):
    assert 0.92 <= coverage(lambda rng: (rng.beta(a, b, n),), a / (a + b)) <= 0.985


@pytest.mark.parametrize(("n", "share"), [(6, 0.0), (10, 0.05), (20, 0.1), (50, 0.1)])
def test_coverage_of_scores_that_are_mostly_far_off(n, share):
    # OOLONG's score of a count that is off by k is 0.75^k: mostly next to nothing, now and then all.
    far_off = 0.75 ** np.arange(1, 61)

    def draw(rng):
        return (np.where(rng.random(n) < share, 1.0, rng.choice(far_off, n)),)

    assert coverage(draw, share + (1 - share) * far_off.mean()) >= 0.92


def test_scores_that_are_all_next_to_nothing_are_no_certainty():
    for clusters in (None, [f"w{i // 2}" for i in range(8)]):
        found = mean_interval([1e-6, 3e-6, 2e-6, 1e-6, 4e-6, 1e-6, 1e-6, 2e-6], clusters)
        assert found.high > 0.3
        assert found.low <= found.estimate


@pytest.mark.parametrize(("clusters", "correlation"), [(10, 0.1), (20, 0.4), (40, 0.1)])
def test_coverage_of_clustered_scores_where_the_naive_interval_fails(clusters, correlation):
    spread = 1 / correlation - 1

    labels = np.repeat(np.arange(clusters), 10)

    def draw(rng):
        windows = rng.beta(0.5 * spread, 0.5 * spread, clusters)
        return (rng.random(len(labels)) < windows[labels]).astype(float), labels

    assert 0.92 <= coverage(draw, 0.5) <= 0.98
    assert coverage(lambda rng: draw(rng)[:1], 0.5) < 0.9


def cluster_bootstrap(values, clusters=None, **options):
    """The interval of a mean: that of its ratio to one."""
    return cluster_ratio_bootstrap(values, np.ones(len(values)), clusters, **options)[1:]


def test_cluster_bootstrap_is_reproducible_and_near_the_t_interval():
    costs = np.random.default_rng(3).lognormal(0, 0.5, 200)
    low, high = cluster_bootstrap(costs, seed=4)
    assert (low, high) == cluster_bootstrap(costs, seed=4)
    assert (low, high) != cluster_bootstrap(costs, seed=5)
    assert high - low == pytest.approx(2 * 1.96 * costs.std() / math.sqrt(200), rel=0.1)
    assert all(math.isnan(end) for end in cluster_bootstrap([]))
    assert cluster_bootstrap([3.0, 3.0]) == (3.0, 3.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=30), st.booleans(), st.randoms())
def test_no_interval_depends_on_the_order_of_samples(samples, clustered, random):
    def found(rows):
        values, labels = (np.array(part) for part in zip(*rows, strict=True))
        groups = labels if clustered else None
        mean = mean_interval(values, groups)
        draws = bootstrap_means(np.column_stack([values, 1 - values]), groups, draws=20)
        return [mean.low, mean.high, *cluster_bootstrap(values, groups, draws=99), *draws.ravel()]

    assert found(samples) == found(random.sample(samples, len(samples)))


def test_cluster_bootstrap_resamples_clusters():
    costs = np.repeat(np.arange(10.0), 20)
    low, high = cluster_bootstrap(costs, np.repeat(np.arange(10), 20))
    naive = cluster_bootstrap(costs)
    assert high - low > 3 * (naive[1] - naive[0])


def test_bayesian_bootstrap_of_binary_scores_is_the_jeffreys_posterior():
    from scipy.stats import beta

    draws = bootstrap_means(np.array([[1.0]] * 9 + [[0.0]]), draws=20_000)[:, 0]
    for q in (0.05, 0.5, 0.95):
        assert np.quantile(draws, q) == pytest.approx(beta.ppf(q, 9.5, 1.5), abs=0.01)


def test_bayesian_bootstrap_weights_columns_equally():
    scores = np.random.default_rng(5).random((30, 1))
    draws = bootstrap_means(np.hstack([scores, scores]))
    assert np.array_equal(draws[:, 0], draws[:, 1])
    assert np.isnan(bootstrap_means(np.empty((0, 2)))).all()


def test_difference_of_independent_proportions_is_newcombes():
    ours, theirs = mean_interval([1] * 28 + [0] * 22), mean_interval([1] * 15 + [0] * 35)
    expected = confint_proportions_2indep(28, 50, 15, 50, method="newcomb", compare="diff")
    assert difference_of_intervals(ours, theirs) == pytest.approx(expected, abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_a_ratio_to_something_that_mostly_costs_nothing_has_infinite_ends():
    ratio, low, high = cluster_ratio_bootstrap([1.0] * 6, [0.0] * 5 + [1.0])
    assert (ratio, high) == (6.0, math.inf)
    assert 1.0 <= low <= 6.0
