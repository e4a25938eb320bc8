"""BatchApi: files and batches of an endpoint, through the OpenAI SDK, with retries that never submit a batch twice."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rlm.models.batch.journal import MAX_LINE_BYTES
from rlm.models.chat import FatalModelError
from rlm.models.client.connection import open_client, request_headers
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.faults import Action, Fault, status_fault, transport_fault
from rlm.models.client.limiter import backoff
from rlm.models.client.redaction import Redactor
from rlm.structure import bounded_json

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
# Statuses in which a batch no longer changes.
ENDED = ("completed", "failed", "expired", "cancelled")
# A longer file of results is refused.
MAX_RESULT_BYTES = 16 << 30
# A longer answer of the batch API is refused. A page of its list has up to 100 batches of about a kilobyte.
MAX_ANSWER_BYTES = 4 << 20
# An endpoint keeps many batches; an unconfirmed one is among its latest.
_MAX_LISTED = 2_000


@dataclass(frozen=True)
class BatchError:
    """A reason why a batch failed. line: the number of the request in its file, from 1; None for the complete file."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True)
class BatchState:
    """A batch as the endpoint reports it. output_file, error_file: the ids of the files with results, if any."""

    id: str
    status: str
    output_file: str | None = None
    error_file: str | None = None
    done: int = 0
    errors: tuple[BatchError, ...] = ()

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class BatchApi:
    """The batches of one endpoint.

    A request that fails for a passing reason is repeated, once the endpoint has answered for up to max_outage_wait_s
    and before that max_retries times. Every method raises FatalModelError, one line, if it does not succeed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._redactor = Redactor(endpoint.secrets())
        self._client: AsyncOpenAI | None = None
        self._reached = False

    @property
    def path(self) -> str:
        """The path of the endpoint to which the requests of a batch go. Azure names it without the version."""
        return "/chat/completions" if self._endpoint.kind == "azure" else "/v1/chat/completions"

    async def upload(self, path: Path) -> str:
        """Upload a file of requests; returns its id."""

        async def send(client: AsyncOpenAI, options: Any) -> str:
            with path.open("rb") as file:
                found = await client.files.create(file=("batch.jsonl", file), purpose="batch", **options)
            return _identifier(found)

        return await self._ask("the requests cannot be uploaded", send)

    async def create(self, file_id: str) -> BatchState:
        """Submit an uploaded file as a batch."""
        sent = False

        async def send(client: AsyncOpenAI, options: Any) -> BatchState:
            nonlocal sent
            # The first request may have arrived although its response did not.
            if sent and (found := await _find(client, file_id, options)):
                return found
            sent = True
            path: Any = self.path
            return _state(
                await client.batches.create(input_file_id=file_id, endpoint=path, completion_window="24h", **options)
            )

        return await self._ask("the batch cannot be submitted", send)

    async def find(self, file_id: str) -> BatchState | None:
        """Return the batch that was submitted from an uploaded file, None if there is none."""
        return await self._ask(
            f"the batch of {file_id} cannot be looked up", lambda client, options: _find(client, file_id, options)
        )

    async def state(self, batch_id: str) -> BatchState:
        """Ask for the state of a batch."""

        async def send(client: AsyncOpenAI, options: Any) -> BatchState:
            return _state(await client.batches.retrieve(batch_id, **options))

        return await self._ask(f"{batch_id} cannot be polled", send)

    async def download(self, file_id: str, path: Path) -> None:
        """Write a file of results to `path`, atomically."""
        part = path.with_name(path.name + ".partial")

        async def send(client: AsyncOpenAI, options: Any) -> None:
            size = 0
            async with client.files.with_streaming_response.content(file_id, **options) as response:
                with part.open("wb") as file:
                    async for piece in response.iter_bytes():
                        size += len(piece)
                        if size > MAX_RESULT_BYTES:
                            message = f"{file_id} is longer than {MAX_RESULT_BYTES} bytes"
                            raise Fault("oversized", message, Action.GIVE_UP)
                        file.write(piece)
            if not await asyncio.to_thread(_is_complete, part):
                raise Fault("half_body", f"{file_id} ends within a line", Action.RETRY)

        await self._ask(f"the results in {file_id} cannot be read", send)
        part.replace(path)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _ask(self, problem: str, send: Callable[[AsyncOpenAI, Any], Awaitable[T]]) -> T:
        endpoint, loop = self._endpoint, asyncio.get_running_loop()
        failures, failing_since = 0, 0.0
        while True:
            try:
                return await self._attempt(send)
            except Fault as caught:
                fault = caught
            if not failures:
                # A first request may have waited longer for its answer than an outage may take.
                failing_since = loop.time()
            fault.redact(self._redactor)
            wait = backoff(failures, endpoint.backoff_s, endpoint.max_backoff_s)
            wait = max(wait, fault.retry_after_s or 0.0)
            overdue = loop.time() + wait > failing_since + endpoint.max_outage_wait_s
            passing = fault.action in (Action.RETRY, Action.LATER)
            if not passing or (overdue if self._reached else failures >= endpoint.max_retries):
                raise FatalModelError(f"{endpoint.base_url}: {problem}: {fault}") from fault
            failures += 1
            await asyncio.sleep(wait)

    async def _attempt(self, send: Callable[[AsyncOpenAI, Any], Awaitable[T]]) -> T:
        """Send once. Raises Fault."""
        import aiohttp
        import httpx2
        from openai import APIStatusError

        endpoint = self._endpoint
        if self._client is None:
            # The client of model calls is not used here, because it has other caps on the size of responses.
            self._client = open_client(endpoint, [_bound])
        # The SDK states the types of these requests itself.
        headers = {name: one for name, one in request_headers(endpoint).items() if name not in _OF_CALLS}
        timeout = httpx2.Timeout(endpoint.read_timeout_s, connect=endpoint.connect_s, pool=None)
        options = {"extra_headers": headers, "timeout": timeout}
        try:
            async with asyncio.timeout(endpoint.total_s):
                found = await send(self._client, options)
        except APIStatusError as error:
            self._reached = True
            raise status_fault(error.status_code, error.response.headers, error.response.content) from error
        except Fault:
            raise
        except Exception as error:
            of_network = isinstance(error, TimeoutError | ConnectionError | aiohttp.ClientError)
            if isinstance(error, OSError) and not of_network:
                raise FatalModelError(f"a batch cannot be written or read: {error}") from error
            # Bytes that are not HTTP can make the HTTP libraries raise any exception.
            raise transport_fault(error, endpoint.total_s) from error
        self._reached = True
        return found


# An id is part of addresses and of a command that is printed for the shell.
_ID = re.compile(r"[A-Za-z0-9_.:/=-]{1,512}")
# Headers that belong only to requests of model calls.
_OF_CALLS = ("accept", "content-type")


async def _bound(response: Any) -> None:
    from rlm.models.client.bounded import bound

    is_file = response.request.url.path.endswith("/content") and response.status_code == 200
    await bound(response, MAX_RESULT_BYTES if is_file else MAX_ANSWER_BYTES)


async def _find(client: AsyncOpenAI, file_id: str, options: Any) -> BatchState | None:
    listed = 0
    async for batch in client.batches.list(limit=100, **options):
        if getattr(batch, "input_file_id", None) == file_id:
            return _state(batch)
        listed += 1
        if listed >= _MAX_LISTED:
            break
    return None


def _state(batch: Any) -> BatchState:
    """Read a batch, which the SDK does not validate. Raises Fault."""
    identifier, status = _identifier(batch), getattr(batch, "status", None)
    if not isinstance(status, str):
        raise Fault("bad_json", f"{identifier} has no status", Action.RETRY)
    errors = getattr(getattr(batch, "errors", None), "data", None)
    counts = getattr(batch, "request_counts", None)
    done = [getattr(counts, name, None) for name in ("completed", "failed")]
    return BatchState(
        identifier,
        status.lower(),
        _text(getattr(batch, "output_file_id", None)),
        _text(getattr(batch, "error_file_id", None)),
        sum(count for count in done if isinstance(count, int)),
        tuple(map(_error, errors if isinstance(errors, list) else ())),
    )


def _error(error: Any) -> BatchError:
    line = getattr(error, "line", None)
    code, message = (_text(getattr(error, name, None)) or "" for name in ("code", "message"))
    return BatchError(code, message, line if isinstance(line, int) else None)


def _identifier(found: Any) -> str:
    identifier = getattr(found, "id", None)
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        start = " ".join(str(found).split())[:120]
        raise Fault("bad_json", f"the response is not a file or batch: {start}", Action.RETRY)
    return identifier


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_complete(path: Path) -> bool:
    """True if the last line of a file of JSON lines is complete."""
    with path.open("rb") as file:
        # The lines before the last one are not read, because a file may have gigabytes.
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_LINE_BYTES))
        end = file.read().rstrip(b" \t\r")
    last = end.rpartition(b"\n")[2]
    try:
        return not last or isinstance(bounded_json(last), dict)
    except (ValueError, RecursionError):
        return False
