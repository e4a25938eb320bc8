"""RULER's substring score of a needle."""

from __future__ import annotations

import re

from benchmarks.sample import Score
from benchmarks.scoring.texts import contains, contains_loosely

# RULER generates 128 tokens for an answer.
MAX_ANSWER_TOKENS = 128

_NUMBER = re.compile(r"(?<!\d)\d{7}(?!\d)")
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)


def score_answer(target: str, answer: str | None) -> Score:
    """Score 1 if the answer contains the value, ignoring case.

    The lenient score also ignores separators inside the value. format_ok: the answer gives exactly one value of the
    target's kind. details: `exact`, the answer is exactly the value.
    """
    text, value = answer or "", target.lower()
    pattern = _UUID if _UUID.fullmatch(target) else _NUMBER
    found = list(dict.fromkeys(match.group().lower() for match in pattern.finditer(text)))
    right = float(contains(text, target))
    lenient = max(right, float(contains_loosely(text, target)))
    prediction = found[0] if len(found) == 1 else text.strip()[:200]
    return Score(right, lenient, len(found) == 1, prediction, {"exact": float(text.strip().lower() == value)})
