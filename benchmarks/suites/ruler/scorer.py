"""RULER's score: the share of the right answers that an answer contains, or 1 if it contains any of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmarks.sample import Score
from benchmarks.scoring.texts import contains, contains_loosely

# The most tokens that RULER generates for an answer of any task.
MAX_ANSWER_TOKENS = 128
_SHOWN_CHARS = 200
_CONTROL = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True)
class RulerTarget:
    """The right answers. any_answer: one of them is enough; else each counts the same."""

    answers: tuple[str, ...]
    any_answer: bool = False


def score_answer(target: RulerTarget, answer: str | None) -> Score:
    """Score by RULER's rule: a right answer counts if the text contains it, ignoring case.

    The lenient score also ignores separators. format_ok: an answer was given. details: `n_gold` and `n_found`.
    """
    text = _CONTROL.sub("\n", (answer or "").strip()).strip()
    found = [contains(text, right) for right in target.answers]
    loose = [right or contains_loosely(text, each) for right, each in zip(found, target.answers, strict=True)]
    details = {"n_gold": float(len(found)), "n_found": float(sum(found))}
    return Score(_total(found, target), _total(loose, target), bool(text), text[:_SHOWN_CHARS], details)


def _total(found: list[bool], target: RulerTarget) -> float:
    return float(any(found)) if target.any_answer else sum(found) / len(found)
