"""pass@k and the majority's score, against enumeration of all subsets."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics.passes import majority_score, pass_at_k


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_answer(n):
    for correct in range(n + 1):
        answers = [True] * correct + [False] * (n - correct)
        for k in range(1, n + 1):
            subsets = list(combinations(answers, k))
            assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize(("n", "correct", "k"), [(0, 0, 1), (3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)])
def test_impossible_counts_are_refused(n, correct, k):
    with pytest.raises(ValueError, match=f"n={n}, correct={correct}, k={k}: expected"):
        pass_at_k(n, correct, k)


def test_the_most_frequent_answer_is_scored():
    assert majority_score(["A", "b", " B\n"], [1.0, 0.0, 0.0]) == 0.0
    assert majority_score(["a  b", "A B", "c", None], [1.0, 0.5, 0.0, 0.0]) == 0.75
    # One of two tied answers would be drawn at random.
    assert majority_score(["A", "B"], [1.0, 0.0]) == 0.5
    assert majority_score([None, None], [0.0, 0.0]) == 0.0


@given(st.lists(st.tuples(st.none() | st.sampled_from("ABC"), st.floats(0, 1)), min_size=1, max_size=8))
def test_the_majority_does_not_depend_on_the_order_of_answers(rows):
    answers, scores = zip(*rows, strict=True)
    found = majority_score(answers, scores)
    assert 0 <= found <= max(scores) + 1e-12
    assert majority_score(answers[::-1], scores[::-1]) == pytest.approx(found)
