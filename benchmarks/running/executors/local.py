"""Samples as asyncio tasks of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from benchmarks.running.journal import Key

if TYPE_CHECKING:
    from benchmarks.running.harness import Finished, Harness


class LocalExecutor:
    """Runs up to `concurrency` samples at a time, in the order of the plan."""

    async def execute(
        self, keys: Sequence[Key], harness: Harness, *, concurrency: int, stop: asyncio.Event
    ) -> AsyncIterator[Finished]:
        """Yield samples as they finish. Once `stop` is set no sample is started; those that run are finished.

        Raises FatalModelError; what still runs then, or when the iteration is given up, is cancelled.
        """
        waiting = iter(keys)
        running: set[asyncio.Task[Finished | None]] = set()
        finished: set[asyncio.Task[Finished | None]] = set()
        try:
            while True:
                while len(running) < concurrency and not stop.is_set() and (key := next(waiting, None)) is not None:
                    running.add(asyncio.create_task(harness.run_sample(key)))
                if not running:
                    return
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    if (sample := task.result()) is not None:
                        yield sample
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, *finished, return_exceptions=True)
