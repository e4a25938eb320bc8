"""Generated MRCR conversations: requests for pieces of writing, some of them equal, and the pieces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.draws import Draws
from benchmarks.sources.wordlists import word_lists
from benchmarks.suites.mrcr.prompt import ASK, QUERY, ordinal
from benchmarks.suites.mrcr.scorer import MrcrTarget
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt

GENERATOR = "mrcr-generated-1"
FOLDER = Path(__file__).parent
_FILE = FOLDER / "pieces.txt"
# A shorter conversation has no room for eight pieces.
SHORTEST = 1024
_PREFIX_CHARS = 10
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# The most sentences between the opening and the closing one.
_MIDDLES = 9


@dataclass(frozen=True)
class _Request:
    """A request: the form with its article, such as `a poem`, and the topic."""

    form: str
    topic: str

    def words(self) -> str:
        return ASK.format(form=self.form, topic=self.topic)


@dataclass(frozen=True)
class _Sentences:
    """The sentences that open, continue and close a piece, and the words for their slots."""

    openings: tuple[str, ...]
    middles: tuple[str, ...]
    closings: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]


def generated_sample(info: SampleInfo, length: int, needles: int, index: int, seed: int, encoding: str) -> Sample:
    """Generate the index-th conversation with `needles` equal requests.

    The contents of its messages and the right answer have up to `length` tokens together.
    """
    draws = Draws(seed, "mrcr", length, needles, index)
    lists = word_lists(_FILE)
    asked = _Request(draws.pick(lists["form"]), draws.pick(lists["topic"]))
    prefix = "".join(draws.pick(_ALPHABET) for _ in range(_PREFIX_CHARS))
    right = draws.below(needles)
    middles = min(_MIDDLES, max(1, length // 1024))
    wanted: list[str] = []
    while len(wanted) < needles:
        piece = _piece(asked, middles, draws)
        if piece not in wanted:
            wanted.append(piece)
    query = QUERY.format(
        ordinal=ordinal(right + 1), form=asked.form.partition(" ")[2], topic=asked.topic, prefix=prefix
    )
    answer = prefix + wanted[right]
    left = length - sum(count_tokens(text, encoding) for text in (query, answer, *wanted))
    left -= needles * count_tokens(asked.words(), encoding)
    others: list[tuple[str, str]] = []
    while left >= 0:
        request = _other(asked, lists, draws)
        turn = request.words(), _piece(request, middles, draws)
        left -= sum(count_tokens(text, encoding) for text in turn)
        others.append(turn)
    others.pop()
    places = set(draws.some(range(len(others) + needles), needles))
    equal, different = iter((asked.words(), piece) for piece in wanted), iter(others)
    messages = [
        {"role": role, "content": content}
        for place in range(len(others) + needles)
        for role, content in zip(("user", "assistant"), next(equal if place in places else different), strict=True)
    ]
    return Sample(info, Prompt.of([*messages, {"role": "user", "content": query}]), MrcrTarget(answer, prefix))


def _other(asked: _Request, lists: dict[str, tuple[str, ...]], draws: Draws) -> _Request:
    """Draw another request; two thirds share the form or the topic."""
    while True:
        request = _Request(draws.pick(lists["form"]), draws.pick(lists["topic"]))
        shared = draws.below(3)
        if shared == 0:
            request = _Request(asked.form, request.topic)
        elif shared == 1:
            request = _Request(request.form, asked.topic)
        if request != asked:
            return request


def _piece(request: _Request, middles: int, draws: Draws) -> str:
    sentences = _sentences(request.form)
    count = draws.between(max(1, middles - 3), middles)
    texts = [
        draws.pick(sentences.openings), *draws.some(sentences.middles, count), draws.pick(sentences.closings),
    ]  # fmt: skip
    words = {"topic": request.topic, "Topic": request.topic.capitalize()}
    filled = []
    for text in texts:
        slots = {name: draws.pick(values) for name, values in sentences.slots.items()}
        sentence = text.format_map(words | slots)
        filled.append(sentence[0].upper() + sentence[1:])
    return " ".join(filled)


@cache
def _sentences(form: str) -> _Sentences:
    blocks = re.split(r"^\[(.+)\]\n", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = {name: block.splitlines() for name, block in zip(blocks[1::2], blocks[2::2], strict=True)}
    openings, closings = (tuple(line[2:] for line in lines[form] if line.startswith(mark)) for mark in "><")
    middles = tuple(line[2:] for line in lines["every form"] if line.startswith("-"))
    slots = {name: words for name, words in word_lists(_FILE).items() if name not in ("form", "topic")}
    return _Sentences(openings, middles, closings, slots)
