"""Pairs in answers of any size by the official pattern, and the F1 of sets."""

import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.scoring.sets import SetCounts
from benchmarks.suites.oolong_pairs import scorer
from benchmarks.suites.oolong_pairs.conditions import GoldPairs
from benchmarks.suites.oolong_pairs.scorer import PAIR, count_pairs, has_pairs, tolerant

USERS = np.array([3, 12, 77, 500, 12345], dtype=np.int64)
GOLD = GoldPairs(0, USERS, np.array([1, 1, 0, 0, 1], dtype=bool), np.array([0, 1, 1, 0, 1], dtype=bool))
GOLD_SET = {(3, 12), (3, 77), (3, 12345), (12, 77), (12, 12345), (77, 12345)}

# Texts near to what the pattern finds.
NEAR = st.text(alphabet="(((),,)) \n\t\x1c0123457[]-9x", max_size=60)


def by_sets(text):
    found = {tuple(sorted((int(a), int(b)))) for a, b in PAIR.findall(text)}
    right = len(found & GOLD_SET)
    return len(found), right


def test_gold_counts_its_pairs_without_listing_them():
    listed = [tuple(map(int, line.strip("()").split(", "))) for line in GOLD.written().splitlines()]
    assert listed == sorted(GOLD_SET)
    assert len(GOLD) == len(GOLD_SET)
    assert GOLD.possible == 10


@given(NEAR | st.text())
@example("(3, 12)(12,3) ( 3 ,\n77 )")
@example("((3,12))")
@example("(3,(12,77)")
@example("(03, 0012)")
@example("(3, 12")
@example("(1 2, 77)")
@example("(٣, 12)")
@example("(3,\u00a012)")
@example("(99999999999999999999999, 3) (3, 99999999999999999999999) (99999999999999999999998, 3)")
def test_any_text_is_read_by_the_official_pattern(text):
    score = count_pairs(text, GOLD)
    assert (score.predicted, score.right) == by_sets(text)
    assert 0 <= score.f1 <= 1 and 0 <= score.precision <= 1 and 0 <= score.recall <= 1


@given(st.lists(st.tuples(st.sampled_from(USERS.tolist()), st.integers(0, 600)), max_size=30), st.randoms())
def test_order_and_duplicates_do_not_change_the_score(pairs, shuffle):
    first = count_pairs("\n".join(f"({a}, {b})" for a, b in pairs), GOLD)
    again = [(b, a) for a, b in pairs] + pairs
    shuffle.shuffle(again)
    assert count_pairs(" ".join(f"({a},{b})" for a, b in again), GOLD) == first


def test_pairs_are_found_across_the_borders_of_pieces(monkeypatch):
    text = "".join(f"({a}, {b})" + " " * (a % 7) for a, b in [*GOLD_SET, (1, 2), (3, 12)] * 40)
    whole = count_pairs(text, GOLD)
    for size in (1, 5, 16, 33):
        monkeypatch.setattr(scorer, "_CHUNK", size)
        assert count_pairs(text, GOLD) == whole


def test_large_ids_are_found():
    users = np.array([5, 10**15, 10**17], dtype=np.int64)
    gold = GoldPairs(0, users, np.ones(3, dtype=bool), np.ones(3, dtype=bool))
    assert count_pairs(gold.written() + f"({10**30}, 5)", gold).right == 3
    assert count_pairs(gold.written() + f"({10**30}, 5)", gold).predicted == 4
    assert count_pairs(f"({'9' * 5000}, 5) ({'9' * 5000}, 5)", gold).predicted == 1


@pytest.mark.parametrize(
    ("gold_pairs", "text", "f1"),
    [(True, GOLD.written(), 1.0), (True, "", 0.0), (False, "", 1.0), (False, "(3, 12)", 0.0), (True, "(3, 12)", 2 / 7)],
)
def test_empty_sets_score_by_rule(gold_pairs, text, f1):
    nobody = np.zeros(5, dtype=bool)
    gold = GOLD if gold_pairs else GoldPairs(0, USERS, nobody, nobody)
    assert count_pairs(text, gold).f1 == pytest.approx(f1)


def test_a_gold_without_users_takes_any_answer():
    nobody = GoldPairs(0, np.array([], dtype=np.int64), np.array([], dtype=bool), np.array([], dtype=bool))
    assert count_pairs("(1, 2)", nobody).f1 == 0.0
    assert count_pairs("none", nobody).f1 == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "[[3, 12], [12, 77]]",
        '[["3", "12"], ["12", "77"]]',
        "{3, 12}, {12, 77}",
        "3, 12\n12, 77",
        "- 3 and 12\n- 12 and 77",
        "3 - 12\n12 | 77",
        "('3', '12')\n('12', '77')",
        "3 12\n12 77",
    ],
)
def test_other_forms_are_read_leniently_and_not_officially(text):
    assert not has_pairs(text)
    assert count_pairs(text, GOLD).predicted == 0
    assert count_pairs(tolerant(text), GOLD) == SetCounts(2, 2, 6)


def test_prose_with_numbers_is_not_read_as_pairs():
    assert tolerant("There are 3 users with 12 questions each, as of 2023.") == ""


@given(st.text(alphabet="([{<0123, \n\"'-and", max_size=80))
def test_lenient_reading_never_raises(text):
    assert count_pairs(tolerant(text), GOLD).predicted >= 0


def test_hostile_text_is_read_in_linear_time():
    for text in ("(" * 200_000, "1" + " " * 200_000 + "x", "(1" + " " * 200_000, "1" * 200_000, "(1, " * 100_000):
        assert count_pairs(tolerant(text), GOLD).right == 0


def test_millions_of_pairs_are_counted_exactly():
    users = np.arange(10_000, 12_000, dtype=np.int64)
    half = np.array([random.Random(1).random() < 0.7 for _ in users], dtype=bool)
    gold = GoldPairs(0, users, half, ~half | (users % 3 == 0))
    score = count_pairs(gold.written(), gold)
    assert score.predicted == score.right == score.gold == len(gold) > 500_000
