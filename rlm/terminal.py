"""Text for terminals: control characters become escapes, and nouns agree with their numbers."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from typing import Any, TextIO, cast


def printable(text: str) -> str:
    r"""Escape the characters that a terminal would act on or would not show. Line feeds and tabs are kept.

    Control characters (and so escape sequences), marks of direction, characters without a width, private characters and
    lone surrogates become escapes such as `\x1b` and `\u202e`; other spaces become plain ones.
    """
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def counted(number: int, noun: str) -> str:
    """Format a number of things: `1 sample`, `1,200 samples`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def guard_streams() -> None:
    """Let everything that is printed on standard output and standard error pass through `printable`."""
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def unguarded(stream: TextIO) -> TextIO:
    """Return the stream behind the guard, for output that needs its control characters."""
    return stream.behind if isinstance(stream, _Guard) else stream


class _Guard:
    """A text stream that writes printable text to the stream behind it."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def write(self, text: str) -> int:
        self.behind.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "behind":
            raise AttributeError(name)
        return getattr(self.behind, name)


def _guarded(stream: TextIO) -> TextIO:
    # A process without a standard stream has None in its place.
    return stream if stream is None or isinstance(stream, _Guard) else cast("TextIO", _Guard(stream))


def _escape(character: str) -> str:
    return " " if unicodedata.category(character) == "Zs" else repr(character)[1:-1]
