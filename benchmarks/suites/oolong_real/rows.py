"""Reads the rows of oolong-real, on the hub or in a local copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import ID, HubData, Source
from benchmarks.suites.data import in_turns
from benchmarks.suites.oolong.prompt import LAYOUT
from benchmarks.suites.oolong_real.scorer import is_empty
from rlm.prompt import Prompt

REPO, REVISION = "oolongbench/oolong-real", "6bc9ef04866fcf005c9749b70649be69dd37fffb"
_COLUMNS = ("id", "context_window_id", "question", "answer", "question_type", "episodes")
_TYPES = {
    "id": ID, "context_window_id": ID, "question": str, "answer": str, "question_type": str, "episodes": list,
}  # fmt: skip
_TEXT = "context_window_text"


class RealRows:
    """Samples from rows with some numbers of episodes, read on first use.

    where: `hub` or a path. config: `dnd` or `toy_dnd`. episodes: numbers of episodes in a window, in turn. samples: the
    maximum number of samples for each. Raises DataError.
    """

    def __init__(
        self, where: str, revision: str, config: str, split: str, episodes: Sequence[int], samples: int
    ) -> None:
        self._source = Source(where, HubData(REPO, revision, split, subset=config), "benchmark.oolong_real.source")
        self._episodes, self._samples = tuple(episodes), samples
        self._text = lru_cache(maxsize=4)(self._read_text)

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        return {sample_id: info for sample_id, (info, _) in self._rows.items()}

    def sample(self, sample_id: str) -> Sample:
        info, row = self._rows[sample_id]
        return Sample(info, Prompt(self._text(row["context_window_id"]), row["question"], LAYOUT), row["answer"])

    def provenance(self) -> Mapping[str, Any]:
        return {**self._source.identity(), "split": self._source.hub.split, "episodes": list(self._episodes)}

    @cached_property
    def _rows(self) -> dict[str, tuple[SampleInfo, Mapping[str, Any]]]:
        """The rows by sample id; numbers of episodes, windows and types of questions take turns."""
        found: dict[int, dict[tuple[str, str], list[Mapping[str, Any]]]] = {number: {} for number in self._episodes}
        for row in self._source.rows(_COLUMNS, types=_TYPES):
            number = len(row["episodes"])
            if number in found:
                if is_empty(row["answer"]):
                    raise DataError(
                        f"{self._source.origin}, row {row['id']}: answer is {row['answer']!r}: expected text"
                    )
                key = str(row["context_window_id"]), row["question_type"]
                found[number].setdefault(key, []).append(row)
        for number, groups in found.items():
            if not groups:
                raise DataError(f"{self._source.origin}: found no row with {number} episodes; change episodes")
        columns = [in_turns(groups.values())[: self._samples] for groups in found.values()]
        planned: dict[str, tuple[SampleInfo, Mapping[str, Any]]] = {}
        for one in in_turns(columns):
            sample_id = str(one["id"])
            if sample_id in planned:
                raise DataError(f"{self._source.origin}: two rows have the id {sample_id!r}")
            cluster = f"window-{one['context_window_id']}"
            planned[sample_id] = SampleInfo(sample_id, cluster, one["question_type"], "linear"), one
        return planned

    def _read_text(self, window_id: str | int) -> str:
        row = next(self._source.rows((_TEXT,), {"context_window_id": window_id}, types={_TEXT: str}))
        text: str = row[_TEXT]
        return text
