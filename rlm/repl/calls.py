"""Calls from a session to host functions. They are bounded in number and size, and end with their cell."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from rlm.completion import one_line
from rlm.limits import LimitReached
from rlm.models.chat import FatalModelError
from rlm.repl.channel import Channel
from rlm.repl.protocol import HostFunction
from rlm.repl.results import ProtocolError
from rlm.repl.sandbox import wire

# The number of calls in progress, and of bytes in their messages, at which the host stops reading from a session.
_MAX_CALLS = 256
_MAX_BYTES = 64 << 20
# Delay before returning an error, so that a session whose calls all fail cannot keep the host busy.
_FAILURE_S = 0.02
_MAX_MESSAGE_CHARS = 2000
# No message holds more results of a list with exceptions.
_MAX_MIXED = 100_000
_STOPPED = "the cell was stopped"


class Calls:
    """The calls of one session's process.

    After a call that reached a limit or failed for good, the cell must end: see `begin`.
    """

    def __init__(self, functions: Mapping[str, HostFunction], channel: Channel) -> None:
        self._functions = functions
        self._signatures = {name: inspect.signature(function) for name, function in functions.items()}
        self._channel = channel
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._bytes = 0
        self._full = False
        self._unanswered: set[int] = set()
        self._open = False
        self._stop: Exception | None = None
        self._on_stop: Callable[[], object] = bool

    @property
    def limit(self) -> LimitReached | None:
        """The limit that a call of the cell has reached, if any."""
        return self._stop if isinstance(self._stop, LimitReached) else None

    @property
    def fatal(self) -> FatalModelError | None:
        """The failure of a call of the cell that must end the run, if any."""
        return self._stop if isinstance(self._stop, FatalModelError) else None

    def begin(self, on_stop: Callable[[], object]) -> None:
        """Accept calls from now on, because a cell begins. on_stop: called when the cell must end."""
        self._open = True
        self._stop = None
        self._on_stop = on_stop

    def refuse(self) -> None:
        """Refuse further calls."""
        self._open = False

    def accept(self, message: dict[str, Any], size: int) -> None:
        """Start the call of a message of `size` bytes in memory; pause the channel while too much is in progress.

        Raises ProtocolError.
        """
        number, name, args, kwargs = (message.get(key) for key in ("id", "name", "args", "kwargs"))
        if not isinstance(name, str) or name not in self._functions or type(number) is not int:
            raise ProtocolError("malformed call")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ProtocolError("malformed call")
        task = asyncio.create_task(self._call(number, name, args, kwargs))
        self._tasks[task] = size
        self._bytes += size
        task.add_done_callback(self._done)
        if not self._full and self._over():
            self._full = True
            self._channel.pause()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._bytes -= self._tasks.pop(task)
        if self._full and not self._over():
            self._full = False
            self._channel.resume()

    def _over(self) -> bool:
        return len(self._tasks) >= _MAX_CALLS or self._bytes >= _MAX_BYTES

    def release(self) -> None:
        """Answer every call in progress with an error, so that no thread of the cell keeps waiting."""
        while self._unanswered:
            stopped = _failed("stop", str(self._stop or _STOPPED))
            self._channel.write(wire.encode({"t": "result", "id": self._unanswered.pop()} | stopped))

    async def settle(self, timeout_s: float) -> None:
        """Wait for the calls in progress, so that they are charged; cancel those that take longer."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, timeout_s))
        self.release()
        await self.cancel()

    async def cancel(self) -> None:
        """Cancel the calls in progress and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _call(self, number: int, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        self._unanswered.add(number)
        try:
            result = await self._result(name, args, kwargs)
        except BaseException:
            # For example a cancellation: answer the call, so that its thread does not wait forever.
            if number in self._unanswered:
                self._unanswered.remove(number)
                cancelled = _failed("failed", "the call was cancelled")
                self._channel.write(wire.encode({"t": "result", "id": number} | cancelled))
            raise
        if result["kind"] not in ("value", "mixed"):
            await asyncio.sleep(_FAILURE_S)
        if number not in self._unanswered:
            return
        self._unanswered.remove(number)
        try:
            frame = wire.encode({"t": "result", "id": number} | result)
        except Exception as error:
            # The result may be of a class of a tool, whose methods fail.
            why = str(error) if isinstance(error, TypeError | ValueError) else one_line(error)
            unsent = _failed("failed", f"the result cannot be sent: {why}")
            frame = wire.encode({"t": "result", "id": number} | unsent)
        self._channel.write(frame)
        await self._channel.drain()

    async def _result(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        if not self._open:
            return _failed("failed", "no cell is running: calls are made while a cell runs")
        if self._stop is not None:
            return _failed("stop", str(self._stop))
        try:
            self._signatures[name].bind(*args, **kwargs)
            return _returned(await self._functions[name](*args, **kwargs))
        except (LimitReached, FatalModelError) as stop:
            if self._stop is None:
                self._stop = stop
                self._on_stop()
            return _failed("stop", str(stop))
        except TypeError as error:
            return _failed("type", f"{name}(): {error}")
        except Exception as error:
            return _failed("failed", one_line(error, _MAX_MESSAGE_CHARS))


def _returned(value: Any) -> dict[str, Any]:
    """Return the message of a result. Exceptions in a list become exceptions in the session."""
    if type(value) is not list or not any(isinstance(one, Exception) for one in value):
        return {"kind": "value", "value": value}
    if len(value) > _MAX_MIXED:
        raise ValueError(f"a list with exceptions has {len(value):,} results: expected at most {_MAX_MIXED:,}")
    items = [
        _failed("failed", one_line(one, _MAX_MESSAGE_CHARS)) if isinstance(one, Exception) else
        {"kind": "value", "value": one}
        for one in value
    ]  # fmt: skip
    return {"kind": "mixed", "items": items}


def _failed(kind: str, message: str) -> dict[str, Any]:
    # Most characters are not spaces, so more of a long message would not be shown.
    return {"kind": kind, "message": " ".join(message[: 10 * _MAX_MESSAGE_CHARS].split())[:_MAX_MESSAGE_CHARS]}
