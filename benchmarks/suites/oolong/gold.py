"""Gold answers of OOLONG, in the data set's own form."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

import dateutil.parser

from rlm.syntax import literal_value

LABEL, NUMERIC, COMPARISON, USER, DATE = "LABEL", "NUMERIC", "COMPARISON", "USER", "DATE"

_LONGEST_DATE = 2000
# The default for missing parts of a date. dateutil's own default is the current day.
_NO_DATE = datetime.datetime(1, 1, 1)


@dataclass(frozen=True)
class Gold:
    """The gold answer of a question.

    answer: in the data set's form, a Python list such as `['entity']`, `[42]` or `[datetime.date(2024, 3, 5)]`.
    answer_type: LABEL, NUMERIC, COMPARISON, USER, DATE or another name of the data set.
    """

    answer: str
    answer_type: str

    @classmethod
    def of(cls, answer: Any, answer_type: str) -> Gold:
        """Read the columns of a row. Bare values and lists are also accepted. Raises ValueError for other answers."""
        # `ANSWER_TYPE.NUMERIC` in the data set.
        kind = str(answer_type).rpartition(".")[2].upper()
        text = answer if isinstance(answer, str) and answer.strip().startswith("[") else None
        if text is None:
            value = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
            value = int(value) if isinstance(value, float) and value.is_integer() else value
            if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
                raise ValueError(f"an OOLONG answer is {answer!r:.80}: expected one value or a list of one")
            value = value.strip() if isinstance(value, str) else value
            # Tables of other tools have integers as text.
            if kind in (NUMERIC, USER) and isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
                value = int(value)
            text = _date_answer(value) if kind == DATE else repr([value])
        gold = cls(text.strip(), kind)
        try:
            gold.value  # noqa: B018
        except (ValueError, SyntaxError, IndexError, TypeError, KeyError, RecursionError, MemoryError) as error:
            raise ValueError(f"an OOLONG answer is {answer!r:.80}: expected a list such as [42]") from error
        return gold

    @property
    def value(self) -> Any:
        """The value with which predictions are compared; a date is a datetime at midnight."""
        if "datetime" in self.answer:
            return datetime.datetime.strptime(self.answer, "[datetime.date(%Y, %m, %d)]")
        return literal_value(self.answer)[0]

    def written(self) -> str:
        """Return the gold answer in the form that the questions ask for."""
        value = self.value
        if isinstance(value, datetime.datetime):
            return f"Date: {value:%m/%d}/{value.year:04d}"
        return f"{ {LABEL: 'Label', USER: 'User', DATE: 'Date'}.get(self.answer_type, 'Answer') }: {value}"


def read_date(text: str) -> datetime.datetime | None:
    """Read a date in any form that dateutil accepts; None for other texts."""
    # dateutil takes time quadratic in the length.
    if len(text) > _LONGEST_DATE:
        return None
    try:
        return dateutil.parser.parse(text, default=_NO_DATE)
    except Exception:
        # dateutil raises more exception types than it documents.
        return None


def _date_answer(value: str | int) -> str:
    """Convert a bare date, `2023-01-05` or `datetime.date(2023, 1, 5)`, to the data set's form. Raises ValueError."""
    if str(value).startswith("datetime.date("):
        return f"[{value}]"
    date = read_date(str(value))
    if date is None or date.year == _NO_DATE.year:
        raise ValueError(f"an OOLONG answer of type DATE is {value!r:.80}: expected a date")
    return f"[datetime.date({date.year}, {date.month}, {date.day})]"
