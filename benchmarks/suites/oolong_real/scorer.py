"""OOLONG-real's official score, with its quirks, and a lenient score."""

from __future__ import annotations

import re

from benchmarks.sample import Score
from benchmarks.scoring.texts import final_answer

Value = int | str | list[str]

_TEXT_BOX = re.compile(r"\\boxed\{\\text\{([^}]*)\}\}")
_BOX = re.compile(r"\\boxed\{+([^}]*)\}+")
_INTEGER = re.compile(r"-?\d+")
_SHOWN_CHARS = 200


def read_value(text: str) -> Value:
    """Read an integer, a list of texts if there is a comma, or else a text, like the official code."""
    try:
        return int(text)
    except ValueError:
        pass
    return [item.strip() for item in text.split(",") if item.strip()] if "," in text else text


def is_empty(target: str) -> bool:
    """True for a target that no answer can reach: a blank text, or a list without an item."""
    value = read_value(target)
    return not value.strip() if isinstance(value, str) else value == []


def boxed(answer: str) -> str | None:
    r"""Return the content of the first `\boxed{...}`, a `\text` inside removed; None without a box."""
    found = _TEXT_BOX.search(answer) or _BOX.search(answer)
    return found[1] if found else None


def official_score(gold: Value, answer: str) -> float:
    """Return the official score. Never raises.

    Integers score 0.75 ** |difference|, texts are compared without case, and lists score the share of the gold items
    that the answer has. An answer without a box is a text. Wrong items of a list cost nothing, and a gold list with an
    item twice cannot be reached.
    """
    content = boxed(answer)
    found = answer if content is None else read_value(content)
    if isinstance(gold, int):
        return _closeness(gold, found) if isinstance(found, int) else 0.0
    if isinstance(gold, str):
        return float(isinstance(found, str) and found.strip().lower() == gold.strip().lower())
    return len(set(gold) & set(found)) / len(gold) if isinstance(found, list) and gold else 0.0


def score_answer(target: str, answer: str | None) -> Score:
    """Score an answer; None scores 0. format_ok: the answer has a box.

    The lenient score takes the last box, or the final answer without one, and ignores case, quotes and full stops.
    details: `answer_kind` (number, text or list), and for lists `precision`, the share of the answer's items that are
    right.
    """
    gold, text = read_value(target), answer or ""
    official, last = official_score(gold, text), _last(text)
    details: dict[str, float | str | bool | None] = {"answer_kind": _kind(gold), "precision": None}
    if isinstance(gold, list):
        items = _items(last.split(","))
        details["precision"] = len(items & _items(gold)) / len(items) if items else 0.0
    lenient = max(official, _lenient(gold, last)) if text.strip() else 0.0
    content = boxed(text)
    shown = text if content is None else content
    return Score(official, lenient, content is not None, shown[:_SHOWN_CHARS], details)


def _last(answer: str) -> str:
    boxes = _BOX.findall(answer.replace("\\text{", "{"))
    return boxes[-1].lstrip("{") if boxes else final_answer(answer)


def _lenient(gold: Value, text: str) -> float:
    if isinstance(gold, int):
        number = _INTEGER.search(text.replace(",", ""))
        return _closeness(gold, read_value(number.group())) if number else 0.0
    if isinstance(gold, str):
        return float(_plain(text) == _plain(gold))
    wanted = _items(gold)
    return len(wanted & _items(text.split(","))) / len(wanted) if wanted else 0.0


def _items(texts: list[str]) -> set[str]:
    return set(map(_plain, texts)) - {""}


def _kind(gold: Value) -> str:
    return "number" if isinstance(gold, int) else "text" if isinstance(gold, str) else "list"


def _closeness(gold: int, found: Value) -> float:
    try:
        return float(0.75 ** abs(gold - found)) if isinstance(found, int) else 0.0
    except OverflowError:
        return 0.0


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()
