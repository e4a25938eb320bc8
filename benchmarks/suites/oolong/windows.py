"""Context windows of OOLONG (trec_coarse): lines of date, user and question, with labels that only scorers see."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources.files import DataError

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
_LABEL = re.compile(r" \|\| Label: [^\n]*")


@dataclass(frozen=True, eq=False)
class Lines:
    """The dates, users and labels of a window's lines, as arrays with one entry per line, in order.

    days: days since 0001-01-01, as `datetime.date.toordinal`. users: user ids. labels: indices into LABELS.
    """

    days: NDArray[np.int64]
    users: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def where(self, chosen: NDArray[np.bool_]) -> Lines:
        """Return the lines that a mask selects."""
        return Lines(self.days[chosen], self.users[chosen], self.labels[chosen])


@dataclass(frozen=True)
class LabelledWindow:
    """A context window: the text that methods see, and the labelled lines for the scorer."""

    window_id: str
    text: str
    lines: Lines


def labelled_window(window_id: str, text: str) -> LabelledWindow:
    """Parse a window from its labelled text. Raises DataError for a line without a known label."""
    days: list[int] = []
    users: list[int] = []
    labels: list[int] = []
    for month, day, year, user, rest in _LINE.findall(text):
        label = rest.rpartition(_LABEL_MARK)[2].strip()
        if _LABEL_MARK not in rest or label not in LABELS:
            raise DataError(
                f"window {window_id}: line {len(days) + 1} ends in {rest[-60:]!r}: expected '|| Label: ' and a label"
            )
        days.append(_day(month, day, year))
        users.append(int(user))
        labels.append(LABELS.index(label))
    lines = Lines(*(np.array(column, dtype=np.int64) for column in (days, users, labels)))
    stated = re.search(r"\b(\d{1,18})\b", text[: text.find("Date: ")])
    if not len(lines) or (stated and int(stated[1]) != len(lines)):
        raise DataError(
            f"window {window_id} has {len(lines)} lines of date, user, question and label: "
            f"expected {stated[1] if stated else 'at least 1'}"
        )
    return LabelledWindow(window_id, without_labels(text), lines)


def without_labels(text: str) -> str:
    """Remove the labels from a labelled text."""
    return _LABEL.sub("", text)


def written_users(text: str) -> NDArray[np.int64]:
    """Read the user of each line of a window from the text."""
    return np.array([int(user) for user in re.findall(r"\|\| User: (\d{1,18})", text)], dtype=np.int64)


def written_labels(text: str) -> list[str]:
    """Return the labels of the labelled lines in a text, in order. Most answers have none."""
    return [label.strip() for label in re.findall(r"\|\| Label: *([^\n|]*)", text)]


def written_date(day: int) -> str:
    """Format a day like the lines, `Jun 29, 2022`, in every locale."""
    date = datetime.date.fromordinal(day)
    return f"{_MONTHS[date.month - 1]} {date.day:02d}, {date.year}"


def _day(month: str, day: str, year: str) -> int:
    try:
        return datetime.date(int(year), _MONTHS.index(month) + 1, int(day)).toordinal()
    except ValueError as error:
        raise DataError(f"date is {month} {day}, {year}: expected a date such as Jun 29, 2022") from error
