"""Shared memory between the host and a session, for the context and for long values."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
from array import array
from collections.abc import Sequence

_CHUNK_CHARS = 1 << 16
# The number of bytes after which other tasks of the event loop run.
_TURN_BYTES = 1 << 22
# Lone surrogates take 50 times as long to decode as other characters.
_READ_BYTES = 1 << 18


def outbox() -> int:
    """Create empty memory for the values of a session. The caller closes the descriptor."""
    return os.memfd_create("rlm-outbox", os.MFD_CLOEXEC)


def context_memory() -> int:
    """Create empty memory for a context. The caller closes the descriptor."""
    return os.memfd_create("rlm-context", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


async def write_context(descriptor: int, context: str | Sequence[str]) -> None:
    """Write the context, and seal the memory against changes.

    Texts are UTF-8 with lone surrogates. A list of documents begins with the u64 byte length of each.
    """
    if isinstance(context, str):
        await _write_texts(descriptor, [context])
    else:
        os.lseek(descriptor, 8 * len(context), os.SEEK_SET)
        lengths = memoryview(await _write_texts(descriptor, context)).cast("B")
        at = 0
        while at < len(lengths):
            at += os.pwrite(descriptor, lengths[at:], at)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


async def read_text(descriptor: int, size: int) -> str:
    """Return the first `size` bytes as text, from copies, because the session can still write. Raises ValueError.

    The text is decoded in parts, so that other tasks of the event loop run and the bytes are not held besides it.
    """
    decode = codecs.getincrementaldecoder("utf-8")("surrogatepass").decode
    parts, at = [], 0
    while at < size:
        data = os.pread(descriptor, min(_READ_BYTES, size - at), at)
        if not data:
            raise ValueError("the memory is shorter than the announced size")
        at += len(data)
        parts.append(decode(data, at == size))
        await asyncio.sleep(0)
    return "".join(parts)


async def _write_texts(descriptor: int, texts: Sequence[str]) -> array[int]:
    """Write the texts one after the other; returns their byte lengths."""
    lengths, pieces, held, since = array("Q"), [], 0, 0
    for text in texts:
        length = 0
        # Small pieces let the C library reuse the same memory, which avoids page faults. Short texts are
        # written together, which saves system calls.
        for start in range(0, len(text), _CHUNK_CHARS):
            piece = text[start : start + _CHUNK_CHARS].encode("utf-8", "surrogatepass")
            pieces.append(piece)
            length, held = length + len(piece), held + len(piece)
            if held >= _CHUNK_CHARS:
                _write(descriptor, b"".join(pieces))
                pieces, held, since = [], 0, since + held
            if since >= _TURN_BYTES:
                since = 0
                await asyncio.sleep(0)
        lengths.append(length)
    _write(descriptor, b"".join(pieces))
    return lengths


def _write(descriptor: int, raw: bytes) -> None:
    rest = memoryview(raw)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
