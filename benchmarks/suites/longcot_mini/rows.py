"""Reads LongCoT-Mini from the hub, from a copy of its files, or from the JSON files of the official repository."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.files import DataError, Row
from benchmarks.sources.hub import HUB, ID, HubData, Source
from benchmarks.suites.data import in_turns
from benchmarks.suites.longcot_mini.boards import placement
from benchmarks.suites.longcot_mini.extraction import INTEGER
from benchmarks.suites.longcot_mini.instances import facts_of
from benchmarks.suites.longcot_mini.prompt import LAYOUT
from benchmarks.suites.longcot_mini.templates import CHEMISTRY, DOMAIN_OF, LOGIC, MATH, OBJECTS, ROWS, LongCoTTarget
from rlm.prompt import Prompt

REPO, REVISION = "LongHorizonReasoning/longcot", "7f9948570f5239f0f3697c6c9793b4866860c681"
_COLUMNS = ("question_id", "template", "prompt", "answer")
_TYPES = {"question_id": ID, "template": str, "prompt": str}


class LongCoTRows:
    """The questions of some domains in the easy split, with the templates in turn, read on first use.

    samples: the maximum number of questions. Raises DataError.
    """

    def __init__(self, where: str, revision: str, domains: Sequence[str], samples: int) -> None:
        self._where, self._revision = where, revision
        self._domains, self._samples = tuple(domains), samples

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        of_template: dict[str, list[SampleInfo]] = {}
        for sample_id, row in self._rows.items():
            template = row["template"]
            group = f"{DOMAIN_OF[template]}: {template}"
            of_template.setdefault(template, []).append(SampleInfo(sample_id, sample_id, group, "constant"))
        chosen = in_turns(of_template.values())[: self._samples]
        return {info.sample_id: info for info in chosen}

    def sample(self, sample_id: str) -> Sample:
        info, row = self.infos[sample_id], self._rows[sample_id]
        prompt = row["prompt"].strip("\n")
        # The form of the answer is in the last lines of every prompt.
        context, _, query = prompt.rpartition("\n")
        target = self._target(sample_id, row)
        return Sample(info, Prompt(context, query, LAYOUT) if context else Prompt(prompt), target)

    def provenance(self) -> Mapping[str, Any]:
        return {domain: self._source(domain).identity() for domain in self._domains}

    def _source(self, domain: str) -> Source:
        hub = HubData(REPO, self._revision, "easy", files=(f"*{domain}/easy.*",))
        return Source(self._where, hub, "benchmark.longcot_mini.source")

    @cached_property
    def _rows(self) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for domain in self._domains:
            for row in self._of_domain(domain):
                sample_id = f"longcot-{domain}-{row['question_id']}"
                if sample_id in found:
                    origin = self._source(domain).origin
                    raise DataError(f"{origin}: two rows have the question_id {row['question_id']}")
                found[sample_id] = row
        return found

    def _of_domain(self, domain: str) -> Iterator[Row]:
        source, found = self._source(domain), False
        for number, row in enumerate(self._read(source, domain), 1):
            for column, allowed in _TYPES.items():
                if not isinstance(row.get(column), allowed) or row[column] == "":
                    raise DataError(
                        f"{source.origin}, {domain}, row {number}: {column} is {row.get(column)!r:.60}: expected "
                        f"{'a string' if allowed is str else 'a string or an integer'}"
                    )
            if DOMAIN_OF.get(row["template"]) == domain:
                found = True
                yield row
            elif row["template"] not in (*DOMAIN_OF, *CHEMISTRY):
                raise DataError(
                    f"{source.origin}, {domain}, row {number}: template is {row['template']!r}: expected one of "
                    f"{', '.join(name for name, each in DOMAIN_OF.items() if each == domain)}"
                )
        if not found:
            raise DataError(
                f"{source.origin}: found no row of {domain}: expected rows of each domain in "
                "benchmark.longcot_mini.domains"
            )

    def _read(self, source: Source, domain: str) -> Iterator[Row]:
        """Yield rows with a template, of the hub's form or of the official repository's."""
        if self._where == HUB:
            yield from source.rows(_COLUMNS, count=ROWS[domain])
            return
        for row in source.rows((), optional=(*_COLUMNS, "problem", "questions")):
            for each in row["questions"] if isinstance(row["questions"], list) else [row]:
                if not isinstance(each, Mapping):
                    raise DataError(f"{source.origin}: questions holds {each!r:.60}: expected an object")
                problem = each.get("problem")
                # The repository has answers as values, the hub has them as JSON.
                yield {**each, "template": problem.get("template")} if isinstance(problem, Mapping) else dict(each)

    def _target(self, sample_id: str, row: Row) -> LongCoTTarget:
        template, answer = row["template"], row["answer"]
        if isinstance(answer, str) and not isinstance(row.get("problem"), Mapping):
            # A text without quotes, such as a FEN, is kept unchanged.
            with contextlib.suppress(ValueError, RecursionError):
                answer = json.loads(answer)
        try:
            facts = facts_of(template, row["prompt"]) if template in LOGIC else _answer_facts(template, answer)
        except ValueError as error:
            raise DataError(f"{self._where}, {sample_id}: {error}") from error
        return LongCoTTarget(template, facts, row["prompt"] if template in MATH else "")


def _answer_facts(template: str, answer: Any) -> dict[str, Any]:
    """Return the facts of a question with a known answer. Raises ValueError for an answer of another form."""
    if template in MATH:
        parts = answer if isinstance(answer, list) else []
        if parts and all(isinstance(part, str | int | float) for part in parts):
            return {"parts": [str(part).strip() for part in parts]}
    elif template in OBJECTS:
        if isinstance(answer, dict):
            return {"value": answer}
    elif template == "DistMem":
        if isinstance(answer, list) and answer and all(type(item) is int for item in answer):
            return {"value": answer}
    elif template == "uci_to_fen":
        if isinstance(answer, str) and placement(answer):
            return {"value": answer}
    elif found := INTEGER.search(str(answer)):
        return {"value": int(found[0])}
    raise ValueError(f"answer is {answer!r:.80}: expected the form of {template}")
