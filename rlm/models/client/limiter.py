"""How many requests an endpoint gets at once: fewer when it refuses or fails, slowly more when it answers."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

# Failures in a row, with no answer between, that are taken for an outage and not for bad luck.
STORM = 5
# What is left of the limit after the endpoint said that it gets too much.
DECREASE = 0.7
MAX_WAIT_S = 60.0
# Seconds in which the number of requests doubles after an outage.
RAMP_S = 0.5


class Outcome(Enum):
    """What a request told about its endpoint: it answers, it refuses the load, it fails, or nothing."""

    ANSWERED = auto()
    REFUSED = auto()
    FAILED = auto()
    UNKNOWN = auto()


class EndpointDown(Exception):
    """A call has waited for longer than the limiter's patience, and the endpoint answered nobody in that time."""


@dataclass(eq=False)
class Slot:
    """The right of a call to have one request on the wire; round tells which requests went out under one limit."""

    call: object
    round: int


class _Turn(NamedTuple):
    future: asyncio.Future[None]
    since: float


class Limiter:
    """Slots for the requests to one endpoint, for one event loop.

    The limit starts at max_concurrency. A refusal (429) lowers it, once for all requests sent under it, and holds
    everybody back for the time the endpoint asks for. Several failures in a row are an outage: one request goes out
    at a time, after pauses that grow, until requests stop failing; then their number doubles every RAMP_S up to a
    little less than it was. From there, and after a refusal, the limit grows by one for each round of answers. A call
    that has waited for patience_s while nobody was answered gets EndpointDown.

    Times are the event loop's own, so that a clock set back or forth changes nothing.
    """

    def __init__(self, max_concurrency: int, patience_s: float, backoff_s: float = 0.5) -> None:
        self.max_concurrency = max_concurrency
        self.patience_s = patience_s
        self.limit = float(max_concurrency)
        self.in_flight = 0
        self._backoff_s = backoff_s
        self._round = 0
        self._loop = asyncio.get_running_loop()
        self._paused_until = 0.0
        self._waiting: deque[_Turn] = deque()
        self._timer: asyncio.TimerHandle | None = None
        # What happened since the last answer.
        self._bad_rounds = 0
        self._failures = 0
        self._failing: set[object] = set()
        self._failing_since: float | None = None
        # Where a restart after an outage stops to double; None when there is none.
        self._restart_to: float | None = None

    async def acquire(self, call: object, *, ahead: bool = False) -> Slot:
        """Wait for a slot; a call that is tried again goes `ahead` of those that wait for their first try.

        Raises EndpointDown. A cancelled caller leaves no slot taken.
        """
        if self._waiting or not self._has_room():
            turn = self._loop.create_future()
            (self._waiting.appendleft if ahead else self._waiting.append)(_Turn(turn, self._loop.time()))
            self._admit()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self.in_flight -= 1
                    self._admit()
                raise
        else:
            self.in_flight += 1
        return Slot(call, self._round)

    def release(self, slot: Slot, outcome: Outcome, retry_after_s: float | None = None) -> None:
        """Give a slot back and say how the request went; retry_after_s is what the endpoint asked for."""
        self.in_flight -= 1
        if outcome is Outcome.ANSWERED:
            self._answered()
        elif outcome in (Outcome.REFUSED, Outcome.FAILED):
            self._troubled(slot, outcome, retry_after_s)
        self._admit()

    @property
    def in_outage(self) -> bool:
        """Whether requests of several calls have failed in a row: it is the endpoint, not one call."""
        return self._failures >= STORM and len(self._failing) > 1

    def lower_to(self, max_concurrency: int) -> None:
        """Hold the limit at most at `max_concurrency`: two configurations of one endpoint share the smaller."""
        self.max_concurrency = min(self.max_concurrency, max_concurrency)
        self.limit = min(self.limit, self.max_concurrency)

    def _answered(self) -> None:
        self._failures, self._bad_rounds, self._failing_since = 0, 0, None
        self._failing.clear()
        self.limit = min(self.limit + 1.0 / self.limit, float(self.max_concurrency))

    def _troubled(self, slot: Slot, outcome: Outcome, retry_after_s: float | None) -> None:
        now = self._loop.time()
        self._failures += 1
        self._failing.add(slot.call)
        if self._failing_since is None:
            self._failing_since = now
        if retry_after_s is not None:
            self._pause(min(retry_after_s, self.patience_s))
        if slot.round == self._round and (outcome is Outcome.REFUSED or self._failures >= STORM):
            self._round += 1
            self._lower(outcome, retry_after_s)
        if now - self._failing_since > self.patience_s:
            for turn in self._waiting:
                if now - turn.since > self.patience_s and not turn.future.done():
                    turn.future.set_exception(EndpointDown())

    def _lower(self, outcome: Outcome, retry_after_s: float | None) -> None:
        lowered = max(1.0, self.limit * DECREASE)
        if outcome is Outcome.REFUSED:
            self.limit, self._restart_to = lowered, None
        else:
            # A request that fails while it is sent alone says nothing of how many the endpoint could take.
            self._restart_to = lowered if self.limit > 1 else self._restart_to
            self.limit = 1.0
            if self._timer is not None:
                # It may be there to let more out, as if requests had stopped failing.
                self._timer.cancel()
                self._timer = None
        # The first refused round without Retry-After only lowers the limit: each refused call waits for itself.
        if retry_after_s is None and (outcome is Outcome.FAILED or self._bad_rounds):
            # Those who wait are told when a request fails, so that one has to go out before their patience is over.
            self._pause(min(backoff(self._bad_rounds, self._backoff_s), self.patience_s))
        self._bad_rounds += 1

    def _pause(self, seconds: float) -> None:
        # Some spread, so that several processes do not come back in the same instant.
        until = self._loop.time() + seconds * random.uniform(1.0, 1.1)
        self._paused_until = max(self._paused_until, until)

    def _has_room(self) -> bool:
        return self.in_flight < int(self.limit) and self._loop.time() >= self._paused_until

    def _admit(self) -> None:
        while self._waiting and self._has_room():
            turn = self._waiting.popleft().future
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)
        pause = self._paused_until - self._loop.time()
        if self._waiting and self._timer is None and (pause > 0 or self._restart_to):
            self._timer = self._loop.call_later(pause if pause > 0 else RAMP_S, self._resume, pause <= 0)

    def _resume(self, ramp: bool) -> None:
        self._timer = None
        if ramp and self._restart_to and self._loop.time() >= self._paused_until:
            self.limit = min(self.limit * 2, max(self.limit, self._restart_to), float(self.max_concurrency))
            self._restart_to = None if self.limit >= self._restart_to else self._restart_to
        self._admit()


def backoff(attempt: int, base_s: float, max_s: float = MAX_WAIT_S) -> float:
    """Seconds to wait after failure number `attempt` (from 0): doubling, half of it drawn at random."""
    full = min(max_s, base_s * 2.0 ** min(attempt, 30))
    return full * random.uniform(0.5, 1.0)
