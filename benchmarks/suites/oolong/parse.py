"""Parses the data set's questions, so that labels in an answer can be scored separately from their aggregation."""

from __future__ import annotations

import re
from collections.abc import Callable

import dateutil.parser

from benchmarks.suites.oolong.gold import Gold
from benchmarks.suites.oolong.questions import KINDS, MONTHS, WindowQuestion
from benchmarks.suites.oolong.windows import LABELS, Lines

_LABEL = r"'?(?P<{}>" + "|".join(LABELS) + r")'?"
_A, _B = _LABEL.format("a"), _LABEL.format("b")

# A pattern for each kind of question. Its groups are the labels and numbers in the question.
_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"of the labels is the most common", "most_common"),
    (r"of the labels is the least common", "least_common"),
    (rf"how many data points .* label {_A}", "count"),
    (rf"is label {_A} more common, .* label {_B}", "comparison"),
    (rf"was label {_A} more common, .* before (?P<day>.+?), as compared to", "before_after"),
    (r"which user is represented most often", "top_user"),
    (r"which user is represented the second most often", "second_user"),
    (rf"user has more instances with the label {_A}: User (?P<one>\d+) or User (?P<two>\d+)", "top_user_of_label"),
    (rf"user has the most instances with the label {_A}", "top_user_of_label"),
    (r"which date is represented most often", "top_date"),
    (r"how many dates are represented exactly (?P<number>\d+) times", "dates_seen"),
    (rf"how many months does the label {_A} occur more frequently than the label {_B}", "months_more"),
)
_USERS = re.compile(r"user(?:s with)? IDs? ?(\d+(?:, ?\d+)*)")
_MONTH = re.compile(rf"occur in ({'|'.join(MONTHS)}) of any year")
_DAYS = re.compile(r"occur between (.+?) and (.+?), inclusive")


def parsed_question(text: str, gold: Gold, lines: Lines) -> WindowQuestion | None:
    """Parse a question into data; None if its wording is unknown.

    Also None if the gold labels do not give the gold answer, which shows that the wording was misread.
    """
    try:
        question = _parsed(text)
    except (ValueError, OverflowError):
        return None
    if question is None:
        return None
    answer = question.answer(lines)
    if answer is None or Gold(repr([answer]), KINDS[question.kind].answer_type).value != gold.value:
        return None
    return question


def _parsed(text: str) -> WindowQuestion | None:
    for pattern, kind in _PATTERNS:
        match = re.search(pattern, text)
        if match is None:
            continue
        found = match.groupdict()
        labels = tuple(LABELS.index(found[name]) for name in "ab" if name in found)
        users = tuple(int(found[name]) for name in ("one", "two") if name in found) or _users(text)
        month, days = _MONTH.search(text), _DAYS.search(text)
        return WindowQuestion(
            kind,
            labels,
            users,
            month=MONTHS.index(month[1]) + 1 if month else None,
            days=(_day(days[1]), _day(days[2])) if days else None,
            number=_or_none(int, found.get("number")),
            day=_or_none(_day, found.get("day")),
        )
    return None


def _users(text: str) -> tuple[int, ...]:
    match = _USERS.search(text)
    return tuple(int(user) for user in match[1].split(",")) if match else ()


def _day(text: str) -> int:
    return dateutil.parser.parse(text).toordinal()


def _or_none(read: Callable[[str], int], text: str | None) -> int | None:
    return None if text is None else read(text)
