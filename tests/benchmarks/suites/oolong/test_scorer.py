"""The official OOLONG score with its quirks, and the lenient score."""

import ast
import datetime

import dateutil.parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.suites.oolong.gold import Gold
from benchmarks.suites.oolong.scorer import (
    PHRASES,
    OolongTarget,
    contains_gold,
    extract,
    official_score,
    score_answer,
)

NUMBER = Gold.of("[42]", "ANSWER_TYPE.NUMERIC")
LABEL = Gold.of("['entity']", "ANSWER_TYPE.LABEL")
MORE = Gold.of("['more common than']", "ANSWER_TYPE.COMPARISON")
SAME = Gold.of("['the same frequency']", "ANSWER_TYPE.COMPARISON")
USER = Gold.of("[64959]", "ANSWER_TYPE.USER")
DATE = Gold.of("[datetime.date(2024, 3, 5)]", "ANSWER_TYPE.DATE")
MONTH = Gold.of("['March 2024']", "ANSWER_TYPE.MONTH_YEAR")
ALL = (NUMBER, LABEL, MORE, SAME, USER, DATE, MONTH)


@pytest.mark.parametrize(
    ("gold", "answer", "official", "lenient"),
    [
        # The quirks that facts list.
        (NUMBER, "Answer: 42.", 0, 1),
        (Gold.of("[1234]", "NUMERIC"), "Answer: 1,234", 0, 1),
        (LABEL, "Label: Entity", 0, 1),
        (Gold.of("['more common than']", "COMPARISON"), "Answer: entity more common", 0, 1),
        (DATE, "Date: 2024-03-05 00:00:00", 0, 1),
        # The rules in their order.
        (NUMBER, "42", 1, 1),
        (NUMBER, "Answer: 42", 1, 1),
        (NUMBER, "**Answer: [42]**", 1, 1),
        (NUMBER, "Answer:  42 ", 1, 1),
        (NUMBER, "Answer: 40", 0.75**2, 0.75**2),
        (NUMBER, "Answer: 44", 0.75**2, 0.75**2),
        (NUMBER, "Answer: forty-two", 0, 0),
        (NUMBER, "I counted all of them carefully and got 41", 0.75, 0.75),
        (NUMBER, "The answer is 42", 0, 1),
        (NUMBER, "Note: first 10\nAnswer: 42", 1, 1),
        (NUMBER, "Answer: 42\nNote: not sure", 0, 1),
        (LABEL, "entity", 1, 1),
        (LABEL, "Label: entity.", 0, 1),
        (LABEL, "Label: location", 0, 0),
        (LABEL, "Label: entity or location", 0, 0),
        (MORE, "Answer: entity is more common than location", 1, 1),
        (MORE, "Answer: entity is less common than location", 0, 0),
        (MORE, "Answer: more common than", 1, 1),
        (MORE, "THINK: x\nAnswer: numeric value is more common than human being", 1, 1),
        (MORE, "THINK: x\nANSWER: numeric value is more common than human being", 1, 1),
        (MORE, "Answer: more common", 1, 1),
        (MORE, "more common", 1, 1),
        (MORE, "Answer: entity is not more common but less common than location", 1, 1),
        (SAME, "Answer: entity is the same frequency before Jan 05, 2024", 1, 1),
        (USER, "User: 64959", 1, 1),
        (USER, "User: 64958", 0, 0),
        (USER, "User: [64959].", 0, 1),
        (DATE, "Date: 03/05/2024", 1, 1),
        (DATE, "Date: March 5, 2024", 1, 1),
        (DATE, "Date: 2024-03-05", 1, 1),
        (DATE, "Date: 05/03/2024", 0, 0),
        (DATE, "Date: sometime", 0, 0),
        (MONTH, "Answer: March 2024", 1, 1),
        (MONTH, "Answer: march 2024.", 0, 1),
    ],
)
def test_scores_of_known_answers(gold, answer, official, lenient):
    score = score_answer(OolongTarget(gold), answer)
    assert score.value == pytest.approx(official)
    assert score.lenient == pytest.approx(lenient)


def by_the_book(gold, answer):
    """The official rules once more, in one function."""
    value = gold.value
    if ":" not in answer:
        if len(answer) < 20:
            taken = answer
        elif not answer.split():
            return 0
        else:
            taken = answer.split()[-1]
    else:
        taken = answer.rsplit(":", 1)[1].strip()
        for mark in "*[]":
            taken = taken.replace(mark, "")
        if len(taken) >= 20:
            for phrase in PHRASES:
                if phrase in taken:
                    taken = phrase
                    break
    if taken == str(value):
        return 1
    if taken in PHRASES:
        return int(taken in str(value))
    try:
        if gold.answer_type == "NUMERIC":
            return 0.75 ** abs(int(value) - int(taken))
        if gold.answer_type == "DATE":
            return int(dateutil.parser.parse(taken, default=datetime.datetime(1, 1, 1)) == value)
    except Exception:
        return 0
    return 0


NEAR = st.lists(
    st.sampled_from(
        ["Answer", "Label", "User", "Date", ":", " ", "\n", "*", "[", "]", "42", "-", "1,234", "entity", "Entity", ".",
         "more common", "less common", "same frequency", " than location", "03/05/2024", "64959", "March 2024", "٤٢"]
    ), max_size=10,
).map("".join)  # fmt: skip


@given(st.sampled_from(ALL), NEAR | st.text())
@example(NUMBER, " " * 30)
@example(NUMBER, "Answer: " + "9" * 5000)
@example(NUMBER, "Answer: 1_0")
@example(DATE, "Date: Monday")
@example(DATE, "Date: " + "1" * 50)
def test_any_answer_scores_by_the_official_rules(gold, answer):
    score = score_answer(OolongTarget(gold), answer)
    assert official_score(gold, answer) == pytest.approx(by_the_book(gold, answer))
    assert 0 <= score.value <= score.lenient <= 1


@pytest.mark.parametrize("gold", ALL)
def test_the_gold_answer_in_the_requested_form_scores_1(gold):
    score = score_answer(OolongTarget(gold), gold.written())
    assert (score.value, score.lenient, score.format_ok) == (1, 1, True)
    thought = score_answer(OolongTarget(gold), f"Let me think: it is 17:30.\n\n**{gold.written()}**")
    assert (thought.value, thought.format_ok) == (1, True)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [(NUMBER, "42"), (NUMBER, "Answer: 42."), (LABEL, "entity"), (MORE, "more common"), (USER, "9"), (DATE, "5 May")],
)  # fmt: skip
def test_answers_in_another_form_are_flagged(gold, answer):
    assert not score_answer(OolongTarget(gold), answer).format_ok


@pytest.mark.parametrize("answer", [None, "", "  \n "])
def test_no_answer_scores_nothing(answer):
    for gold in ALL:
        score = score_answer(OolongTarget(gold), answer)
        assert (score.value, score.lenient, score.format_ok) == (0, 0, False)


@pytest.mark.parametrize("written", ["[42]", 42, [42]])
def test_a_gold_may_be_a_list_or_bare(written):
    assert Gold.of(written, "NUMERIC") == NUMBER


@pytest.mark.parametrize("target", [1234, "1234", [1234], "[1234]", 1234.0])
def test_an_integer_is_accepted_in_any_type_of_a_table(target):
    score = score_answer(OolongTarget(Gold.of(target, "ANSWER_TYPE.NUMERIC")), "Answer: 1,234")
    assert (score.value, score.lenient) == (0.0, 1.0)


@pytest.mark.parametrize("flood", [".", "1/", "1 "])
def test_floods_for_a_date_are_read_at_once(flood):
    # Quadratic reading of these would take hours.
    gold = Gold("[datetime.date(2024, 3, 5)]", "DATE")
    assert score_answer(OolongTarget(gold), "Date: " + flood * 1_000_000).value == 0.0


def test_a_bare_word_is_a_gold_too():
    assert Gold.of("entity", "label") == LABEL


@pytest.mark.parametrize("wrong", ["[42", "[]", "[datetime.date(2024, 13, 5)]", "[open('x')]", None, 4.5, [1, 2], True])
def test_an_unreadable_gold_is_refused(wrong):
    with pytest.raises(ValueError, match="an OOLONG answer is"):
        Gold.of(wrong, "NUMERIC")


def test_the_gold_of_the_data_set_is_a_python_literal():
    assert ast.literal_eval(LABEL.answer) == ["entity"]
    assert DATE.value == datetime.datetime(2024, 3, 5)


def test_extraction_takes_the_text_after_the_last_colon():
    assert extract("User: 12: 13") == "13"
    assert extract("short text") == "short text"
    assert extract("a text that is longer than twenty") == "twenty"


@pytest.mark.parametrize(
    "target",
    [
        "2023-01-05",
        "01/05/2023",
        " Jan 5, 2023 ",
        ["2023-01-05"],
        "datetime.date(2023, 1, 5)",
        ["datetime.date(2023, 1, 5)"],
    ],
)
def test_a_bare_date_is_accepted_in_any_form(target):
    assert Gold.of(target, "ANSWER_TYPE.DATE") == Gold.of("[datetime.date(2023, 1, 5)]", "ANSWER_TYPE.DATE")


def test_a_bare_string_is_stripped():
    assert Gold.of(" entity\n", "LABEL").value == "entity"


@pytest.mark.parametrize(
    ("target", "kind"),
    [("", "NUMERIC"), (" ", "LABEL"), ([""], "LABEL"), ("entity", "DATE"), ("noon", "DATE"), ([[1]], "NUMERIC")],
)
def test_values_that_are_no_answer_are_refused(target, kind):
    with pytest.raises(ValueError, match="an OOLONG answer"):
        Gold.of(target, kind)


@pytest.mark.parametrize(
    ("gold", "answer", "contains"),
    [
        (LABEL, "I think it is ENTITY, all in all.", 1),
        (LABEL, "Label: location", 0),
        (NUMBER, "42 of 100 lines", 1),
        (NUMBER, "1420", 1),
        (NUMBER, "41", 0),
        (MORE, "entity is More Common Than location", 1),
        (DATE, "It was 2024-03-05.", 1),
        (DATE, "03/05/2024", 1),
        (DATE, "March 5, 2024", 0),
        (USER, None, 0),
    ],
)
def test_the_reward_of_the_authors_is_a_detail_and_changes_no_score(gold, answer, contains):
    score = score_answer(OolongTarget(gold), answer)
    assert score.details["contains_gold"] == contains
    assert score.value == (official_score(gold, answer) if answer else 0)


@given(st.sampled_from(ALL), st.text(), st.text())
def test_an_answer_around_the_gold_contains_it(gold, before, after):
    assert contains_gold(gold, before + gold.written().upper() + after)
