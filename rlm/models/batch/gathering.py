"""Gathering: decides when the collected requests of a run are submitted, and how many samples are begun for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
# Seconds in which no sample may move before the requests are submitted.
SETTLE_S = 0.5
# No sample starts while the prompts of waiting calls have more characters; each prompt is in memory several times.
MOST_HELD_CHARS = 512 << 20


@dataclass(eq=False)
class _Ticket:
    """A sample. holds: it is being prepared or scored. waits: it waits for a call, a place or room."""

    task: asyncio.Task[object] | None
    holds: bool = False
    waits: bool = False


_ticket: ContextVar[_Ticket | None] = ContextVar("ticket", default=None)


class Gathering:
    """Samples whose calls are batched: at most `at_once` are prepared or scored at a time, and any number may wait.

    `submit` is called when every begun sample waits for a call and no further one can begin, so that a batch has as
    many requests as possible.
    """

    def __init__(self, at_once: int) -> None:
        self.submit: list[Callable[[], None]] = []
        self.stopped = False
        self._slots = asyncio.Semaphore(at_once)
        self._tickets: set[_Ticket] = set()
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()
        self._queued = self._busy = self._blocked = self._preparing = 0
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def sample(self) -> AsyncGenerator[None, None]:
        """Run one sample in this context. Waits for a place, and for room if many requests wait."""
        ticket = _Ticket(asyncio.current_task())
        self._tickets.add(ticket)
        token = _ticket.set(ticket)
        try:
            await self._take(ticket)
            await self._wait_for_room(ticket)
            yield
        finally:
            _ticket.reset(token)
            self._tickets.discard(ticket)
            self._give_back(ticket)

    async def call(self, work: Awaitable[T], chars: int) -> T:
        """Await a model call of the current sample. Meanwhile, another sample may take its place.

        chars: the length of the prompt, which stays in memory.
        """
        ticket = _ticket.get()
        if ticket is None:
            return await work
        self._hold(chars)
        self._give_back(ticket)
        ticket.waits = True
        if self.stopped and ticket.task is not None:
            ticket.task.cancel()
        try:
            return await work
        finally:
            ticket.waits = False
            self._hold(-chars)
            if not (ticket.task is not None and ticket.task.cancelling()):
                await self._take(ticket)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Submit nothing in this context, in which a request is made that belongs in the next batch."""
        self._preparing += 1
        try:
            yield
        finally:
            self._preparing -= 1
            self.moved()

    def stop(self) -> int:
        """Cancel the samples that wait; returns their number. Nothing is submitted any more."""
        self.stopped = True
        waiting = [ticket.task for ticket in self._tickets if ticket.waits and ticket.task is not None]
        for task in waiting:
            task.cancel()
        return len(waiting)

    def _hold(self, chars: int) -> None:
        self._held += chars
        if self._held >= MOST_HELD_CHARS:
            self._room.clear()
        else:
            self._room.set()

    async def _take(self, ticket: _Ticket) -> None:
        self._queued, ticket.waits = self._queued + 1, True
        try:
            await self._slots.acquire()
        finally:
            self._queued, ticket.waits = self._queued - 1, False
        ticket.holds = True
        self._busy += 1
        self.moved()

    def _give_back(self, ticket: _Ticket) -> None:
        if ticket.holds:
            ticket.holds = False
            self._busy -= 1
            self._slots.release()
        self.moved()

    async def _wait_for_room(self, ticket: _Ticket) -> None:
        while not self._room.is_set():
            self._busy, self._blocked, ticket.waits = self._busy - 1, self._blocked + 1, True
            self.moved()
            try:
                await self._room.wait()
            finally:
                self._busy, self._blocked, ticket.waits = self._busy + 1, self._blocked - 1, False

    @property
    def _is_still(self) -> bool:
        is_moving = self._busy > 0 or self._preparing > 0 or (self._queued > 0 and self._blocked == 0)
        return not self.stopped and not is_moving

    def moved(self) -> None:
        """Wait again until no sample moves."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_still:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._timer = None
        if self._is_still:
            for submit in self.submit:
                submit()
