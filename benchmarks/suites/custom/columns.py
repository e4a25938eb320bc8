"""The columns of a user's table, and the checks of their values."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from annotated_types import MinLen

from benchmarks.sources.files import DataError
from rlm.structure import bounded_json
from rlm.validation import shown

Name = Annotated[str, MinLen(1)]


@dataclass(frozen=True)
class Columns:
    """The name of each column in the data; null is not read. `answers.text` is the part `text` of `answers`."""

    question: Name = "question"
    answer: Name = "answer"
    context: Name | None = "context"
    context_file: Name | None = "context_file"
    documents: Name | None = "documents"
    id: Name | None = "id"
    cluster: Name | None = "cluster"
    length: Name | None = "length"
    group: Name | None = "group"
    choices: Name | None = "choices"

    def named(self) -> dict[str, str]:
        """Return the columns that are read, by their purpose."""
        names = {field.name: getattr(self, field.name) for field in fields(self)}
        return {purpose: name for purpose, name in names.items() if name is not None}

    def renamed(self) -> dict[str, str]:
        """Return the columns whose names the configuration sets, so that the data must have them."""
        defaults = {field.name: field.default for field in fields(self)}
        return {purpose: name for purpose, name in self.named().items() if name != defaults[purpose]}


@dataclass(frozen=True)
class RowCells:
    """The cells of one row. place: the place of the row in its file.

    packed: lists are JSON in text, as in a csv file.
    """

    place: str
    row: Mapping[str, Any]
    names: Mapping[str, str]
    packed: bool

    def get(self, purpose: str) -> Any:
        """Return the value of a column; None if it is missing or empty."""
        if purpose not in self.names:
            return None
        value = found(self.row, self.names[purpose])
        return None if isinstance(value, str) and not value else value

    def text(self, purpose: str, expected: str = "text") -> str:
        value = self.get(purpose)
        if not isinstance(value, str) or not value.strip():
            raise self.error(purpose, expected)
        return self._utf8(purpose, value)

    def label(self, purpose: str) -> str | None:
        """Return a short text or an integer, as text."""
        value = self.get(purpose)
        if value is None:
            return None
        text = scalar(value)
        if text is None or not text.strip():
            raise self.error(purpose, "text or an integer")
        return self._utf8(purpose, text)

    def count(self, purpose: str) -> int | None:
        value = self.get(purpose)
        if value is None:
            return None
        text = scalar(value)
        if text is None or not text.strip().isascii() or not text.strip().isdigit() or not 0 < len(text) < 16:
            raise self.error(purpose, "an integer of at least 1")
        if int(text) < 1:
            raise self.error(purpose, "an integer of at least 1")
        return int(text)

    def texts(self, purpose: str, expected: str, *, numbers: bool = True) -> list[str]:
        """Return the texts of a list, or of one value. numbers: numbers are accepted as text."""
        value = self.get(purpose)
        if self.packed and isinstance(value, str) and value.lstrip().startswith("["):
            with contextlib.suppress(ValueError, RecursionError):
                value = bounded_json(value)
        if value is None:
            raise self.error(purpose, expected)
        made = [
            scalar(one) if numbers or isinstance(one, str) else None
            for one in (value if isinstance(value, list | tuple) else [value])
        ]
        if any(one is None or not one.strip() for one in made):
            raise self.error(purpose, expected)
        return [self._utf8(purpose, one) for one in made if one is not None]

    def error(self, purpose: str, expected: str) -> DataError:
        name = self.names.get(purpose, purpose)
        value = found(self.row, name)
        return DataError(f"{self.place}: column {name} is {shown(value)}: expected {expected}")

    def _utf8(self, purpose: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.error(purpose, "text without lone surrogates") from None
        return text


def found(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column, or of a part of a column; None if there is none."""
    if name in row:
        return row[name]
    head, _, rest = name.partition(".")
    inner = row.get(head)
    return found(inner, rest) if rest and isinstance(inner, Mapping) else None


def scalar(value: Any) -> str | None:
    """Return a text, a number, true or false as text; None for any other value. Numbers like 3.0 become integers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value) if isinstance(value, str | int) else None
