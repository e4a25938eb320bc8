"""Reads request bodies within bounds on size, time and structure, and parses them off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rlm.measured_json import TextTooLong, measured_json
from rlm.server.requests import RequestError

MAX_BODY_BYTES = 256 << 20
MAX_VALUES = 100_000
BODY_TIMEOUT_S = 60.0
# The maximum total size of the bodies of all requests in progress, as a multiple of the longest single body.
TOTAL_FACTOR = 2
# Seconds in which a client with a refused request may continue to send, so that it then reads the answer.
_DRAIN_S = 5.0


@dataclass(frozen=True)
class Body:
    """A parsed body; `release` gives its bytes back to the total, and may be called more than once."""

    content: dict[str, Any]
    release: Callable[[], None]


class Bodies:
    """Reads bodies of at most max_bytes each, and TOTAL_FACTOR times as many for all requests in progress.

    Both limits apply to the bytes of a body, and to the bytes that its texts take in memory.

    timeout_s: seconds that a client may be silent between two pieces.
    """

    def __init__(self, max_bytes: int = MAX_BODY_BYTES, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._total = 0
        # One at a time: a body and its texts are held twice while it is parsed.
        self._parsing = asyncio.Lock()

    async def read(self, pieces: AsyncIterator[bytes], headers: Mapping[str, str]) -> Body:
        """Read the JSON object of a body.

        Raises RequestError: 400, 408 (too slow), 413 (too long) or 503 (too much).
        """
        if "content-length" in headers and "transfer-encoding" in headers:
            raise RequestError(400, "the request has both Content-Length and Transfer-Encoding: expected one of them")
        body, held = bytearray(), 0

        def release() -> None:
            nonlocal held
            self._total, held = self._total - held, 0

        try:
            while (piece := await self._piece(pieces)) is not None:
                body += piece
                self._total, held = self._total + len(piece), held + len(piece)
                self._check(len(body))
            content, memory = await self._parsed(body)
            more = max(0, memory - held)
            self._total, held = self._total + more, held + more
            self._check(len(body))
            return Body(content, release)
        except RequestError:
            body.clear()
            release()
            await _drain(pieces)
            raise
        except BaseException:
            release()
            raise

    async def _piece(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        try:
            return await asyncio.wait_for(anext(pieces, None), self._timeout_s)
        except TimeoutError:
            message = f"no part of the body was received for {self._timeout_s:g} s"
            raise RequestError(408, message, "request_timeout") from None

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise RequestError(413, f"the body is longer than {self._max_bytes} bytes", "request_too_large")
        if self._total > TOTAL_FACTOR * self._max_bytes:
            message = f"the requests in progress have more than {TOTAL_FACTOR * self._max_bytes} bytes; try again later"
            raise RequestError(503, message, "server_overloaded")

    async def _parsed(self, body: bytearray) -> tuple[dict[str, Any], int]:
        """Return the object, and the bytes that its texts take in memory."""
        try:
            async with self._parsing:
                parsed, memory = await asyncio.to_thread(
                    measured_json, body, MAX_VALUES, max_text_bytes=self._max_bytes
                )
        except TextTooLong as error:
            message = f"the texts of the body take more than {self._max_bytes} bytes in memory: {error}"
            raise RequestError(413, message, "request_too_large") from error
        except (ValueError, RecursionError) as error:
            raise RequestError(400, f"the body cannot be read as JSON: {error}") from error
        if not isinstance(parsed, dict):
            raise RequestError(400, "the body is not a JSON object")
        return parsed, memory


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass
    except TimeoutError:
        pass
