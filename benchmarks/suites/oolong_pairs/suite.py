"""The OOLONG-Pairs benchmark: all pairs of users of a window that meet a condition, scored by F1."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.sources.hub import GENERATED
from benchmarks.sources.wordlists import made_of
from benchmarks.suites.oolong.generator import SHORTEST
from benchmarks.suites.oolong.instances import FOLDER
from benchmarks.suites.oolong.prompt import QueryFrame, prompt_of
from benchmarks.suites.oolong.windows import written_users
from benchmarks.suites.oolong_pairs.conditions import CONDITIONS, MOST_WRITTEN, GoldPairs, gold_pairs
from benchmarks.suites.oolong_pairs.generator import GENERATOR, ORDER, GeneratedWindows
from benchmarks.suites.oolong_pairs.prompt import LAYOUT, PAPER_FRAME, question
from benchmarks.suites.oolong_pairs.rows import LabelledText, PairRows, is_text_file
from benchmarks.suites.oolong_pairs.scorer import score_answer
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from rlm.models.tokens import DEFAULT_ENCODING, count_tokens

Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]


class OolongPairs:
    """Pairs of users by the labels of their questions. A target is a GoldPairs.

    source: `generated`, `hub`, or a path: a folder or file of the hub's rows, or one labelled window as a .txt file.
    windows: the source of the windows of oolong-synth; null is the same as `source`. lengths: the number of tokens of
    the complete prompt. samples: the number of samples for each length; each 20 tasks share a window. query_frame:
    `paper` puts the facts about the data that the paper's runs state before each question.
    """

    name = "oolong_pairs"
    metric = "f1"
    scorer = "oolong-pairs-f1-1"
    protected = False
    # No limit: a right answer may have millions of pairs, and precision bounds the gain of a flood.
    max_answer_tokens = None
    grows_by = ("lengths", "samples")

    def __init__(
        self,
        source: str = GENERATED,
        windows: str | None = None,
        lengths: Lengths = (32768,),
        samples: SampleCount = 20,
        seed: int = 0,
        encoding: Encoding = DEFAULT_ENCODING,
        query_frame: QueryFrame = "none",
    ) -> None:
        self._seed, self._encoding = seed, encoding
        self._query_frame, self._frame = query_frame, PAPER_FRAME if query_frame == "paper" else ""
        self._generated = GeneratedWindows(seed, encoding, count_tokens(self._frame, encoding))
        self._text = LabelledText(source) if is_text_file(source) else None
        self._rows = PairRows(source, windows) if source != GENERATED and self._text is None else None
        self._plan: dict[str, tuple[SampleInfo, int, int, int]] = {}
        if source != GENERATED:
            # Files have one window of each length.
            samples = min(samples, len(ORDER))
        for index, length in itertools.product(range(samples), (0,) if self._text else lengths):
            task, number = ORDER[index % len(ORDER)], index // len(ORDER)
            cluster = f"pairs-{length or 'window'}-{number}"
            group = "symmetric" if CONDITIONS[task].symmetric else "asymmetric"
            info = SampleInfo(f"{cluster}-task{task:02d}", cluster, group, "quadratic", length or None)
            self._plan[info.sample_id] = info, length, task, number

    def infos(self) -> Sequence[SampleInfo]:
        if self._rows is not None:
            # Unreadable data is reported before the first sample is paid for.
            self._rows.open(next(iter(self._plan.values()))[1])
        return [info for info, *_ in self._plan.values()]

    def sample(self, sample_id: str) -> Sample:
        info, length, task, number = self._plan[sample_id]
        asked = question(task)
        if self._rows is not None:
            window, asked = self._rows.window(length), self._rows.question(length, task)
        elif self._text is not None:
            window = self._text.window
        else:
            window = self._generated.window(length, number, task)
        gold = gold_pairs(task, window.lines)
        if self._rows is not None:
            self._rows.check(length, gold)
        return Sample(info, prompt_of(window, asked, LAYOUT, self._frame), gold)

    async def score(self, target: GoldPairs, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_answer, target, answer)

    def oracle(self, target: GoldPairs) -> str:
        return target.written().rstrip("\n") or "none"

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return the empty set, and the flood of all possible pairs."""
        return [lambda _: "none", lambda sample: all_pairs(sample.prompt.context_text)]

    def target_of(self, row: Mapping[str, Any]) -> GoldPairs:
        raise ValueError("an OOLONG-Pairs row cannot have its own target: expected the sample_id of a sample")

    def target_bytes(self, target: GoldPairs) -> bytes:
        """Return a JSON list of pair strings, as in the hub's files.

        For more than MOST_WRITTEN pairs, return their users by role.
        """
        if len(target) > MOST_WRITTEN:
            first, second = (target.users[role].tolist() for role in (target.first, target.second))
            roles = {"task": target.task, "pairs": len(target), "first": first, "second": second}
            return json.dumps(roles).encode()
        return b"[" + target.written('"(', ", ", ')", ').removesuffix(", ").encode() + b"]"

    def provenance(self) -> Mapping[str, Any]:
        files = self._rows or self._text
        made = made_of(FOLDER, GENERATOR, self._seed, self._encoding) if files is None else files.provenance()
        return {**made, "query_frame": self._query_frame}


def all_pairs(text: str) -> str:
    """Return every possible pair of users of a window: full recall without any understanding."""
    users = np.unique(written_users(text))
    everyone = np.ones(len(users), dtype=bool)
    return GoldPairs(0, users, everyone, everyone).written().rstrip("\n")
