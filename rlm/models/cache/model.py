"""The response cache: a finished call is stored, and an equal call is answered from the store."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from rlm.models.cache.records import StoredResult
from rlm.models.cache.requests import describe_request, set_sampling
from rlm.models.cache.store import CallStore
from rlm.models.chat import ChatModel, ContextOverflow, FailedAttempt, FatalModelError, ModelError, Reply, Sampling
from rlm.trajectory import prompt_sha256

__all__ = ["CachedModel", "CallStore", "NotRecorded", "call_key"]

Mode = Literal["off", "read_write", "replay"]


class NotRecorded(FatalModelError):
    """A call of a replay has no recorded response."""


class CachedModel:
    """A ChatModel that answers calls from a store, and makes and stores those that are missing.

    mode: `read_write`; `replay` makes no call, and a call that is not recorded raises NotRecorded; `off` passes every
    call to the inner model. Replies and context overflows are stored, other errors are not; if a call is made twice,
    the first stored result counts. Equal concurrent calls are coalesced: the call is made once, the others receive its
    reply as a cache hit, and it is cancelled when the last waiter leaves.

    A call is identified by the model's name and the request (see call_key). The address of the endpoint, the attribute
    `address` of the inner model, is part of the key only if two endpoints that use one store serve models of the same
    name. An attribute `identity` of the inner model is always part of the key. part: further text of the address, for
    one of several models that may differ in more than their names, such as in their windows.
    """

    def __init__(self, inner: ChatModel, store: CallStore, mode: Mode = "read_write", part: str = "") -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"cache.mode is {mode!r}: expected {', '.join(get_args(Mode))}")
        self.inner = inner
        self.store = store
        self.mode = mode
        self._address = " ".join(filter(None, (str(getattr(inner, "address", "")), part)))
        self._flights: dict[tuple[asyncio.AbstractEventLoop, bytes], _Flight] = {}
        endpoints = store.endpoints.setdefault(inner.name, [])
        if self._address not in endpoints:
            endpoints.append(self._address)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def context_window(self) -> int | None:
        return self.inner.context_window

    @property
    def priced(self) -> bool:
        return getattr(self.inner, "priced", False)

    @property
    def sampling(self) -> Sampling:
        return self.inner.sampling

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer from the store, or call the inner model. Raises the exceptions of both."""
        if self.mode == "off":
            return await self.inner.complete(messages, epoch=epoch, occurrence=occurrence)
        keys = self._keys(messages, epoch, occurrence)
        for key in keys:
            stored = self.store.get(key)
            if stored is not None:
                return _reply_or_raise(stored)
        if self.mode == "replay":
            raise NotRecorded(self._missing(messages, epoch, occurrence))
        return await self._join(keys[0], messages, epoch, occurrence)

    def _keys(self, messages: Sequence[Mapping[str, str]], epoch: int, occurrence: int) -> list[bytes]:
        """Return the key of a call, then the keys under which earlier versions or runs may have stored it."""
        plain = call_key(self.inner, messages, epoch, occurrence)
        endpoints = self.store.endpoints[self.inner.name]
        if not self._address:
            return [plain]
        addressed = call_key(self.inner, messages, epoch, occurrence, address=self._address)
        if len(endpoints) == 1:
            return [plain, addressed]
        # Before the second endpoint was known, or in a run without it, calls were stored without the address.
        return [addressed, plain] if endpoints[0] == self._address else [addressed]

    def _missing(self, messages: Sequence[Mapping[str, str]], epoch: int, occurrence: int) -> str:
        call = f"{self.name}, prompt {prompt_sha256(messages)[:16]}, epoch {epoch}, occurrence {occurrence}"
        difference = self.store.nearest_difference(self.name, messages, self.sampling, epoch, occurrence)
        difference = difference or f"no request of {self.name} is kept there to compare with"
        return f"recorded response missing: {call}, is not in {self.store.source}: {difference}"

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _join(self, key: bytes, messages: Sequence[Mapping[str, str]], epoch: int, occurrence: int) -> Reply:
        loop = asyncio.get_running_loop()
        flight = self._flights.get((loop, key))
        first = flight is None
        if flight is None:
            # A separate task: if the first caller is cancelled, the other callers still get the reply.
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
            # The attempts are charged to the first caller only.
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
            # The exception is retrieved, or asyncio would report it as never retrieved.
            flight.task.exception()

    async def _call(self, key: bytes, messages: Sequence[Mapping[str, str]], epoch: int, occurrence: int) -> Reply:
        try:
            reply = await self.inner.complete(messages, epoch=epoch, occurrence=occurrence)
        except ContextOverflow as overflow:
            self._put(key, messages, epoch, occurrence, overflow)
            raise
        if self._put(key, messages, epoch, occurrence, reply):
            return reply
        # Another process has stored the same call in the meantime. Its reply counts; this call is still charged.
        spent = FailedAttempt("answered_twice", "another process stored this call first", 0.0, reply.usage, reply.cost)
        winner = _reply_or_raise(self.store.get(key))
        return replace(winner, failures=(*winner.failures, *reply.failures, spent))

    def _put(
        self, key: bytes, messages: Sequence[Mapping[str, str]], epoch: int, occurrence: int, result: StoredResult
    ) -> bool:
        request, ids = describe_request(messages, self.sampling, epoch, occurrence)
        texts = [(one, message["content"]) for one, message in zip(ids, messages, strict=True)]
        return self.store.put(key, self.name, result, request, texts)


@dataclass(eq=False)
class _Flight:
    """A call in flight and the number of its waiters."""

    task: asyncio.Task[Reply]
    waiting: int = 0


def call_key(
    model: ChatModel,
    messages: Sequence[Mapping[str, str]],
    epoch: int = 0,
    occurrence: int = 0,
    *,
    address: str = "",
) -> bytes:
    """Return the SHA-256 of everything that determines a call: model, messages, sampling, epoch, occurrence.

    address: the endpoint's address, if a reply from another endpoint must not answer the call.
    """
    further = [{k: v for k, v in message.items() if k not in ("role", "content")} for message in messages]
    parts = (
        # Stores of version 1 have the address in every key.
        "rlm-eval call 1",
        address or str(getattr(model, "identity", "")),
        model.name,
        prompt_sha256(messages),
        json.dumps(further if any(further) else [], sort_keys=True, default=str),
        # Unset settings are left out, so that a new setting does not change the keys of stored calls.
        json.dumps(set_sampling(model.sampling), sort_keys=True, default=str),
        str(epoch),
        str(occurrence),
    )
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()


def _reply_or_raise(result: StoredResult | None) -> Reply:
    if isinstance(result, ContextOverflow):
        raise result
    assert result is not None
    return result
