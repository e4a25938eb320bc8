"""LocalExecutor: samples as asyncio tasks of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from benchmarks.running.executors.stop import Stop
from benchmarks.running.rows import Key

if TYPE_CHECKING:
    from benchmarks.running.harness import FinishedSample, Harness


class LocalExecutor:
    """Runs up to `concurrency` samples at a time, in the order of the plan."""

    async def execute(
        self, keys: Sequence[Key], harness: Harness, *, concurrency: int, stop: Stop
    ) -> AsyncIterator[FinishedSample]:
        """Yield samples as they finish.

        A fatal error stops the run: it is raised after the samples that were running have finished or their time is up.
        If the iteration is abandoned, running samples are cancelled.
        """
        waiting = iter(keys)
        running: set[asyncio.Task[FinishedSample | None]] = set()
        fatal: BaseException | None = None
        try:
            while True:
                while len(running) < concurrency and not stop.is_set() and (key := next(waiting, None)) is not None:
                    running.add(asyncio.create_task(harness.run_sample(key)))
                if not running:
                    break
                ended = await stop.first_finished(running)
                running -= ended
                for task in ended:
                    if task.cancelled():
                        continue
                    if error := task.exception():
                        fatal = fatal or error
                        stop.set()
                    elif (sample := task.result()) is not None:
                        yield sample
            if fatal:
                raise fatal
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
