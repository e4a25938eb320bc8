"""The host's end of one session's process. Everything that the process sends is treated as hostile."""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from typing import Any

from rlm.repl.calls import Calls
from rlm.repl.channel import Channel
from rlm.repl.forkserver import server_for
from rlm.repl.protocol import HostFunction, ReplError, ReplLimits
from rlm.repl.results import ProtocolError
from rlm.repl.sandbox import wire

_START_S = 60.0
_BUSY_S = 0.005
_FIRST_LINE_BYTES = 4096


# The result of `Process.ask` after `expire`.
LATE: dict[str, Any] = {}


class Process:
    """One process of a session. Any fault ends it, and `ended` gives the reason."""

    def __init__(self, pidfd: int, state: dict[str, Any], functions: Mapping[str, HostFunction], unsafe: bool) -> None:
        self.state = state
        self._pidfd = pidfd
        self._group = state["pid"] if unsafe else None
        self._channel = Channel(self._heard, self._end)
        self.calls = Calls(functions, self._channel)
        self.ended: str | None = None
        self.reply: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        self._expected: tuple[int, tuple[str, ...]] = (0, ())

    @classmethod
    async def start(
        cls, limits: ReplLimits, functions: Mapping[str, HostFunction], confinement: str, context: int, outbox: int
    ) -> Process:
        """Start a process, which then waits for its first message. Raises ReplError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                await _ask_server(confinement, limits, (theirs.fileno(), context, outbox))
            async with asyncio.timeout(_START_S):
                state, pidfd = await _announcement(ours)
            try:
                process = cls(pidfd, state, functions, confinement == "unsafe")
                await process._channel.open(ours)
            except BaseException:
                os.close(pidfd)
                raise
        except TimeoutError:
            ours.close()
            raise ReplError(f"the session did not start within {_START_S:.0f} s") from None
        except BaseException:
            ours.close()
            raise
        return process

    def ask(self, message: dict[str, Any], *answers: str) -> asyncio.Future[dict[str, Any] | None]:
        """Send a request. Returns `reply`, the future of its answer, whose kind must be one of `answers`.

        The answer is None if the process ends. Raises TypeError and ValueError for a message that cannot be sent.
        """
        frame = wire.encode(message)
        self.reply = asyncio.get_running_loop().create_future()
        self._expected = message.get("id", 0), answers
        if self.ended is not None:
            self.reply.set_result(None)
        self._channel.write(frame)
        return self.reply

    def expire(self) -> None:
        """Resolve the pending reply with LATE. The answer may still arrive in the new `reply`."""
        late, self.reply = self.reply, asyncio.get_running_loop().create_future()
        if late.done():
            self.reply = late
        else:
            late.set_result(LATE)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running cell."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGINT)

    def kill(self) -> None:
        """Kill the process and read no further message; its calls in progress continue."""
        if self._pidfd >= 0:
            with contextlib.suppress(OSError):
                if self._group is not None:
                    os.killpg(self._group, signal.SIGKILL)
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1
        self._channel.close()
        self._end("it was ended")

    async def aclose(self) -> None:
        """Kill the process, cancel its calls and release its resources."""
        self.kill()
        await self.calls.cancel()

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason
        if not self.reply.done():
            self.reply.set_result(None)

    def _heard(self, message: dict[str, Any], size: int) -> None:
        kind = message.get("t")
        if kind == "call":
            self.calls.accept(message, size)
            return
        number, kinds = self._expected
        if self.reply.done() or kind not in kinds or message.get("id", 0) != number:
            raise ProtocolError("unexpected reply")
        # The session has sent a second answer to a request.
        self._expected = 0, ()
        self.reply.set_result(message)


async def _ask_server(confinement: str, limits: ReplLimits, descriptors: tuple[int, int, int]) -> None:
    attempts = 0
    while True:
        server = server_for(confinement)
        try:
            return server.ask(limits, descriptors)
        except BlockingIOError:
            await asyncio.sleep(_BUSY_S)
        except OSError as error:
            attempts += 1
            if attempts > 1:
                raise ReplError(f"the fork server does not accept requests: {error}") from error
            server.close()


async def _announcement(channel: socket.socket) -> tuple[dict[str, Any], int]:
    """Return the server's line about a new session, and the descriptor of its process."""
    await _readable(channel)
    line, ancillary, _, _ = channel.recvmsg(_FIRST_LINE_BYTES, socket.CMSG_SPACE(4))
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    if not line:
        raise ReplError(
            "the fork server could not be started; `rlm-eval doctor` shows the layers that this machine offers"
        )
    state = json.loads(line)
    if "failed" in state:
        raise ReplError(f"the session could not be started: {state['failed']}")
    if len(descriptors) != 1:
        raise ReplError("the session could not be started: the runner has too many open files")
    return state, descriptors[0]


async def _readable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def set_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(channel, set_ready)
    try:
        await ready
    finally:
        loop.remove_reader(channel)
