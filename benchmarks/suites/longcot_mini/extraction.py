"""Reads values out of answers by the official rules of LongCoT: what follows the last `solution =`, or a fallback."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rlm.syntax import literal_value

T = TypeVar("T")

_SOLUTION = re.compile(r"solution\s*=\s*", re.IGNORECASE)
INTEGER = re.compile(r"-?\d+")
# The same matches as those of digits, commas and digits; this pattern reads a long run of digits only once.
INTEGERS = re.compile(r"(?:-|(?<!\d))\d++(?:\s*+,\s*+-?\d++)+")
_TRIPLE = r"\[\s*-?\d+\s*,\s*-?\d+\s*,\s*-?\d+\s*\]\s*"
# The start of a JSON object, unlike that of LaTeX braces.
_OBJECT = re.compile(r"\{[ \t\n\r]*[\"}]")
_MOST_FAILURES = 1000
MOVES = re.compile(rf"\[\s*(?:{_TRIPLE}(?:,\s*{_TRIPLE})*)?\]")
# `json` and `int` raise ValueError for numbers with more than 4,300 digits, RecursionError for deep nesting.
_UNREADABLE = (ValueError, RecursionError)


def solution_of(answer: str) -> str | None:
    """Return the stripped text after the last `solution =`; None without it or without a text."""
    last = last_of(_SOLUTION.finditer(answer))
    return (answer[last.end() :].strip() or None) if last else None


def integer_of(answer: str, search_on: bool = False) -> int | None:
    """Return the first integer of the solution or, without a solution, the last integer of the answer.

    search_on: also take the last integer of the answer if the solution has none, as the chess verifier does.
    """
    solution = solution_of(answer)
    found = INTEGER.search(solution) if solution else None
    if found is None and (search_on or not solution):
        found = last_match(INTEGER, answer)
    return _int(found[0]) if found else None


def list_of(answer: str, fallback: re.Pattern[str]) -> list[Any] | None:
    """Return the first list of the solution or, without a solution, the last match of `fallback`."""
    solution = solution_of(answer)
    if solution:
        return parsed_list(first_brackets(solution))
    found = last_match(fallback, answer)
    return parsed_list(first_brackets(found[0])) if found else None


def integers_of(answer: str) -> list[int] | None:
    """Return the list of integers of an answer: of the solution or else of the complete text; in brackets or not."""
    solution = solution_of(answer)
    for text, brackets in ((solution, first_brackets), (answer, last_brackets)):
        if text is None:
            continue
        found = integers(parsed_list(brackets(text)))
        if found is not None:
            return found
        match = last_match(INTEGERS, text)
        numbers = [_int(part) for part in match[0].split(",")] if match else [None]
        if None not in numbers:
            return [number for number in numbers if number is not None]
    return None


def integers(value: object) -> list[int] | None:
    """Return a non-empty list of integers, also of strings of digits; None for any other value."""
    if not isinstance(value, list) or not value or any(isinstance(item, bool) for item in value):
        return None
    texts = [str(item).strip() for item in value]
    if not all(INTEGER.fullmatch(text) for text in texts):
        return None
    return [int(item) for item in texts]


def object_of(answer: str) -> dict[str, Any] | None:
    """Return the JSON object that ends last in the solution or, without a solution, in the answer."""
    return last_object(solution_of(answer) or answer)


def last_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object of a text that ends last and is not inside another one."""
    parse = json.JSONDecoder().raw_decode
    found, end, failures = None, 0, 0
    for start in _OBJECT.finditer(text):
        if start.start() < end:
            continue
        try:
            found, end = parse(text, start.start())
        except _UNREADABLE:
            failures += 1
            # Each failure reads the text once.
            if failures == _MOST_FAILURES:
                break
    return found


def grid_pattern(side: int) -> re.Pattern[str]:
    """Return the pattern of a square list of lists of integers."""
    row = rf"\[\s*-?\d+\s*(?:,\s*-?\d+\s*){{{side - 1}}}\]"
    return re.compile(rf"\[\s*{row}\s*(?:,\s*{row}\s*){{{side - 1}}}\]")


def parsed_list(text: str | None) -> list[Any] | None:
    """Return a list in JSON or Python notation, with strings of digits as integers; None for any other text."""
    if not text:
        return None
    value = None
    for parse in (json.loads, literal_value):
        try:
            value = parse(text)
        except _UNREADABLE:
            continue
        if value is not None:
            break
    return [_with_integers(item) for item in value] if isinstance(value, list) else None


def first_brackets(text: str) -> str | None:
    """Return the first balanced `[...]`."""
    return next(balanced(text), None)


def last_brackets(text: str) -> str | None:
    """Return the last balanced `[...]` that is not inside another one."""
    return last_of(balanced(text))


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return the last match of a pattern."""
    return last_of(pattern.finditer(text))


def last_of(items: Iterable[T]) -> T | None:
    """Return the last item; None without any."""
    return next(iter(deque(items, 1)), None)


def balanced(text: str, brackets: str = "[]") -> Iterator[str]:
    """Yield the balanced parts in brackets from left to right; a closing bracket without its opening one is skipped."""
    depth = start = 0
    for found in re.finditer(f"[{re.escape(brackets)}]", text):
        if found[0] == brackets[0]:
            start = start if depth else found.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield text[start : found.end()]


def _with_integers(value: object) -> object:
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    if isinstance(value, str):
        number = _int(value)
        return value if number is None else number
    return value


def _int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
