"""Parses the data set's questions, so that labels in an answer can be scored separately from their aggregation."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import dateutil.parser

from benchmarks.suites.oolong.gold import Gold
from benchmarks.suites.oolong.questions import KINDS, MONTHS, WindowQuestion
from benchmarks.suites.oolong.windows import Lines

# A pattern for each kind of question, in which <A> and <B> are labels. Its groups are the labels and numbers.
_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"of the labels is the most common", "most_common"),
    (r"of the labels is the least common", "least_common"),
    (r"how many data points .* label <A>", "count"),
    (r"is label <A> more common, .* label <B>", "comparison"),
    (r"was label <A> more common, .* before (?P<day>.+?), as compared to", "before_after"),
    (r"which user is represented most often", "top_user"),
    (r"which user is represented the second most often", "second_user"),
    (r"user has more instances with the label <A>: User (?P<one>\d+) or User (?P<two>\d+)", "top_user_of_label"),
    (r"user has the most instances with the label <A>", "top_user_of_label"),
    (r"which date is represented most often", "top_date"),
    (r"how many dates are represented exactly (?P<number>\d+) times", "dates_seen"),
    (r"how many months does the label <A> occur more frequently than the label <B>", "months_more"),
)
_USERS = re.compile(r"user(?:s with)? IDs? ?(\d+(?:, ?\d+)*)")
_MONTH = re.compile(rf"occur in ({'|'.join(MONTHS)}) of any year")
_DAYS = re.compile(r"occur between (.+?) and (.+?), inclusive")


@cache
def _patterns(names: tuple[str, ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return the patterns for a subset's labels, with the kinds of questions."""
    one_of = "|".join(map(re.escape, names))
    return tuple(
        (re.compile(pattern.replace("<A>", f"'?(?P<a>{one_of})'?").replace("<B>", f"'?(?P<b>{one_of})'?")), kind)
        for pattern, kind in _PATTERNS
    )


def parsed_question(text: str, gold: Gold, lines: Lines) -> WindowQuestion | None:
    """Parse a question into data; None if its wording is unknown.

    Also None if the gold labels do not give the gold answer, which shows that the wording was misread.
    """
    try:
        question = _parsed(text, lines.names)
    except (ValueError, OverflowError):
        return None
    if question is None:
        return None
    answer = question.answer(lines)
    # The labels True and False may be stored without quotes.
    if answer is None or str(Gold(repr([answer]), KINDS[question.kind].answer_type).value) != str(gold.value):
        return None
    return question


def _parsed(text: str, names: tuple[str, ...]) -> WindowQuestion | None:
    for pattern, kind in _patterns(names):
        match = pattern.search(text)
        if match is None:
            continue
        found = match.groupdict()
        labels = tuple(names.index(found[name]) for name in "ab" if name in found)
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
