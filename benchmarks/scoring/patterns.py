"""Regular expressions that answers must match, with a time limit, and an example of what a pattern matches."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys

# Seconds. A pattern with nested repetitions can take longer than the age of the universe.
TIME_LIMIT_S = 10.0
_QUICK_CHARS = 10_000
# The expressions of this module read a longer pattern in quadratic time.
_QUICK_PATTERN_CHARS = 1_000
_REPEATED = re.compile(r"[*+?{]")
# Escapes, classes, and the beginnings of groups hold no repetitions.
_ATOMS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:P?<\w+>|P?[=!:<]+|[a-zA-Z-]+:?)", re.DOTALL)
_PROGRAM = (
    "import json, re, sys\n"
    "pattern, text = json.load(sys.stdin)\n"
    "found = re.search(pattern, text)\n"
    "print(json.dumps(found and found.span()))\n"
)


class PatternTooSlow(Exception):
    """A pattern was not matched within the time limit."""


def search(pattern: str, text: str) -> str | None:
    """Find the first part of a text that matches, like Python's `re.search`; None if no part does.

    Python's engine cannot be interrupted and holds the interpreter, so a pattern that may need exponential time runs in
    another process. Raises PatternTooSlow.
    """
    if len(text) <= _QUICK_CHARS and _is_quick(pattern):
        found = re.search(pattern, text)
        return found.group() if found else None
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps([pattern, text]), capture_output=True, text=True, timeout=TIME_LIMIT_S, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PatternTooSlow(f"the pattern {pattern!r:.80} takes more than {TIME_LIMIT_S:g} s") from error
    span = json.loads(done.stdout)
    return text[span[0] : span[1]] if span else None


def _is_quick(pattern: str) -> bool:
    """True if the work is at most quadratic: one repetition without alternatives, or none."""
    if len(pattern) > _QUICK_PATTERN_CHARS:
        return False
    bare = _ATOMS.sub(".", pattern)
    repeated = len(_REPEATED.findall(bare))
    return (repeated == 0 or (repeated == 1 and "|" not in bare)) and not re.search(r"\\[1-9]|\(\?P=", pattern)


def example_of(pattern: str) -> str | None:
    """Make a text that a pattern matches: the first of each choice, or the literal pattern; None if neither matches."""
    candidates = [re.sub(r"\\(\W)", r"\1", pattern), pattern]
    if len(pattern) <= _QUICK_PATTERN_CHARS:
        # The pattern may have a form that is not supported here.
        with contextlib.suppress(IndexError, StopIteration, re.error):
            candidates.insert(0, _Example(pattern).alternatives())
    return next((text for text in candidates if search(pattern, text) is not None), None)


_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": " ", "S": "a", "n": "\n", "t": "\t"}
_NOTHING = ("b", "B", "A", "Z")


class _Example:
    """Reads a pattern from left to right, taking the first alternative and the fewest repetitions."""

    def __init__(self, pattern: str) -> None:
        self._text, self._at = pattern, 0

    def alternatives(self) -> str:
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _sequence(self) -> str:
        made = ""
        while self._peek() not in ("", "|", ")"):
            made += self._repeated(self._atom())
        return made

    def _repeated(self, atom: str) -> str:
        found = re.compile(r"([*?]|\+|\{(\d*)(?:,\d*)?\})[?+]?").match(self._text, self._at)
        if not found:
            return atom
        self._at = found.end()
        if found[1] in ("*", "?"):
            return ""
        return atom if found[1] == "+" else atom * min(int(found[2] or 0), 1000)

    def _atom(self) -> str:
        sign = self._text[self._at]
        self._at += 1
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._member()
        if sign == "\\":
            escaped = self._text[self._at]
            self._at += 1
            return "" if escaped in _NOTHING else _CLASSES.get(escaped, escaped)
        return {"^": "", "$": "", ".": "a"}.get(sign, sign)

    def _group(self) -> str:
        kind = re.compile(r"\?(?:P?<\w+>|:|[a-zA-Z-]+[:)]|<?[=!])|").match(self._text, self._at)
        opening = kind.group() if kind else ""
        self._at += len(opening)
        if opening.endswith(")"):
            # Flags for the complete pattern.
            return ""
        made = self.alternatives()
        self._at += 1
        return "" if opening in ("?!", "?<!", "?<=", "?=") else made

    def _member(self) -> str:
        end = re.compile(r"\^?\]?(?:\\.|[^\]\\])*\]").match(self._text, self._at)
        members = self._text[self._at : end.end() if end else self._at]
        self._at += len(members)
        one = re.compile(f"[{members}", re.DOTALL)
        return next(sign for sign in map(chr, [*range(48, 127), *range(32, 48), 10, 233]) if one.match(sign))
