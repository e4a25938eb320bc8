"""The RULER benchmark: 13 tasks over contexts of any length."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.sources.hub import GENERATED, HUB
from benchmarks.sources.wordlists import made_of
from benchmarks.suites.data import DataSuite, Generated, SuiteData, always
from benchmarks.suites.ruler.generator import GENERATOR, SHORTEST, generated_sample
from benchmarks.suites.ruler.rows import RulerTaskRows
from benchmarks.suites.ruler.scorer import MAX_ANSWER_TOKENS, RulerTarget, score_answer
from benchmarks.suites.ruler.tasks import NAMES, TASKS, TaskName
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from benchmarks.suites.sniah.generator import FOLDER
from rlm.models.tokens import DEFAULT_ENCODING

Tasks = Annotated[tuple[TaskName, ...], MinLen(1)]
Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]


class Ruler(DataSuite):
    """RULER's tasks. A target is a RulerTarget.

    source: `generated`, or the path of RULER's output. tasks: used in turn. lengths: the tokens of prompt and output
    together. samples: the number of samples for each length and task. Raises ValueError for a source that does not
    exist.
    """

    name = "ruler"
    metric = "substring"
    scorer = "ruler-substring-1"
    protected = False
    max_answer_tokens = MAX_ANSWER_TOKENS
    grows_by = ("lengths", "samples", "tasks")

    def __init__(
        self,
        source: str = GENERATED,
        tasks: Tasks = NAMES,
        lengths: Lengths = (4096, 8192, 16384, 32768, 65536, 131072),
        samples: SampleCount = 10,
        seed: int = 0,
        encoding: Encoding = DEFAULT_ENCODING,
    ) -> None:
        if source == HUB:
            raise ValueError(
                "benchmark.ruler.source is 'hub': expected 'generated' or the path of RULER rows; the hub has none"
            )
        planned: list[tuple[SampleInfo, tuple[int, str, int]]] = []
        for index, length, task in itertools.product(range(samples), lengths, tasks):
            sample_id = f"ruler-{task}-{length}-{index:03d}"
            info = SampleInfo(sample_id, sample_id, task, TASKS[task].complexity, length)
            planned.append((info, (length, task, index)))

        def build(info: SampleInfo, plan: tuple[int, str, int]) -> Sample:
            return generated_sample(info, *plan, seed, encoding)

        self._data: SuiteData = (
            RulerTaskRows(source, tasks)
            if source != GENERATED
            else Generated(planned, build, lambda: made_of(FOLDER, GENERATOR, seed, encoding))
        )

    async def score(self, target: RulerTarget, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_answer, target, answer)

    def oracle(self, target: RulerTarget) -> str:
        return target.answers[0] if target.any_answer else ", ".join(target.answers)

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return a fixed number, the question, and a flood of numbers."""
        flood = " ".join(str(1_000_000 + 9_000_000 * i // MAX_ANSWER_TOKENS) for i in range(MAX_ANSWER_TOKENS))
        return [always("1000000"), lambda sample: sample.prompt.query, always(flood)]

    def target_of(self, row: Mapping[str, Any]) -> RulerTarget:
        """Read `target`, an object with answers and any_answer, or a list of answers that all count."""
        target = row.get("target")
        answers = target.get("answers") if isinstance(target, Mapping) else target
        any_answer = bool(target.get("any_answer")) if isinstance(target, Mapping) else False
        if not isinstance(answers, list) or not answers or not all(isinstance(a, str) and a.strip() for a in answers):
            raise ValueError(f"target is {target!r:.80}: expected a list of answers, or an object with answers")
        return RulerTarget(tuple(answers), any_answer)

    def target_bytes(self, target: RulerTarget) -> bytes:
        return json.dumps({"answers": list(target.answers), "any_answer": target.any_answer}).encode()
