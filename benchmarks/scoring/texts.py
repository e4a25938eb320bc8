"""Comparison of texts: SQuAD's normalisation and token F1, containment, and the final answer of a longer text."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_MARK = re.compile(r"\b(?:label|answer|user|date)s?\b *(?::|\bis\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Overlap:
    """The words that a prediction shares with a gold answer."""

    precision: float = 0.0
    recall: float = 0.0

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def squad_words(text: str) -> list[str]:
    """Return the words of a text as SQuAD compares them: lower case, without ASCII punctuation and English articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def overlap(predicted: Sequence[str], gold: Sequence[str]) -> Overlap:
    """Compute SQuAD's token overlap, in which a repeated word counts as often as both texts have it."""
    same = sum((Counter(predicted) & Counter(gold)).values())
    return Overlap(same / len(predicted), same / len(gold)) if same else Overlap()


def contains(text: str, value: str) -> bool:
    """True if the text contains the value, ignoring case (RULER's rule)."""
    return value.lower() in text.lower()


def contains_loosely(text: str, value: str) -> bool:
    """True if the text contains the value, ignoring case and separators such as spaces and hyphens."""
    bare = _without_separators(value)
    return bool(bare) and bare in _without_separators(text)


def final_answer(answer: str) -> str:
    """Return the text after the last `Answer:` or similar mark, or else the last line, without Markdown."""
    text = re.sub(r"[*\[\]`_'\"]", "", answer.strip())
    marks = list(_MARK.finditer(text))
    tail = text[marks[-1].end() :].strip() if marks else ""
    return tail.splitlines()[0].strip() if tail else (text.splitlines() or [""])[-1].strip()


def _without_separators(text: str) -> str:
    return re.sub(r"[\s,._'-]", "", text.lower())
