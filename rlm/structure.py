"""Bounds the structure of JSON before it is parsed: a megabyte of brackets would take 25 MB and stop the loop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

MAX_DEPTH = 50
MAX_VALUES = 1_000_000

_SHORT_BYTES = 1 << 16

_BRACKET = re.compile(rb"[\[\]{}]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# The content of a string, matched in windows so that other threads can run.
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WINDOW_BYTES = 1 << 20


def parsed_json(body: bytes | bytearray, max_values: int = MAX_VALUES, *, strict: bool = True) -> Any:
    """Parse JSON in UTF-8 within the bounds of `check_structure`. strict: refuse control characters in strings.

    Other encodings, which `json.loads` would detect, are refused, because their bytes cannot be checked. Raises
    ValueError and RecursionError.
    """
    check_structure(body, max_values)
    return json.loads(body.decode("utf-8-sig", "surrogatepass"), strict=strict)


def bounded_json(line: bytes | str) -> Any:
    """Parse one of many JSON lines in UTF-8 within the bounds. Short lines, which cannot have many values, are fast.

    Raises ValueError and RecursionError.
    """
    body = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
    if len(body) > _SHORT_BYTES:
        return parsed_json(body)
    return json.loads(body.decode("utf-8", "surrogatepass"))


def value_end(body: bytearray | bytes) -> int | None:
    """Return the offset after the JSON array or object that `body` begins with; None if it does not end there.

    Raises ValueError for a value beyond the bounds of `check_structure`.
    """
    end, _ = _scan(body, MAX_VALUES, first=True)
    return end


def check_structure(body: bytearray | bytes, max_values: int = MAX_VALUES) -> int:
    """Return the number of values of JSON in UTF-8; at most one value in the content of arrays is not counted.

    The length of strings is not limited. Raises ValueError for JSON that is nested too deep or has too many values.
    """
    return _scan(body, max_values, first=False)[1]


def long_strings(body: bytearray | bytes, max_values: int, longer_than: int) -> list[tuple[int, int]]:
    """Return start and end of the content of each string of more bytes than `longer_than`.

    Raises ValueError as `check_structure` does.
    """
    found: list[tuple[int, int]] = []

    def add(start: int, end: int) -> None:
        if end - start > longer_than:
            found.append((start, end))

    _scan(body, max_values, first=False, on_string=add)
    return found


def _scan(
    body: bytearray | bytes, max_values: int, *, first: bool, on_string: Callable[[int, int], object] | None = None
) -> tuple[int | None, int]:
    """Return the offset after the first value (None if not requested or incomplete), and the number of values."""
    at, depth, values, strings = 0, 0, 0, 0
    while at < len(body):
        quote = body.find(b'"', at)
        gap = body[at : len(body) if quote < 0 else quote]
        values += gap.count(b",") + gap.count(b"[") + gap.count(b"{")
        # Every value has at most one string as its key.
        strings += 1
        if values > max_values or strings > 2 * max_values + 2:
            raise ValueError(f"it has more than {max_values:,} values")
        for place, bracket in enumerate(gap.translate(None, _NOT_BRACKETS)):
            depth += 1 if bracket in b"[{" else -1
            if depth > MAX_DEPTH:
                raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
            if first and depth <= 0:
                found = next(islice(_BRACKET.finditer(body, at), place, None))
                return found.end(), values
        if quote < 0:
            break
        at = _end_of_string(body, quote + 1)
        if on_string and body[at - 1 : at] == b'"':
            on_string(quote + 1, at - 1)
    return None, values


def _end_of_string(body: bytearray | bytes, at: int) -> int:
    while at < len(body):
        inside = _INSIDE.match(body, at, at + _WINDOW_BYTES)
        # The pattern also matches an empty text.
        assert inside is not None
        end = inside.end()
        if body[end : end + 1] == b'"':
            return end + 1
        if end == at:
            # A lone backslash at the end: json.loads reports it.
            return len(body)
        at = end
    return at
