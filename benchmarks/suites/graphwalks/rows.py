"""Reads GraphWalks samples from the rows of OpenAI's data set, on the hub or in a local copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HubData, Source
from benchmarks.suites.data import in_turns
from benchmarks.suites.graphwalks.prompt import LAYOUT, OPERATION
from rlm.prompt import Prompt

if TYPE_CHECKING:
    from datasets import Dataset

# The commit after the correction of February 2026: right parents, and a search at exactly the depth.
REPO, REVISION = "openai/graphwalks", "be6cc6ecf9b4d495b07d1ff53d2a16598e90fed7"
# The files of the data set with their numbers of rows, by the longest prompts in tokens.
FILES = {131072: ("graphwalks_128k_and_shorter.*", 750), 1048576: ("graphwalks_256k_to_1mil.*", 400)}
_TYPES = {"prompt": str, "answer_nodes": list, "problem_type": str}


class GraphRows:
    """The rows of some problems and lengths, read on first use.

    lengths: 131072 and 1048576, the longest prompts of the data set's two files. samples: the maximum number of rows of
    each length, with the problems in turn. Raises DataError.
    """

    def __init__(
        self, where: str, revision: str, problems: Sequence[str], lengths: Sequence[int], samples: int
    ) -> None:
        if unknown := [length for length in lengths if length not in FILES]:
            raise ValueError(
                f"benchmark.graphwalks.lengths is {list(lengths)}: expected lengths of the data set, "
                f"{' and '.join(map(str, FILES))}, not {unknown[0]}"
            )
        self._where, self._revision = where, revision
        self._problems, self._lengths, self._samples = tuple(problems), tuple(lengths), samples

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        """Return the samples by id: the lengths and the problems in turn."""
        of_length = []
        for length in self._lengths:
            found: dict[str, list[SampleInfo]] = {problem: [] for problem in self._problems}
            for place, problem in enumerate(self._tables[length]["problem_type"]):
                if problem in found:
                    sample_id = f"graphwalks-{length}-{place:03d}"
                    found[problem].append(SampleInfo(sample_id, sample_id, problem, "constant", length))
            if not any(found.values()):
                raise DataError(
                    f"{self._source(length).origin}: found no row with problem_type {' or '.join(self._problems)}"
                )
            of_length.append(in_turns(found.values())[: self._samples])
        return {info.sample_id: info for info in in_turns(of_length)}

    def sample(self, sample_id: str) -> Sample:
        info = self.infos[sample_id]
        assert info.length is not None
        row = self._tables[info.length][int(sample_id.rpartition("-")[2])]
        target = tuple(sorted(map(str, row["answer_nodes"])))
        context, mark, rest = row["prompt"].rpartition(OPERATION)
        # `{context}` and a line end come before the operation, as the layout has them.
        if not context.endswith("\n"):
            return Sample(info, Prompt(row["prompt"]), target)
        return Sample(info, Prompt(context[:-1], (mark + rest).rstrip("\n"), LAYOUT), target)

    def provenance(self) -> Mapping[str, Any]:
        return {str(length): self._source(length).identity() for length in self._lengths}

    def _source(self, length: int) -> Source:
        hub = HubData(REPO, self._revision, files=(FILES[length][0],))
        return Source(self._where, hub, "benchmark.graphwalks.source")

    @cached_property
    def _tables(self) -> dict[int, Dataset]:
        return {
            length: self._source(length).table(tuple(_TYPES), count=FILES[length][1], types=_TYPES)
            for length in self._lengths
        }
