"""Checks of a benchmark's settings: a wrong one is told with its key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# More samples, queries or documents, and longer contexts, are a slip: their plan alone would fill the memory.
MOST = 1_000_000
LONGEST = 100_000_000


def whole(key: str, value: Any, least: int, most: int | None = None) -> int:
    """The value, if it is a whole number from `least` to `most`. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        bound = "" if most is None else f" and at most {most}"
        raise ValueError(f"{key} is {value!r}: wanted a whole number of at least {least}{bound}")
    return value


def wholes(key: str, values: Any, least: int, most: int | None = None) -> list[int]:
    """The values, if they are a list of different whole numbers from `least` to `most`. Raises ValueError."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"{key} is {values!r}: wanted a list of whole numbers, such as [{least}]")
    if len(set(map(repr, values))) < len(values):
        raise ValueError(f"{key} is {list(values)!r}: wanted each number once")
    return [whole(key, value, least, most) for value in values]


def known_encoding(key: str, name: Any) -> str:
    """The name, if it is one of a token encoding. Raises ValueError."""
    from rlm.models.tokens import encoder

    try:
        encoder(name)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{key} is {name!r}: {error}") from error
    return name
