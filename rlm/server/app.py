"""Serves methods as an OpenAI-compatible endpoint, so that any client of a model can call an RLM."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
from rlm.server.bodies import BODY_TIMEOUT_S, MAX_BODY_BYTES, Bodies, Body
from rlm.server.requests import RequestError, chat_messages, check_request, request_limits, response_messages
from rlm.server.responses import ChatShape, ResponseShape, complete_pieces, extension
from rlm.trajectory import Event, OnEvent

PROGRESS_KINDS = ("turn", "call", "cell", "child", "limit")
ANSWER_PIECE_CHARS = 4096
LONG_ANSWER_CHARS = 1 << 20
# Seconds after which a silent stream sends a comment, because clients and proxies close silent connections.
HEARTBEAT_S = 15.0
MAX_REQUESTS = 64

Shape = ChatShape | ResponseShape
Messages = list[dict[str, str]]


class Served(Protocol):
    """The part of a method that the server uses."""

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
    """Make an ASGI application that serves each method under its name, such as `rlm/gpt-5`.

    Routes: POST /v1/chat/completions and /v1/responses, also as streams; GET /v1/models and /health. With an api_key,
    requests must carry it as a bearer token. Without one, requests from web pages of other hosts are refused.
    A request may lower the limits of its method by a field `rlm: {"limits": {...}}`; the response has a field
    `rlm: {stop_reason, cost_usd, ...}`. A client that disconnects cancels its completion. max_requests: concurrent
    completions; further requests get status 429. body_timeout_s: seconds that a client may be silent while it sends.
    Raises ValueError.

    A server that shuts down calls `app.state.end_completions()`, which ends the completions in progress; their clients
    get an error.
    """
    if api_key is not None and not api_key.strip():
        raise ValueError("api_key is empty")
    service = _Service(dict(methods), api_key, Bodies(max_body_bytes, body_timeout_s), max_requests)
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
    def __init__(self, methods: dict[str, Served], api_key: str | None, bodies: Bodies, max_requests: int) -> None:
        self._methods = methods
        self._api_key = api_key
        self._bodies = bodies
        self._max_requests = max_requests
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
        return await self._answer(request, _chat)

    async def responses(self, request: Request) -> Response:
        return await self._answer(request, _response)

    async def _answer(self, request: Request, read: Callable[[Mapping[str, Any]], tuple[Messages, Shape]]) -> Response:
        self._authorise(request)
        body = await self._bodies.read(request.stream(), request.headers)
        try:
            check_request(body.content)
            self._method(body.content["model"])
            messages, shape = read(body.content)
            return await self._serve(request, body, messages, shape)
        except BaseException:
            body.release()
            raise

    async def _serve(self, request: Request, body: Body, messages: Messages, shape: Shape) -> Response:
        method = self._method(body.content["model"])
        limits = request_limits(body.content, method.limits)
        if len(self._running) >= self._max_requests:
            message = f"{len(self._running)} completions are running; try again later"
            raise RequestError(429, message, "rate_limit_exceeded")
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        work = asyncio.create_task(method.acompletion(messages, limits=limits, on_event=events.put_nowait))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        work.add_done_callback(lambda _: events.put_nowait(None))
        # The messages remain in memory as long as the completion.
        work.add_done_callback(lambda _: body.release())
        if body.content.get("stream"):
            return _Stream(work, events, shape)
        disconnected = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({work, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return _complete(shape, _result(work))
        finally:
            await _end(disconnected, work)

    def _method(self, name: str) -> Served:
        if name not in self._methods:
            known = ", ".join(self._methods)
            raise RequestError(404, f"there is no model {name[:100]!r}; known: {known}", "model_not_found", "model")
        return self._methods[name]

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._started, "owned_by": "rlm-eval"}

    def _authorise(self, request: Request) -> None:
        if self._api_key is None:
            # Any page in the user's browser can post to loopback. The browser then sends the page's origin, and the
            # host that the page addressed, whose name an attacker may resolve to loopback.
            origin = request.headers.get("origin")
            if origin is not None and not is_loopback(_host(origin)):
                raise RequestError(403, "requests from web pages need a server with a key (server.api_key_env)")
            own = (request.scope.get("server") or ("", 0))[0]
            host = request.headers.get("host", "")
            if is_loopback(own) and not is_loopback(_host(f"//{host}")):
                raise RequestError(403, f"Host is {host[:100]!r}: expected the name or address of loopback")
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode("latin-1"), self._api_key.encode()
        ):
            raise RequestError(401, "the API key is missing or wrong", "invalid_api_key")


class _Stream(StreamingResponse):
    """The stream of a completion; when it ends, also by a disconnect, the completion is cancelled."""

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
        # A client that reads fast never makes the server wait.
        await asyncio.sleep(0)
    for line in shape.end(result):
        yield line
        await asyncio.sleep(0)


def _result(work: asyncio.Task[Completion]) -> Completion:
    """Return the completion of a finished task. Raises RequestError if a model's endpoint would return an error."""
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
        message = result.error or "the input does not fit the model's context window"
        raise RequestError(400, message, "context_length_exceeded", "messages", rlm=extension(result))
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
        message = {404: "there is no route", 405: "the route does not accept"}.get(error.status_code, error.detail)
        error = RequestError(error.status_code, f"{message} {request.method} {request.url.path}")
    elif not isinstance(error, RequestError):
        error = RequestError(500, f"internal error: {one_line(error)}")
    return _json(error.body, error.status, {**error.headers, **(headers or {})})


def _json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    # Non-ASCII characters are escaped, because an answer may hold lone surrogates, which have no encoding.
    return Response(json.dumps(body), status, headers, media_type="application/json")


def _complete(shape: Shape, result: Completion) -> Response:
    """Return a complete response, which is sent in pieces if the answer is long."""
    if len(result.answer or "") <= LONG_ANSWER_CHARS:
        return _json(shape.complete(result))

    async def pieces() -> AsyncIterator[str]:
        for piece in complete_pieces(shape, result):
            yield piece
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="application/json")


def _chat(body: Mapping[str, Any]) -> tuple[Messages, Shape]:
    return chat_messages(body.get("messages")), ChatShape(body["model"], _stream_usage(body))


def _response(body: Mapping[str, Any]) -> tuple[Messages, Shape]:
    return response_messages(body.get("input"), body.get("instructions")), ResponseShape(body["model"])


def _stream_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """True for a host name or address of this machine's loopback interface."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
