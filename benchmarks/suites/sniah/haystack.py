"""Haystacks: noise that repeats five sentences, and prose of many different paragraphs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources.draws import Draws
from benchmarks.sources.units import token_costs
from benchmarks.sources.wordlists import word_lists
from rlm.models.tokens import count_tokens

NOISE, PROSE = "noise", "prose"

_NOISE_SENTENCES = (
    "The kettle is warm.", " The road is dry.", " The lamp is lit.", " Off we went.", " Round again and home.\n"
)  # fmt: skip
_PROSE_FILE = Path(__file__).with_name("prose.txt")
_POOL_PARAGRAPHS = 3000
_MIDDLES = 4
# The marks in prose.txt for sentences that open, continue and close a paragraph.
_MARKS = (">", "-", "<")


@dataclass(frozen=True)
class Material:
    """The sentences of one kind of haystack.

    units: sentences, each with the space before it or the line end after it. costs: the tokens of each. paragraph: the
    number of sentences in a paragraph; paragraph i is units[i * paragraph : (i + 1) * paragraph]. gap: the end of a
    paragraph.
    """

    units: tuple[str, ...]
    costs: NDArray[np.int64]
    paragraph: int
    gap: str


@lru_cache(maxsize=8)
def material(kind: str, seed: int, encoding: str) -> Material:
    """Return the sentences of a kind of haystack, NOISE or PROSE."""
    if kind == NOISE:
        return Material(_NOISE_SENTENCES, token_costs(_NOISE_SENTENCES, encoding), len(_NOISE_SENTENCES), "\n")
    units = _prose(Draws(seed, "prose"))
    return Material(units, token_costs(units, encoding), _MIDDLES + 2, "\n\n")


def hide(source: Material, needle: str, depth: int, draws: Draws, after: str, budget: int, encoding: str) -> str:
    """Build the longest haystack around a needle that fits, with the text `after` it, into `budget` tokens.

    depth: the percentage of sentences before the needle. after: begins with a line end. If the budget has no
    room for sentences, the haystack is the needle alone.
    """
    order = ordered(source, draws, budget)
    sums = np.concatenate([[0], np.cumsum(source.costs[order])])
    count = int(np.searchsorted(sums, budget, side="right")) - 1
    while True:
        at = (count * depth + 50) // 100
        before, rest = order[:at], order[at:count]
        if len(rest):
            hidden = _as_unit(needle, source, opens=not source.units[rest[0]].startswith(" "))
            last = source.units[rest[-1]].rstrip("\n")
            tokens = sums[count - 1] + count_tokens(hidden, encoding) + count_tokens(last + after, encoding)
        else:
            hidden = _as_unit(needle, source, opens=not at or source.units[before[-1]].endswith("\n")).rstrip("\n")
            tokens = sums[count] + count_tokens(hidden + after, encoding)
        if tokens <= budget or not count:
            break
        count -= 1
    del sums
    pieces = [*map(source.units.__getitem__, before), hidden, *map(source.units.__getitem__, rest)]
    pieces[-1] = pieces[-1].rstrip("\n")
    return "".join(pieces)


def ordered(source: Material, draws: Draws, budget: int) -> NDArray[np.int32]:
    """Return indices of more units than the budget can hold: all paragraphs, repeatedly in new orders."""
    passes = max(budget, 0) // int(source.costs.sum()) + 1
    count = len(source.units) // source.paragraph
    if count == 1:
        paragraphs = np.zeros(passes, dtype=np.int64)
    else:
        paragraphs = np.concatenate([draws.order(count) for _ in range(passes)])
    sentences = np.arange(source.paragraph, dtype=np.int32)
    return (paragraphs.astype(np.int32)[:, None] * np.int32(source.paragraph) + sentences).ravel()


def _as_unit(needle: str, source: Material, opens: bool) -> str:
    """Format the needle as a sentence of a paragraph, or as a separate paragraph if the next sentence opens one."""
    return needle + source.gap if opens else " " + needle


def _prose(draws: Draws) -> tuple[str, ...]:
    topics = _topics()
    slots = word_lists(_PROSE_FILE)
    units: list[str] = []
    for _ in range(_POOL_PARAGRAPHS):
        opens, middles, closes = draws.pick(topics)
        chosen = sorted(draws.some(range(len(middles)), _MIDDLES))
        texts = [draws.pick(opens), *(middles[i] for i in chosen), draws.pick(closes)]
        filled = {name: draws.pick(values) for name, values in slots.items()}
        filled["other"] = draws.pick([name for name in slots["person"] if name != filled["person"]])
        first, *rest = (text.format_map(filled) for text in texts)
        units += [first, *(" " + sentence for sentence in rest)]
        units[-1] += "\n\n"
    return tuple(units)


def _topics() -> list[tuple[list[str], list[str], list[str]]]:
    """Read the sentences of each topic: openers, middles and closers of a paragraph."""
    topics = []
    for block in re.split(r"^\[\w+\]\n", _PROSE_FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        lines = block.splitlines()
        opens, middles, closes = ([line[2:] for line in lines if line.startswith(mark)] for mark in _MARKS)
        topics.append((opens, middles, closes))
    return topics
