"""LocalExecutor: runs samples as asyncio tasks of this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from benchmarks.running.executors.loop import Stop, run_samples
from benchmarks.running.rows import Key

if TYPE_CHECKING:
    from benchmarks.running.harness import FinishedSample, Harness


class LocalExecutor:
    """Runs up to `concurrency` samples at a time, in the order of the plan."""

    def execute(
        self, keys: Sequence[Key], harness: Harness, *, concurrency: int, stop: Stop
    ) -> AsyncGenerator[FinishedSample, None]:
        """Yield samples as they finish, as `run_samples` does."""
        waiting = iter(keys)
        places = range(min(concurrency, len(keys)))
        return run_samples(places, lambda _: next(waiting, None), lambda _, key: harness.run_sample(key), stop)
