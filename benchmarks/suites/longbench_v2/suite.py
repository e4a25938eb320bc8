"""The LongBench-v2 benchmark: multiple-choice questions of six domains."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.scoring.choice import LETTERS, score_choice, stated
from benchmarks.sources.hub import GENERATED
from benchmarks.suites.codeqa.corpus import CodeCorpus
from benchmarks.suites.codeqa.generator import generated_sample as code_sample
from benchmarks.suites.codeqa.rows import REVISION
from benchmarks.suites.data import DataSuite, Generated, SuiteData, always
from benchmarks.suites.longbench_v2.domains import CLASSES, KEYS, ChoiceTarget, DomainKey, LengthClass
from benchmarks.suites.longbench_v2.generator import GENERATOR, SHORTEST, generated_sample
from benchmarks.suites.longbench_v2.rows import DomainRows
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from rlm.models.tokens import DEFAULT_ENCODING

Domains = Annotated[tuple[DomainKey, ...], MinLen(1)]
Classes = Annotated[tuple[LengthClass, ...], MinLen(1)]
Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]


class LongBenchV2(DataSuite):
    """LongBench-v2's questions, or generated ones in the same form. A target is a ChoiceTarget.

    source: `generated`, `hub`, or the path of rows. domains: of the questions; generated ones in turn. classes: the
    length classes of rows. lengths, samples, seed, encoding, packages: settings of generated samples; a length is the
    number of tokens of a complete prompt, samples are for each length, packages are those of CodeQA.
    """

    name = "longbench_v2"
    metric = "accuracy"
    scorer = "longbench-v2-letter-2"
    protected = False
    # No limit: a cut would remove the choice at the end of an answer, and a flood gains nothing, as one letter counts.
    max_answer_tokens = None
    grows_by = ("lengths", "samples")

    def __init__(
        self,
        source: str = GENERATED,
        revision: str = REVISION,
        domains: Domains = KEYS,
        classes: Classes = CLASSES,
        lengths: Lengths = (8192,),
        samples: SampleCount = 24,
        seed: Annotated[int, Ge(0)] = 0,
        packages: tuple[str, ...] = (),
        encoding: Encoding = DEFAULT_ENCODING,
    ) -> None:
        corpus = CodeCorpus(packages, encoding)
        planned: list[tuple[SampleInfo, tuple[int, str, int]]] = []
        for index, length in itertools.product(range(samples), lengths):
            domain = domains[index % len(domains)]
            sample_id = f"longbench-{domain}-{length}-{index:03d}"
            plan = length, domain, index // len(domains)
            planned.append((SampleInfo(sample_id, sample_id, domain, "constant", length), plan))

        def build(info: SampleInfo, plan: tuple[int, str, int]) -> Sample:
            length, domain, index = plan
            if domain != "code":
                return generated_sample(info, length, domain, index, seed, encoding)
            sample = code_sample(corpus, info, length, index, seed)
            return replace(sample, target=ChoiceTarget(sample.target.letter, sample.target.choices))

        def made() -> Mapping[str, Any]:
            made_of = {"source": GENERATED, "generator": GENERATOR, "seed": seed, "encoding": encoding}
            return made_of | (corpus.provenance() if "code" in domains else {})

        self._data: SuiteData = (
            DomainRows(source, revision, domains, classes) if source != GENERATED else Generated(planned, build, made)
        )

    async def score(self, target: ChoiceTarget, answer: str | None, judge: Judge | None = None) -> Score:
        score = await asyncio.to_thread(score_choice, target.letter, target.choices, answer)
        return replace(score, details={"difficulty": target.difficulty, "length_class": target.length_class})

    def oracle(self, target: ChoiceTarget) -> str:
        return stated(target.letter)

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return each choice, and a flood of all choices."""
        answers = list(map(stated, LETTERS))
        return [always(answer) for answer in (*answers, "\n".join(reversed(answers)))]

    def target_of(self, row: Mapping[str, Any]) -> ChoiceTarget:
        letter = str(row.get("target", "")).strip().strip("()")
        if letter not in tuple(LETTERS):
            raise ValueError(f"target is {row.get('target')!r}: expected the letter A, B, C or D")
        return ChoiceTarget(letter)

    def target_bytes(self, target: ChoiceTarget) -> bytes:
        return json.dumps(target.letter).encode()
