"""Paired differences, corrections and power against closed forms, statsmodels and simulations with a known truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import TTestPower

from benchmarks.statistics import (
    detectable_difference,
    holm,
    mcnemar_exact,
    paired_difference,
    samples_for_width,
    samples_to_detect,
)


def binary_pairs(both, first_only, second_only, neither):
    counts = (both, first_only, second_only, neither)
    return np.repeat([1.0, 1.0, 0.0, 0.0], counts), np.repeat([1.0, 0.0, 1.0, 0.0], counts)


@pytest.mark.parametrize("cells", [(10, 5, 1, 4), (0, 9, 0, 1), (3, 3, 3, 3), (40, 1, 12, 7)])
def test_binary_scores_get_the_exact_mcnemar_test(cells):
    both, first_only, second_only, neither = cells
    expected = mcnemar([[both, first_only], [second_only, neither]], exact=True).pvalue
    found = paired_difference(*binary_pairs(*cells))
    assert found.p == pytest.approx(expected)
    assert found.test == "McNemar exact"
    assert found.difference == pytest.approx((first_only - second_only) / sum(cells))


def test_binary_interval_is_bonett_and_prices():
    first_only, second_only, n = 12, 4, 50
    a, b = (first_only + 1) / (n + 2), (second_only + 1) / (n + 2)
    half = 1.959963985 * math.sqrt((a + b - (a - b) ** 2) / (n + 2))
    found = paired_difference(*binary_pairs(20, first_only, second_only, 14))
    assert (found.low, found.high) == pytest.approx((a - b - half, a - b + half))


def test_graded_scores_get_the_t_interval_and_a_permutation_test():
    rng = np.random.default_rng(0)
    second = rng.random(25)
    first = np.clip(second + rng.normal(0.05, 0.1, 25), 0, 1)
    found = paired_difference(first, second)
    interval = ttest_1samp(first - second, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.test == "sign flip"
    assert found.p == pytest.approx(ttest_1samp(first - second, 0).pvalue, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5)), min_size=2, max_size=30),
    st.booleans(),
    st.randoms(),
)
def test_the_order_of_samples_changes_nothing(pairs, clustered, random):
    def compared(rows):
        first, second, labels = map(list, zip(*rows, strict=True))
        found = paired_difference(first, second, labels if clustered else None)
        return found.low, found.high, found.p, found.se

    assert np.array_equal(compared(pairs), compared(random.sample(pairs, len(pairs))), equal_nan=True)


def test_clustered_differences_get_a_clustered_test():
    clusters = np.repeat(np.arange(8), 12)
    first = np.repeat([1, 1, 1, 1, 0, 1, 0, 0], 12).astype(float)
    second = np.repeat([0, 1, 0, 0, 1, 0, 0, 1], 12).astype(float)
    naive, clustered = paired_difference(first, second), paired_difference(first, second, clusters)
    assert naive.p < 0.05 < clustered.p
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)
    assert clustered.test == "clustered t"


def test_a_comparison_in_two_windows_is_limited_to_them():
    first, second = binary_pairs(5, 9, 1, 5)
    found = paired_difference(first, second, [i % 2 for i in range(20)])
    assert found.scope == "these windows"
    assert found.p == paired_difference(first, second).p


@pytest.mark.parametrize("gap", [0.0, 1.0])
@pytest.mark.parametrize("n", [1, 2, 10])
def test_differences_that_are_all_equal_are_not_certain(gap, n):
    found = paired_difference([gap] * n, [0.0] * n)
    assert found.low < gap + 1e-12
    assert found.high - found.low > 0.2
    assert found.p == (1.0 if gap == 0 else mcnemar_exact(n, 0))
    assert found.lower(0.05) <= gap <= found.upper(0.05)


def test_tiny_differences_count_as_zero():
    found = paired_difference([2e-6, 3e-5, 1e-6, 2e-4, 1e-5, 1e-6, 1e-6, 1e-7], [1e-7] * 8)
    assert found.p == 1.0
    assert found.low < 0 < found.high
    assert paired_difference([0.5 + 1e-5, 1.0], [0.5, 0.2]).difference == pytest.approx(0.400005)


def test_nothing_to_compare_gives_no_numbers():
    found = paired_difference([], [])
    assert math.isnan(found.difference)
    assert math.isnan(found.p)
    assert paired_difference([1.0, math.nan], [0.0, 1.0]).n == 1
    with pytest.raises(ValueError, match="same samples"):
        paired_difference([1.0], [1.0, 0.0])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 0.25, 1]), st.sampled_from([0, 0.25, 1])), min_size=1, max_size=12))
def test_swapping_the_methods_turns_the_sign(pairs):
    first, second = map(list, zip(*pairs, strict=True))
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p == pytest.approx(back.p)
    assert there.low <= there.difference <= there.high


def rejections(draw, runs=300, alpha=0.05):
    rng = np.random.default_rng(7)
    found = [paired_difference(*draw(rng)) for _ in range(runs)]
    return np.mean([f.p < alpha for f in found]), np.mean([f.low <= draw.truth <= f.high for f in found])


def simulated(truth, n=60, clusters=None):
    """Binary scores of two methods that agree on half of the samples, the first better by `truth`."""

    def draw(rng):
        labels = None if clusters is None else np.repeat(np.arange(clusters), n)
        total = n if clusters is None else n * clusters
        window = 0.0 if clusters is None else rng.uniform(-0.2, 0.2, clusters)[labels]
        shared, own = rng.random(total), rng.random(total)
        second = np.where(rng.random(total) < 0.5, shared, own)
        return (shared < 0.5 + truth + window).astype(float), (second < 0.5 + window).astype(float), labels

    draw.truth = truth
    return draw


def test_equal_methods_rarely_differ_and_the_interval_covers_zero():
    for draw in (simulated(0.0), simulated(0.0, n=10, clusters=12)):
        false_alarms, covered = rejections(draw)
        assert false_alarms <= 0.07
        assert 0.92 <= covered <= 0.99


def test_a_difference_of_20_points_is_found_with_the_stated_power():
    found, covered = rejections(simulated(0.2, n=100))
    first, second, _ = simulated(0.2, n=100_000)(np.random.default_rng(0))
    expected = TTestPower().power(0.2 / np.std(first - second), nobs=100, alpha=0.05)
    assert found == pytest.approx(expected, abs=0.1)
    assert 0.92 <= covered <= 0.98


def test_holm_equals_statsmodels_and_ignores_missing_values():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    with_gap = holm([0.01, math.nan, 0.04, 0.03])
    assert with_gap[::2] + with_gap[3:] == pytest.approx([0.03, 0.06, 0.06])
    assert math.isnan(with_gap[1])
    assert holm([]) == []


@pytest.mark.parametrize("n", [20, 50, 400])
def test_detectable_difference_has_the_stated_power(n):
    sd = 0.4
    smallest = detectable_difference(sd / math.sqrt(n), n - 1)
    assert TTestPower().power(smallest / sd, nobs=n, alpha=0.05) == pytest.approx(0.8, abs=0.01)
    assert math.isnan(detectable_difference(0.0, 10))
    assert math.isnan(detectable_difference(math.nan, 10))


def test_samples_to_detect_is_the_least_number_with_the_power():
    n = samples_to_detect(0.1, 0.5)
    power = TTestPower().power
    assert power(0.2, nobs=n, alpha=0.05) >= 0.8 > power(0.2, nobs=n - 1, alpha=0.05)
    assert samples_to_detect(0.0, 0.5) is None
    assert samples_to_detect(0.9, 0.01) == 3
    assert samples_to_detect(0.1, 0.0) is None


def test_width_shrinks_with_the_root_of_samples():
    assert samples_for_width(0.2, 25, 0.1) == 100
    assert samples_for_width(0.0, 25, 0.1) is None
