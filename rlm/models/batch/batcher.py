"""Batcher: collects the requests of one model, submits them in batches and hands out the results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm.models.batch.api import BatchApi, BatchState
from rlm.models.batch.gathering import Gathering
from rlm.models.batch.journal import BatchJournal, Line, Submitted
from rlm.models.chat import FatalModelError
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.faults import Action, Fault, error_fault

# The wait between two polls grows by this factor, up to this multiple of batch_poll_s.
POLL_GROWTH, POLL_MOST = 1.5, 10.0
# The error code of a batch that exceeds the limit on an account's queued tokens.
QUEUE_IS_FULL = "token_limit_exceeded"
# Statuses of batches that may have left some of their requests unanswered.
_LEAVES = ("expired", "cancelled")


@dataclass(eq=False)
class _Waiter:
    """A request that waits. batch: None until it is submitted. Its result is None if it has to be submitted again."""

    future: asyncio.Future[Line | None]
    batch: Submitted | None = None


@dataclass(eq=False)
class _Part:
    """A file of requests that were not submitted."""

    path: Path
    ids: list[str]
    size: int = 0


class Batcher:
    """Batches of one model at one endpoint.

    Requests are written to a file when they arrive. A full file is submitted at once, and the last one when the
    gathering calls for it. A request in a batch of an earlier session waits for that batch.
    """

    def __init__(self, model: str, endpoint: Endpoint, journal: BatchJournal, gathering: Gathering) -> None:
        self.model, self.endpoint, self.journal = model, endpoint, journal
        self._api = BatchApi(endpoint)
        self._gathering = gathering
        self._waiting: dict[str, _Waiter] = {}
        self._part: _Part | None = None
        self._parts = 0
        self._tasks: dict[Submitted | _Part, asyncio.Task[None]] = {}
        self._states: dict[Submitted, BatchState] = {}
        self._kept: set[Submitted] = set()
        # Set when the queue of the account was full: one batch at a time, with at most so many requests.
        self._alone: asyncio.Lock | None = None
        self._most = endpoint.batch_max_requests
        gathering.submit.append(self._submit)

    @property
    def waiting(self) -> tuple[int, int, int]:
        """Return the number of waiting requests, of submitted batches, and of finished requests in these batches."""
        # The thread of the progress line reads this while requests come and go.
        batches = {waiter.batch for waiter in list(self._waiting.values()) if waiter.batch}
        done = sum(self._states[batch].done for batch in batches if batch in self._states)
        return len(self._waiting), len(batches), done

    async def send(self, key: str, body: Mapping[str, Any], tried: set[Submitted]) -> Line:
        """Return the result of a request.

        key: identifies equal requests, at most 60 characters. tried: batches whose results are not used; the batch of
        the result is added. Raises Fault if the batch has no result for it, FatalModelError if batches cannot be used.
        """
        custom_id = next(name for name in _names(key) if name not in self._waiting)
        waiter = self._waiting[custom_id] = _Waiter(asyncio.get_running_loop().create_future())
        try:
            while True:
                waiter.batch = self.journal.batch_of(custom_id, tried)
                if waiter.batch is None:
                    # The line is not kept while the request waits, because a prompt may be long.
                    with self._gathering.preparing():
                        self._add(custom_id, await asyncio.to_thread(_request_line, custom_id, self._api.path, body))
                elif waiter.batch not in self._tasks:
                    self._start(waiter.batch, self._followed(waiter.batch))
                try:
                    line = await waiter.future
                except Fault:
                    tried |= {waiter.batch} if waiter.batch else set()
                    raise
                if waiter.batch is not None and (line is not None or custom_id not in waiter.batch.unanswered):
                    tried.add(waiter.batch)
                if line is not None:
                    return line
                waiter.future = asyncio.get_running_loop().create_future()
        finally:
            del self._waiting[custom_id]

    async def aclose(self) -> None:
        """Leave the submitted batches at the endpoint, and close the connections."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._part is not None:
            self._part.path.unlink(missing_ok=True)
        await self._api.aclose()

    def _add(self, custom_id: str, line: bytes) -> None:
        """Write a request to the file of the next batch. Raises Fault if it is longer than a batch may be."""
        if len(line) > self.endpoint.batch_max_bytes:
            message = f"the request has {len(line):,} bytes: more than model.endpoint.batch_max_bytes"
            raise Fault("too_large", message, Action.GIVE_UP)
        part = self._part
        if part is not None and (len(part.ids) >= self._most or part.size + len(line) > self.endpoint.batch_max_bytes):
            self._submit()
            part = None
        try:
            if part is None:
                self.journal.folder.mkdir(parents=True, exist_ok=True)
                self._parts += 1
                name = f"{id(self):x}-{self._parts}.spool"
                part = self._part = _Part(self.journal.folder / name, [])
            with part.path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise FatalModelError(f"a batch cannot be written: {error.strerror or error}") from error
        part.ids.append(custom_id)
        part.size += len(line)

    def _submit(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            self._start(part, self._submitted(part))

    def _start(self, owner: Submitted | _Part, work: Any) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:
                text = str(error) if isinstance(error, FatalModelError) else f"{type(error).__name__}: {error}"
                for waiter in self._waiters(owner):
                    _fail(waiter.future, FatalModelError(text))
            finally:
                self._tasks.pop(owner, None)
                if isinstance(owner, _Part):
                    owner.path.unlink(missing_ok=True)

        self._tasks[owner] = asyncio.ensure_future(guarded())

    def _waiters(self, owner: Submitted | _Part) -> list[_Waiter]:
        if isinstance(owner, _Part):
            found = [self._waiting[custom_id] for custom_id in owner.ids if custom_id in self._waiting]
        else:
            found = [waiter for waiter in self._waiting.values() if waiter.batch is owner]
        return [waiter for waiter in found if not waiter.future.done()]

    async def _submitted(self, part: _Part) -> None:
        """Upload and submit a file, and wait for its results."""
        async with AsyncExitStack() as stack:
            if self._alone is not None:
                await stack.enter_async_context(self._alone)
                others = [task for owner, task in self._tasks.items() if isinstance(owner, Submitted)]
                await asyncio.gather(*others, return_exceptions=True)
                for one in self._in_queue():
                    await self._left_queue(one)
            file_id = await self._api.upload(part.path)
            batch = self.journal.submitting(file_id, self.model, self.endpoint.base_url, part.ids)
            for custom_id in part.ids:
                if custom_id in self._waiting:
                    self._waiting[custom_id].batch = batch
            state = await self._api.create(file_id)
            self.journal.submitted(batch, state.id)
            self._start(batch, self._followed(batch))
            await self._tasks[batch]

    async def _followed(self, batch: Submitted) -> None:
        """Poll a batch until it has ended, and pass its results to the waiting requests."""
        state: BatchState | None = None
        faults: Callable[[str], Exception | None] = _no_fault
        if batch.status is None or not await self._is_kept(batch):
            state = await self._end_of(batch)
        if state is not None:
            self.journal.forget(batch)
            for kind, file_id in (("output", state.output_file), ("errors", state.error_file)):
                if file_id is not None:
                    await self._api.download(file_id, self.journal.path(batch, kind))
            self._states[batch] = state
        results = await self._results(batch)
        if state is not None and batch.status is None:
            unanswered = [name for name in batch.ids if name not in results or not results[name].is_reply]
            faults = self._faults(batch, state)
            self.journal.ended(batch, state.status, unanswered)
        for custom_id, waiter in list(self._waiting.items()):
            if waiter.batch is not batch or waiter.future.done():
                continue
            line = results.get(custom_id)
            # For requests that an ended batch left out, the error lines add nothing to the status of the batch.
            is_left_out = line is not None and not line.status and state is not None and state.status in _LEAVES
            error = faults(custom_id) if line is None or is_left_out else None
            if error is not None:
                _fail(waiter.future, error)
            else:
                waiter.future.set_result(line)

    async def _end_of(self, batch: Submitted) -> BatchState | None:
        """Return the last state of a batch; None if it was never submitted."""
        if batch.batch_id is None:
            found = await self._api.find(batch.file_id)
            if found is None:
                self.journal.ended(batch, "not submitted", batch.ids)
                return None
            self.journal.submitted(batch, found.id)
        assert batch.batch_id is not None
        wait = self.endpoint.batch_poll_s
        while not (state := await self._api.state(batch.batch_id)).ended:
            self._states[batch] = state
            await asyncio.sleep(wait)
            wait = min(wait * POLL_GROWTH, POLL_MOST * self.endpoint.batch_poll_s)
        return state

    async def _is_kept(self, batch: Submitted) -> bool:
        """True if the files of an ended batch still have all its replies. Otherwise they are downloaded again."""
        try:
            results = await asyncio.to_thread(self.journal.results, batch)
        except (OSError, ValueError):
            return False
        # The result is kept, because each request of the batch asks for it.
        if batch not in self._kept and all(name in results or name in batch.unanswered for name in batch.ids):
            self._kept.add(batch)
        return batch in self._kept

    async def _results(self, batch: Submitted) -> Mapping[str, Line]:
        try:
            return await asyncio.to_thread(self.journal.results, batch)
        except (OSError, ValueError) as error:
            path = self.journal.path(batch, "output")
            raise FatalModelError(
                f"the results of {batch.batch_id} in {path} cannot be read: {error}; run again to download them again"
            ) from error

    def _faults(self, batch: Submitted, state: BatchState) -> Callable[[str], Exception | None]:
        """Return a function that makes the error of a request without a result, by its custom id."""
        name = f"{batch.batch_id} of {len(batch.ids)} requests"
        if state.status == "cancelled":
            message = (
                f"{self.endpoint.base_url}: {name} was cancelled; run the same command to submit the rest again, or "
                "with model.endpoint.batch=false to send it without a batch"
            )
            return lambda _: FatalModelError(message)
        if state.status != "failed":
            end = "expired before this request was done" if state.status == "expired" else "has no result for it"
            return lambda _: Fault("batch_expired", f"{name} {end}", Action.RETRY)
        if any(error.code == QUEUE_IS_FULL for error in state.errors):
            return self._full_queue(batch, name, state.errors[0].message)
        bad = {batch.ids[e.line - 1]: e for e in state.errors if e.line and 0 < e.line <= len(batch.ids)}
        if not bad:
            reasons = "; ".join(f"{error.code}: {error.message}" for error in state.errors[:3]) or "no reason is given"
            return lambda _: FatalModelError(f"{self.endpoint.base_url}: {name} failed: {reasons}")

        def fault(custom_id: str) -> Fault:
            if (error := bad.get(custom_id)) is None:
                return Fault("batch_failed", f"{name} failed because of other requests", Action.RETRY)
            return error_fault(400, {}, {"error": {"code": error.code, "message": error.message}})

        return fault

    def _in_queue(self) -> list[Submitted]:
        """Return the batches of this model that have not ended, including those of earlier sessions."""
        mine = (self.model, self.endpoint.base_url)
        found = [one for one in self.journal.open if (one.model, one.address) == mine]
        return [one for one in found if one not in self._states or not self._states[one].ended]

    async def _left_queue(self, batch: Submitted) -> None:
        """Wait until a batch has ended whose results no request of this session needs."""
        try:
            state = await self._end_of(batch)
        except FatalModelError:
            # The endpoint may no longer have the batch.
            state = None
        self._states[batch] = state or BatchState(batch.batch_id or batch.file_id, "failed")

    def _full_queue(self, batch: Submitted, name: str, message: str) -> Callable[[str], Exception | None]:
        """From now on submit one batch at a time, and smaller ones if this one was alone."""
        others = [one for one in self._in_queue() if one is not batch]
        if not others:
            self._most = max(1, min(self._most, len(batch.ids) // 2))
        if not others and len(batch.ids) == 1:
            return lambda _: FatalModelError(f"{self.endpoint.base_url}: {name} failed: {message}")
        self._alone = self._alone or asyncio.Lock()
        # The requests are submitted again, and this batch does not count as an attempt.
        return lambda _: None


def _fail(future: asyncio.Future[Line | None], error: Exception) -> None:
    future.set_exception(error)
    # A cancelled waiter does not retrieve it, which asyncio would report.
    future.exception()


def _no_fault(custom_id: str) -> Exception | None:
    return None


def _names(key: str) -> Iterator[str]:
    """Yield names for equal requests that wait at the same time."""
    yield key
    number = 1
    while True:
        yield f"{key}-{number}"
        number += 1


def _request_line(custom_id: str, path: str, body: Mapping[str, Any]) -> bytes:
    row = {"custom_id": custom_id, "method": "POST", "url": path, "body": dict(body)}
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
