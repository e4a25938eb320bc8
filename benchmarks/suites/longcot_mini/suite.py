"""The LongCoT-Mini benchmark: puzzles, traces and problems with short prompts that need long solutions."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.sources.hub import GENERATED
from benchmarks.suites.data import DataSuite, Generated, SuiteData, always
from benchmarks.suites.longcot_mini.generator import (
    GENERATED_TEMPLATES,
    GENERATOR,
    SHORTEST,
    Template,
    generated_sample,
)
from benchmarks.suites.longcot_mini.rows import REVISION, LongCoTRows
from benchmarks.suites.longcot_mini.scorer import score_answer
from benchmarks.suites.longcot_mini.solvers import hanoi_plan, sokoban_moves, stacking_plan, sudoku_grid
from benchmarks.suites.longcot_mini.templates import (
    DOMAIN_OF,
    DOMAINS,
    MATH,
    MODULAR_NUMBERS,
    OBJECTS,
    PLANS,
    Domain,
    LongCoTTarget,
)
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from rlm.models.tokens import DEFAULT_ENCODING

Domains = Annotated[tuple[Domain, ...], MinLen(1), EACH_ONCE]
Templates = Annotated[tuple[Template, ...], MinLen(1), EACH_ONCE]
Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]


class LongCoTMini(DataSuite):
    """Questions that need long solutions, checked by rules. A target is a LongCoTTarget.

    source: `generated`, `hub`, or the path of the data set's files or of the official repository's `src/data`. domains:
    of rows. templates, lengths, seed, encoding: settings of generated puzzles; a length is the number of tokens of a
    complete prompt. samples: the number of puzzles for each length, or of rows in all.
    """

    name = "longcot_mini"
    metric = "accuracy"
    scorer = "longcot-rules-1"
    protected = False
    # No limit: the solution is at the end, and only one value of a flood is read.
    max_answer_tokens = None
    grows_by = ("lengths", "samples")

    def __init__(
        self,
        source: str = GENERATED,
        revision: str = REVISION,
        domains: Domains = DOMAINS,
        templates: Templates = GENERATED_TEMPLATES,
        lengths: Lengths = (1024, 4096),
        samples: SampleCount = 30,
        seed: int = 0,
        encoding: Encoding = DEFAULT_ENCODING,
    ) -> None:
        planned: list[tuple[SampleInfo, tuple[int, Template, int]]] = []
        for index, length in itertools.product(range(samples), lengths):
            template = templates[index % len(templates)]
            sample_id = f"longcot-{template}-{length}-{index:03d}"
            info = SampleInfo(sample_id, sample_id, f"logic: {template}", "linear", length)
            planned.append((info, (length, template, index)))

        def build(info: SampleInfo, plan: tuple[int, Template, int]) -> Sample:
            return generated_sample(info, *plan, seed, encoding)

        def made() -> Mapping[str, Any]:
            return {"source": GENERATED, "generator": GENERATOR, "seed": seed, "encoding": encoding}

        self._data: SuiteData = (
            LongCoTRows(source, revision, domains, samples) if source != GENERATED else Generated(planned, build, made)
        )

    async def score(self, target: LongCoTTarget, answer: str | None, judge: Judge | None = None) -> Score:
        return await score_answer(target, answer, judge)

    def oracle(self, target: LongCoTTarget) -> str:
        return f"solution = {target.solution or _found(target.template, target.facts)}"

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return small numbers, the last list and the last number of the prompt."""
        small = [always(f"solution = {number}") for number in range(-1, 3)]
        return [*small, _last(re.compile(r"\[.*\]")), _last(re.compile(r"\d+"))]

    def target_of(self, row: Mapping[str, Any]) -> LongCoTTarget:
        target = row.get("target")
        template, facts = (target.get(key) if isinstance(target, Mapping) else None for key in ("template", "facts"))
        known = isinstance(template, str) and template in DOMAIN_OF
        if (
            not isinstance(template, str)
            or not known
            or not isinstance(facts, Mapping)
            or _fields(template) - set(facts)
        ):
            fields = ", ".join(sorted(_fields(str(template)))) if known else "the fields of its template"
            raise ValueError(f"target is {target!r:.80}: expected an object with template and facts ({fields})")
        return LongCoTTarget(template, dict(facts))

    def target_bytes(self, target: LongCoTTarget) -> bytes:
        return json.dumps({"template": target.template, "facts": target.facts}, sort_keys=True).encode()


def _found(template: str, facts: Mapping[str, Any]) -> object:
    """Return a right answer to a question."""
    if template in PLANS:
        solve = stacking_plan if template == "BlocksWorld" else hanoi_plan
        return solve(facts["initial"], facts["goal"])
    if template == "Sokoban":
        return sokoban_moves(facts)
    if template == "Sudoku":
        return sudoku_grid(facts["grid"], facts["block"])
    if template in MATH:
        return f"[{', '.join(facts['parts'])}]"
    return json.dumps(facts["value"], ensure_ascii=False) if template in OBJECTS else facts["value"]


def _fields(template: str) -> set[str]:
    if template in PLANS:
        return {"initial", "goal"}
    if template == "Sokoban":
        return {"walls", "goals", "boxes", "player"}
    if template == "Sudoku":
        return {"grid", "block"}
    if template in MATH:
        return {"parts"}
    return {"value", "modulus"} if template in MODULAR_NUMBERS else {"value"}


def _last(pattern: re.Pattern[str]) -> Constant:
    def answer(sample: UnlabelledSample) -> str:
        found = pattern.findall(sample.prompt.context_text)
        return f"solution = {found[-1] if found else ''}"

    return answer
