"""The data set's own questions, understood from their words and answered from labels."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.suites.oolong.gold import Gold
from benchmarks.suites.oolong.parse import parsed_question
from benchmarks.suites.oolong.windows import LABELS, Lines, labelled_window

TEXT = """6 lines

Date: Jun 29, 2022 || User: 7 || Instance: a ? || Label: entity
Date: Jun 30, 2022 || User: 7 || Instance: b ? || Label: entity
Date: Jun 30, 2022 || User: 8 || Instance: c ? || Label: location
Date: Jul 02, 2022 || User: 8 || Instance: d ? || Label: human being
Date: Jul 05, 2023 || User: 8 || Instance: e ? || Label: human being
Date: Aug 01, 2023 || User: 9 || Instance: f ? || Label: entity
"""
LINES = labelled_window("w", TEXT).lines


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("which of the labels is the most common?", "['entity']"),
        ("how many data points have label 'human being'?", "[2]"),
        ("is label 'entity' more common, or less, than label 'location'?", "['more common than']"),
        ("which user is represented most often?", "[8]"),
        ("which user is represented the second most often?", "[7]"),
        ("users with IDs 7, 9: which user is represented most often?", "[7]"),
        ("user IDs 7, 9: how many data points have label 'entity'?", "[3]"),
        ("which user has the most instances with the label human being?", "[8]"),
        ("which user has more instances with the label entity: User 7 or User 9?", "[7]"),
        ("which date is represented most often?", "[datetime.date(2022, 6, 30)]"),
        ("how many dates are represented exactly 1 times?", "[4]"),
        ("occur in July of any year: which of the labels is the most common?", "['human being']"),
        ("occur between Jun 30, 2022 and Jul 02, 2022, inclusive: how many data points have label 'entity'?", "[1]"),
        ("was label 'entity' more common, or less, before 2022-07-02, as compared to after?", "['more common']"),
        ("how many months does the label 'human being' occur more frequently than the label 'entity'?", "[2]"),
    ],
)
def test_a_question_is_understood(question, answer):
    kind = "DATE" if "datetime" in answer else "NUMERIC"
    gold = Gold.of(answer, kind)
    understood = parsed_question(question, gold, LINES)
    assert understood is not None
    assert Gold.of(repr([understood.answer(LINES)]), kind).value == gold.value


def test_a_question_is_not_understood_if_the_labels_give_another_answer():
    question = "how many data points have label 'entity'?"
    assert parsed_question(question, Gold.of("[4]", "NUMERIC"), LINES) is None
    assert parsed_question("What is this?", Gold.of("[4]", "NUMERIC"), LINES) is None


def test_the_real_question_is_answered_from_the_real_labels(shared_data):
    row = json.loads((shared_data / "oolong" / "oolong_trec_coarse_16k.json").read_text())
    labels = json.loads((shared_data / "oolong" / "oolong_trec_coarse_16k_labels.json").read_text())
    lines = Lines(
        np.zeros(len(labels), dtype=np.int64),
        np.array([int(each["user_id"]) for each in labels]),
        np.array([LABELS.index(each["label"]) for each in labels]),
    )
    gold = Gold.of(row["answer"], "ANSWER_TYPE.USER")
    assert parsed_question(row["question"], gold, lines).answer(lines) == 64959


NEAR = st.text(alphabet="before as compared to 'entity' 0123-", max_size=80)


@given(st.text() | NEAR.map("was label 'entity' more common, {}".format))
def test_any_question_is_read_without_an_exception(text):
    parsed_question(text, Gold.of("[4]", "NUMERIC"), LINES)
