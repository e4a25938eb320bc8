"""A cap on the size of response bodies, applied to decompressed bytes. Importing it loads the HTTP library."""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx2

from rlm.models.client.faults import Action, Fault

# The longest replies of models today, of 128,000 tokens, have less than a megabyte, or six if all of it is escaped.
# A stream has a chunk of about 330 bytes for each token, so this is room for 200,000 tokens.
MAX_BODY_BYTES = 16 << 20
MAX_STREAM_BYTES = 64 << 20
PART_BYTES = 1 << 20
# Window sizes of zlib for data with a gzip or zlib header, and for data without one, which some servers call deflate.
ANY_HEADER, NO_HEADER = 47, -15


async def bound(response: httpx2.Response, max_bytes: int | None = None) -> None:
    """Cap the body of a response, by default at MAX_BODY_BYTES, or at MAX_STREAM_BYTES for a stream of events.

    The HTTP client calls this hook before it reads the body.

    The body is decompressed here, so that the cap applies to decompressed bytes: a megabyte can unpack to a gigabyte.
    A body in an encoding that no request asks for, such as gzip within gzip, is not decompressed.
    """
    is_stream = "event-stream" in response.headers.get("content-type", "")
    most = max_bytes or (MAX_STREAM_BYTES if is_stream else MAX_BODY_BYTES)
    body = cast("httpx2.AsyncByteStream", response.stream)
    response.stream = _BoundedStream(body, _taken_encoding(response.headers), most)


def _taken_encoding(headers: httpx2.Headers) -> bool:
    """Remove the header with the encodings of a body; returns True for one that is decompressed here."""
    encodings = [one.strip().lower() for one in headers.pop("content-encoding", "").split(",")]
    applied = [one for one in encodings if one not in ("", "identity")]
    return len(applied) == 1 and applied[0] in ("gzip", "x-gzip", "deflate")


def bounded_body(response: httpx2.Response, total_s: float) -> bytes:
    """Read the body of a response of a synchronous client that asked for no encoding.

    Raises ValueError for a body that is too long or takes longer than total_s.
    """
    body, end = bytearray(), time.monotonic() + total_s
    for piece in response.iter_raw():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"the response is longer than {MAX_BODY_BYTES} bytes")
        if time.monotonic() > end:
            raise ValueError(f"the response is not complete within {total_s:g} s")
    return bytes(body)


class _BoundedStream(httpx2.AsyncByteStream):
    """A decompressed body. Raises Fault for one that is too long, cannot be decompressed or ends too early."""

    def __init__(self, body: httpx2.AsyncByteStream, compressed: bool, max_bytes: int) -> None:
        self._body = body
        self._max_bytes = max_bytes
        self._zlib = zlib.decompressobj(ANY_HEADER) if compressed else None
        self._started = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in self._body:
            for part in [piece] if self._zlib is None else self._decompressed(piece):
                taken += len(part)
                if taken > self._max_bytes:
                    raise Fault("oversized", f"the response is longer than {self._max_bytes} bytes", Action.RETRY)
                yield part
        if self._zlib is not None and self._started and not self._zlib.eof:
            raise Fault("half_body", "the compressed response ends too early", Action.RETRY)

    def _decompressed(self, piece: bytes) -> Iterator[bytes]:
        """Yield parts of at most PART_BYTES, so that a decompression bomb is detected early."""
        part = b""
        # zlib may still hold output after it has consumed all of its input.
        while self._zlib is not None and (piece or (len(part) == PART_BYTES and not self._zlib.eof)):
            if self._zlib.eof:
                # Some servers compress a body in several members.
                self._zlib = zlib.decompressobj(ANY_HEADER)
            try:
                part = self._zlib.decompress(piece, PART_BYTES)
            except zlib.error as error:
                if self._started:
                    raise Fault("bad_http", f"the response cannot be decompressed: {error}", Action.RETRY) from error
                self._zlib, self._started = zlib.decompressobj(NO_HEADER), True
                continue
            self._started = True
            piece = self._zlib.unconsumed_tail or self._zlib.unused_data
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()
