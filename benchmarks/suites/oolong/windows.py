"""Windows of OOLONG (trec_coarse): lines of date, user and question, and the labels that only a scorer may see."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources.files import DataError
from rlm.prompt import Message, Prompt

LABELS = (
    "description and abstract concept",
    "entity",
    "human being",
    "numeric value",
    "location",
    "abbreviation",
)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINE = re.compile(r"^Date: (\w{3}) (\d{1,2}), (\d{4}) \|\| User: (\d{1,18}) \|\| Instance: (.*)$", re.MULTILINE)
_LABEL_MARK = " || Label: "
# What no text for methods may hold, however it is spaced.
_MARK = "|| Label:"
_LABEL = re.compile(r" \|\| Label: [^\n]*")


class LabelLeak(ValueError):
    """Text for methods that holds labels."""


@dataclass(frozen=True, eq=False)
class Lines:
    """What the lines of a window say, apart from the questions; arrays of one entry a line, in order.

    days: days since 0001-01-01, as `datetime.date.toordinal`. users: user ids. labels: indices into LABELS.
    """

    days: NDArray[np.int64]
    users: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def where(self, chosen: NDArray[np.bool_]) -> Lines:
        """The lines for which `chosen` is true."""
        return Lines(self.days[chosen], self.users[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Window:
    """A context window: the text that methods see, and the lines with their labels for the scorer."""

    window_id: str
    text: str
    lines: Lines


def labelled_window(window_id: str, text: str) -> Window:
    """A window from its labelled text. Raises DataError for lines without a known label."""
    days, users, labels = [], [], []
    for month, day, year, user, rest in _LINE.findall(text):
        label = rest.rpartition(_LABEL_MARK)[2].strip()
        if _LABEL_MARK not in rest or label not in LABELS:
            raise DataError(f"window {window_id}: line {len(days) + 1} ends in {rest[-60:]!r}, wanted '|| Label: ...'")
        days.append(_day(month, day, year))
        users.append(int(user))
        labels.append(LABELS.index(label))
    lines = Lines(*(np.array(column, dtype=np.int64) for column in (days, users, labels)))
    named = re.search(r"\b(\d{1,18})\b", text[: text.find("Date: ")])
    if not len(lines) or (named and int(named[1]) != len(lines)):
        raise DataError(
            f"window {window_id} has {len(lines)} lines of date, user, question and label, "
            f"and its first line names {named[1] if named else 'no number'}"
        )
    return Window(window_id, without_labels(text), lines)


def prompt_of(window: Window, query: str, layout: tuple[Message, ...]) -> Prompt:
    """The prompt over a window: all that methods get to see. Raises LabelLeak where a label stands in it."""
    prompt = Prompt(window.text, query, layout)
    found = leaks(prompt)
    if found:
        raise LabelLeak(f"window {window.window_id}: labels stand in its {' and '.join(found)}, where methods see them")
    return prompt


def leaks(prompt: Prompt) -> list[str]:
    """The parts of a prompt that hold a label column."""
    parts = {
        "context": prompt.context if isinstance(prompt.context, str) else "\n".join(prompt.context),
        "query": prompt.query,
        "layout": "\n".join(message["content"] for message in (*prompt.layout, *prompt.history)),
    }
    return [name for name, text in parts.items() if _MARK in text]


def without_labels(text: str) -> str:
    """A labelled text as methods may see it."""
    return _LABEL.sub("", text)


def written_users(text: str) -> NDArray[np.int64]:
    """The users of a window's lines, read from the text without labels, one entry a line."""
    return np.array([int(user) for user in re.findall(r"\|\| User: (\d{1,18})", text)], dtype=np.int64)


def written_labels(text: str) -> list[str]:
    """The labels of the labelled lines in a text, in order: those that an answer exposes; none for most answers."""
    return [label.strip() for label in re.findall(r"\|\| Label: *([^\n|]*)", text)]


def written_date(day: int) -> str:
    """A day as lines give it, `Jun 29, 2022`, in every locale."""
    date = datetime.date.fromordinal(day)
    return f"{_MONTHS[date.month - 1]} {date.day:02d}, {date.year}"


def _day(month: str, day: str, year: str) -> int:
    try:
        return datetime.date(int(year), _MONTHS.index(month) + 1, int(day)).toordinal()
    except ValueError as error:
        raise DataError(f"{month} {day}, {year} is not a date such as Jun 29, 2022") from error
