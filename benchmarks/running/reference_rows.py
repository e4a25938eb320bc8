"""Reference rows: the oracle (the target as the answer) and the floor (the best constant answer).

They stand among the methods of a run but are made on the scorer's side: no method sees a target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from benchmarks.sample import Benchmark, Sample


class Oracle:
    """Answers with the target: the ceiling of the scorer."""

    async def answer(self, benchmark: Benchmark, sample: Sample, sample_ids: Sequence[str]) -> str:
        return await asyncio.to_thread(benchmark.oracle, sample.target)


class Floor:
    """Answers as the constant that scores best over all samples of the run."""

    def __init__(self) -> None:
        self._best: dict[str, asyncio.Task[int]] = {}

    async def answer(self, benchmark: Benchmark, sample: Sample, sample_ids: Sequence[str]) -> str:
        if benchmark.name not in self._best:
            self._best[benchmark.name] = asyncio.create_task(_best_constant(benchmark, sample_ids))
        best = await asyncio.shield(self._best[benchmark.name])
        return benchmark.constants([sample])[best](sample)


class _Samples(Sequence[Sample]):
    """The samples of a run, each built when it is asked for: together they may not fit in memory."""

    def __init__(self, benchmark: Benchmark, sample_ids: Sequence[str]) -> None:
        self._benchmark = benchmark
        self._ids = sample_ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        return self._benchmark.sample(self._ids[index])

    def __iter__(self) -> Iterator[Sample]:
        return (self._benchmark.sample(sample_id) for sample_id in self._ids)


async def _best_constant(benchmark: Benchmark, sample_ids: Sequence[str]) -> int:
    samples = _Samples(benchmark, sample_ids)
    constants = await asyncio.to_thread(benchmark.constants, samples)
    totals = [0.0] * len(constants)
    for sample_id in sample_ids:
        sample = await asyncio.to_thread(benchmark.sample, sample_id)
        for index, constant in enumerate(constants):
            totals[index] += (await benchmark.score(sample.target, constant(sample))).value
    return max(range(len(totals)), key=totals.__getitem__)
