"""The choice of a program: agreement first, then confidence times length, then length."""

import math

import pytest

from rlm.completion import StopReason
from rlm.methods.method import Answer
from rlm.methods.selfconsistency.selection import (
    Program,
    Why,
    choose,
    normalized,
    stated_confidence,
    without_confidence,
)


def programs(*given: tuple[str | None, list[float | None], int]) -> list[Program]:
    return [
        Program(number, Answer(text), tuple(confidences), tokens)
        for number, (text, confidences, tokens) in enumerate(given)
    ]


CASES = {
    "the answer of most programs, whatever the others state": (
        [("A", [100], 10), ("B", [20], 900), ("b.", [30], 900)], 2, Why.AGREEMENT, (1, 2, 2),
    ),
    "the surer of equally many": ([("A", [50, 50], 100), ("B", [90, 90], 100)], 1, Why.CONFIDENCE, (1, 1)),
    "confidence times length": ([("A", [90], 1000), ("B", [80], 100)], 1, Why.CONFIDENCE, (1, 1)),
    "one unsure turn counts more than several sure ones": (
        [("A", [100, 100, 1], 100), ("B", [80, 80, 80], 100)], 1, Why.CONFIDENCE, (1, 1),
    ),
    "a stated confidence before none": ([("A", [None], 10), ("B", [30], 900)], 1, Why.CONFIDENCE, (1, 1)),
    "the shorter without confidence": ([("A", [], 300), ("B", [], 200)], 1, Why.LENGTH, (1, 1)),
    "the shorter of two that are certain": ([("A", [100], 300), ("B", [100], 200)], 1, Why.LENGTH, (1, 1)),
    "the first of equal ones": ([("A", [50], 200), ("B", [50], 200)], 0, Why.FIRST, (1, 1)),
    "the only answer": ([(None, [100], 10), ("B", [1], 900)], 1, Why.ONLY_ANSWER, (0, 1)),
    "no answer": ([(None, [50], 30), (None, [50], 20)], 1, Why.NO_ANSWER, (0, 0)),
    "the surest of those that agree": (
        [("A", [50], 100), ("a", [95], 100), ("B", [99], 100)], 1, Why.AGREEMENT, (2, 2, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_which_program_is_chosen_and_why(case: str) -> None:
    given, number, why, votes = CASES[case]
    choice = choose(programs(*given))
    assert (choice.program.number, choice.why, choice.votes) == (number, why, votes)


def test_the_score_is_that_of_the_paper() -> None:
    program = Program(0, Answer("A", StopReason.ANSWER), (80.0, 50.0), 120)
    assert program.score == pytest.approx((math.log(0.8) + math.log(0.5)) * 120)
    # A turn without a confidence counts as the mean of the others, and 0 as 1 percent.
    assert Program(0, Answer("A"), (80.0, None), 1).score == pytest.approx(2 * math.log(0.8))
    assert Program(0, Answer("A"), (0.0,), 1).score == pytest.approx(math.log(0.01))


@pytest.mark.parametrize(
    ("reply", "percent"),
    [
        ("CONFIDENCE: 85\nFINAL(4)", 85), ("**Confidence:** 70%", 70), ("confidence = 0.9", 90), ("Confidence: 1", 1),
        ("x\n- CONFIDENCE: 30/100\ny", 30), ("CONFIDENCE: 0", 0), ("CONFIDENCE: 1.0", 100), ("CONFIDENCE: 250", None),
        ("CONFIDENCE: high", None), ("my confidence: 50 and falling", None), ("", None),
    ],
)  # fmt: skip
def test_confidences_in_replies(reply: str, percent: float | None) -> None:
    assert stated_confidence(reply) == percent


def test_a_text_without_its_confidence() -> None:
    assert without_confidence("CONFIDENCE: 40\nIt is 7.\nSure.") == "It is 7.\nSure."


def test_answers_agree_whatever_their_case_spacing_and_quotes() -> None:
    assert normalized(" 'New  York'. ") == normalized("new york") != normalized("newyork")
