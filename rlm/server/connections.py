"""The HTTP server of `rlm-eval serve`: uvicorn with bounds on connections and on the time to send headers."""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
HEADER_TIMEOUT_S = 20.0
# The number of connections that the kernel accepts ahead of the program.
_BACKLOG = 128
# Requests and bytes that a connection may send ahead of its answers; uvicorn would keep any number of them.
_MAX_AHEAD, _AHEAD_BYTES = 2000, 1 << 20
# Chunks of a body, each of which takes the event loop some microseconds, and the average bytes of more chunks.
_ALWAYS_CHUNKS, _CHUNK_BYTES = 10_000, 16
# Seconds that completions in progress may still take when the server is asked to end.
_GRACE_S = 2
# Seconds between two lines about connections that cannot be accepted, and between equal lines of uvicorn.
_EVERY_S = 60.0


def make_server(
    app: Starlette,
    *,
    max_connections: int = MAX_CONNECTIONS,
    header_timeout_s: float = HEADER_TIMEOUT_S,
    log_level: str = "warning",
) -> uvicorn.Server:
    """Make a server for the application of `make_app`.

    max_connections: open connections, at most half of the open files that this process may have. Beyond it, the
    connection that has waited longest without a complete request is closed, or the new one if there is none.
    header_timeout_s: seconds that a client may take to send the headers of a request.
    """
    import uvicorn
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    class Server(uvicorn.Server):
        async def serve(self, sockets: list[socket.socket] | None = None) -> None:
            asyncio.get_running_loop().set_exception_handler(_report_accept_errors_rarely())
            await super().serve(sockets)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # First, so that clients get an answer and no further call is made. Then uvicorn waits for their
            # connections.
            app.state.end_completions()
            await super().shutdown(sockets)

    most = min(max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    settings = uvicorn.Config(
        app,
        http=_bounded(AutoHTTPProtocol, most, header_timeout_s),
        log_level=log_level,
        access_log=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_GRACE_S,
    )
    uvicorn_log = logging.getLogger("uvicorn.error")
    if not any(isinstance(one, _Rarely) for one in uvicorn_log.filters):
        uvicorn_log.addFilter(_Rarely())
    return Server(settings)


class _Rarely(logging.Filter):
    """Passes equal warnings once a minute, because a client can cause one by every invalid request."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        now, text = time.monotonic(), str(record.msg)
        if now - self._logged.get(text, -math.inf) < _EVERY_S:
            return False
        self._logged[text] = now
        return True


def _bounded(protocol: Any, max_connections: int, header_timeout_s: float) -> type:
    """Return uvicorn's HTTP protocol with both bounds, and with bounds on requests sent ahead and on small chunks."""
    import h11

    waiting: dict[Any, asyncio.TimerHandle] = {}

    class BoundedProtocol(protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._chunks = self._chunk_bytes = 0
            if isinstance(getattr(self, "conn", None), h11.Connection):
                self._next_event, self.conn.next_event = self.conn.next_event, self._counted_event
            self._wait()
            if len(self.connections) > max_connections:
                next(iter(waiting)).transport.abort()

        def _counted_event(self) -> Any:
            event = self._next_event()
            if isinstance(event, h11.Request):
                self._chunks = self._chunk_bytes = 0
            elif isinstance(event, h11.Data):
                self._count_chunk(len(event.data))
            return event

        def on_message_begin(self) -> None:
            """Called by httptools, which uvicorn uses in place of h11 where it is installed."""
            self._chunks = self._chunk_bytes = 0
            super().on_message_begin()

        def on_body(self, body: bytes) -> None:
            """Called by httptools."""
            self._count_chunk(len(body))
            super().on_body(body)

        def _count_chunk(self, size: int) -> None:
            self._chunks, self._chunk_bytes = self._chunks + 1, self._chunk_bytes + size
            if self._chunks > _ALWAYS_CHUNKS and self._chunk_bytes < _CHUNK_BYTES * self._chunks:
                raise h11.RemoteProtocolError("the chunks of the body are too small")

        def _is_far_ahead(self) -> bool:
            if hasattr(self, "pipeline"):
                return len(self.pipeline) > _MAX_AHEAD
            return len(self.conn.trailing_data[0]) > _AHEAD_BYTES

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_far_ahead():
                self.transport.abort()
            if self.cycle is None or self.cycle.response_complete:
                self._wait()
            else:
                self._stop_waiting()

        def connection_lost(self, error: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(error)

        def _wait(self) -> None:
            if self not in waiting and not self.transport.is_closing():
                waiting[self] = self.loop.call_later(header_timeout_s, self.transport.abort)

        def _stop_waiting(self) -> None:
            timer = waiting.pop(self, None)
            if timer is not None:
                timer.cancel()

    return BoundedProtocol


def _report_accept_errors_rarely() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return an exception handler that reports errors of accept(), such as too many open files, once a minute."""
    reported = -_EVERY_S

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal reported
        if not str(context.get("message", "")).startswith("socket.accept()"):
            loop.default_exception_handler(context)
        elif time.monotonic() - reported >= _EVERY_S:
            reported = time.monotonic()
            log.warning("a connection could not be accepted: %s", context.get("exception"))

    return handle
