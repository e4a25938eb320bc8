"""Stop: the request to end a run, and the time that running samples have left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any, TypeAlias

# The class below has a method `set`.
Tasks: TypeAlias = "set[asyncio.Task[Any]]"


class Stop:
    """Set once a run must end: no further sample is started, and those that run have `grace_s` seconds to finish.

    grace_s: None waits until they have finished. running: the number of samples that run now, kept by the executor.
    """

    def __init__(self, grace_s: float | None = None) -> None:
        self.grace_s = grace_s
        self.running = 0
        self._event = asyncio.Event()
        self._ends_at: float | None = None

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        if not self.is_set() and self.grace_s is not None:
            self._ends_at = time.monotonic() + self.grace_s
        self._event.set()

    async def first_finished(self, tasks: Collection[asyncio.Task[Any]]) -> Tasks:
        """Wait until at least one task has ended and return those that have; when time is up, cancel all of them."""
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
