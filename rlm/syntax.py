"""Syntax trees of Python source. One text is parsed at a time, because concurrent calls of ast.parse can fail."""

from __future__ import annotations

import ast
import threading
import warnings
from typing import Any

# The parser blocks every thread of the program, for half a second with 200,000 characters.
MAX_CELL_CHARS = 100_000
# CPython counts the depth of the tree for all threads together (SystemError: AST constructor ...).
_one_at_a_time = threading.Lock()
_NOT_PYTHON = (SyntaxError, ValueError, MemoryError, RecursionError)


def parsed(code: str) -> ast.Module | None:
    """Return the syntax tree of a program, or None if it is not Python."""
    try:
        return _parse(code, "exec")
    except _NOT_PYTHON:
        return None


def parsed_cell(code: str) -> ast.Module | None:
    """Return the syntax tree of a model's code, or None if it is not Python or longer than MAX_CELL_CHARS."""
    return parsed(code) if len(code) <= MAX_CELL_CHARS else None


def parsed_expression(text: str) -> ast.Expression | None:
    """Return the syntax tree of an expression, or None if the text is not an expression."""
    try:
        return _parse(text, "eval")
    except _NOT_PYTHON:
        return None


def literal_value(text: str) -> Any:
    """Return the value of a Python literal, like ast.literal_eval.

    Raises ValueError for any other text, and for a hexadecimal number that has too many digits to be shown.
    """
    try:
        value = ast.literal_eval(_parse(text.lstrip(" \t"), "eval"))
        repr(value)
        return value
    except (*_NOT_PYTHON, TypeError) as error:
        raise ValueError(f"not a Python literal: {text[:80]!r}") from error


def _parse(code: str, mode: str) -> Any:
    with _one_at_a_time, warnings.catch_warnings():
        # Warnings about a model's code, such as invalid escapes, are not shown.
        warnings.simplefilter("ignore")
        return ast.parse(code, mode=mode)
