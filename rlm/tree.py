"""CallTree meters every model call of a method and records it in the trajectory."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

from rlm.blocking import without_exit
from rlm.completion import StopReason
from rlm.limits import LimitReached, LoopGuard, Meter
from rlm.models.chat import ChatModel, Cost, FailedAttempt, FatalModelError, ModelError, Reply, TokenUsage
from rlm.trajectory import CallRecord, Trajectory, prompt_sha256

ROOT, SUB, COMPACTOR, JUDGE = "root", "sub", "compactor", "judge"

T = TypeVar("T")
# Tools may make completions in their own threads.
_counting = threading.Lock()
_POLL_S = 0.05


@dataclass(frozen=True)
class ParentCall:
    """The enclosing call tree, event and depth of a nested completion."""

    tree: CallTree
    parent: int | None
    depth: int


# Set while a tool runs, so that the tool's own completions are charged to the calling completion.
calling_tool: ContextVar[ParentCall | None] = ContextVar("calling_tool", default=None)


@dataclass
class Counts:
    """Totals over all loops of a tree, including those of children."""

    turns: int = 0
    cells: int = 0
    syntax_errors: int = 0
    max_depth: int = 0
    # The server cut the prompt of a root call.
    prompt_cut: bool = False
    # Calls in flight of completions that tools make.
    tools_calls: int = 0


class CallTree:
    """All model calls of one completion, at any depth and in any role.

    The meter admits every call before it is made and charges it afterwards, also if it fails or was retried. Every call
    leaves a CallRecord and an event. prompt_file_sha256: hash of the method's prompt file, if it has one.
    Calls of a completion that a tool makes are also charged and recorded in the calling completion, as sub-calls.
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
        self._parent_call = calling_tool.get()
        if self._parent_call and meter.budget is self._parent_call.tree.meter.budget:
            meter.budget = None
        self._ids = count()
        self._occurrences: Counter[tuple[str, str]] = Counter()
        self._latest: dict[tuple[int | None, str], tuple[int, list[Mapping[str, str]]]] = {}
        self._called: dict[int, tuple[int, int]] = {}
        self._in_flight: set[asyncio.Task[Any]] = set()

    def branch(self, epoch: int) -> CallTree:
        """Return a view of this tree whose calls are numbered and recorded under another epoch; all else is shared."""
        part = copy.copy(self)
        part.epoch, part._occurrences = epoch, Counter()
        return part

    def loop(self, max_turns: int | None = None) -> LoopGuard:
        """Return a new guard for one loop of turns. max_turns: a limit for this loop; the smaller limit holds."""
        limits = self.meter.limits
        if max_turns is not None and (limits.max_turns is None or max_turns < limits.max_turns):
            limits = replace(limits, max_turns=max_turns)
        return LoopGuard(limits)

    async def shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """Shield billable work: it completes and is charged even if the awaiting task is cancelled."""
        task = asyncio.ensure_future(work)
        self._in_flight.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        finally:
            # A failed task refers to this frame, and a cycle would keep its prompt until the next collection.
            del task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._in_flight.discard(task)
        if not task.cancelled():
            # If nobody awaits the task any more, asyncio would print its exception.
            task.exception()

    async def settle(self) -> None:
        """Admit no further call, not even from running tools, and await the calls in flight.

        If cancelled, in-flight calls are dropped.
        """
        self._end()
        try:
            await asyncio.gather(*self._in_flight, return_exceptions=True)
            while self.counts.tools_calls:
                await asyncio.sleep(_POLL_S)
        except asyncio.CancelledError:
            await self.drop()
            raise

    async def drop(self) -> None:
        """Admit no further call, and cancel the calls in flight."""
        self._end()
        left = list(self._in_flight)
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
        closing: bool = False,
        last: bool = False,
    ) -> Reply:
        """Make a model call.

        depth: 0 for the root's own calls, 1 for calls of its code, and so on. parent: the event that the call belongs
        to; the record's parent_id is the call behind that event. closing: the reply is the answer, so nothing is
        reserved for a later call. last: the root's one call past a limit, see `last_call`. Raises LimitReached before
        the call is made, and whatever ChatModel.complete raises.
        """
        digest = prompt_sha256(messages)
        self.meter.admit_model(model)
        self._admit(sub=role != ROOT or depth > 0, depth=depth, closing=closing, last=last)
        occurrence = self._occurrences[model.name, digest]
        self._occurrences[model.name, digest] += 1
        call_id = next(self._ids)
        caller = self._caller(parent, call_id, depth)
        started_at, clock = time.time(), time.perf_counter()
        reply, error = Reply("", finish_reason="error"), None
        failures: tuple[FailedAttempt, ...] = ()
        try:
            reply = await without_exit(model.complete(messages, epoch=self.epoch, occurrence=occurrence))
            failures = reply.failures
            self.counts.prompt_cut |= depth == 0 and role == ROOT and reply.prompt_cut
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
                call_id, caller, role, depth, model.name, usage, cost, reply.finish_reason,
                reply.latency_s or time.perf_counter() - clock, _retries(failures, error),
                reply.cache_hit, started_at, digest, failures, error, self.prompt_file_sha256,
                reply.provider, reply.system_fingerprint, reply.output_cap, reply.prompt_cut, reply.only_reasoning,
                bool(reply.tool_calls), reply.model,
            )  # fmt: skip
            self._keep(record, messages, reply, parent)

    async def last_call(
        self,
        model: ChatModel,
        messages: Sequence[Mapping[str, str]],
        limit: LimitReached,
        *,
        depth: int = 0,
        parent: int | None = None,
    ) -> Reply | None:
        """Make the one call after a limit was reached, which asks for the answer.

        Returns None if the limits leave no room for it or if it fails. Only the root may exceed a limit of the tree.
        Raises FatalModelError.
        """
        self.trajectory.record("limit", parent=parent, depth=depth, reason=str(limit.reason), text=str(limit))
        call = self.call(
            model, messages, role=SUB if depth else ROOT, depth=depth, parent=parent, closing=not depth, last=not depth
        )
        try:
            return await self.shielded(call)
        except FatalModelError:
            raise
        except (LimitReached, ModelError):
            return None

    def _admit(self, *, sub: bool, depth: int, closing: bool = False, last: bool = False) -> None:
        self.meter.admit(sub=sub, depth=depth, closing=closing, last=last)
        self.counts.max_depth = max(self.counts.max_depth, depth)
        if self._parent_call:
            outer = self._parent_call.tree
            outer._admit(sub=True, depth=self._parent_call.depth + depth)
            with _counting:
                outer.counts.tools_calls += 1

    def _keep(
        self, record: CallRecord, messages: Sequence[Mapping[str, str]], reply: Reply, parent: int | None
    ) -> None:
        """Charge and record a call, here and in the calling completion."""
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
        if self._parent_call:
            outer, event, depth = (
                self._parent_call.tree,
                self._parent_call.parent,
                self._parent_call.depth + record.depth,
            )
            call_id = next(outer._ids)
            caller = outer._caller(event, call_id, depth)
            outer._keep(
                replace(record, call_id=call_id, parent_id=caller, role=SUB, depth=depth), messages, reply, event
            )
            with _counting:
                outer.counts.tools_calls -= 1

    def _caller(self, event: int | None, call_id: int, depth: int) -> int | None:
        """Return the call that led to this one: the nearest call of less depth under the same event or an ancestor."""
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
        # A loop sends its history with each call, so the event names the earlier call and holds only the new messages.
        sent = list(messages)
        if len(sent) < 2:
            return {"messages": [dict(message) for message in sent]}
        # Children may begin with the same messages, so the parent of the turn also identifies a loop.
        owner = None if parent is None else self.trajectory.events[parent]["parent"]
        loop = owner, prompt_sha256(sent[:2])
        before, earlier = self._latest.get(loop, (None, []))
        self._latest[loop] = call_id, sent
        if earlier and sent[: len(earlier)] == earlier:
            return {"after_call": before, "messages": [dict(message) for message in sent[len(earlier) :]]}
        return {"messages": [dict(message) for message in sent]}


def _retries(failures: Sequence[FailedAttempt], error: str | None) -> int:
    """Count the attempts beyond the first.

    The last failure ended the call if it raised, or if the provider refused it.
    """
    ended = bool(failures) and (error is not None or failures[-1].kind == "content_filter")
    return len(failures) - ended


def _flags(reply: Reply) -> dict[str, object]:
    """Return the facts of a call's event that apply to few calls; the others are omitted."""
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
