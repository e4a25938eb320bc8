"""The CodeQA benchmark: multiple-choice questions over code, from LongBench-v2 or about installed packages."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.scoring.choice import LETTERS
from benchmarks.sources.hub import GENERATED
from benchmarks.suites.codeqa.corpus import CodeCorpus
from benchmarks.suites.codeqa.generator import GENERATOR, SHORTEST, generated_sample, kind_of
from benchmarks.suites.codeqa.number_scorer import score_number
from benchmarks.suites.codeqa.prompt import NUMBERS, AnswerForm, answer_of
from benchmarks.suites.codeqa.rows import REVISION, LongBenchRows
from benchmarks.suites.codeqa.scorer import CodeTarget, score_answer
from benchmarks.suites.data import DataSuite, Generated, SuiteData, always
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from rlm.models.tokens import DEFAULT_ENCODING

Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]


class CodeQA(DataSuite):
    """LongBench-v2's questions on code repositories, or generated ones in the same form. A target is a CodeTarget.

    source: `generated`, `hub`, or the path of LongBench-v2 rows. lengths, samples, seed, packages, encoding: settings
    of generated samples; a length is the number of tokens of a complete prompt. answer_form: `letters` as LongBench-v2,
    or `numbers` as the paper: choices 0 to 3, and the answer is one number.
    """

    name = "codeqa"
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
        lengths: Lengths = (1024,),
        samples: SampleCount = 8,
        seed: Annotated[int, Ge(0)] = 0,
        packages: tuple[str, ...] = (),
        encoding: Encoding = DEFAULT_ENCODING,
        answer_form: AnswerForm = "letters",
    ) -> None:
        self._form: AnswerForm = answer_form
        if answer_form == "numbers":
            self.scorer = "codeqa-number-1"
        corpus = CodeCorpus(packages, encoding)
        planned: list[tuple[SampleInfo, tuple[int, int]]] = []
        for length, index in itertools.product(lengths, range(samples)):
            sample_id = f"codeqa-{length}-{index:03d}"
            info = SampleInfo(sample_id, sample_id, kind_of(length, index), "constant", length)
            planned.append((info, (length, index)))

        def build(info: SampleInfo, plan: tuple[int, int]) -> Sample:
            return generated_sample(corpus, info, *plan, seed, answer_form)

        def made() -> Mapping[str, Any]:
            made_of = {"source": GENERATED, "generator": GENERATOR, "seed": seed, "encoding": encoding}
            return made_of | corpus.provenance()

        rows = source != GENERATED
        self._data: SuiteData = (
            LongBenchRows(source, revision, answer_form) if rows else Generated(planned, build, made)
        )

    async def score(self, target: CodeTarget, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_answer if self._form == "letters" else score_number, target, answer)

    def oracle(self, target: CodeTarget) -> str:
        return answer_of(target.letter, self._form)

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Each choice, and a flood of all choices."""
        answers = [answer_of(letter, self._form) for letter in LETTERS]
        return [always(answer) for answer in (*answers, "\n".join(reversed(answers)))]

    def target_of(self, row: Mapping[str, Any]) -> CodeTarget:
        mark = str(row.get("target", "")).strip().strip("()")
        if mark in tuple(LETTERS):
            return CodeTarget(mark)
        if self._form == "numbers" and mark in tuple(NUMBERS):
            return CodeTarget(LETTERS[NUMBERS.index(mark)])
        numbers = ", or a number from 0 to 3" if self._form == "numbers" else ""
        raise ValueError(f"target is {row.get('target')!r}: expected the letter A, B, C or D{numbers}")

    def target_bytes(self, target: CodeTarget) -> bytes:
        return json.dumps(target.letter if self._form == "letters" else LETTERS.index(target.letter)).encode()

    def provenance(self) -> Mapping[str, Any]:
        return {**super().provenance(), "answer_form": self._form}
