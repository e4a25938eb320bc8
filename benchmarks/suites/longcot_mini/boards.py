"""Chess positions in answers: the piece placement, the first field of a FEN."""

from __future__ import annotations

import re

from benchmarks.suites.longcot_mini.extraction import balanced, last_match, last_object, last_of, solution_of
from rlm.syntax import literal_value

_RANK = r"[pnbrqkPNBRQK1-8]{1,8}"
_PLACEMENT = re.compile(rf"(?:{_RANK}/){{7}}{_RANK}(?=$|[\s,;:.!?\"'`])")
_PIECES, _FREE = frozenset("pnbrqkPNBRQK"), frozenset("12345678")


def placement(fen: str) -> str | None:
    """Return the piece placement of a FEN, or of a placement alone, without marks of promotion; None if it is invalid.

    As in python-chess, a rank has eight squares and no two numbers in a row; kings are not counted.
    """
    first = (fen.split() or [""])[0]
    ranks = first.split("/")
    return first.replace("~", "") if len(ranks) == 8 and all(map(_is_rank, ranks)) else None


def placement_of(answer: str) -> str | None:
    """Return the placement in the solution, or else in the answer: in an object, on the first line, or anywhere."""
    for text in filter(None, (solution_of(answer), answer)):
        found = _in_object(text) or _in_first_line(text)
        if found is None and (match := last_match(_PLACEMENT, text)):
            found = placement(match[0])
        if found:
            return found
    return None


def _is_rank(rank: str) -> bool:
    squares, before = 0, ""
    for mark in rank:
        if mark in _FREE and before not in _FREE:
            squares += int(mark)
        elif mark in _PIECES:
            squares += 1
        elif mark != "~" or before not in _PIECES:
            return False
        before = mark
    return squares == 8


def _in_object(text: str) -> str | None:
    value: object = last_object(text)
    if value is None:
        value = _literal(last_of(balanced(text, "{}")) or "")
    if not isinstance(value, dict):
        return None
    fens = [value["final_fen"]] if "final_fen" in value else []
    fens += list(value.values()) if len(value) == 1 else []
    return next((found for fen in fens if (found := placement(str(fen)))), None)


def _in_first_line(text: str) -> str | None:
    line = text.split("\n")[0].strip()
    value = _literal(line) if line.startswith("{") else None
    if isinstance(value, dict) and len(value) == 1:
        line = str(next(iter(value.values())))
    return placement(line)


def _literal(text: str) -> object:
    try:
        return literal_value(text)
    except ValueError:
        return None
