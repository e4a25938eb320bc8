"""The response cache, which is the journal of calls: a finished call is stored, and answered from the store again."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from rlm.models.cache.store import CallStore, Outcome
from rlm.models.chat import ChatModel, ContextOverflow, FailedAttempt, FatalModelError, ModelError, Reply, Sampling
from rlm.trajectory import prompt_sha256

__all__ = ["CachedModel", "CallStore", "NotRecorded", "call_key"]

MODES = ("off", "read_write", "replay")


class NotRecorded(FatalModelError):
    """A replay met a call of which there is no recorded response."""


class CachedModel:
    """A ChatModel before another: calls that the store knows are answered from it, others are made and stored.

    mode: `read_write`; `replay` makes no call, a missing one raises NotRecorded; `off` passes everything on.
    Replies and context overflows are stored, errors never; of a call made twice the first stored outcome counts.
    Equal calls at the same time are made once: the others get its reply as a hit. A call goes on while anybody waits
    for it and is cancelled with the last who does. An attribute `identity` of the inner model, such as the address of
    its endpoint, tells equal names apart.
    """

    def __init__(self, inner: ChatModel, store: CallStore, mode: str = "read_write") -> None:
        if mode not in MODES:
            raise ValueError(f"cache.mode is {mode!r}: wanted one of {', '.join(MODES)}")
        self.inner = inner
        self.store = store
        self.mode = mode
        self._flights: dict[tuple[asyncio.AbstractEventLoop, bytes], _Flight] = {}

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def context_window(self) -> int | None:
        return self.inner.context_window

    @property
    def sampling(self) -> Sampling:
        return self.inner.sampling

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer from the store, or by the inner model; raises what that raises, and FatalModelError for the store."""
        if self.mode == "off":
            return await self.inner.complete(messages, epoch=epoch, occurrence=occurrence)
        key = call_key(self.inner, messages, epoch, occurrence)
        stored = self.store.get(key)
        if stored is not None:
            return _told(stored)
        if self.mode == "replay":
            raise NotRecorded(
                f"recorded response missing: {self.name}, prompt {prompt_sha256(messages)[:16]}, epoch {epoch}, "
                f"occurrence {occurrence}, is not in {self.store.path}"
            )
        return await self._join(key, messages, epoch, occurrence)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _join(self, key: bytes, messages: Sequence[Mapping[str, str]], epoch: int, occurrence: int) -> Reply:
        loop = asyncio.get_running_loop()
        flight = self._flights.get((loop, key))
        first = flight is None
        if flight is None:
            # A task of its own: whoever asked first may be cancelled without harm to those who joined.
            task = loop.create_task(self._call(key, messages, epoch, occurrence))
            flight = self._flights[loop, key] = _Flight(task)
            task.add_done_callback(lambda _: self._land(loop, key, flight))
        flight.waiting += 1
        try:
            reply = await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.waiting == 1 and not flight.task.done():
                self._land(loop, key, flight)
                flight.task.cancel()
            raise
        except ModelError as error:
            if first:
                raise
            # Its attempts are charged to the one who asked first.
            joined = type(error)(str(error))
            joined.cache_hit = True
            raise joined from error
        finally:
            flight.waiting -= 1
        return reply if first else replace(reply, cache_hit=True)

    def _land(self, loop: asyncio.AbstractEventLoop, key: bytes, flight: _Flight) -> None:
        if self._flights.get((loop, key)) is flight:
            del self._flights[loop, key]
        if flight.task.done() and not flight.task.cancelled():
            # Asked for, so that asyncio does not report an error that nobody waits for any more.
            flight.task.exception()

    async def _call(self, key: bytes, messages: Sequence[Mapping[str, str]], epoch: int, occurrence: int) -> Reply:
        try:
            reply = await self.inner.complete(messages, epoch=epoch, occurrence=occurrence)
        except ContextOverflow as overflow:
            self.store.put(key, self.name, overflow)
            raise
        if self.store.put(key, self.name, reply):
            return reply
        # Another process answered the same call meanwhile: its reply counts, ours was paid for nothing.
        spent = FailedAttempt("answered_twice", "another process stored this call first", 0.0, reply.usage, reply.cost)
        winner = _told(self.store.get(key))
        return replace(winner, failures=(*winner.failures, *reply.failures, spent))


@dataclass(eq=False)
class _Flight:
    """A call that is being made, and how many wait for it."""

    task: asyncio.Task[Reply]
    waiting: int = 0


def call_key(model: ChatModel, messages: Sequence[Mapping[str, str]], epoch: int = 0, occurrence: int = 0) -> bytes:
    """SHA-256 over all that determines a call: endpoint, model, messages, sampling, epoch, occurrence."""
    further = [{k: v for k, v in message.items() if k not in ("role", "content")} for message in messages]
    parts = (
        "rlm-eval call 1",
        getattr(model, "identity", ""),
        model.name,
        prompt_sha256(messages),
        json.dumps(further if any(further) else [], sort_keys=True, default=str),
        json.dumps(_sampling(model.sampling), sort_keys=True, default=str),
        str(epoch),
        str(occurrence),
    )
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()


def _sampling(sampling: Sampling) -> dict[str, object]:
    # Unset settings are left out, so that a new setting does not change the keys of stored calls; 0 is 0.0.
    values = {field.name: getattr(sampling, field.name) for field in fields(sampling)}
    values["extra"] = dict(sampling.extra) or None
    for name in ("temperature", "top_p"):
        values[name] = None if values[name] is None else float(values[name])
    return {name: value for name, value in values.items() if value is not None}


def _told(outcome: Outcome | None) -> Reply:
    if isinstance(outcome, ContextOverflow):
        raise outcome
    assert outcome is not None
    return outcome
