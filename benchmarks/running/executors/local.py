"""LocalExecutor: runs samples as asyncio tasks of this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from benchmarks.running.executors.loop import Stop, run_samples
from benchmarks.running.rows import Key

if TYPE_CHECKING:
    from benchmarks.running.harness import FinishedSample, Harness


# Samples that wait for batches at a time.
_MOST_BATCHED = 100_000


class LocalExecutor:
    """Runs up to `concurrency` samples at a time, in the order of the plan, and beside them all batched ones."""

    def execute(
        self, keys: Sequence[Key], harness: Harness, *, concurrency: int, stop: Stop
    ) -> AsyncGenerator[FinishedSample, None]:
        """Yield samples as they finish, as `run_samples` does."""
        batched = [key for key in keys if harness.is_batched(key)]
        waiting = iter(key for key in keys if not harness.is_batched(key)), iter(batched)
        places = [0] * min(concurrency, len(keys) - len(batched)) + [1] * min(_MOST_BATCHED, len(batched))
        return run_samples(places, lambda at: next(waiting[at], None), lambda _, key: harness.run_sample(key), stop)
