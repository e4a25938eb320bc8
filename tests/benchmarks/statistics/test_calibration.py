"""Calibration error: against closed forms, and where the official code leaves samples out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics.calibration import calibration_error

judged = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=450)


def test_one_bin_is_the_difference_of_the_means():
    assert calibration_error([0.9] * 100, [True] * 60 + [False] * 40) == pytest.approx(0.3)


def test_the_last_bin_counts():
    # The official code sums over all bins but the last, and so gives 0 here.
    assert calibration_error([1.0] * 150, [False] * 150) == pytest.approx(1)
    assert calibration_error([0.0] * 100 + [1.0] * 100, [False] * 200) == pytest.approx(math.sqrt(0.5))


def test_samples_left_over_join_the_last_bin():
    confidences, correct = [0.0] * 100 + [1.0] * 150, [False] * 100 + [True] * 75 + [False] * 75
    assert calibration_error(confidences, correct) == pytest.approx(math.sqrt(150 / 250 * 0.5**2))


def test_fewer_samples_than_a_bin_are_one_bin():
    assert calibration_error([0.5, 1.0], [True, False]) == pytest.approx(0.25)


def test_no_samples_have_no_error():
    assert calibration_error([], []) is None


@given(judged, st.integers(1, 120), st.randoms())
def test_it_lies_between_the_overall_difference_and_one_in_any_order(pairs, size, random):
    confidences, correct = [c for c, _ in pairs], [r for _, r in pairs]
    error = calibration_error(confidences, correct, size)
    shuffled = random.sample(pairs, len(pairs))
    assert error == calibration_error([c for c, _ in shuffled], [r for _, r in shuffled], size)
    overall = abs(sum(confidences) - sum(correct)) / len(pairs)
    assert overall - 1e-9 <= error <= 1 + 1e-9


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_certainty_about_correct_answers_alone_has_no_error(correct):
    assert calibration_error([float(right) for right in correct], correct, 1) == 0


@pytest.mark.parametrize("confidences, correct", [([0.5], []), ([1.5], [True]), ([-0.1], [True]), ([math.nan], [True])])
def test_impossible_input_is_refused(confidences, correct):
    with pytest.raises(ValueError):
        calibration_error(confidences, correct)
