"""Reads S-NIAH samples from RULER's own files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.files import DataError, Row
from benchmarks.sources.hub import ID, HubData, Source
from benchmarks.suites.sniah.prompt import layout
from rlm.prompt import CONTEXT_MARK, QUERY_MARK, Prompt

# The required columns with their types.
_TYPES = {"index": ID, "input": str, "outputs": (list, str, int), "length": int}
# The start of the answer, which RULER's client appends to the input. In older files it is part of the input or missing.
_PREFIX = "answer_prefix"


def ruler_source_rows(source: Source) -> Iterator[Row]:
    """Yield the rows of a file in RULER's form. Raises DataError."""
    return source.rows(tuple(_TYPES), types=_TYPES, optional=(_PREFIX,))


def ruler_row(source: Source, row: Row) -> tuple[str, tuple[str, ...]]:
    """Return the complete input of a row, and its answers. Raises DataError."""
    values = row["outputs"] if isinstance(row["outputs"], list) else [row["outputs"]]
    if not values or not all(isinstance(value, str | int) and str(value).strip() for value in values):
        raise DataError(f"{source.origin}, row {row['index']}: outputs is {values!r:.60}: expected a list of answers")
    prefix = row[_PREFIX] or ""
    if not isinstance(prefix, str):
        raise DataError(f"{source.origin}, row {row['index']}: {_PREFIX} is {prefix!r:.60}: expected a string")
    return row["input"] + prefix, tuple(map(str, values))


def split_needle(text: str) -> Prompt:
    """Split an input into its first line, the haystack and its last line, which is the question."""
    head, _, rest = text.partition("\n")
    context, _, query = rest.rpartition("\n")
    if not context:
        return Prompt(text)
    # A placeholder of the layout that occurs in the row's own text must not be filled in.
    for mark in (CONTEXT_MARK, QUERY_MARK):
        head = head.replace(mark, mark.strip("{}"))
    return Prompt(context, query, layout(head))


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
        return Sample(info, split_needle(text), value)

    def provenance(self) -> Mapping[str, Any]:
        return self.source.identity()

    @cached_property
    def _rows(self) -> dict[str, tuple[SampleInfo, str, str]]:
        rows: dict[str, tuple[SampleInfo, str, str]] = {}
        for row in ruler_source_rows(self.source):
            text, values = ruler_row(self.source, row)
            if len(values) != 1:
                raise DataError(
                    f"{self.source.origin}, row {row['index']}: outputs is {list(values)!r:.60}: "
                    "expected one hidden value"
                )
            sample_id = f"ruler-{row['index']}"
            if sample_id in rows:
                sample_id += f"-{len(rows)}"
            info = SampleInfo(sample_id, sample_id, "ruler", "constant", row["length"])
            rows[sample_id] = (info, text, values[0])
        return rows
