"""OOLONG's official score, with its quirks; a lenient score; and scores of the labels in an answer."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sample import Score
from benchmarks.scoring.texts import final_answer
from benchmarks.suites.oolong.gold import COMPARISON, DATE, LABEL, NUMERIC, USER, Gold, read_date
from benchmarks.suites.oolong.questions import WindowQuestion
from benchmarks.suites.oolong.windows import LABELS, Lines, written_labels

PHRASES = ("more common", "less common", "same frequency")

# The official rule takes shorter answers without a colon unchanged.
_SHORT = 20
_FORMS = {
    LABEL: r"Label: *\S.*",
    NUMERIC: r"Answer: *-?\d+",
    COMPARISON: r"Answer: .*\b(?:more common|less common|same frequency)\b.*",
    USER: r"User: *\d+",
    DATE: r"Date: *\d{1,2}/\d{1,2}/\d{4}",
}
_INTEGER = re.compile(r"(?<![\d.,])-?\d{1,3}(?:,\d{3})+(?![\d,])|-?\d+")


@dataclass(frozen=True, eq=False)
class OolongTarget:
    """The gold answer of a question; for diagnostics also its task, the labelled lines and the parsed question."""

    gold: Gold
    task: str | None = None
    lines: Lines | None = None
    question: WindowQuestion | None = None


def score_answer(target: OolongTarget, answer: str | None) -> Score:
    """Score an answer; None scores 0. format_ok: the last line has the form that the question asks for.

    details: task, answer_type and `contains_gold`, the reward of the paper's authors. If the answer contains the
    window's lines in order, each with its label (`|| Label: ...`), also `label_accuracy` and `score_of_labels`.
    """
    gold, text = target.gold, answer or ""
    details: dict[str, float | str | None] = {
        "task": target.task, "answer_type": gold.answer_type, "contains_gold": float(contains_gold(gold, text)),
    }  # fmt: skip
    if not text.strip():
        return Score(0.0, 0.0, False, "", details)
    exposed = written_labels(text)
    if exposed and target.lines is not None:
        details["label_accuracy"] = label_accuracy(exposed, target)
        details["score_of_labels"] = score_of_labels(exposed, target) if target.question else None
    official = official_score(gold, text)
    last = re.sub(r"[*\[\]`]", "", text.strip().splitlines()[-1]).strip()
    format_ok = re.fullmatch(_FORMS.get(gold.answer_type, r"\w+: *\S.*"), last) is not None
    names = LABELS if target.lines is None else target.lines.names
    return Score(official, max(official, lenient_score(gold, text, names)), format_ok, extract(text)[:200], details)


def extract(answer: str) -> str:
    """Return the prediction that the official code takes from an answer.

    Without a colon: a short text unchanged, or the last word of a long one. With a colon: the text after the last
    colon without `*`, `[` and `]`; if that is long, the comparison in it.
    """
    if ":" not in answer:
        words = answer.split()
        return answer if len(answer) < _SHORT else (words[-1] if words else "")
    candidate = answer.split(":")[-1].strip().replace("*", "").replace("[", "").replace("]", "")
    if len(candidate) >= _SHORT:
        return next((phrase for phrase in PHRASES if phrase in candidate), candidate)
    return candidate


def official_score(gold: Gold, answer: str) -> float:
    """Return the official score, from 0 to 1. Never raises."""
    value, prediction = gold.value, extract(answer)
    if prediction == str(value):
        return 1.0
    if prediction in PHRASES:
        return float(prediction in str(value))
    if gold.answer_type == NUMERIC:
        return _closeness(value, prediction)
    if gold.answer_type == DATE:
        return float(read_date(prediction) == value)
    return 0.0


def lenient_score(gold: Gold, answer: str, names: Sequence[str] = LABELS) -> float:
    """Score while ignoring letter case, full stops, thousands separators and words around the value.

    names: the labels of the subset.
    """
    value, text = gold.value, final_answer(answer)
    if isinstance(value, datetime.datetime):
        date = read_date(text.rstrip("."))
        return float(date is not None and date.date() == value.date())
    if gold.answer_type == COMPARISON:
        return float(_only(PHRASES, text) in tuple(phrase for phrase in PHRASES if phrase in str(value)))
    if gold.answer_type in (NUMERIC, USER) and isinstance(value, int):
        number = _INTEGER.search(text)
        if number is None:
            return 0.0
        read = number.group().replace(",", "")
        return _closeness(value, read) if gold.answer_type == NUMERIC else float(read == str(value))
    if str(value) in names:
        return float(_only(names, text) == str(value))
    return float(_words(text) == _words(str(value)))


def contains_gold(gold: Gold, answer: str) -> bool:
    """True if the text of the gold value is anywhere in an answer, ignoring case: the reward of the paper's authors.

    It is not a score: `42` is in `1420`, and an answer that names all labels contains each.
    """
    value = gold.value
    if isinstance(value, datetime.datetime):
        forms = (f"{value:%m/%d}/{value.year:04d}", f"{value.year:04d}-{value:%m-%d}")
        return any(form in answer for form in forms)
    return str(value).lower() in answer.lower()


def label_accuracy(predicted: Sequence[str | None], target: OolongTarget) -> float:
    """Return the fraction of a window's lines with the right label; a line without a prediction counts as wrong.

    predicted: one label for each line, in order. Raises ValueError for a target without labelled lines.
    """
    lines = _labelled(target)
    right = sum(lines.names[label] == guess for label, guess in zip(lines.labels.tolist(), predicted, strict=False))
    return right / len(lines)


def score_of_labels(predicted: Sequence[str | None], target: OolongTarget) -> float:
    """Return the score of an exact aggregation of these labels; lines without a known label are omitted.

    Gold labels score 1. For a method's labels, the result is the best score that these labels allow. Raises ValueError
    for a target without labelled lines or without a parsed question.
    """
    lines = _labelled(target)
    if target.question is None:
        raise ValueError("this target has no parsed question")
    labels = np.array([lines.names.index(guess) if guess in lines.names else -1 for guess in predicted], dtype=np.int64)
    count = min(len(labels), len(lines))
    kept = labels[:count] >= 0
    seen = Lines(lines.days[:count][kept], lines.users[:count][kept], labels[:count][kept], lines.names)
    answer = target.question.answer(seen) if len(seen) else None
    if answer is None:
        return 0.0
    return official_score(target.gold, Gold(repr([answer]), target.gold.answer_type).written())


def _labelled(target: OolongTarget) -> Lines:
    if target.lines is None:
        raise ValueError("this target has no labelled lines")
    return target.lines


def _closeness(value: Any, prediction: str) -> float:
    try:
        return float(0.75 ** abs(int(value) - int(prediction)))
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _only(choices: Sequence[str], text: str) -> str | None:
    """Return the only choice that a text contains; None if it contains none or several."""
    # `correct` is in `incorrect`, so a choice begins at the start of a word.
    found = [one for one in choices if re.search(rf"(?<!\w){re.escape(one.lower())}", text.lower())]
    return found[0] if len(found) == 1 else None


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()
