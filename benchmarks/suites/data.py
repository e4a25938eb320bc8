"""The samples of a suite: read from rows, or planned and generated one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from benchmarks.sample import Sample, SampleInfo

# The data from which a generator builds one sample, such as a length and an index.
Plan = TypeVar("Plan")
Item = TypeVar("Item")


class SuiteData(Protocol):
    """The samples of a suite. Rows are read on first use; reading raises DataError."""

    @property
    def infos(self) -> Mapping[str, SampleInfo]:
        """Return the samples by id, in their order."""
        ...

    def sample(self, sample_id: str) -> Sample:
        """Build one sample. Raises KeyError for an unknown id."""
        ...

    def provenance(self) -> Mapping[str, Any]:
        """Return the identity of the data, for the manifest of a run."""
        ...


class Generated(Generic[Plan]):
    """Samples that a function builds from their plan.

    planned: the properties and the plan of each sample, in their order. build: builds a sample from both. made_of:
    returns everything that determines the samples.
    """

    def __init__(
        self,
        planned: Iterable[tuple[SampleInfo, Plan]],
        build: Callable[[SampleInfo, Plan], Sample],
        made_of: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._planned = {info.sample_id: (info, plan) for info, plan in planned}
        self._build, self._made_of = build, made_of
        self.infos: Mapping[str, SampleInfo] = {key: info for key, (info, _) in self._planned.items()}

    def sample(self, sample_id: str) -> Sample:
        return self._build(*self._planned[sample_id])

    def provenance(self) -> Mapping[str, Any]:
        return self._made_of()


class DataSuite:
    """A suite whose samples come from `_data`, which its constructor sets."""

    _data: SuiteData

    def infos(self) -> Sequence[SampleInfo]:
        """Return the properties of the samples, in their order. Raises DataError."""
        return list(self._data.infos.values())

    def sample(self, sample_id: str) -> Sample:
        """Build one sample. Raises KeyError for an unknown id."""
        return self._data.sample(sample_id)

    def provenance(self) -> Mapping[str, Any]:
        """Return the identity of the data, for the manifest of a run."""
        return self._data.provenance()


def in_turns(groups: Iterable[Sequence[Item]]) -> list[Item]:
    """Return the first items of all groups, then the second ones, and so on; short groups end earlier."""
    missing = object()
    turns = itertools.zip_longest(*groups, fillvalue=missing)
    return [cast(Item, item) for turn in turns for item in turn if item is not missing]


def always(answer: str) -> Callable[[object], str]:
    """Return a constant that gives the same answer to every sample."""
    return lambda sample: answer
