"""The S-NIAH benchmark: one needle sentence in a haystack of any length, after RULER's single-needle tasks."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.sources.hub import GENERATED, HUB
from benchmarks.sources.wordlists import made_of
from benchmarks.suites.data import DataSuite, Generated, SuiteData, always
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from benchmarks.suites.sniah.generator import FOLDER, GENERATOR, SHORTEST, generated_sample
from benchmarks.suites.sniah.rows import RulerRows
from benchmarks.suites.sniah.scorer import MAX_ANSWER_TOKENS, score_answer
from rlm.models.tokens import DEFAULT_ENCODING

Variants = Annotated[tuple[Literal["single_1", "single_2", "single_3", "noise_uuid"], ...], MinLen(1)]
Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]


class SNIAH(DataSuite):
    """A single needle in a haystack. A target is the hidden value, a string.

    source: `generated`, or the path of RULER rows. variants: used in turn. lengths: the tokens of prompt and output
    together. samples: the number of samples of each length. output_tokens: the part of a generated length that is
    reserved for the output. Raises ValueError for a source that does not exist.
    """

    name = "sniah"
    metric = "substring"
    scorer = "sniah-substring-2"
    protected = False
    max_answer_tokens = MAX_ANSWER_TOKENS
    grows_by = ("lengths", "samples")

    def __init__(
        self,
        source: str = GENERATED,
        variants: Variants = ("single_1", "single_2", "single_3"),
        lengths: Lengths = (8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576),
        samples: SampleCount = 50,
        seed: int = 0,
        encoding: Encoding = DEFAULT_ENCODING,
        output_tokens: Annotated[int, Ge(0), Le(SHORTEST // 2)] = MAX_ANSWER_TOKENS,
    ) -> None:
        if source == HUB:
            raise ValueError(
                "benchmark.sniah.source is 'hub': expected 'generated' or the path of RULER rows; the hub has none"
            )
        planned: list[tuple[SampleInfo, tuple[int, str, int]]] = []
        for index, length in itertools.product(range(samples), lengths):
            variant = variants[index % len(variants)]
            sample_id = f"sniah-{variant}-{length}-{index:03d}"
            planned.append((SampleInfo(sample_id, sample_id, variant, "constant", length), (length, variant, index)))

        def made() -> Mapping[str, Any]:
            return {**made_of(FOLDER, GENERATOR, seed, encoding), "output_tokens": output_tokens}

        def build(info: SampleInfo, plan: tuple[int, str, int]) -> Sample:
            return generated_sample(info, *plan, seed, encoding, output_tokens)

        self._data: SuiteData = RulerRows(source) if source != GENERATED else Generated(planned, build, made)

    async def score(self, target: str, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_answer, target, answer)

    def oracle(self, target: str) -> str:
        return target

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return a fixed number, the question, and a flood of as many different numbers as an answer can hold."""
        flood = " ".join(str(1_000_000 + 9_000_000 * i // MAX_ANSWER_TOKENS) for i in range(MAX_ANSWER_TOKENS))
        return [always("1000000"), lambda sample: sample.prompt.query, always(flood)]

    def target_of(self, row: Mapping[str, Any]) -> str:
        target = row.get("target")
        if isinstance(target, list) and len(target) == 1:
            target = target[0]
        if isinstance(target, str | int) and not isinstance(target, bool) and str(target).strip():
            return str(target)
        raise ValueError(f"target is {target!r:.80}: expected the hidden value as a string")

    def target_bytes(self, target: str) -> bytes:
        return json.dumps(target).encode()
