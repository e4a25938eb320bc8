"""Guesses that need no understanding, made from a prompt alone, for the constants of a suite."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from benchmarks.sample import UnlabelledSample
from benchmarks.scoring.texts import squad_words

YEAR = re.compile(r"\b1[0-9]{3}\b|\b20[0-9]{2}\b")
NAME = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b")
WORD = re.compile(r"\b[A-Z][A-Za-z-]{2,40}\b")
NUMBER = re.compile(r"(?<![\w.,-])-?\d{1,15}(?:\.\d{1,9})?(?![\w,-]|\.\d)")
_READ_CHARS = 200_000
_SENTENCE = re.compile(r"[^.!?\n]{1,500}")


def start_of(sample: UnlabelledSample) -> str:
    """The start of the context, which may have megabytes."""
    text, context = "", sample.prompt.context
    for document in [context] if isinstance(context, str) else context:
        text += document[: _READ_CHARS - len(text)]
    return text


def most_frequent(sample: UnlabelledSample, pattern: re.Pattern[str], default: str = "unknown") -> str:
    """The match that the start of the context has most often."""
    counts = Counter(pattern.findall(start_of(sample)))
    return max(sorted(counts), key=counts.__getitem__, default=default)


def all_of(sample: UnlabelledSample, pattern: re.Pattern[str]) -> list[str]:
    """The distinct matches in the start of the context, sorted."""
    return sorted(set(pattern.findall(start_of(sample))))


def nearest_sentence(sample: UnlabelledSample) -> str:
    """The sentence of the start of the context that shares most words with the query."""
    asked = set(squad_words(sample.prompt.query))
    return max(_sentences(sample), key=lambda text: len(asked & set(squad_words(text))), default="")


def _sentences(sample: UnlabelledSample) -> Iterator[str]:
    return (found.group().strip() for found in _SENTENCE.finditer(start_of(sample)))
