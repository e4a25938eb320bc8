"""The sign-flip test against brute force, and its independence of the order of the samples."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from benchmarks.statistics import sign_flip, sign_flip_p

graded = st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6), min_size=2, max_size=10)
stepped = st.tuples(st.integers(1, 12), st.lists(st.integers(-12, 12), min_size=2, max_size=10)).map(
    lambda drawn: [number / drawn[0] for number in drawn[1]]
)


def brute_force(differences):
    d = np.array([x for x in differences if abs(x) > 1e-12])
    if len(d) < 2:
        return 1.0
    sums = [abs(float(d @ signs)) for signs in itertools.product((1, -1), repeat=len(d))]
    return np.mean(np.array(sums) >= abs(d.sum()) - 1e-9)


@given(graded | stepped)
def test_the_p_value_is_that_of_all_sign_changes(differences):
    assert sign_flip_p(differences) == pytest.approx(brute_force(differences), abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=60) | stepped, st.randoms())
def test_the_order_of_samples_does_not_change_the_p_value(differences, random):
    shuffled = random.sample(differences, len(differences))
    assert sign_flip_p(shuffled) == sign_flip_p(differences)
    assert sign_flip_p([-x for x in differences]) == sign_flip_p(differences)


def test_many_graded_pairs_are_exact():
    # 30 unequal pairs of thirds: random draws give values between 0.04 and 0.06 from run to run.
    differences = [1 / 3] * 14 + [2 / 3] * 6 + [-1 / 3] * 7 + [-1.0] * 3
    whole = [round(3 * x) for x in differences]
    counts = np.array([1.0])
    for size in map(abs, whole):
        step = np.zeros(2 * size + 1)
        step[[0, -1]] = 0.5
        counts = np.convolve(counts, step)
    sums = np.arange(len(counts)) - len(counts) // 2
    exact = counts[np.abs(sums) >= abs(sum(whole))].sum()
    assert sign_flip_p(differences) == pytest.approx(exact, rel=1e-12)


def test_both_ways_of_counting_agree(monkeypatch):
    differences = np.random.default_rng(0).normal(0.1, 0.3, 36)
    exact = sign_flip_p(differences)
    monkeypatch.setattr(sign_flip, "MAX_COUNTED", 0)
    assert sign_flip_p(differences) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("n", [60, 400, 1600])
def test_the_p_value_of_many_pairs_is_near_that_of_the_t_test(n):
    differences = np.random.default_rng(1).normal(2 / np.sqrt(n), 1, n).clip(-1, 1)
    assert sign_flip_p(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue, abs=0.01)


def test_too_few_differences_are_no_evidence():
    assert sign_flip_p([]) == sign_flip_p([0.0, 0.0]) == sign_flip_p([0.4]) == 1.0
    assert sign_flip_p([0.1, 0.2, 0.3, 0.4, 0.5]) == 2 / 32
    assert sign_flip_p([0.1, 0.1, 0.1, -0.1]) == 10 / 16
