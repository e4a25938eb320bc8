"""GraphWalks' score: F1 of the set of nodes in the last line of an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.sample import Score
from benchmarks.scoring.sets import SetCounts

# The published rule without two faults of the published code, which docs/benchmarks-more.md names.
_OFFICIAL = re.compile(r"Final Answer: ?\[(.*)\]")
_LENIENT = re.compile(r"final\s+answer\W{0,9}?\[([^\[\]]*)\]", re.IGNORECASE)
_LIST = re.compile(r"\[([^\[\]]*)\]")
_SHOWN_CHARS = 200


def score_answer(target: Sequence[str], answer: str | None) -> Score:
    """Score F1 of the nodes in the last line, `Final Answer: [a, b]`; 0 without that line.

    Two empty sets score 1. The lenient score reads the last such line anywhere, or else the last list in brackets, and
    ignores quotes. format_ok: the last line has the form. details: precision, recall, n_gold and n_predicted.
    """
    text = answer or ""
    nodes = official_nodes(text)
    counts = _compared(nodes or [], target)
    value = counts.f1 if nodes is not None else 0.0
    read = nodes if value == 1 else lenient_nodes(text)
    lenient = max(value, _compared(read, target).f1 if read is not None else 0.0)
    details = {
        "precision": counts.precision if nodes is not None else 0.0,
        "recall": counts.recall if nodes is not None else 0.0,
        "n_gold": float(counts.gold), "n_predicted": float(counts.predicted),
    }  # fmt: skip
    return Score(value, lenient, nodes is not None, ", ".join(nodes or [])[:_SHOWN_CHARS], details)


def official_nodes(answer: str) -> list[str] | None:
    """Return the nodes in the last line of an answer; None if it is not in the form of an answer."""
    found = _OFFICIAL.search(answer.split("\n")[-1])
    return _items(found[1].strip("[]")) if found else None


def lenient_nodes(answer: str) -> list[str] | None:
    """Return the nodes of the last list after "final answer", or else of the last list; None without a list."""
    lists = _LENIENT.findall(answer) or _LIST.findall(answer)
    return [item.strip("'\"`* ") for item in _items(lists[-1])] if lists else None


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _compared(nodes: Sequence[str], target: Sequence[str]) -> SetCounts:
    found, gold = set(nodes), set(target)
    return SetCounts(len(found), len(found & gold), len(gold))
