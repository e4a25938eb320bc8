"""Context windows of OOLONG: lines of date, user and text, with labels that only scorers see."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources.files import DataError

# The labels of trec_coarse.
LABELS = (
    "description and abstract concept",
    "entity",
    "human being",
    "numeric value",
    "location",
    "abbreviation",
)

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINE = re.compile(r"^Date: (\w{3}) (\d{1,2}), (\d{4}) \|\| User: (\d{1,18}) \|\| Instance:", re.MULTILINE)
_LABEL_MARK = " || Label: "
_LABEL = re.compile(r" \|\| Label: [^\n]*")


@dataclass(frozen=True, eq=False)
class Lines:
    """The dates, users and labels of a window's lines, as arrays with one entry per line, in order.

    days: days since 0001-01-01, as `datetime.date.toordinal`. users: user ids. labels: indices into `names`, the labels
    of the subset.
    """

    days: NDArray[np.int64]
    users: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...] = LABELS

    def __len__(self) -> int:
        return len(self.users)

    def where(self, chosen: NDArray[np.bool_]) -> Lines:
        """Return the lines that a mask selects."""
        return replace(self, days=self.days[chosen], users=self.users[chosen], labels=self.labels[chosen])


@dataclass(frozen=True)
class LabelledWindow:
    """A context window: the text that methods see, and the labelled lines for the scorer."""

    window_id: str
    text: str
    lines: Lines


def labelled_window(window_id: str, text: str, names: tuple[str, ...] = LABELS) -> LabelledWindow:
    """Parse a window from its labelled text. Raises DataError for a line without a label of `names`.

    The text of an entry may have line ends, as reviews have.
    """
    days: list[int] = []
    users: list[int] = []
    labels: list[int] = []
    starts = list(_LINE.finditer(text))
    for match, end in zip(starts, [*(start.start() for start in starts[1:]), len(text)], strict=False):
        month, day, year, user = match.groups()
        entry, mark, rest = text[match.end() : end].rpartition(_LABEL_MARK)
        label = rest.partition("\n")[0].strip()
        if not mark or label not in names:
            shown = (entry + mark + rest.partition("\n")[0])[-60:]
            raise DataError(
                f"window {window_id}: line {len(days) + 1} ends in {shown!r}: expected '|| Label: ' and a label of "
                f"{', '.join(names)}"
            )
        days.append(_day(month, day, year))
        users.append(int(user))
        labels.append(names.index(label))
    arrays = [np.array(column, dtype=np.int64) for column in (days, users, labels)]
    lines = Lines(arrays[0], arrays[1], arrays[2], names)
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
