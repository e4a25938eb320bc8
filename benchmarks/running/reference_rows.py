"""Reference rows: the oracle, which answers with the target, and the floor, the best constant answer.

They run like methods, but use a benchmark's targets and scorer, which no method sees.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.running.contained import contained, contained_await
from benchmarks.sample import Benchmark, Constant, HiddenTarget, Sample, UnlabelledSample, cut_answer


class Oracle:
    """Answers with the target, which shows the highest score that the scorer gives."""

    async def answer(self, benchmark: Benchmark, sample: Sample, sample_ids: Sequence[str]) -> str:
        return await asyncio.to_thread(contained, benchmark.oracle, sample.target)


class Floor:
    """Answers with the constant that has the best mean score over all samples of the run."""

    def __init__(self) -> None:
        self._best: dict[int, asyncio.Task[Constant]] = {}

    async def answer(self, benchmark: Benchmark, sample: Sample, sample_ids: Sequence[str]) -> str:
        # Two data sets of one class may have the same name.
        key = id(benchmark)
        if key not in self._best:
            self._best[key] = asyncio.create_task(contained_await(_best_constant(benchmark, sample_ids)))
        best = await asyncio.shield(self._best[key])
        return await asyncio.to_thread(contained, _scored_part, benchmark, best, sample)


class _UnlabelledSamples(Sequence[UnlabelledSample]):
    """The samples of a run without their targets.

    Each is built on access, because together they may not fit into memory.
    """

    def __init__(self, benchmark: Benchmark, sample_ids: Sequence[str]) -> None:
        self._benchmark = benchmark
        self._ids = sample_ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> UnlabelledSample:  # type: ignore[override]
        return self._benchmark.sample(self._ids[index]).without_target()

    def __iter__(self) -> Iterator[UnlabelledSample]:
        return (self[index] for index in range(len(self)))


def _without_targets(benchmark: Benchmark) -> Any:
    """Return a view of the benchmark for its constants, which builds samples without targets."""
    hidden: Any = copy.copy(benchmark)
    hidden.sample = lambda sample_id: benchmark.sample(sample_id).without_target()
    return hidden


async def _best_constant(benchmark: Benchmark, sample_ids: Sequence[str]) -> Constant:
    try:
        hidden = _without_targets(benchmark)
        constants = await asyncio.to_thread(contained, hidden.constants, _UnlabelledSamples(benchmark, sample_ids))
        constants = [*constants, complete_context]
        totals = [0.0] * len(constants)
        for sample_id in sample_ids:
            sample = await asyncio.to_thread(contained, benchmark.sample, sample_id)
            for index, constant in enumerate(constants):
                answer = await asyncio.to_thread(contained, _scored_part, benchmark, constant, sample)
                totals[index] += (await benchmark.score(sample.target, answer)).value
    except HiddenTarget as error:
        raise HiddenTarget(f"benchmark.{benchmark.name}: a constant answer reads a target: {error}") from error
    return constants[max(range(len(totals)), key=totals.__getitem__)]


def _scored_part(benchmark: Benchmark, constant: Constant, sample: Sample) -> str:
    """Return the part of a constant answer that is scored; a flood may have megabytes."""
    return cut_answer(benchmark, constant(sample.without_target()))[0] or ""


def complete_context(sample: UnlabelledSample) -> str:
    """Return the context as the answer, a flood that every benchmark must withstand."""
    return sample.prompt.context_text
