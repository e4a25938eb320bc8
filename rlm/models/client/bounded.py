"""A cap on the size of response bodies, applied to decompressed bytes. Importing it loads the HTTP library."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import cast

import httpx2

from rlm.models.client.faults import Action, Fault

MAX_BODY_BYTES = 256 << 20
# Window sizes of zlib for data with a gzip or zlib header, and for data without one, which some servers call deflate.
ANY_HEADER, NO_HEADER = 47, -15


async def bound(response: httpx2.Response) -> None:
    """Cap the body of a response at MAX_BODY_BYTES. The HTTP client calls this hook before it reads the body.

    Decompress here so that the cap applies to decompressed bytes: a megabyte can hold a gigabyte.
    """
    compressed = response.headers.get("content-encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate")
    if compressed:
        del response.headers["content-encoding"]
    response.stream = _BoundedStream(
        cast("httpx2.AsyncByteStream", response.stream), _Decompressor() if compressed else None
    )


class _Decompressor:
    """Decompresses gzip or deflate piece by piece."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(ANY_HEADER)
        self._started = False

    def decompress(self, piece: bytes, most: int) -> bytes:
        """Decompress a piece to at most `most` bytes. Raises Fault for data in another format."""
        try:
            try:
                return self._zlib.decompress(piece, most)
            except zlib.error:
                if self._started:
                    raise
                self._zlib = zlib.decompressobj(NO_HEADER)
                return self._zlib.decompress(piece, most)
            finally:
                self._started = True
        except zlib.error as error:
            raise Fault("bad_http", f"the response cannot be decompressed: {error}", Action.RETRY) from error

    @property
    def complete(self) -> bool:
        return self._zlib.eof or not self._started


class _BoundedStream(httpx2.AsyncByteStream):
    """The decompressed body. Raises Fault if it is too long or ends too early."""

    def __init__(self, body: httpx2.AsyncByteStream, decompressor: _Decompressor | None) -> None:
        self._body = body
        self._decompressor = decompressor

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in self._body:
            if self._decompressor is not None:
                piece = self._decompressor.decompress(piece, MAX_BODY_BYTES - taken + 1)
            taken += len(piece)
            if taken > MAX_BODY_BYTES:
                raise Fault("oversized", f"the response is longer than {MAX_BODY_BYTES} bytes", Action.RETRY)
            yield piece
        if self._decompressor is not None and not self._decompressor.complete:
            raise Fault("half_body", "the compressed response ends too early", Action.RETRY)

    async def aclose(self) -> None:
        await self._body.aclose()
