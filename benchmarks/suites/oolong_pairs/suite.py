"""OOLONG-Pairs: all pairs of users of a window that meet a condition, scored by F1."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.sample import Judge, Sample, SampleInfo, Score
from benchmarks.sources.hub import GENERATED
from benchmarks.sources.settings import LONGEST, MOST, known_encoding, whole, wholes
from benchmarks.suites.oolong.generator import made_of, window
from benchmarks.suites.oolong.windows import LABELS, Window, prompt_of, written_users
from benchmarks.suites.oolong_pairs.conditions import CONDITIONS, MOST_WRITTEN, GoldPairs, gold_pairs
from benchmarks.suites.oolong_pairs.rows import LabelledText, PairRows, is_hub_or_rows
from benchmarks.suites.oolong_pairs.scorer import has_pairs, score_pairs, tolerant
from rlm.models.tokens import DEFAULT_ENCODING

# Symmetric and asymmetric tasks by turns, those first that a small window is most likely to have pairs for.
ORDER = (3, 17, 1, 12, 8, 13, 2, 20, 6, 15, 4, 18, 10, 14, 7, 11, 9, 16, 5, 19)
_KEY = "benchmark.oolong_pairs"
SHORTEST = 512
ROOM = 140
SMALL = 2048
CANDIDATES = 16

_SYSTEM = "Answer the question about the lines below."
_QUERY = (
    "List every pair of two different users for whom this holds: {condition}. A question's kind is the category that "
    "its answer falls into: {labels}. Write each pair once, on a line of its own, as (user_id_1, user_id_2) with the "
    "lower ID first. If no pair qualifies, write: none"
)
LAYOUT = ({"role": "system", "content": _SYSTEM + "\n\n{context}"}, {"role": "user", "content": "{query}"})
_NONE = re.compile(r"\b(?:none|empty|no (?:\w+ ){0,4}pairs?)\b|^\W*$", re.IGNORECASE)


class OolongPairs:
    """Pairs of users by the labels of their questions. Targets are GoldPairs.

    source: `generated`, `hub`, or a path: a folder or file of the hub's rows, or a labelled window as a .txt file.
    windows: where the windows of oolong-synth lie for a local source; null is the same path. lengths: tokens of the
    whole prompt. samples: for each length; the 20 tasks share a window, the next 20 have another.
    Raises ValueError for settings that cannot be met.
    """

    name = "oolong_pairs"
    metric = "f1"
    scorer = "oolong-pairs-f1-1"
    protected = False

    def __init__(
        self,
        source: str = GENERATED,
        windows: str | None = None,
        lengths: Sequence[int] = (32768,),
        samples: int = len(ORDER),
        seed: int = 0,
        encoding: str = DEFAULT_ENCODING,
    ) -> None:
        lengths = wholes(f"{_KEY}.lengths", lengths, SHORTEST, LONGEST)
        samples = whole(f"{_KEY}.samples", samples, 1, MOST)
        self._seed, self._encoding = seed, known_encoding(f"{_KEY}.encoding", encoding)
        self._rows = PairRows(source, windows) if source != GENERATED and is_hub_or_rows(source) else None
        self._text = LabelledText(source) if source != GENERATED and self._rows is None else None
        self._plan: dict[str, tuple[SampleInfo, int, int]] = {}
        if source != GENERATED:
            # There is one window of each length, or one alone.
            samples, lengths = min(samples, len(ORDER)), [None] if self._text else lengths
        for index, length in itertools.product(range(samples), lengths):
            task, number = ORDER[index % len(ORDER)], index // len(ORDER)
            where = "-".join(["window" if length is None else str(length), str(number)])
            group = "symmetric" if CONDITIONS[task].symmetric else "asymmetric"
            info = SampleInfo(f"pairs-{where}-task{task:02d}", f"pairs-{where}", group, "quadratic", length)
            self._plan[info.sample_id] = (info, task, number)
        self._generated = lru_cache(maxsize=2)(self._generate)

    def infos(self) -> Sequence[SampleInfo]:
        if self._rows is not None:
            # What cannot be read is to be known before the first sample is paid for.
            first = next(iter(self._plan.values()))[0]
            self._rows.open(first.length)
        return [info for info, _, _ in self._plan.values()]

    def sample(self, sample_id: str) -> Sample:
        info, task, number = self._plan[sample_id]
        asked = question(task)
        if self._rows is not None:
            shared, asked = self._rows.window(info.length), self._rows.question(info.length, task)
        elif self._text is not None:
            shared = self._text.shared
        else:
            shared = self._generated(info.length, number)
        gold = gold_pairs(task, shared.lines)
        if self._rows is not None:
            self._rows.check(info.length, gold)
        return Sample(info, prompt_of(shared, asked, LAYOUT), gold)

    async def score(self, target: GoldPairs, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(judge_pairs, target, answer)

    def oracle(self, target: GoldPairs) -> str:
        return target.written().rstrip("\n") or "none"

    def constants(self, samples: Sequence[Sample]) -> Sequence[Callable[[Sample], str]]:
        return [lambda _: "none", lambda sample: all_pairs(sample.prompt.context_text)]

    def target_of(self, row: Mapping[str, Any]) -> GoldPairs:
        raise ValueError("OOLONG-Pairs rows refer to samples by sample_id; they carry no target of their own")

    def target_bytes(self, target: GoldPairs) -> bytes:
        """A JSON list of pair strings, as the hub's files give answers; of more than MOST_WRITTEN pairs the users of
        each role and the number of their pairs.
        """
        if len(target) > MOST_WRITTEN:
            first, second = (target.users[role].tolist() for role in (target.first, target.second))
            roles = {"task": target.task, "pairs": len(target), "first": first, "second": second}
            return json.dumps(roles).encode()
        return b"[" + target.written('"(', ", ", ')", ').removesuffix(", ").encode() + b"]"

    def provenance(self) -> Mapping[str, Any]:
        real = self._rows or self._text
        if real is not None:
            return real.provenance()
        return made_of(self._seed, self._encoding)

    def _generate(self, length: int, number: int) -> Window:
        return best_window(length, number, self._seed, self._encoding)


def question(task: int) -> str:
    """A task's question in our own words; the window does not name the labels, so the question does."""
    return _QUERY.format(condition=CONDITIONS[task].words(), labels=", ".join(LABELS[:-1]) + " or " + LABELS[-1])


def best_window(length: int, number: int, seed: int, encoding: str) -> Window:
    """The generated window of a length; of a short one, where few conditions hold, the best of some candidates."""
    if length >= SMALL:
        return window(length, number, seed, encoding, ROOM)
    candidates = [window(length, number * CANDIDATES + i, seed, encoding, ROOM) for i in range(CANDIDATES)]

    def held(candidate: Window) -> tuple[int, int]:
        holds = [len(gold_pairs(task, candidate.lines)) > 0 for task in ORDER]
        return sum(holds[:4]), sum(holds)

    return max(candidates, key=held)


def all_pairs(text: str) -> str:
    """Every pair of users of a window: the answer that has full recall without reading a question."""
    users = np.unique(written_users(text))
    everybody = np.ones(len(users), dtype=bool)
    return GoldPairs(0, users, everybody, everybody).written().rstrip("\n")


def judge_pairs(gold: GoldPairs, answer: str | None) -> Score:
    """F1 of the pairs of an answer in the official form; 1.0 where gold and answer are both empty, 0.0 where one is.

    Lenient reads other brackets, and bare lines, too. details: precision, recall, n_gold, n_predicted; `floor`, the F1
    of answering every possible pair; `wrong_format`, pairs were delivered and none in the official form.
    """
    text = answer or ""
    official = score_pairs(text, gold)
    official_form = has_pairs(text)
    forgiven = official
    if not official_form:
        forgiven = score_pairs(tolerant(text), gold)
    wrong = not official_form and forgiven.predicted > 0
    floor = 2 * len(gold) / (gold.possible + len(gold)) if gold.possible + len(gold) else 1.0
    # No answer at all is not an empty set: it never scores.
    value = 0.0 if answer is None else official.f1
    return Score(
        value,
        0.0 if answer is None else forgiven.f1,
        official_form or (answer is not None and not wrong and _NONE.search(text.strip()[-500:]) is not None),
        f"{official.predicted} pairs",
        {
            "precision": official.precision,
            "recall": official.recall,
            "floor": floor,
            "n_gold": float(len(gold)),
            "n_predicted": float(official.predicted),
            "wrong_format": wrong,
        },
    )
