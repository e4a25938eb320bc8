"""A session: it runs cells in a process, enforces their limits from outside, and replaces a lost process."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from rlm.repl.memory import context_memory, outbox, read_text, write_context
from rlm.repl.process import LATE, Process
from rlm.repl.protocol import CellResult, CellStatus, HostFunction, OutputCut, ReplError, ReplLimits, UnknownVariable
from rlm.repl.results import ProtocolError, cell_result, names_of, reason_of, size_of

_LOAD_S = 120.0
_VALUE_S = 120.0
# While a session loads its context, the context is in memory twice, so few long ones are loaded at a time.
_LONG_CHARS, _LOADS = 1 << 20, 2
_RESTARTED = "The session was started again: `context` is back, all other variables are gone."


class Session:
    """The implementation of Repl that `open_repl` returns."""

    def __init__(
        self,
        context: str | Sequence[str],
        functions: Mapping[str, HostFunction],
        limits: ReplLimits,
        answer: str,
        data: Mapping[str, Any],
        confinement: str,
        output_cut: OutputCut = "head_tail",
        show_vars: bool = False,
    ) -> None:
        self._context = context
        self._chars = len(context) if isinstance(context, str) else sum(map(len, context))
        self._functions = functions
        self._limits = limits
        self._confinement = confinement
        self._output_cut = output_cut
        self._start_message = {
            "t": "start",
            "functions": [describe(name, function) for name, function in functions.items()],
            "data": dict(data),
            "answer": answer,
            "context": None if isinstance(context, str) else len(context),
            "max_output_chars": limits.max_output_chars,
            "show_vars": show_vars,
        }
        self._process: Process | None = None
        self._outbox = -1
        self._number = 0
        self._final = False
        self._closed = False
        self._used = False
        self._starting = asyncio.Lock()
        # The number of process starts, and the number of them that the model has been notified of.
        self._starts, self._noticed = 0, 1

    async def start(self) -> Process:
        """Return the running process, started if necessary. Raises ReplError."""
        if self._closed:
            raise ReplError("the session is closed")
        if self._process is not None and self._process.ended is None:
            return self._process
        async with self._starting:
            try:
                return await self._start()
            except OSError as error:
                # For example too many open files or processes.
                await self._end_process()
                raise ReplError(f"the session could not be started: {error.strerror or error}") from error

    async def _start(self) -> Process:
        if self._chars < _LONG_CHARS:
            return await self._load()
        async with _places():
            return await self._load()

    async def _load(self) -> Process:
        await self._end_process()
        self._final = False
        self._outbox = outbox()
        context = context_memory()
        starting = asyncio.create_task(
            Process.start(self._limits, self._functions, self._confinement, context, self._outbox)
        )
        try:
            await write_context(context, self._context)
            self._process = await starting
        except BaseException:
            starting.cancel()
            with contextlib.suppress(BaseException):
                await (await starting).aclose()
            await self._end_process()
            raise
        finally:
            # The session has copied the context into a str. A later process gets new memory.
            os.close(context)
        if self._closed:
            await self._end_process()
            raise ReplError("the session is closed")
        try:
            reply = await self._answer(self._process, self._start_message, _LOAD_S, "ready", "refused")
        except BaseException:
            await self._end_process()
            raise
        if reply is None or reply["t"] == "refused":
            why = self._process.ended if reply is None else reason_of(reply)
            await self._end_process()
            raise ReplError(f"the session could not be started: {why or 'it did not answer'}")
        self._starts += 1
        return self._process

    async def run(self, code: str, *, timeout_s: float | None = None) -> CellResult:
        """Run a cell; see Repl. Raises the FatalModelError of a call after the cell has ended."""
        with self._in_use():
            return await self._cell(code, timeout_s)

    async def _cell(self, code: str, timeout_s: float | None) -> CellResult:
        process = await self.start()
        self._number += 1
        self._final = False
        limit_s = self._limits.cell_s if timeout_s is None else min(timeout_s, self._limits.cell_s)
        started = time.perf_counter()
        try:
            result = await self._run(process, code, limit_s)
        except BaseException:
            await self._end_process()
            raise
        if process.calls.fatal is not None:
            raise process.calls.fatal
        self._final = result["final"]
        if result.get("notice") == _RESTARTED:
            self._noticed = self._starts + 1
        elif self._starts > self._noticed:
            # The process was lost between two cells, or while it returned a value.
            self._noticed, result["notice"] = self._starts, _RESTARTED
        return CellResult(**result, wall_s=time.perf_counter() - started)

    async def value(self, name: str) -> str:
        """Return a variable as text; see Repl."""
        with self._in_use():
            return await self._text({"t": "value", "name": name}, name)

    async def final(self) -> str:
        """Return the final answer; see Repl."""
        if not self._final:
            raise ReplError("no final answer is set")
        with self._in_use():
            return await self._text({"t": "final"}, "")

    async def aclose(self) -> None:
        """End the process; a second call does nothing."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
        async with self._starting:
            await self._end_process()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        if self._used:
            raise ReplError("the session is in use by another task: it does one thing at a time")
        self._used = True
        try:
            yield
        finally:
            self._used = False

    async def _run(self, process: Process, code: str, limit_s: float) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        calls = process.calls
        timers = [loop.call_later(limit_s, process.expire)]
        # After a spent budget the cell has grace_s to end by itself.
        calls.begin(lambda: timers.append(loop.call_later(self._limits.grace_s, process.expire)))
        try:
            ended = await process.ask({"t": "run", "id": self._number, "code": code}, "done")
        except (TypeError, ValueError) as error:
            return _failed(CellStatus.ERROR, f"the cell cannot be run: {error}")
        finally:
            for timer in timers:
                timer.cancel()
        interrupted = ended is LATE
        if interrupted:
            ended = await self._interrupt(process)
        calls.refuse()
        why = process.ended
        if ended is None:
            process.kill()
        # Calls in progress when the budget was spent, or when a cell ended by itself, are awaited and charged.
        paid = calls.limit is not None or (ended is not None and not interrupted)
        await calls.settle(deadline - loop.time() if paid else 0.0)
        for timer in timers:
            # A call that reached a limit in the meantime has started another one.
            timer.cancel()
        if ended is None:
            return await self._lost(process, why, interrupted, limit_s)
        try:
            result = cell_result(ended, self._limits.max_output_chars, self._output_cut)
        except ProtocolError as error:
            await self._end_process()
            return _failed(CellStatus.KILLED, f"the session was lost: {error}", _RESTARTED)
        if interrupted and calls.limit is None and result["status"] in (CellStatus.ERROR, CellStatus.OK):
            result |= {"status": CellStatus.TIMEOUT, "final": False, "notice": _stopped(limit_s)}
        return result

    async def _interrupt(self, process: Process) -> dict[str, Any] | None:
        process.calls.refuse()
        process.interrupt()
        process.calls.release()
        await asyncio.wait({process.reply}, timeout=self._limits.grace_s)
        return process.reply.result() if process.reply.done() else None

    async def _lost(self, process: Process, why: str | None, interrupted: bool, limit_s: float) -> dict[str, Any]:
        await self._end_process()
        if process.calls.limit is not None:
            reason = str(process.calls.limit)
        elif interrupted and why is None:
            reason = f"the cell ran longer than {limit_s:g} s and could not be interrupted"
        else:
            reason = f"the session was lost: {why or 'it did not answer'}"
        return _failed(CellStatus.KILLED, reason, _RESTARTED)

    async def _text(self, message: dict[str, Any], name: str) -> str:
        process = await self.start()
        self._number += 1
        try:
            reply = await self._answer(process, message | {"id": self._number}, _VALUE_S, "size", "failed")
            if reply is None or reply["t"] != "failed":
                size, limit = size_of(reply), self._limits.max_value_bytes
                if size <= limit:
                    return await self._copy(process, size)
        except BaseException:
            await self._end_process()
            raise
        if reply is None or reply["t"] != "failed":
            # The value remains in the session, so code can still shorten it.
            raise ReplError(f"the value has {size:,} bytes: expected at most {limit:,} (limits.max_answer_bytes)")
        if reply.get("message") == "unknown":
            raise UnknownVariable(name, names_of(reply))
        raise ReplError(f"the value cannot be returned: {reason_of(reply)}")

    async def _copy(self, process: Process, size: int) -> str:
        if not size:
            return ""
        os.ftruncate(self._outbox, size)
        try:
            done = await self._answer(process, {"t": "copy", "id": self._number}, _VALUE_S, "copied", "failed")
            if done is None or done["t"] != "copied":
                raise ReplError("the session did not return the value")
            return await read_text(self._outbox, size)
        except ValueError as error:
            raise ReplError(f"the value is not text: {error}") from None
        finally:
            os.ftruncate(self._outbox, 0)

    async def _answer(
        self, process: Process, message: dict[str, Any], limit_s: float, *kinds: str
    ) -> dict[str, Any] | None:
        """Return the answer to a request that runs no cell; None if it does not arrive in time."""
        reply = process.ask(message, *kinds)
        await asyncio.wait({reply}, timeout=limit_s)
        return reply.result() if reply.done() else None

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.aclose()
        if self._outbox >= 0:
            os.close(self._outbox)
            self._outbox = -1


_loads: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _places() -> asyncio.Semaphore:
    return _loads.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_LOADS))


def describe(name: str, function: HostFunction) -> dict[str, Any]:
    """Describe a function to the session: its name, its docstring, and its signature as source text."""
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    return {
        "name": name,
        "doc": inspect.getdoc(function),
        "parameters": [
            {
                "name": parameter.name,
                "kind": int(parameter.kind),
                "default": None if parameter.default is empty else repr(parameter.default),
                "annotation": _annotation(parameter.annotation),
            }
            for parameter in signature.parameters.values()
        ],
        "returns": _annotation(signature.return_annotation),
    }


def _annotation(annotation: Any) -> str | None:
    if annotation is inspect.Signature.empty:
        return None
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _failed(status: CellStatus, error: str, notice: str | None = None) -> dict[str, Any]:
    return {"status": status, "error": error, "final": False, "notice": notice}


def _stopped(limit_s: float) -> str:
    return f"The cell was stopped after {limit_s:g} s. The variables it had set are still there."
