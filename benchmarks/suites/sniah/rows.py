"""Reads S-NIAH samples from RULER's own files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import ID, HubData, Source
from benchmarks.suites.sniah.prompt import layout
from rlm.prompt import CONTEXT_MARK, QUERY_MARK, Prompt

# The required columns with their types.
_TYPES = {"index": ID, "input": str, "outputs": (list, str, int), "length": int}
# The start of the answer, which RULER's client appends to the input. In older files it is part of the input or missing.
_PREFIX = "answer_prefix"


class RulerRows:
    """The samples of a file with RULER rows {index, input, outputs, length, answer_prefix}, read on first use.

    `answer_prefix` may be missing.
    """

    def __init__(self, path: str) -> None:
        self.source = Source(path, HubData("RULER niah_single", "local"), "benchmark.sniah.source")

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        """Return the samples by id. Raises DataError."""
        return {sample_id: info for sample_id, (info, _, _) in self._rows.items()}

    def sample(self, sample_id: str) -> Sample:
        info, text, value = self._rows[sample_id]
        head, _, rest = text.partition("\n")
        context, _, query = rest.rpartition("\n")
        if not context:
            return Sample(info, Prompt(text), value)
        # A placeholder of the layout that occurs in the row's own text must not be filled in.
        for mark in (CONTEXT_MARK, QUERY_MARK):
            head = head.replace(mark, mark.strip("{}"))
        return Sample(info, Prompt(context, query, layout(head)), value)

    def provenance(self) -> Mapping[str, Any]:
        return self.source.identity()

    @cached_property
    def _rows(self) -> dict[str, tuple[SampleInfo, str, str]]:
        rows: dict[str, tuple[SampleInfo, str, str]] = {}
        for row in self.source.rows(tuple(_TYPES), types=_TYPES, optional=(_PREFIX,)):
            values = row["outputs"] if isinstance(row["outputs"], list) else [row["outputs"]]
            if len(values) != 1 or not isinstance(values[0], str | int) or not str(values[0]).strip():
                raise DataError(
                    f"{self.source.origin}, row {row['index']}: outputs is {values!r:.60}: expected one hidden value"
                )
            prefix = row[_PREFIX] or ""
            if not isinstance(prefix, str):
                raise DataError(
                    f"{self.source.origin}, row {row['index']}: {_PREFIX} is {prefix!r:.60}: expected a string"
                )
            sample_id = f"ruler-{row['index']}"
            if sample_id in rows:
                sample_id += f"-{len(rows)}"
            info = SampleInfo(sample_id, sample_id, "ruler", "constant", row["length"])
            rows[sample_id] = (info, row["input"] + prefix, str(values[0]))
        return rows
