"""The custom benchmark: a user's own questions, contexts and answers, scored by a scorer that is chosen by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.scoring.gold import Gold
from benchmarks.scoring.named import named_scorer
from benchmarks.sources.hub import HubData
from benchmarks.suites.custom.columns import Columns, scalar
from benchmarks.suites.custom.prompt import query_of
from benchmarks.suites.custom.rows import CustomRows, letter_of
from rlm.prompt import Prompt

AUTO = "auto"


class Custom:
    """Rows of a table with question, answer and context. A target is a Gold.

    source: the path of a file or folder, or the name of a data set of the hub, to which `revision`, `split` and
    `subset` apply; None has no samples, for `rlm-eval score`. scorer: a name of `benchmarks.scoring.named`, or
    `MODULE:FUNCTION`. instruction: the text after each question. `auto` stands for the scorer's own instruction and
    `max_answer_tokens`. root: the folder of files that rows name.
    """

    protected = False

    def __init__(
        self,
        source: Annotated[str, MinLen(1)] | None = None,
        revision: Annotated[str, MinLen(1)] = "main",
        split: Annotated[str, MinLen(1)] = "test",
        subset: Annotated[str, MinLen(1)] | None = None,
        scorer: Annotated[str, MinLen(1)] = "exact",
        tolerance: Annotated[float, Ge(0)] = 0.0,
        relative_tolerance: Annotated[float, Ge(0)] = 0.0,
        rubric: Annotated[str, MinLen(1)] | None = None,
        max_answer_tokens: Annotated[int, Ge(1)] | Literal["auto"] | None = "auto",
        instruction: str | None = AUTO,
        root: Annotated[str, MinLen(1)] | None = None,
        columns: Columns = Columns(),  # noqa: B008
        name: Annotated[str, MinLen(1)] = "custom",
    ) -> None:
        self.name = name
        self._scorer = named_scorer(scorer, tolerance, relative_tolerance, rubric)
        self.metric = scorer
        self.scorer = f"custom {self._scorer.id}"
        self.needs_judge = self._scorer.kind == "judge"
        limit = self._scorer.max_answer_tokens if isinstance(max_answer_tokens, str) else max_answer_tokens
        self.max_answer_tokens = limit
        self._instruction = self._scorer.instruction if instruction == AUTO else instruction or ""
        self._rows: CustomRows | None = None
        if source is not None:
            hub = HubData(source, revision, split, subset=subset)
            self._rows = CustomRows(
                f"benchmark.{name}", source, hub, root, columns, self._scorer, self.max_answer_tokens
            )

    def infos(self) -> Sequence[SampleInfo]:
        return list(self._rows.infos.values()) if self._rows else []

    def sample(self, sample_id: str) -> Sample:
        if self._rows is None:
            raise KeyError(sample_id)
        info, row = self._rows.infos[sample_id], self._rows.row(sample_id)
        query = query_of(row.question, row.gold.choices, self._instruction)
        return Sample(info, Prompt(row.context, query), row.gold)

    async def score(self, target: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        return await self._scorer.score(target, answer, judge)

    def oracle(self, target: Gold) -> str:
        return self._scorer.oracle(target)

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        return self._scorer.constants()

    def target_of(self, row: Mapping[str, Any]) -> Gold:
        """Read `target`, one answer or a list; for multiple choice also `choices`, for the judge `question`."""
        given, choices = row.get("target"), tuple(row.get("choices") or ())
        answers = [scalar(one) for one in (given if isinstance(given, list) else [given])]
        if any(answer is None or not answer.strip() for answer in answers):
            raise ValueError(f"target is {given!r:.80}: expected text, a number, or a list of them")
        texts = tuple(answer for answer in answers if answer is not None)
        if self._scorer.kind == "choice":
            texts = tuple(letter_of(text, choices) for text in texts)
        gold = Gold(texts, str(row.get("question") or row.get("query") or ""), choices)
        expected = self._scorer.expected(gold)
        if not texts and self._scorer.kind != "set_f1":
            expected = "at least one answer"
        if expected:
            raise ValueError(f"target is {given!r:.80}: expected {expected}")
        return gold

    def target_bytes(self, target: Gold) -> bytes:
        answers = list(target.answers)
        single = len(answers) == 1 and self._scorer.kind != "set_f1"
        return json.dumps(answers[0] if single else answers).encode()

    def provenance(self) -> Mapping[str, Any]:
        made_of = {"scorer": self._scorer.id, "instruction": self._instruction}
        return made_of | (self._rows.identity() if self._rows else {"source": None})
