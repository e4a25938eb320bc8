"""Reads the rows of LongBench-v2's domains, on the hub or in a local copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.scoring.choice import LETTERS
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HubData, Source
from benchmarks.suites.codeqa.prompt import LAYOUT as CODE_LAYOUT
from benchmarks.suites.codeqa.prompt import LONGBENCH_ENDING, query_of
from benchmarks.suites.codeqa.rows import REPO, check_rows
from benchmarks.suites.longbench_v2.domains import CLASSES, DOMAINS, ChoiceTarget
from benchmarks.suites.longbench_v2.prompt import LAYOUT
from rlm.prompt import Prompt

if TYPE_CHECKING:
    from datasets import Dataset

_CHOICES = tuple(f"choice_{letter}" for letter in LETTERS)
_LABELS = ("_id", "domain", "sub_domain", "difficulty", "length")
_COLUMNS = (*_LABELS, "question", *_CHOICES, "answer", "context")
_TYPES = dict.fromkeys(_COLUMNS, str)


class DomainRows:
    """The rows of some domains and length classes, in the order of the file, read on first use. Raises DataError."""

    def __init__(self, where: str, revision: str, domains: Sequence[str], classes: Sequence[str]) -> None:
        self._source = Source(where, HubData(REPO, revision, "train"), "benchmark.longbench_v2.source")
        self._keys = {DOMAINS[key].name: key for key in domains}
        self._classes = tuple(classes)

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        found = {}
        for row in self._table.select_columns(list(_LABELS)):
            if row["length"] not in CLASSES:
                raise DataError(
                    f"{self._source.origin}, row {row['_id']}: length is {row['length']!r}: "
                    f"expected {', '.join(CLASSES)}"
                )
            if row["length"] in self._classes:
                group = f"{self._keys[row['domain']]}: {row['sub_domain']}"
                found[row["_id"]] = SampleInfo(row["_id"], row["_id"], group, "constant")
        if not found:
            raise DataError(f"{self._source.origin}: found no row with length {' or '.join(self._classes)}")
        return found

    def sample(self, sample_id: str) -> Sample:
        info, row = self.infos[sample_id], self._table[self._places[sample_id]]
        choices = tuple(row[name] for name in _CHOICES)
        query = query_of(row["question"], choices, ending=LONGBENCH_ENDING)
        layout = CODE_LAYOUT if self._keys[row["domain"]] == "code" else LAYOUT
        target = ChoiceTarget(row["answer"], choices, row["difficulty"], row["length"])
        return Sample(info, Prompt(row["context"], query, layout), target)

    def provenance(self) -> Mapping[str, Any]:
        return self._source.identity() | {"domains": list(self._keys), "classes": list(self._classes)}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {sample_id: place for place, sample_id in enumerate(self._table["_id"])}

    @cached_property
    def _table(self) -> Dataset:
        count = sum(DOMAINS[key].rows for key in self._keys.values())
        table = self._source.table(_COLUMNS, {"domain": tuple(self._keys)}, count=count, types=_TYPES)
        check_rows(self._source, table)
        return table
