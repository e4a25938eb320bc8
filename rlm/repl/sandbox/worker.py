"""The process of one session: it runs the host's requests on the main thread and sends calls to the host."""

from __future__ import annotations

import gc
import inspect
import itertools
import mmap
import os
import queue
import signal
import socket
import threading
from array import array
from collections.abc import Callable
from typing import Any, NoReturn

from . import wire
from .cells import BudgetExceeded, Cells, SubCallError

_CHUNK_CHARS = 1 << 16
# Reserved memory, freed when memory has run out, so that the end of the cell can still be reported.
_RESERVE_BYTES = 8 << 20
_RECEIVE_BYTES = 1 << 20
_INTERRUPT = {signal.SIGINT}


class Worker:
    """The session's end of the channel."""

    def __init__(self, channel: socket.socket, context: int, outbox: int) -> None:
        self._channel = channel
        self._outbox = outbox
        self._asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        self._sending = threading.Lock()
        self._main = threading.get_ident()
        self._running = self._held = self._interrupted = False
        self._handler = self._on_interrupt
        self._value = ""
        start = self._read()
        variables = {f["name"]: self._function(f) for f in start["functions"]} | start["data"]
        variables["context"] = _load_context(context, start["context"])
        os.close(context)
        self._cells = Cells(variables, start["answer"], start["max_output_chars"], start.get("show_vars", False))
        gc.freeze()

    def serve(self) -> NoReturn:
        """Serve requests until the host closes the channel."""
        signal.signal(signal.SIGINT, self._handler)
        threading.Thread(target=self._listen, name="channel", daemon=True).start()
        self._send({"t": "ready"})
        reserve = _reserve()
        while True:
            try:
                request = self._asked.get()
            except Exception:
                # A signal handler that a cell has installed can raise this while no cell runs.
                continue
            try:
                reply = self._do(request)
                if reply.get("status") == "memory":
                    reserve.close()
                self._send(reply)
                if reserve.closed:
                    reserve = _reserve()
            except MemoryError:
                reserve.close()
                gc.collect()
                self._send({"t": "failed", "id": request["id"], "message": "out of memory", "names": []})

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        kind, number = request["t"], request["id"]
        if kind == "run":
            return {"t": "done", "id": number} | self._run(number, request["code"])
        if kind == "copy":
            self._copy_out()
            return {"t": "copied", "id": number}
        name = request.get("name")
        if name is not None and name not in self._cells.namespace:
            return {"t": "failed", "id": number, "message": "unknown", "names": self._cells.names()}
        try:
            self._value = self._guarded(self._text, name)
        except BaseException as error:
            return {"t": "failed", "id": number, "message": f"{type(error).__name__}: {error}"[:500], "names": []}
        return {"t": "size", "id": number, "size": _utf8_size(self._value)}

    def _text(self, name: str | None) -> str:
        if name is not None:
            return self._cells.text_of(name)
        if self._cells.final is None:
            raise LookupError("no final answer is set")
        return self._cells.final

    def _run(self, number: int, code: str) -> dict[str, Any]:
        if signal.getsignal(signal.SIGINT) is not self._handler:
            signal.signal(signal.SIGINT, self._handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
        try:
            return self._guarded(self._cells.run, number, code)
        except KeyboardInterrupt:
            # The interrupt arrived after the cell's end and before _running was cleared.
            return self._cells.run(number, "raise KeyboardInterrupt")
        except MemoryError:
            raise
        except Exception as error:
            return self._cells.unreported(error)
        finally:
            # An alarm must not go off in a later cell.
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that runs code of a cell; an interrupt may stop it."""
        self._running = True
        try:
            return function(*arguments)
        finally:
            self._running = False

    def _on_interrupt(self, *_: object) -> None:
        if self._held:
            self._interrupted = True
        elif self._running:
            raise KeyboardInterrupt

    def _send(self, message: dict[str, Any]) -> None:
        frame = wire.encode(message)
        if threading.get_ident() != self._main:
            with self._sending:
                self._channel.sendall(frame)
            return
        # An interrupt in the middle of a frame would break the channel, so it is held back until the frame is sent.
        self._held = True
        try:
            with self._sending:
                self._channel.sendall(frame)
        finally:
            self._held = False
            if self._interrupted:
                self._interrupted = False
                if self._running:
                    raise KeyboardInterrupt

    def _listen(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
        while True:
            try:
                message = self._read()
            except (OSError, EOFError, MemoryError):
                os._exit(0)
            if message["t"] == "result":
                box = self._waiting.pop(message["id"], None)
                if box is not None:
                    box.put(message)
            else:
                self._asked.put(message)

    def _read(self) -> dict[str, Any]:
        head, text = wire.sizes(self._receive(wire.SIZES.size))
        return wire.decode(self._receive(head), self._receive(text))

    def _receive(self, size: int) -> bytes:
        if not size:
            return b""
        got = self._channel.recv(size)
        if len(got) == size:
            return got
        buffer = bytearray(got)
        while len(buffer) < size:
            if not got:
                raise EOFError
            got = self._channel.recv(min(size - len(buffer), _RECEIVE_BYTES))
            buffer += got
        return bytes(buffer)

    def _function(self, described: dict[str, Any]) -> Callable[..., Any]:
        name, signature = described["name"], _signature(described["parameters"], described["returns"])

        def function(*args: Any, **kwargs: Any) -> Any:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}(): {error}") from None
            return self._call(name, args, kwargs)

        function.__name__ = function.__qualname__ = name
        function.__doc__ = described["doc"]
        function.__module__ = "__main__"
        vars(function)["__signature__"] = signature
        return function

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        number = next(self._numbers)
        box: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._waiting[number] = box
        try:
            try:
                self._send({"t": "call", "id": number, "name": name, "args": list(args), "kwargs": kwargs})
            except (TypeError, ValueError) as error:
                raise TypeError(f"{name}(): {error}") from None
            result = box.get()
        finally:
            self._waiting.pop(number, None)
        kind = result["kind"]
        if kind == "value":
            return result["value"]
        if kind == "mixed":
            items = result["items"]
            return [one["value"] if one["kind"] == "value" else SubCallError(one["message"]) for one in items]
        if kind == "stop":
            raise BudgetExceeded(result["message"])
        raise (TypeError if kind == "type" else SubCallError)(result["message"])

    def _copy_out(self) -> None:
        text, self._value = self._value, ""
        at = 0
        with mmap.mmap(self._outbox, 0) as target:
            for start in range(0, len(text), _CHUNK_CHARS):
                chunk = text[start : start + _CHUNK_CHARS].encode("utf-8", "surrogatepass")
                target[at : at + len(chunk)] = chunk
                at += len(chunk)


def _reserve() -> mmap.mmap:
    # The memory limit bounds address space. The pages are never touched, so they cost no memory.
    try:
        return mmap.mmap(-1, _RESERVE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError from error


def _utf8_size(text: str) -> int:
    if text.isascii():
        return len(text)
    starts = range(0, len(text), _CHUNK_CHARS)
    return sum(len(text[start : start + _CHUNK_CHARS].encode("utf-8", "surrogatepass")) for start in starts)


def _load_context(descriptor: int, documents: int | None) -> str | list[str]:
    """Load the context from shared memory: one text, or the u64 byte lengths of `documents` texts, then the texts."""
    size = os.fstat(descriptor).st_size
    if not size:
        return "" if documents is None else []
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as mapped, memoryview(mapped) as view:
        if documents is None:
            return str(view, "utf-8", "surrogatepass")
        lengths = array("Q")
        at = documents * lengths.itemsize
        with view[:at] as header:
            lengths.frombytes(header)
        texts = []
        for length in lengths:
            with view[at : at + length] as document:
                texts.append(str(document, "utf-8", "surrogatepass"))
            at += length
        return texts


class _Shown:
    """An annotation or a default value, shown as its source text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature(parameters: list[dict[str, Any]], returns: str | None) -> inspect.Signature:
    empty = inspect.Parameter.empty
    return inspect.Signature(
        [
            inspect.Parameter(
                p["name"],
                inspect._ParameterKind(p["kind"]),
                default=empty if p["default"] is None else _Shown(p["default"]),
                annotation=empty if p["annotation"] is None else _Shown(p["annotation"]),
            )
            for p in parameters
        ],
        return_annotation=inspect.Signature.empty if returns is None else _Shown(returns),
    )
