"""The GraphWalks benchmark: breadth-first searches and parents in a graph that fills the context."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.sources.hub import GENERATED
from benchmarks.suites.data import DataSuite, Generated, SuiteData, always
from benchmarks.suites.graphwalks.generator import DEEPEST, GENERATOR, SHORTEST, generated_sample
from benchmarks.suites.graphwalks.prompt import answer_of
from benchmarks.suites.graphwalks.rows import REVISION, GraphRows
from benchmarks.suites.graphwalks.scorer import score_answer
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from rlm.models.tokens import DEFAULT_ENCODING

Problems = Annotated[tuple[Literal["bfs", "parents"], ...], MinLen(1), EACH_ONCE]
Depths = Annotated[tuple[Annotated[int, Ge(1), Le(DEEPEST)], ...], MinLen(1), EACH_ONCE]
Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]
_NODE = re.compile(r"^(\w+) -> (\w+)$", re.MULTILINE)


class GraphWalks(DataSuite):
    """Operations on a graph. A target is the sorted tuple of the resulting nodes.

    source: `generated`, `hub`, or the path of a folder with the files of openai/graphwalks. problems: in turn. lengths:
    the tokens of a generated prompt; for rows 131072, 1048576 or both, the longest prompts of the two files. samples:
    the number of samples for each length. depths: of generated searches, in turn.
    """

    name = "graphwalks"
    metric = "f1"
    scorer = "graphwalks-f1-1"
    protected = False
    # No limit: the answer is in the last line, and precision bounds the gain of a flood.
    max_answer_tokens = None
    grows_by = ("lengths", "samples")

    def __init__(
        self,
        source: str = GENERATED,
        revision: str = REVISION,
        problems: Problems = ("bfs", "parents"),
        lengths: Lengths = (131072,),
        samples: SampleCount = 50,
        depths: Depths = (1, 2, 3, 4),
        seed: int = 0,
        encoding: Encoding = DEFAULT_ENCODING,
    ) -> None:
        planned: list[tuple[SampleInfo, tuple[int, str, int, int]]] = []
        for index, length in itertools.product(range(samples), lengths):
            number, place = divmod(index, len(problems))
            problem = problems[place]
            sample_id = f"graphwalks-{problem}-{length}-{index:03d}"
            info = SampleInfo(sample_id, sample_id, problem, "constant", length)
            planned.append((info, (length, problem, depths[number % len(depths)] if problem == "bfs" else 1, index)))

        def build(info: SampleInfo, plan: tuple[int, str, int, int]) -> Sample:
            return generated_sample(info, *plan, seed, encoding)

        def made() -> Mapping[str, Any]:
            return {"source": GENERATED, "generator": GENERATOR, "seed": seed, "encoding": encoding}

        self._data: SuiteData = (
            GraphRows(source, revision, problems, lengths, samples)
            if source != GENERATED
            else Generated(planned, build, made)
        )

    async def score(self, target: tuple[str, ...], answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_answer, target, answer)

    def oracle(self, target: tuple[str, ...]) -> str:
        return answer_of(target)

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return the empty set, the first node, and a flood of all nodes."""
        return [always(answer_of(())), lambda sample: answer_of(all_nodes(sample)[:1]), _every_node]

    def target_of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        target = row.get("target")
        if not isinstance(target, list) or not all(isinstance(node, str) for node in target):
            raise ValueError(f"target is {target!r:.80}: expected a list of nodes")
        return tuple(sorted(target))

    def target_bytes(self, target: tuple[str, ...]) -> bytes:
        return json.dumps(list(target)).encode()


def all_nodes(sample: UnlabelledSample) -> tuple[str, ...]:
    """Return the nodes in the lines of edges of a prompt, in their order."""
    edges = _NODE.findall(sample.prompt.context_text)
    return tuple(dict.fromkeys(node for edge in edges for node in edge))


def _every_node(sample: UnlabelledSample) -> str:
    return answer_of(all_nodes(sample))
