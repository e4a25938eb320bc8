"""The host's end of a channel. It converts bytes to messages and back, and limits the rate of messages."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, cast

from rlm.repl.results import ProtocolError
from rlm.repl.sandbox import wire

# After a message that takes longer than _LONG_S to decode, the channel pauses for _REST times as long.
_LONG_S, _REST = 0.02, 3
# Memory of the objects in a message for each of its bytes besides long texts: `[],` takes about 60.
_OBJECT_BYTES = 20
_PROCESS_ENDED = "its process ended, for example because a cell used too much memory or broke its Python"


class Channel(asyncio.Protocol):
    """Passes each message with the bytes that it takes to `on_message`, and the first error or the end to `on_end`."""

    def __init__(self, on_message: Callable[[dict[str, Any], int], None], on_end: Callable[[str], None]) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._buffer = bytearray()
        self._needed = wire.SIZES.size
        self._pauses = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = False

    async def open(self, connection: socket.socket) -> None:
        """Use a connected socket."""
        await asyncio.get_running_loop().create_connection(lambda: self, sock=connection)

    def write(self, frame: bytes) -> None:
        """Send a frame without waiting; do nothing if the other end has closed."""
        if not self._ended:
            self._transport.write(frame)

    async def drain(self) -> None:
        """Wait until the other end has read enough to accept more."""
        await self._writable.wait()

    def pause(self) -> None:
        """Deliver no further message until `resume` has been called as often as `pause`."""
        self._pauses += 1
        if self._pauses == 1 and not self._ended:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Undo one `pause`."""
        self._pauses -= 1
        if self._pauses == 0 and not self._ended:
            self._transport.resume_reading()
            self._read()

    def close(self) -> None:
        """Deliver no further message, and close the socket at once."""
        self._end()
        self._transport.abort()

    def _end(self) -> None:
        self._ended = True
        # The traceback of an error may hold views of the buffer, which cannot be cleared then.
        self._buffer = bytearray()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def eof_received(self) -> None:
        # Otherwise asyncio would first send what is left, to a process that may never read it.
        self._fail(_PROCESS_ENDED)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended:
            # A transport that is lost cannot be aborted.
            self._end()
            self._on_end(_PROCESS_ENDED)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= self._needed:
            self._read()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _read(self) -> None:
        at = 0
        try:
            while not self._pauses and not self._ended:
                prefix = bytes(self._buffer[at : at + wire.SIZES.size])
                self._needed = wire.SIZES.size + (sum(wire.sizes(prefix)) if len(prefix) == wire.SIZES.size else 0)
                if len(self._buffer) - at < self._needed:
                    break
                at = self._message(at)
        except (ProtocolError, wire.WireError) as error:
            self._fail(f"it broke the protocol: {error}")
            return
        del self._buffer[:at]

    def _message(self, at: int) -> int:
        head, text = wire.sizes(bytes(self._buffer[at : at + wire.SIZES.size]))
        start = at + wire.SIZES.size
        end = start + head + text
        started = time.perf_counter()
        # A copy of a long frame would be held besides the buffer and the message.
        with memoryview(self._buffer) as view:
            message, memory = wire.decode_measured(view[start : start + head], view[start + head : end])
        taken = time.perf_counter() - started
        if taken > _LONG_S:
            self.pause()
            asyncio.get_running_loop().call_later(_REST * taken, self.resume)
        self._on_message(message, max(memory + _OBJECT_BYTES * head, end - at))
        return end

    def _fail(self, reason: str) -> None:
        if not self._ended:
            self.close()
            self._on_end(reason)
