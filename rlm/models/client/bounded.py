"""Cuts off a response that is longer than any reply, packed or unpacked; imported with the HTTP library only."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import httpx2

from rlm.models.client.faults import Fault, Verdict

MAX_BODY_BYTES = 256 << 20
# Of zlib: a header of gzip or of zlib, whichever comes; none, which some servers send as `deflate`.
ANY_HEADER, NO_HEADER = 47, -15


async def bound(response: httpx2.Response) -> None:
    """Let no more than MAX_BODY_BYTES of a response in; a hook that is called between its head and its body.

    What is packed is unpacked here, as far as that: the HTTP library would unpack a megabyte to a gigabyte.
    """
    packed = response.headers.get("content-encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate")
    if packed:
        del response.headers["content-encoding"]
    response.stream = _BoundedStream(response.stream, _Unpacker() if packed else None)


class _Unpacker:
    """gzip or deflate, piece by piece."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(ANY_HEADER)
        self._begun = False

    def unpack(self, piece: bytes, most: int) -> bytes:
        """At most `most` bytes of what is in a piece. Raises Fault for what is not packed so."""
        try:
            try:
                return self._zlib.decompress(piece, most)
            except zlib.error:
                if self._begun:
                    raise
                self._zlib = zlib.decompressobj(NO_HEADER)
                return self._zlib.decompress(piece, most)
            finally:
                self._begun = True
        except zlib.error as error:
            raise Fault("bad_http", f"the response cannot be unpacked: {error}", Verdict.RETRY) from error

    @property
    def whole(self) -> bool:
        return self._zlib.eof or not self._begun


class _BoundedStream(httpx2.AsyncByteStream):
    """Passes a body on, unpacked; raises Fault where it gets too long or ends too early."""

    def __init__(self, body: httpx2.AsyncByteStream, unpacker: _Unpacker | None) -> None:
        self._body = body
        self._unpacker = unpacker

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in self._body:
            if self._unpacker is not None:
                piece = self._unpacker.unpack(piece, MAX_BODY_BYTES - taken + 1)
            taken += len(piece)
            if taken > MAX_BODY_BYTES:
                raise Fault("oversized", f"the response is over {MAX_BODY_BYTES} bytes", Verdict.RETRY)
            yield piece
        if self._unpacker is not None and not self._unpacker.whole:
            raise Fault("half_body", "the packed response ends too early", Verdict.RETRY)

    async def aclose(self) -> None:
        await self._body.aclose()
