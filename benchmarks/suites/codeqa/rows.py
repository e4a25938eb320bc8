"""Reads CodeQA samples from the rows of LongBench-v2's code domain, on the hub or in a local copy."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from benchmarks.sample import Sample, SampleInfo
from benchmarks.scoring.choice import LETTERS
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HubData, Source
from benchmarks.suites.codeqa.prompt import LAYOUT, LONGBENCH_ENDING, AnswerForm, query_of
from benchmarks.suites.codeqa.scorer import CodeTarget
from rlm.prompt import Prompt

if TYPE_CHECKING:
    from datasets import Dataset

REPO, REVISION = "zai-org/LongBench-v2", "2b48e494f2c7a2f0af81aae178e05c7e1dde0fe9"
# Rows are selected by domain, because the sub-domain is spelt `Code repo QA` in the data and `Code Repo QA` elsewhere.
_DOMAIN = "Code Repository Understanding"
_DOMAIN_ROWS = 50
_CHOICES = tuple(f"choice_{letter}" for letter in LETTERS)
_COLUMNS = ("_id", "difficulty", "length", "question", *_CHOICES, "answer", "context")
_TYPES = dict.fromkeys(("_id", "difficulty", "question", *_CHOICES, "answer", "context"), str)


class LongBenchRows:
    """The rows of the code domain, read on first use. Raises DataError."""

    def __init__(self, where: str, revision: str, form: AnswerForm = "letters") -> None:
        self._form = form
        self._source = Source(where, HubData(REPO, revision, "train"), "benchmark.codeqa.source")

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        """Return the samples by id, in the order of the rows."""
        rows = self._table.select_columns(["_id", "difficulty"]).to_list()
        return {
            row["_id"]: SampleInfo(row["_id"], row["_id"], f"difficulty_{row['difficulty']}", "constant")
            for row in rows
        }

    def sample(self, sample_id: str) -> Sample:
        info, row = self.infos[sample_id], self._table[self._places[sample_id]]
        choices = tuple(row[name] for name in _CHOICES)
        query = query_of(row["question"], choices, self._form, LONGBENCH_ENDING)
        return Sample(info, Prompt(row["context"], query, LAYOUT), CodeTarget(row["answer"], choices))

    def provenance(self) -> dict[str, object]:
        return self._source.identity() | {"rows": len(self._table), "domain": _DOMAIN}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {sample_id: place for place, sample_id in enumerate(self.infos)}

    @cached_property
    def _table(self) -> Dataset:
        table = self._source.table(_COLUMNS, {"domain": _DOMAIN}, count=_DOMAIN_ROWS, types=_TYPES)
        check_rows(self._source, table)
        return table


def check_rows(source: Source, table: Dataset) -> None:
    """Raise DataError if two rows have the same id, or if an answer is not a letter."""
    seen = set()
    for row in table.select_columns(["_id", "answer"]):
        if row["_id"] in seen:
            raise DataError(f"{source.origin}: two rows have the _id {row['_id']!r}")
        seen.add(row["_id"])
        if row["answer"] not in tuple(LETTERS):
            raise DataError(f"{source.origin}, row {row['_id']}: answer is {row['answer']!r}: expected A, B, C or D")
