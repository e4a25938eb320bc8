"""The loop that executors share, and Stop: the request to end a run within a grace period."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.running.rows import Key

if TYPE_CHECKING:
    from benchmarks.running.harness import FinishedSample

# The class below has a method `set`.
Tasks: TypeAlias = "set[asyncio.Task[Any]]"


class Stop:
    """Set once a run must end. No further sample is started; running samples have `grace_s` seconds to finish.

    grace_s: None waits until they have finished. running: the number of running samples, which the executor updates.
    end_waits: called once the run must end; cancels samples that no grace period can finish and returns their number.
    """

    def __init__(self, grace_s: float | None = None, end_waits: Callable[[], int] | None = None) -> None:
        self.grace_s = grace_s
        self.running = 0
        self._end_waits = end_waits
        self._event = asyncio.Event()
        self._ends_at: float | None = None

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        if not self.is_set() and self.grace_s is not None:
            self._ends_at = time.monotonic() + self.grace_s
        if not self.is_set() and self._end_waits is not None:
            self.running -= self._end_waits()
        self._event.set()

    async def first_finished(self, tasks: Collection[asyncio.Task[Any]]) -> Tasks:
        """Wait until at least one task has ended, and return the ended tasks. When time is up, cancel all of them."""
        self.running = len(tasks)
        if not self.is_set():
            stopped = asyncio.ensure_future(self._event.wait())
            try:
                await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
            if ended := {task for task in tasks if task.done()}:
                return ended
        left = None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())
        ended, late = await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if ended:
            return ended
        for task in late:
            task.cancel()
        ended, _ = await asyncio.wait(late)
        return ended


async def run_samples(
    places: Sequence[int],
    next_for: Callable[[int], Key | None],
    run: Callable[[int, Key], Coroutine[Any, Any, FinishedSample | None]],
    stop: Stop,
) -> AsyncGenerator[FinishedSample, None]:
    """Yield samples as they finish; each place runs one sample at a time, and a place may occur several times.

    next_for: returns the next key for a free place, if any. A fatal error stops the run. It is raised after the running
    samples have finished or their time is up. If the iteration is abandoned, running samples are cancelled.
    """
    free = list(places)
    running: dict[asyncio.Task[FinishedSample | None], int] = {}
    fatal: BaseException | None = None
    try:
        while True:
            for place in () if stop.is_set() else tuple(free):
                if (key := next_for(place)) is not None:
                    free.remove(place)
                    running[asyncio.create_task(run(place, key))] = place
            if not running:
                break
            for task in await stop.first_finished(running.keys()):
                free.append(running.pop(task))
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
