"""Reads OOLONG samples from the rows of oolong-synth, on the hub or in a local copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HUB, ID, HubData, Source
from benchmarks.suites.data import in_turns
from benchmarks.suites.oolong.gold import Gold
from benchmarks.suites.oolong.parse import parsed_question
from benchmarks.suites.oolong.prompt import prompt_of
from benchmarks.suites.oolong.scorer import OolongTarget
from benchmarks.suites.oolong.subsets import SUBSETS, TREC_COARSE, Subset, group_of
from benchmarks.suites.oolong.windows import LabelledWindow, labelled_window

OOLONG_SYNTH = HubData("oolongbench/oolong-synth", "f0d59eaf0febf130664cfceb710436c8e3216b2b", "validation")
# The number of rows of a subset on the hub by length. The paper's length has two windows with 25 questions each.
_KNOWN_ROWS = {131072: 50}
_COLUMNS = ("id", "context_window_id", "context_len", "question", "task_group", "task", "answer", "answer_type")
_TYPES = {"id": ID, "context_window_id": ID, "question": str, "answer_type": str}
_TEXTS = ("context_window_text", "context_window_text_with_labels")


def read_window(source: Source, subset: Subset = TREC_COARSE, **match: Any) -> LabelledWindow:
    """Read the first window of a subset whose columns match."""
    row = next(source.rows(_TEXTS, {"dataset": subset.name} | match, types=dict.fromkeys(_TEXTS, str)))
    text, labelled = (row[column] for column in _TEXTS)
    window_id = str(match.get("context_window_id", match["context_len"]))
    return LabelledWindow(window_id, text, labelled_window(window_id, labelled, subset.labels).lines)


class OolongRows:
    """Samples from rows of oolong-synth, read on first use.

    where: `hub` or a path. subsets: names. lengths: values of `context_len`. samples: the maximum number of samples of
    each length and subset. frame: text before each question.
    """

    def __init__(
        self, where: str, subsets: Sequence[str], lengths: Sequence[int], samples: int, frame: str = ""
    ) -> None:
        self._subsets = [SUBSETS[name] for name in subsets]
        self._sources = {
            subset.split: Source(where, replace(OOLONG_SYNTH, split=subset.split), "benchmark.oolong.source")
            for subset in self._subsets
        }
        self._lengths, self._samples, self._frame = lengths, samples, frame
        self._window = lru_cache(maxsize=4)(self._read_window)

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        """Return the samples by id. Raises DataError."""
        return {sample_id: info for sample_id, (info, _, _) in self._rows.items()}

    def sample(self, sample_id: str) -> Sample:
        info, subset, row = self._rows[sample_id]
        window = self._window(subset.name, info.length, row["context_window_id"])
        try:
            gold = Gold.of(row["answer"], row["answer_type"])
        except ValueError as error:
            raise DataError(f"{self._sources[subset.split].origin}, row with id {row['id']!r}: {error}") from error
        task = str(row["task"]).rpartition(".")[2]
        question = parsed_question(row["question"], gold, window.lines)
        prompt = prompt_of(window, row["question"], frame=self._frame)
        return Sample(info, prompt, OolongTarget(gold, task, window.lines, question))

    def provenance(self) -> Mapping[str, Any]:
        identities = {split: source.identity() for split, source in self._sources.items()}
        return identities if len(identities) > 1 else next(iter(identities.values()))

    @cached_property
    def _rows(self) -> dict[str, tuple[SampleInfo, Subset, Mapping[str, Any]]]:
        by_subset = {subset.name: self._of_subset(subset) for subset in self._subsets}
        planned: dict[str, tuple[SampleInfo, Subset, Mapping[str, Any]]] = {}
        columns = [
            [(subset, row) for row in _in_turns(by_subset[subset.name][length])[: self._samples]]
            for length in self._lengths
            for subset in self._subsets
        ]
        for subset, one in in_turns(columns):
            sample_id, length = str(one["id"]), int(one["context_len"])
            if sample_id in planned:
                raise DataError(f"{self._sources[subset.split].origin}: two rows have the id {sample_id!r}")
            cluster = "-".join(filter(None, ("window", subset.prefix, str(one["context_window_id"]))))
            group = group_of(subset, str(one["task_group"]))
            planned[sample_id] = SampleInfo(sample_id, cluster, group, "linear", length), subset, one
        return planned

    def _of_subset(self, subset: Subset) -> dict[int, list[Mapping[str, Any]]]:
        """Read the rows of a subset by length."""
        source = self._sources[subset.split]
        by_length: dict[int, list[Mapping[str, Any]]] = {length: [] for length in self._lengths}
        match = {"dataset": subset.name, "context_len": self._lengths}
        for row in source.rows(_COLUMNS, match, types=_TYPES):
            by_length[int(row["context_len"])].append(row)
        for length, rows in by_length.items():
            expected = _KNOWN_ROWS.get(length) if source.where == HUB else None
            if not rows or expected not in (None, len(rows)):
                raise DataError(
                    f"{source.origin}: found {len(rows)} rows with dataset {subset.name!r} and context_len {length}: "
                    f"expected {expected or 'at least one'}"
                )
        return by_length

    def _read_window(self, name: str, length: int, window_id: str | int) -> LabelledWindow:
        subset = SUBSETS[name]
        return read_window(self._sources[subset.split], subset, context_len=length, context_window_id=window_id)


def _in_turns(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Order rows by windows in turn, and groups in turn within a window, so that the first rows are representative."""
    seen: dict[tuple[str, str], int] = {}
    keyed = []
    for row in rows:
        key = (str(row["context_window_id"]), str(row["task_group"]))
        seen[key] = seen.get(key, 0) + 1
        keyed.append(((seen[key], key[1], key[0]), row))
    return [row for _, row in sorted(keyed, key=lambda each: each[0])]
