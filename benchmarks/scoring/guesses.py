"""Guesses that need no understanding, made from a prompt alone, for the constants of a suite."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial

from benchmarks.sample import Constant, UnlabelledSample
from benchmarks.scoring.choice import ALL_LETTERS, stated
from benchmarks.scoring.texts import squad_words

YEAR = re.compile(r"\b1[0-9]{3}\b|\b20[0-9]{2}\b")
NAME = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b")
WORD = re.compile(r"\b[A-Z][A-Za-z-]{2,40}\b")
NUMBER = re.compile(r"(?<![\w.,-])-?\d{1,15}(?:\.\d{1,9})?(?![\w,-]|\.\d)")
_READ_CHARS = 200_000
_SENTENCE = re.compile(r"[^.!?\n]{1,500}")


def start_of(sample: UnlabelledSample) -> str:
    """Return the start of the context, which may have megabytes."""
    text, context = "", sample.prompt.context
    for document in [context] if isinstance(context, str) else context:
        text += document[: _READ_CHARS - len(text)]
    return text


def most_frequent(sample: UnlabelledSample, pattern: re.Pattern[str], default: str = "unknown") -> str:
    """Return the most frequent match in the start of the context."""
    counts = Counter(pattern.findall(start_of(sample)))
    return max(sorted(counts), key=counts.__getitem__, default=default)


def all_of(sample: UnlabelledSample, pattern: re.Pattern[str]) -> list[str]:
    """Return the distinct matches in the start of the context, sorted."""
    return sorted(set(pattern.findall(start_of(sample))))


def nearest_sentence(sample: UnlabelledSample) -> str:
    """Return the sentence in the start of the context that shares most words with the query."""
    asked = set(squad_words(sample.prompt.query))
    return max(_sentences(sample), key=lambda text: len(asked & set(squad_words(text))), default="")


def _sentences(sample: UnlabelledSample) -> Iterator[str]:
    return (found.group().strip() for found in _SENTENCE.finditer(start_of(sample)))


def _query(sample: UnlabelledSample) -> str:
    return sample.prompt.query


def _always(answer: str, sample: UnlabelledSample) -> str:
    return answer


def _joined(pattern: re.Pattern[str], separator: str, sample: UnlabelledSample) -> str:
    return separator.join(all_of(sample, pattern))


def _frequent(pattern: re.Pattern[str], sample: UnlabelledSample) -> str:
    return most_frequent(sample, pattern)


def _fixed(*answers: str) -> list[Constant]:
    return [partial(_always, answer) for answer in answers]


def _floods(separator: str) -> list[Constant]:
    return [partial(_joined, pattern, separator) for pattern in (NAME, WORD, NUMBER)]


_FREQUENT: list[Constant] = [partial(_frequent, pattern) for pattern in (NAME, WORD, NUMBER)]
# The constants of a suite whose answers are texts, letters, numbers and lists.
TEXTS: list[Constant] = [
    *_fixed("yes", "no", "true", "false", "unknown"), *_FREQUENT, _query, nearest_sentence, *_floods(", "),
]  # fmt: skip
LETTERS: list[Constant] = _fixed(
    *map(stated, ALL_LETTERS), "\n".join(map(stated, ALL_LETTERS)), "\n".join(map(stated, reversed(ALL_LETTERS)))
)
NUMBERS: list[Constant] = [
    *_fixed("0", "1", "2", "3", "10", "100"), partial(_frequent, NUMBER), partial(_joined, NUMBER, " "), _query,
]  # fmt: skip
LISTS: list[Constant] = [*_fixed("none"), *_FREQUENT, *_floods("\n"), _query]
