"""The six domains of LongBench-v2, and what a target keeps of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DomainKey = Literal["single_document", "multi_document", "in_context", "dialogue", "code", "structured"]
LengthClass = Literal["short", "medium", "long"]


@dataclass(frozen=True)
class Domain:
    """A domain: its name in the data set, and its number of rows."""

    name: str
    rows: int


DOMAINS: dict[str, Domain] = {
    "single_document": Domain("Single-Document QA", 175),
    "multi_document": Domain("Multi-Document QA", 125),
    "in_context": Domain("Long In-context Learning", 81),
    "dialogue": Domain("Long-dialogue History Understanding", 39),
    "code": Domain("Code Repository Understanding", 50),
    "structured": Domain("Long Structured Data Understanding", 33),
}
KEYS: tuple[DomainKey, ...] = DomainKey.__args__  # type: ignore[attr-defined]
CLASSES: tuple[LengthClass, ...] = LengthClass.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class ChoiceTarget:
    """The letter of the right choice, the texts of the choices if known, and columns of the row for tables."""

    letter: str
    choices: tuple[str, ...] = ()
    difficulty: str | None = None
    length_class: str | None = None
