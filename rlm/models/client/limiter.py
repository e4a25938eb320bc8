"""Limits concurrent requests to an endpoint: fewer after a refusal or a failure, slowly more after answers."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum, auto

# The number of consecutive failures that count as an outage.
STORM = 5
# After a refusal, the limit is multiplied by this factor.
DECREASE = 0.7
MAX_WAIT_S = 60.0
# Seconds in which the number of requests doubles after an outage.
RAMP_S = 0.5


class RequestResult(Enum):
    """The state of the endpoint that a request reveals: it answers, refuses the load, fails, or is unknown."""

    ANSWERED = auto()
    REFUSED = auto()
    FAILED = auto()
    UNKNOWN = auto()


class EndpointDown(Exception):
    """A call has waited for max_outage_wait_s, and the endpoint has not answered any request in that time."""


@dataclass(eq=False)
class Slot:
    """The right of a call to have one request on the wire. round: requests of one round went out under one limit."""

    call: object
    kind: Hashable
    round: int
    sent: float


@dataclass(eq=False)
class _Turn:
    """A call in the queue. since: when it first waited. The future's result is the round in which it may send."""

    future: asyncio.Future[int]
    kind: Hashable
    since: float


@dataclass
class _Kind:
    """Requests of one kind since its last answer. at_fault: the kind itself causes its failures."""

    in_flight: int = 0
    failures: int = 0
    calls: set[object] = field(default_factory=set)
    failing_since: float = 0.0
    at_fault: bool = False

    @property
    def stormy(self) -> bool:
        return self.failures >= STORM and len(self.calls) > 1


class Limiter:
    """Slots for the requests to one endpoint, on one event loop.

    The limit starts at max_concurrency. A refusal (429) lowers it, once for all requests sent under it, and delays
    every call by the time that the endpoint asks for. Several failures in a row are taken for an outage: one request
    goes out at a time, after pauses that grow, until requests stop failing. Then their number doubles every RAMP_S, up
    to a little less than before the outage. After that, and after a refusal, the limit grows by one for each round of
    answers.

    Requests have a kind, such as their model and system prompt. In an outage each kind may send a request at once. A
    kind that keeps failing while another kind is answered is at fault itself, and so is one whose family (the first
    part of a kind that is a tuple) has never been answered: from then on its failures delay no other kind. An endpoint
    that has never answered any request is not in an outage: its calls fail after their own retries. A call that
    has waited for max_outage_wait_s in an outage raises EndpointDown; when an outage has lasted longer than that, calls
    no longer wait for its end.

    Times are those of the event loop, so changes of the system clock have no effect.
    """

    def __init__(self, max_concurrency: int, max_outage_wait_s: float, backoff_s: float = 0.5) -> None:
        self.max_concurrency = max_concurrency
        self.max_outage_wait_s = max_outage_wait_s
        self.limit = float(max_concurrency)
        self.in_flight = 0
        self._backoff_s = backoff_s
        self._round = 0
        self._loop = asyncio.get_running_loop()
        # Kinds with a request in flight or with failures, and the kinds with failures.
        self._kinds: defaultdict[Hashable, _Kind] = defaultdict(_Kind)
        self._failing_kinds: set[Hashable] = set()
        # Families of kinds that have been answered, and the time of the last answer.
        self._answered_families: set[Hashable] = set()
        self._last_answer: float | None = None
        self._waiting: deque[_Turn] = deque()
        # The end of the pause that the endpoint asks for, and the end of the pause in an outage.
        self._asked_until = 0.0
        self._outage_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        # Counted since the last answer.
        self._bad_rounds = 0
        self._failures = 0
        self._failing: set[object] = set()
        self._failing_since: float | None = None
        # The limit before an outage, and the limit at which the doubling after it stops; None without an outage.
        self._before_outage: float | None = None
        self._restart_to: float | None = None
        # The first round of an outage, and the requests still in flight that went out before it.
        self._outage_round = 0
        self._earlier = 0

    async def acquire(
        self, call: object, kind: Hashable = None, *, ahead: bool = False, since: float | None = None
    ) -> Slot:
        """Wait for a slot. A repeated call goes `ahead` of first attempts.

        since: when the call's waiting began, if it was before now. Raises EndpointDown. A cancelled caller takes no
        slot.
        """
        state = self._kinds[kind]
        if self._may_probe(state) or (not self._waiting and self._has_room()):
            sent_in = self._take(kind)
        else:
            now = self._loop.time()
            turn = _Turn(self._loop.create_future(), kind, now if since is None else min(since, now))
            (self._waiting.appendleft if ahead and not state.at_fault else self._waiting.append)(turn)
            self._admit()
            self._watch()
            try:
                sent_in = await turn.future
            except asyncio.CancelledError:
                if turn.future.done() and not turn.future.cancelled() and turn.future.exception() is None:
                    self._give_back(kind, turn.future.result())
                    self._admit()
                raise
        return Slot(call, kind, sent_in, self._loop.time())

    def release(self, slot: Slot, result: RequestResult, retry_after_s: float | None = None) -> None:
        """Give a slot back with the result of its request; retry_after_s is the pause that the endpoint asks for."""
        self._give_back(slot.kind, slot.round)
        if result is RequestResult.ANSWERED:
            self._answered(slot)
        elif result in (RequestResult.REFUSED, RequestResult.FAILED):
            self._troubled(slot, result, retry_after_s)
        self._admit()

    def in_outage(self, kind: Hashable = None) -> bool:
        """True if the endpoint fails for other kinds of requests too."""
        return self._is_outage and not (kind in self._failing_kinds and self._kinds[kind].at_fault)

    @property
    def gave_up(self) -> bool:
        """True if the endpoint has not answered any request for longer than max_outage_wait_s."""
        down = self._failing_since is not None and self._loop.time() - self._failing_since > self.max_outage_wait_s
        return down and self._is_outage

    def lower_to(self, max_concurrency: int) -> None:
        """Lower the limit to at most `max_concurrency`: two configurations of one endpoint share the smaller one."""
        self.max_concurrency = min(self.max_concurrency, max_concurrency)
        self.limit = min(self.limit, self.max_concurrency)

    @property
    def _is_outage(self) -> bool:
        return self._failures >= STORM and len(self._failing) > 1

    def _take(self, kind: Hashable) -> int:
        self.in_flight += 1
        self._kinds[kind].in_flight += 1
        return self._round

    def _give_back(self, kind: Hashable, sent_in: int) -> None:
        self.in_flight -= 1
        self._earlier -= sent_in < self._outage_round
        self._kinds[kind].in_flight -= 1
        if kind not in self._failing_kinds and not self._kinds[kind].in_flight:
            del self._kinds[kind]

    def _answered(self, slot: Slot) -> None:
        self._answered_families.add(_family(slot.kind))
        self._last_answer = self._loop.time()
        if slot.kind in self._failing_kinds:
            self._failing_kinds.discard(slot.kind)
            self._kinds[slot.kind] = _Kind(self._kinds[slot.kind].in_flight)
        blamed = False
        for kind in self._failing_kinds:
            state = self._kinds[kind]
            # A request that was sent before the failures began shows nothing about them.
            if state.stormy and slot.sent >= state.failing_since:
                blamed |= not state.at_fault
                state.at_fault = True
        if blamed and self._before_outage is not None:
            self.limit, self._restart_to = max(self.limit, self._before_outage), None
        self._failures, self._bad_rounds, self._failing_since = 0, 0, None
        self._failing.clear()
        self._before_outage, self._outage_until = None, 0.0
        self._cancel_timer()
        self.limit = min(self.limit + 1.0 / self.limit, float(self.max_concurrency))

    def _troubled(self, slot: Slot, result: RequestResult, retry_after_s: float | None) -> None:
        now, state = self._loop.time(), self._kinds[slot.kind]
        if result is RequestResult.FAILED:
            state.failing_since = state.failing_since if state.failures else now
            state.failures += 1
            _remember(state.calls, slot.call)
            self._failing_kinds.add(slot.kind)
            state.at_fault |= state.stormy and self._failed_from_the_start(slot.kind, state)
            # An endpoint that has never answered is not in an outage: each call has its own retries.
            if state.at_fault or (self._last_answer is None and retry_after_s is None):
                return
        self._failures += 1
        _remember(self._failing, slot.call)
        if self._failing_since is None:
            self._failing_since = now
        if retry_after_s is not None:
            pause = min(retry_after_s, self.max_outage_wait_s)
            self._asked_until = max(self._asked_until, now + _spread(pause))
        if slot.round == self._round and (result is RequestResult.REFUSED or self._failures >= STORM):
            self._round += 1
            self._lower(result, retry_after_s)
        self._dismiss(list(self._waiting) if self.gave_up else self._overdue())
        self._watch()

    def _failed_from_the_start(self, kind: Hashable, state: _Kind) -> bool:
        """True if no request of the kind's family was ever answered, although others were answered shortly before."""
        if self._last_answer is None or _family(kind) in self._answered_families:
            return False
        return state.failing_since - self._last_answer <= self.max_outage_wait_s

    def _lower(self, result: RequestResult, retry_after_s: float | None) -> None:
        lowered = max(1.0, self.limit * DECREASE)
        if result is RequestResult.REFUSED:
            self.limit, self._restart_to = lowered, None
        else:
            if self._before_outage is None:
                self._before_outage, self._outage_round, self._earlier = self.limit, self._round, self.in_flight
            # The failure of a single request does not show how many requests the endpoint can serve.
            self._restart_to = lowered if self.limit > 1 else self._restart_to
            self.limit = 1.0
            # The timer may be set to raise the limit, as if requests had stopped failing.
            self._cancel_timer()
        # The first refused round without Retry-After only lowers the limit: each refused call waits on its own.
        if retry_after_s is None and (result is RequestResult.FAILED or self._bad_rounds):
            # Calls that no longer wait for the end of an outage are not delayed by it either.
            attempt = 0 if self.gave_up else self._bad_rounds
            pause = min(backoff(attempt, self._backoff_s), self.max_outage_wait_s)
            self._outage_until = max(self._outage_until, self._loop.time() + _spread(pause))
        self._bad_rounds += 1

    def _has_room(self) -> bool:
        # Slow requests from before an outage must not hide that the endpoint answers again.
        counted = self.in_flight - self._earlier
        return counted < int(self.limit) and self.in_flight < self.max_concurrency and self._pause_s() <= 0

    def _pause_s(self) -> float:
        return max(self._asked_until, self._outage_until) - self._loop.time()

    def _may_probe(self, state: _Kind) -> bool:
        """True if a kind without failures may send a request in an outage.

        An answer shows that other kinds are at fault.
        """
        untried = state.failures == 0 and state.in_flight == 0 and self._asked_until <= self._loop.time()
        return self._before_outage is not None and untried and self.in_flight < self.max_concurrency

    def _admit(self) -> None:
        for turn in list(self._waiting) if self._before_outage is not None else ():
            if not turn.future.done() and self._may_probe(self._kinds[turn.kind]):
                self._waiting.remove(turn)
                turn.future.set_result(self._take(turn.kind))
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.future.done():
                turn.future.set_result(self._take(turn.kind))
        pause = self._pause_s()
        if self._waiting and self._timer is None and (pause > 0 or self._restart_to):
            self._timer = self._loop.call_later(pause if pause > 0 else RAMP_S, self._resume, pause <= 0)

    def _resume(self, ramp: bool) -> None:
        self._timer = None
        if ramp and self._restart_to and self._pause_s() <= 0:
            self.limit = min(self.limit * 2, max(self.limit, self._restart_to), float(self.max_concurrency))
            self._restart_to = None if self.limit >= self._restart_to else self._restart_to
        self._admit()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        """Set a timer for the calls that wait: in an outage a request may hang for a long time."""
        if self._expiry is None and self._waiting and self._is_outage:
            first = min(self._waited_since(turn) for turn in self._waiting)
            self._expiry = self._loop.call_at(first + self.max_outage_wait_s, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        if self._is_outage:
            self._dismiss(self._overdue())
            self._watch()

    def _overdue(self) -> list[_Turn]:
        latest = self._loop.time() - self.max_outage_wait_s + 1e-6
        return [turn for turn in self._waiting if self._waited_since(turn) <= latest]

    def _waited_since(self, turn: _Turn) -> float:
        """Return the time since which a call has waited while no request was answered."""
        return turn.since if self._failing_since is None else max(turn.since, self._failing_since)

    def _dismiss(self, turns: list[_Turn]) -> None:
        for turn in turns:
            self._waiting.remove(turn)
            if not turn.future.done():
                turn.future.set_exception(EndpointDown())


def _remember(failed: set[object], call: object) -> None:
    # Only the difference between one call and several matters, and a call holds its prompt.
    if len(failed) < 2:
        failed.add(call)


def _family(kind: Hashable) -> Hashable:
    return kind[0] if isinstance(kind, tuple) and kind else kind


def _spread(seconds: float) -> float:
    # Several processes should not resume at the same instant.
    return seconds * random.uniform(1.0, 1.1)


def backoff(attempt: int, base_s: float, max_s: float = MAX_WAIT_S) -> float:
    """Return the seconds to wait after failure number `attempt` (from 0). They double; half of them is random."""
    full = min(max_s, base_s * 2.0 ** min(attempt, 30))
    return full * random.uniform(0.5, 1.0)
