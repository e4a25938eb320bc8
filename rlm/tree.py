"""CallTree: the one way from a method to its models, through the meter and into the trajectory."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

from rlm.completion import StopReason
from rlm.limits import LoopGuard, Meter
from rlm.models.chat import ChatModel, Cost, FailedAttempt, ModelError, Reply, TokenUsage
from rlm.trajectory import CallRecord, Trajectory, prompt_sha256

ROOT, SUB, COMPACTOR, JUDGE = "root", "sub", "compactor", "judge"

T = TypeVar("T")
# Tools may make completions in threads of their own.
_counting = threading.Lock()
_POLL_S = 0.05


@dataclass(frozen=True)
class ParentCall:
    """From where a completion is made inside another one: the tree of the tool that makes it, its event, its depth."""

    tree: CallTree
    parent: int | None
    depth: int


# Set while a tool runs: the completions that it makes are charged to the one that called it.
calling_tool: ContextVar[ParentCall | None] = ContextVar("calling_tool", default=None)


@dataclass
class Counts:
    """What the loops of a tree did, children included."""

    turns: int = 0
    cells: int = 0
    syntax_errors: int = 0
    max_depth: int = 0


class CallTree:
    """All model calls of one completion, at any depth and in any role.

    Every call is admitted by the meter first and charged after, whether it succeeds, fails or was retried; every call
    leaves a CallRecord and an event. prompt_file_sha256: of the prompt file that all of them go back to.
    The calls of a completion that a tool of another one makes are that other one's too: as sub-calls, in its meter.
    """

    def __init__(
        self, meter: Meter, trajectory: Trajectory, epoch: int = 0, prompt_file_sha256: str | None = None
    ) -> None:
        self.meter = meter
        self.trajectory = trajectory
        self.epoch = epoch
        self.prompt_file_sha256 = prompt_file_sha256
        self.calls: list[CallRecord] = []
        self.counts = Counts()
        self._within = calling_tool.get()
        if self._within and meter.budget is self._within.tree.meter.budget:
            meter.budget = None
        self._ids = count()
        self._occurrences: Counter[tuple[str, str]] = Counter()
        self._latest: dict[tuple[int | None, str], tuple[int, list[Mapping[str, str]]]] = {}
        self._called: dict[int, tuple[int, int]] = {}
        self._on_the_wire: set[asyncio.Task[Any]] = set()
        self._tools_calls = 0

    def loop(self) -> LoopGuard:
        """A guard for a loop of turns of its own."""
        return LoopGuard(self.meter.limits)

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that pays, such as a call: it goes on, and is charged, where who waits for it is cancelled."""
        task = asyncio.ensure_future(work)
        self._on_the_wire.add(task)
        task.add_done_callback(self._on_the_wire.discard)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """End: no further call is made, by tools that go on neither, and what is on the wire is awaited.

        What is there when this is cancelled is dropped.
        """
        self._end()
        try:
            await asyncio.gather(*self._on_the_wire, return_exceptions=True)
            while self._tools_calls:
                await asyncio.sleep(_POLL_S)
        except asyncio.CancelledError:
            await self.drop()
            raise

    async def drop(self) -> None:
        """End, and give up what is on the wire."""
        self._end()
        left = list(self._on_the_wire)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _end(self) -> None:
        self.meter.stopped = self.meter.stopped or StopReason.CANCELLED

    async def call(
        self,
        model: ChatModel,
        messages: Sequence[Mapping[str, str]],
        *,
        role: str = ROOT,
        depth: int = 0,
        parent: int | None = None,
        last: bool = False,
    ) -> Reply:
        """Make a model call.

        depth: 0 for the root's own calls, 1 for what it calls, and so on. parent: the event that the call belongs to;
        the record's parent_id is the call behind that event. last: the root's one call past a limit.
        Raises LimitReached before the call is made, and what ChatModel.complete raises.
        """
        digest = prompt_sha256(messages)
        self._admit(sub=role != ROOT or depth > 0, depth=depth, last=last)
        occurrence = self._occurrences[model.name, digest]
        self._occurrences[model.name, digest] += 1
        call_id = next(self._ids)
        caller = self._caller(parent, call_id, depth)
        started_at, clock = time.time(), time.perf_counter()
        reply, error = Reply("", finish_reason="error"), None
        failures: tuple[FailedAttempt, ...] = ()
        try:
            reply = await model.complete(messages, epoch=self.epoch, occurrence=occurrence)
            failures = reply.failures
            return reply
        except ModelError as caught:
            failures, error = caught.failures, str(caught)
            reply = replace(reply, cache_hit=caught.cache_hit)
            raise
        except BaseException as caught:
            error = type(caught).__name__
            raise
        finally:
            usage, cost = _with_failures(reply, failures)
            record = CallRecord(
                call_id, caller, role, depth, reply.model or model.name, usage, cost, reply.finish_reason,
                reply.latency_s or time.perf_counter() - clock, len(failures) - (error is not None and bool(failures)),
                reply.cache_hit, started_at, digest, failures, error, self.prompt_file_sha256,
                reply.provider, reply.system_fingerprint, reply.output_cap, reply.prompt_cut, reply.only_reasoning,
                bool(reply.tool_calls),
            )  # fmt: skip
            self._keep(record, messages, reply, parent)

    def _admit(self, *, sub: bool, depth: int, last: bool = False) -> None:
        self.meter.admit(sub=sub, depth=depth, last=last)
        self.counts.max_depth = max(self.counts.max_depth, depth)
        if self._within:
            outer = self._within.tree
            outer._admit(sub=True, depth=self._within.depth + depth)
            with _counting:
                outer._tools_calls += 1

    def _keep(
        self, record: CallRecord, messages: Sequence[Mapping[str, str]], reply: Reply, parent: int | None
    ) -> None:
        """Charge a call and write it down, here and in the completion that this one is made within."""
        usage, cost = record.usage, record.cost
        self.meter.charge(usage, cost)
        self.calls.append(record)
        new = self._new_messages(record.call_id, messages, parent)
        self.trajectory.record(
            "call", parent=parent, depth=record.depth, call_id=record.call_id, role=record.role, model=record.model,
            prompt_sha256=record.prompt_sha256, **new, reply=reply.text, reasoning=reply.reasoning,
            finish_reason=reply.finish_reason, error=record.error,
            retries=[failure.kind for failure in record.failures], prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens, completion_tokens=usage.completion_tokens,
            cost_usd=cost.usd, latency_s=record.latency_s, cache_hit=reply.cache_hit, **_flags(reply),
        )  # fmt: skip
        if self._within:
            outer, event, depth = self._within.tree, self._within.parent, self._within.depth + record.depth
            call_id = next(outer._ids)
            caller = outer._caller(event, call_id, depth)
            outer._keep(
                replace(record, call_id=call_id, parent_id=caller, role=SUB, depth=depth), messages, reply, event
            )
            with _counting:
                outer._tools_calls -= 1

    def _caller(self, event: int | None, call_id: int, depth: int) -> int | None:
        """The call whose reply led to this one: of less depth, under the same event or the nearest above it."""
        above, caller = event, None
        while above is not None and caller is None:
            made, at_depth = self._called.get(above, (None, depth))
            caller = made if at_depth < depth else None
            above = self.trajectory.events[above]["parent"]
        if event is not None:
            self._called.setdefault(event, (call_id, depth))
        return caller

    def _new_messages(
        self, call_id: int, messages: Sequence[Mapping[str, str]], parent: int | None
    ) -> dict[str, object]:
        # A loop sends its whole history each turn: what an earlier call of it sent is named, not written again.
        sent = list(messages)
        if len(sent) < 2:
            return {"messages": [dict(message) for message in sent]}
        # Children may begin with the same messages: a loop is told by what its turns belong to as well.
        owner = None if parent is None else self.trajectory.events[parent]["parent"]
        loop = owner, prompt_sha256(sent[:2])
        before, said = self._latest.get(loop, (None, []))
        self._latest[loop] = call_id, sent
        if said and sent[: len(said)] == said:
            return {"after_call": before, "messages": [dict(message) for message in sent[len(said) :]]}
        return {"messages": [dict(message) for message in sent]}


def _flags(reply: Reply) -> dict[str, object]:
    """Facts of a call's event that few calls have; left out where they do not apply."""
    flags = {
        "provider": reply.provider,
        "system_fingerprint": reply.system_fingerprint,
        "output_cap": reply.output_cap,
        "prompt_cut": reply.prompt_cut,
        "only_reasoning": reply.only_reasoning,
        "tool_calls": [{"name": call.name, "arguments": call.arguments} for call in reply.tool_calls],
    }
    return {name: value for name, value in flags.items() if value}


def _with_failures(reply: Reply, failures: Sequence[FailedAttempt]) -> tuple[TokenUsage, Cost]:
    usage, cost = reply.usage, reply.cost
    for failure in failures:
        usage, cost = usage + failure.usage, cost + failure.cost
    return usage, cost
