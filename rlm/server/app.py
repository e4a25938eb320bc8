"""Methods served as an OpenAI-compatible endpoint, so that any client of a model can call an RLM instead."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rlm.completion import Completion, StopReason, one_line
from rlm.limits import Limits
from rlm.models.chat import FatalModelError
from rlm.prompt import Message
from rlm.server.requests import (
    RequestError,
    chat_messages,
    check_request,
    read_body,
    request_limits,
    response_messages,
)
from rlm.server.responses import ChatShape, ResponseShape, extension
from rlm.trajectory import Event, OnEvent

PROGRESS_KINDS = ("turn", "call", "cell", "child", "limit")
ANSWER_PIECE_CHARS = 4096
# Seconds after which a silent stream says that it is alive; clients and proxies give up on one that is not.
HEARTBEAT_S = 15.0
MAX_BODY_BYTES = 256 << 20
MAX_REQUESTS = 64
BODY_TIMEOUT_S = 60.0

Shape = ChatShape | ResponseShape


class Served(Protocol):
    """A method, as far as the server uses it."""

    limits: Limits

    async def acompletion(
        self, messages: Sequence[Message], /, *, limits: Limits | None = None, on_event: OnEvent | None = None
    ) -> Completion:
        """Answer a list of chat messages."""
        ...


def make_app(
    methods: Mapping[str, Served],
    *,
    api_key: str | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_requests: int = MAX_REQUESTS,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> Starlette:
    """An ASGI application that serves each method under its name, such as `rlm/gpt-5`.

    Routes: POST /v1/chat/completions and /v1/responses, streaming too; GET /v1/models and /health. With an api_key,
    requests must carry it as a bearer token; without one, those that a web page of another host sends are refused.
    A request may lower the limits of its method by a field `rlm: {"limits": {...}}` and gets `rlm: {stop_reason,
    cost_usd, ...}` back. A client that hangs up cancels its completion. max_requests: completions at a time; further
    ones get status 429. body_timeout_s: seconds that a client may be silent while it sends. Raises ValueError.

    `app.state.end_completions()` is for a server that shuts down: it ends those under way, and their clients are told.
    """
    if api_key is not None and not api_key.strip():
        raise ValueError("api_key is empty")
    service = _Service(dict(methods), api_key, max_body_bytes, max_requests, body_timeout_s)
    routes = [
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/responses", service.responses, methods=["POST"]),
        Route("/v1/models", service.models, methods=["GET"]),
        Route("/v1/models/{name:path}", service.model, methods=["GET"]),
        Route("/health", service.health, methods=["GET"]),
    ]
    kinds = (RequestError, HTTPException, ClientDisconnect, Exception)
    app = Starlette(routes=routes, exception_handlers=dict.fromkeys(kinds, _error_response))
    app.router.redirect_slashes = False
    app.state.end_completions = service.end_completions
    return app


class _Service:
    def __init__(
        self,
        methods: dict[str, Served],
        api_key: str | None,
        max_body_bytes: int,
        max_requests: int,
        body_timeout_s: float,
    ) -> None:
        self._methods = methods
        self._api_key = api_key
        self._max_body_bytes = max_body_bytes
        self._max_requests = max_requests
        self._body_timeout_s = body_timeout_s
        self._running: set[asyncio.Task[Completion]] = set()
        self._started = int(time.time())

    def end_completions(self) -> None:
        for work in self._running:
            work.cancel()

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def models(self, request: Request) -> Response:
        self._authorise(request)
        return _json({"object": "list", "data": [self._model(name) for name in self._methods]})

    async def model(self, request: Request) -> Response:
        self._authorise(request)
        name = request.path_params["name"]
        self._method(name)
        return _json(self._model(name))

    async def chat(self, request: Request) -> Response:
        body = await self._body(request)
        messages = chat_messages(body.get("messages"))
        return await self._serve(request, body, messages, ChatShape(body["model"], _stream_usage(body)))

    async def responses(self, request: Request) -> Response:
        body = await self._body(request)
        messages = response_messages(body.get("input"), body.get("instructions"))
        return await self._serve(request, body, messages, ResponseShape(body["model"]))

    async def _serve(
        self, request: Request, body: Mapping[str, Any], messages: list[dict[str, str]], shape: Shape
    ) -> Response:
        method = self._method(body["model"])
        limits = request_limits(body, method.limits)
        if len(self._running) >= self._max_requests:
            told = f"{len(self._running)} completions are running; try again later"
            raise RequestError(429, told, "rate_limit_exceeded")
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        work = asyncio.create_task(method.acompletion(messages, limits=limits, on_event=events.put_nowait))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        work.add_done_callback(lambda _: events.put_nowait(None))
        if body.get("stream"):
            return _Stream(work, events, shape)
        gone = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return _json(shape.whole(_result(work)))
        finally:
            await _end(gone, work)

    async def _body(self, request: Request) -> dict[str, Any]:
        self._authorise(request)
        body = await read_body(request.stream(), self._max_body_bytes, self._body_timeout_s)
        check_request(body)
        self._method(body["model"])
        return body

    def _method(self, name: str) -> Served:
        if name not in self._methods:
            known = ", ".join(self._methods)
            raise RequestError(404, f"there is no model {name[:100]!r}; there are: {known}", "model_not_found", "model")
        return self._methods[name]

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._started, "owned_by": "rlm-eval"}

    def _authorise(self, request: Request) -> None:
        if self._api_key is None:
            # Any page in the user's browser can post to loopback, but not without saying where it comes from.
            origin = request.headers.get("origin")
            if origin is not None and not is_loopback(_host(origin)):
                raise RequestError(403, "requests from web pages need a server with a key (server.api_key_env)")
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode("latin-1"), self._api_key.encode()
        ):
            raise RequestError(401, "the API key is missing or wrong", "invalid_api_key")


class _Stream(StreamingResponse):
    """The stream of a completion, which ends with it: also where the client has hung up, nothing goes on spending."""

    def __init__(self, work: asyncio.Task[Completion], events: asyncio.Queue[Event | None], shape: Shape) -> None:
        super().__init__(_lines(work, events, shape), media_type="text/event-stream")
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await _end(self._work)


async def _lines(
    work: asyncio.Task[Completion], events: asyncio.Queue[Event | None], shape: Shape
) -> AsyncIterator[str]:
    for line in shape.start():
        yield line
    while True:
        try:
            event = await asyncio.wait_for(events.get(), HEARTBEAT_S)
        except TimeoutError:
            yield ": still working\n\n"
            continue
        if event is None:
            break
        if event["kind"] in PROGRESS_KINDS:
            for line in shape.progress(event):
                yield line
    try:
        result = _result(work)
    except RequestError as error:
        for line in shape.failed(error):
            yield line
        return
    text = result.answer or ""
    for begin in range(0, len(text), ANSWER_PIECE_CHARS):
        for line in shape.piece(text[begin : begin + ANSWER_PIECE_CHARS]):
            yield line
    for line in shape.end(result):
        yield line


def _result(work: asyncio.Task[Completion]) -> Completion:
    """The completion of a finished task; RequestError for what a model's endpoint would answer with an error."""
    try:
        result = work.result()
    except FatalModelError as error:
        raise RequestError(502, f"the model behind this endpoint cannot be used: {one_line(error)}") from error
    except asyncio.CancelledError:
        raise RequestError(503, "the server is shutting down") from None
    except Exception as error:
        raise RequestError(500, f"internal error: {one_line(error)}") from error
    if result.answer is not None:
        return result
    if result.stop_reason == StopReason.CONTEXT_OVERFLOW:
        told = result.error or "the input does not fit the model's context window"
        raise RequestError(400, told, "context_length_exceeded", "messages", rlm=extension(result))
    if result.stop_reason == StopReason.ERROR:
        raise RequestError(502, result.error or "the model behind this endpoint failed", rlm=extension(result))
    return result


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _error_response(request: Request, error: Exception) -> Response:
    headers = None
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        told = {404: "there is no route", 405: "the route does not take"}.get(error.status_code, error.detail)
        error = RequestError(error.status_code, f"{told} {request.method} {request.url.path}")
    elif not isinstance(error, RequestError):
        error = RequestError(500, f"internal error: {one_line(error)}")
    return _json(error.body, error.status, {**error.headers, **(headers or {})})


def _json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    # Escaped throughout, for an answer may hold lone surrogates, which no encoding takes.
    return Response(json.dumps(body), status, headers, media_type="application/json")


def _stream_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
