"""The OOLONG benchmark, oolong-synth: questions about the label statistics of a context window."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.sources.hub import GENERATED
from benchmarks.sources.wordlists import made_of
from benchmarks.suites.data import DataSuite, Generated, SuiteData, always
from benchmarks.suites.oolong.generator import GENERATOR, SHORTEST, generated_window, room_of
from benchmarks.suites.oolong.gold import Gold
from benchmarks.suites.oolong.instances import FOLDER, SUBSET_FOLDER
from benchmarks.suites.oolong.plan import PLAN, plan_of, planned_questions
from benchmarks.suites.oolong.prompt import PAPER_FRAME, QueryFrame, prompt_of
from benchmarks.suites.oolong.questions import KINDS, WindowQuestion
from benchmarks.suites.oolong.rows import OolongRows
from benchmarks.suites.oolong.scorer import PHRASES, OolongTarget, score_answer
from benchmarks.suites.oolong.subsets import SUBSETS, TREC_COARSE, Subset, SubsetName, group_of, subset_of
from benchmarks.suites.oolong.windows import LabelledWindow, written_users
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from rlm.models.tokens import DEFAULT_ENCODING, count_tokens

Subsets = Annotated[tuple[SubsetName, ...], MinLen(1), EACH_ONCE]
Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]


class Oolong(DataSuite):
    """Questions about the label statistics of a window. A target is an OolongTarget.

    source: `generated`, `hub`, or the path of rows of oolong-synth. subsets: of oolong-synth; in turn. lengths: the
    number of tokens of the complete prompt for generated samples, values of `context_len` for rows. samples: the number
    of samples for each length and subset; 25 questions share a window. query_frame: `paper` puts the facts about the
    data that the paper's runs state before each question of trec_coarse, their only subset. Raises ValueError for that
    frame with other subsets.
    """

    name = "oolong"
    metric = "oolong_score"
    scorer = "oolong-official-1"
    protected = False
    # No limit: the official rule takes one value from the end of an answer. A cut would remove it; a flood gains
    # nothing.
    max_answer_tokens = None
    grows_by = ("lengths", "samples", "subsets")

    def __init__(
        self,
        source: str = GENERATED,
        lengths: Lengths = (131072,),
        samples: SampleCount = 50,
        seed: int = 0,
        encoding: Encoding = DEFAULT_ENCODING,
        query_frame: QueryFrame = "none",
        subsets: Subsets = ("trec_coarse",),
    ) -> None:
        if query_frame == "paper" and subsets != (TREC_COARSE.name,):
            raise ValueError(
                f"benchmark.oolong.query_frame is 'paper' with the subsets {', '.join(subsets)}: expected 'none', "
                "because the frame names the labels of trec_coarse"
            )
        self._seed, self._encoding = seed, encoding
        self._subsets = subsets
        self._query_frame, self._frame = query_frame, PAPER_FRAME if query_frame == "paper" else ""
        planned: list[tuple[SampleInfo, tuple[Subset, int, int]]] = []
        for index, length, name in itertools.product(range(samples), lengths, subsets):
            subset = SUBSETS[name]
            number, place = divmod(index, len(PLAN))
            window = "-".join(filter(None, (subset.prefix, str(length), str(number))))
            group = group_of(subset, plan_of(subset)[place].group)
            info = SampleInfo(f"oolong-{window}-{place:02d}", f"window-{window}", group, "linear", length)
            planned.append((info, (subset, number, place)))
        self._window = lru_cache(maxsize=4)(self._generate)
        self._data: SuiteData = (
            OolongRows(source, subsets, lengths, samples, self._frame)
            if source != GENERATED
            else Generated(planned, self._build, self._made_of)
        )

    def _made_of(self) -> Mapping[str, Any]:
        made = made_of(FOLDER, GENERATOR, self._seed, self._encoding)
        if self._subsets == (TREC_COARSE.name,):
            return made
        others = made_of(SUBSET_FOLDER, GENERATOR, self._seed, self._encoding)
        return made | {"subset_texts_sha256": others["texts_sha256"]}

    def _build(self, info: SampleInfo, plan: tuple[Subset, int, int]) -> Sample:
        subset, number, place = plan
        window, questions = self._window(subset.name, info.length, number)
        question = questions[place]
        kind = KINDS[question.kind]
        gold = Gold.of(repr([question.answer(window.lines)]), kind.answer_type)
        target = OolongTarget(gold, kind.task, window.lines, question)
        return Sample(info, prompt_of(window, question.words(subset), frame=self._frame), target)

    async def score(self, target: OolongTarget, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_answer, target, answer)

    def oracle(self, target: OolongTarget) -> str:
        return target.gold.written()

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return combinations of fixed answers, one per form of answer, and a flood of all labels and comparisons."""
        numbers = (_zero, _one, _even_share, _half_share)
        labels = list(dict.fromkeys(label for name in self._subsets for label in SUBSETS[name].labels))
        places = range(max(len(SUBSETS[name].labels) for name in self._subsets))
        fixed = [partial(_fixed_answer, *choice) for choice in itertools.product(places, PHRASES, numbers)]
        return [*fixed, always("Answer: " + ", ".join((*labels, *PHRASES)))]

    def target_of(self, row: Mapping[str, Any]) -> OolongTarget:
        """Read `target` and `answer_type`, in the data set's form (`[42]`, `ANSWER_TYPE.NUMERIC`) or bare."""
        kind = row.get("answer_type")
        if not isinstance(kind, str) or not kind.strip():
            raise ValueError(f"answer_type is {kind!r:.80}: expected the type of the target's answer, such as LABEL")
        return OolongTarget(Gold.of(row["target"], kind))

    def target_bytes(self, target: OolongTarget) -> bytes:
        return json.dumps({"answer": target.gold.answer, "answer_type": target.gold.answer_type}).encode()

    def provenance(self) -> Mapping[str, Any]:
        subsets = {} if self._subsets == (TREC_COARSE.name,) else {"subsets": list(self._subsets)}
        return {**super().provenance(), **subsets, "query_frame": self._query_frame}

    def _generate(self, name: str, length: int, number: int) -> tuple[LabelledWindow, tuple[WindowQuestion, ...]]:
        room = room_of(length) + count_tokens(self._frame, self._encoding)
        if SUBSETS[name] is not TREC_COARSE:
            # Questions name all labels.
            room += count_tokens(", ".join(SUBSETS[name].labels), self._encoding)
        window = generated_window(length, number, self._seed, self._encoding, room, SUBSETS[name])
        return window, planned_questions(self._seed, length, number, window.lines, SUBSETS[name])


def _fixed_answer(place: int, phrase: str, number: Constant, sample: UnlabelledSample) -> str:
    query, labels = sample.prompt.query, subset_of(sample.info.task_group).labels
    if "Label:" in query:
        return f"Label: {labels[place % len(labels)]}"
    if "'more common" in query:
        return f"Answer: {phrase}"
    if "User:" in query:
        return f"User: {written_users(sample.prompt.context_text)[0]}"
    if "Date:" in query:
        return "Date: 01/01/2024"
    return f"Answer: {number(sample)}"


def _zero(sample: UnlabelledSample) -> str:
    return "0"


def _one(sample: UnlabelledSample) -> str:
    return "1"


def _even_share(sample: UnlabelledSample) -> str:
    return str(_share(sample))


def _half_share(sample: UnlabelledSample) -> str:
    return str(_share(sample) // 2)


def _share(sample: UnlabelledSample) -> int:
    return sample.prompt.context_text.count("\nDate: ") // len(subset_of(sample.info.task_group).labels)
