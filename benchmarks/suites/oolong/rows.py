"""Reads OOLONG samples from the rows of oolong-synth, on the hub or in a local copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from benchmarks.suites.oolong.windows import LabelledWindow, labelled_window

OOLONG_SYNTH = HubData("oolongbench/oolong-synth", "f0d59eaf0febf130664cfceb710436c8e3216b2b", "validation")
DATASET = "trec_coarse"
# The number of rows on the hub by length. The paper's length has two windows with 25 questions each.
_KNOWN_ROWS = {131072: 50}
_COLUMNS = ("id", "context_window_id", "context_len", "question", "task_group", "task", "answer", "answer_type")
_TYPES = {"id": ID, "context_window_id": ID, "question": str, "answer_type": str}
_TEXTS = ("context_window_text", "context_window_text_with_labels")


def read_window(source: Source, **match: Any) -> LabelledWindow:
    """Read the first trec_coarse window of a source whose columns match."""
    row = next(source.rows(_TEXTS, {"dataset": DATASET} | match, types=dict.fromkeys(_TEXTS, str)))
    text, labelled = (row[column] for column in _TEXTS)
    window_id = str(match.get("context_window_id", match["context_len"]))
    return LabelledWindow(window_id, text, labelled_window(window_id, labelled).lines)


class OolongRows:
    """Samples from rows of oolong-synth, read on first use.

    where: `hub` or a path. lengths: values of `context_len`. samples: the maximum number of samples of each length.
    frame: text before each question.
    """

    def __init__(self, where: str, lengths: Sequence[int], samples: int, frame: str = "") -> None:
        self.source = Source(where, OOLONG_SYNTH, "benchmark.oolong.source")
        self._lengths, self._samples, self._frame = lengths, samples, frame
        self._window = lru_cache(maxsize=4)(self._read_window)

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        """Return the samples by id. Raises DataError."""
        return {sample_id: info for sample_id, (info, _) in self._rows.items()}

    def sample(self, sample_id: str) -> Sample:
        info, row = self._rows[sample_id]
        window = self._window(info.length, row["context_window_id"])
        try:
            gold = Gold.of(row["answer"], row["answer_type"])
        except ValueError as error:
            raise DataError(f"{self.source.origin}, row with id {row['id']!r}: {error}") from error
        task = str(row["task"]).rpartition(".")[2]
        question = parsed_question(row["question"], gold, window.lines)
        prompt = prompt_of(window, row["question"], frame=self._frame)
        return Sample(info, prompt, OolongTarget(gold, task, window.lines, question))

    def provenance(self) -> Mapping[str, Any]:
        return self.source.identity()

    @cached_property
    def _rows(self) -> dict[str, tuple[SampleInfo, Mapping[str, Any]]]:
        by_length: dict[int, list[Mapping[str, Any]]] = {length: [] for length in self._lengths}
        match = {"dataset": DATASET, "context_len": self._lengths}
        for row in self.source.rows(_COLUMNS, match, types=_TYPES):
            by_length[int(row["context_len"])].append(row)
        for length, rows in by_length.items():
            expected = _KNOWN_ROWS.get(length) if self.source.where == HUB else None
            if not rows or expected not in (None, len(rows)):
                raise DataError(
                    f"{self.source.origin}: found {len(rows)} rows with dataset {DATASET!r} and context_len {length}: "
                    f"expected {expected or 'at least one'}"
                )
        planned: dict[str, tuple[SampleInfo, Mapping[str, Any]]] = {}
        columns = [_in_turns(rows)[: self._samples] for rows in by_length.values()]
        for one in in_turns(columns):
            sample_id, length = str(one["id"]), int(one["context_len"])
            if sample_id in planned:
                raise DataError(f"{self.source.origin}: two rows have the id {sample_id!r}")
            cluster = f"window-{one['context_window_id']}"
            planned[sample_id] = SampleInfo(sample_id, cluster, str(one["task_group"]), "linear", length), one
        return planned

    def _read_window(self, length: int, window_id: str | int) -> LabelledWindow:
        return read_window(self.source, context_len=length, context_window_id=window_id)


def _in_turns(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Order rows by windows in turn, and groups in turn within a window, so that the first rows are representative."""
    seen: dict[tuple[str, str], int] = {}
    keyed = []
    for row in rows:
        key = (str(row["context_window_id"]), str(row["task_group"]))
        seen[key] = seen.get(key, 0) + 1
        keyed.append(((seen[key], key[1], key[0]), row))
    return [row for _, row in sorted(keyed, key=lambda each: each[0])]
