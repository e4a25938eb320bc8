"""The kinds of questions about a window: their wording, and their answers computed from labels."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.suites.oolong.gold import COMPARISON, DATE, LABEL, NUMERIC, USER
from benchmarks.suites.oolong.subsets import TREC_COARSE, Subset
from benchmarks.suites.oolong.windows import Lines, written_date

COUNTING, USERS, TIMELINE = "counting", "user", "timeline"
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


@dataclass(frozen=True)
class WindowQuestion:
    """A question about a window as data.

    kind: a key of KINDS. labels: the labels in the question, as indices into those of the subset. users, month, days: a
    restriction to the lines of these users, of this month (1-12) of any year, or from the first to the last of two
    days. number, day: further arguments of some kinds.
    """

    kind: str
    labels: tuple[int, ...] = ()
    users: tuple[int, ...] = ()
    month: int | None = None
    days: tuple[int, int] | None = None
    number: int | None = None
    day: int | None = None

    def scope(self, lines: Lines) -> Lines:
        """Return the lines that the question covers."""
        if self.users:
            lines = lines.where(np.isin(lines.users, self.users))
        if self.month:
            lines = lines.where(np.array([_date(day).month == self.month for day in lines.days.tolist()], dtype=bool))
        if self.days:
            lines = lines.where((lines.days >= self.days[0]) & (lines.days <= self.days[1]))
        return lines

    def answer(self, lines: Lines) -> str | int | datetime.date | None:
        """Compute the answer for a window's lines; None if it is not unique, as when labels tie."""
        return KINDS[self.kind].answer(self, self.scope(lines))

    def words(self, subset: Subset = TREC_COARSE) -> str:
        """Return the text of the question, with the form of its answer."""
        kind = KINDS[self.kind]
        named = {key: subset.labels[label] for key, label in zip("ab", self.labels, strict=False)}
        day = written_date(self.day) if self.day is not None else ""
        asked = kind.asks.format(scope=_scope_words(self), items=subset.items, n=self.number, day=day, **named)
        form = kind.form.format(labels=", ".join(subset.labels), day=day, **named)
        return f"{asked} End your reply with a line of the form '{form}."


@dataclass(frozen=True)
class QuestionKind:
    """A kind of question: its name in the data set, the type of its answer, its wording, its answer."""

    task: str
    answer_type: str
    asks: str
    form: str
    answer: Callable[[WindowQuestion, Lines], str | int | datetime.date | None]


def _scope_words(question: WindowQuestion) -> str:
    if question.users:
        ids = ", ".join(map(str, question.users))
        return f"Consider only the lines of the users {ids}: among them,"
    if question.month:
        return f"Consider only the lines dated in {MONTHS[question.month - 1]} of any year: among them,"
    if question.days:
        first, last = map(written_date, question.days)
        return f"Consider only the lines dated from {first} to {last}, both days included: among them,"
    return "In the lines above,"


def _date(day: int) -> datetime.date:
    return datetime.date.fromordinal(day)


def _label_counts(lines: Lines) -> NDArray[np.int64]:
    return np.bincount(lines.labels, minlength=len(lines.names))


def _compared(first: int, second: int) -> int:
    return (first > second) - (first < second)


def _most_common(question: WindowQuestion, lines: Lines) -> str | None:
    counts = _label_counts(lines)
    return lines.names[counts.argmax()] if (counts == counts.max()).sum() == 1 else None


def _least_common(question: WindowQuestion, lines: Lines) -> str | None:
    counts = _label_counts(lines)
    # A window without any line of some label has no answer, because an absent label is not clearly the least common.
    return lines.names[counts.argmin()] if counts.min() > 0 and (counts == counts.min()).sum() == 1 else None


def _count(question: WindowQuestion, lines: Lines) -> int:
    return int(_label_counts(lines)[question.labels[0]])


def _comparison(question: WindowQuestion, lines: Lines) -> str:
    a, b = (int(_label_counts(lines)[label]) for label in question.labels)
    return {1: "more common than", -1: "less common than", 0: "same frequency as"}[_compared(a, b)]


def _before_after(question: WindowQuestion, lines: Lines) -> str | None:
    day = question.day or 0
    before, after = lines.where(lines.days < day), lines.where(lines.days > day)
    if not len(before) or not len(after):
        return None
    # Fractions are compared as integer products.
    side = _compared(_count(question, before) * len(after), _count(question, after) * len(before))
    return {1: "more common", -1: "less common", 0: "the same frequency"}[side]


def _ranked(values: NDArray[np.int64], rank: int) -> int | None:
    """Return the value at a 0-based rank of frequency; None if another value is as frequent."""
    distinct, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    if rank >= len(order):
        return None
    same = counts == counts[order[rank]]
    return int(distinct[order[rank]]) if same.sum() == 1 else None


def _top_user(question: WindowQuestion, lines: Lines) -> int | None:
    return _ranked(lines.users, 0)


def _second_user(question: WindowQuestion, lines: Lines) -> int | None:
    return _ranked(lines.users, 1)


def _top_user_of_label(question: WindowQuestion, lines: Lines) -> int | None:
    return _ranked(lines.users[lines.labels == question.labels[0]], 0)


def _top_date(question: WindowQuestion, lines: Lines) -> datetime.date | None:
    day = _ranked(lines.days, 0)
    return None if day is None else _date(day)


def _dates_seen(question: WindowQuestion, lines: Lines) -> int:
    _, counts = np.unique(lines.days, return_counts=True)
    return int((counts == question.number).sum())


def _months_more(question: WindowQuestion, lines: Lines) -> int:
    months = np.array([date.year * 12 + date.month for date in map(_date, lines.days.tolist())], dtype=np.int64)
    _, index = np.unique(months, return_inverse=True)
    a, b = (np.bincount(index[lines.labels == label], minlength=len(lines)) for label in question.labels)
    return int((a > b).sum())


_NUMBER_FORM = "Answer: N', where N is the number in digits"
_USER_FORM = "User: N', where N is the ID of the user"

KINDS: dict[str, QuestionKind] = {
    "most_common": QuestionKind(
        "MOST_FREQ", LABEL, "{scope} which category has the most {items}?",
        "Label: X', where X is one of the categories: {labels}", _most_common,
    ),
    "least_common": QuestionKind(
        "LEAST_FREQ", LABEL, "{scope} which category has the fewest {items}?",
        "Label: X', where X is one of the categories: {labels}", _least_common,
    ),
    "count": QuestionKind(
        "NUMERIC_ONE_CLASS", NUMERIC, "{scope} how many {items} belong to the category '{a}'?", _NUMBER_FORM, _count,
    ),
    "comparison": QuestionKind(
        "RELATIVE_FREQ", COMPARISON,
        "{scope} is the category '{a}' more common than '{b}', less common, or of the same frequency?",
        "Answer: {a} is X {b}', where X is 'more common than', 'less common than' or 'same frequency as'", _comparison,
    ),
    "before_after": QuestionKind(
        "RELATIVE_FREQ", COMPARISON,
        "{scope} is the category '{a}' more common before {day} than after it, less common, or of the same frequency, "
        "as a share of the lines before and after? The lines of {day} itself do not count.",
        "Answer: {a} is X before {day}', where X is 'more common', 'less common' or 'the same frequency'",
        _before_after,
    ),
    "top_user": QuestionKind("MOST_FREQ", USER, "{scope} which user has the most lines?", _USER_FORM, _top_user),
    "second_user": QuestionKind(
        "SECOND_MOST_FREQ", USER, "{scope} which user has the second most lines?", _USER_FORM, _second_user,
    ),
    "top_user_of_label": QuestionKind(
        "MOST_FREQ", USER, "{scope} which user has the most {items} of the category '{a}'?", _USER_FORM,
        _top_user_of_label,
    ),
    "top_date": QuestionKind(
        "MOST_FREQ", DATE, "{scope} which date is on the most lines?", "Date: MM/DD/YYYY', with that date", _top_date,
    ),
    "dates_seen": QuestionKind(
        "REPRESENTED_N_TIMES", NUMERIC, "{scope} how many different dates does one find exactly {n} times?",
        _NUMBER_FORM, _dates_seen,
    ),
    "months_more": QuestionKind(
        "RELATIVE_FREQ", NUMERIC,
        "{scope} in how many months, each month of each year taken by itself, does the category '{a}' have more "
        "{items} than '{b}'?", _NUMBER_FORM, _months_more,
    ),
}  # fmt: skip
