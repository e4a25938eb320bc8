"""Runs a command in its own process group, with bounded time and output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KEPT_EACH = 16 << 20
_CHUNK = 1 << 16
_GRACE_S = 2.0


@dataclass(frozen=True)
class CommandResult:
    """The result of a command. returncode: negative for a signal, None if the command timed out and was killed."""

    returncode: int | None
    stdout: str
    stderr: str


async def run_command(
    command: Sequence[str], *, stdin: str, folder: Path, environment: Mapping[str, str], timeout_s: float | None
) -> CommandResult:
    """Run a command. On exit, timeout or cancellation, all processes of its group are ended.

    If the output exceeds 48 MB, only its beginning and end are kept. Raises OSError if the command cannot be
    started.
    """
    with tempfile.TemporaryFile() as given:
        given.write(stdin.encode("utf-8", "replace"))
        given.seek(0)
        # With the pipes of asyncio, `wait` would wait for a child of the command that holds them open.
        readers, ends = zip(os.pipe(), os.pipe(), strict=True)
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=given, stdout=ends[0], stderr=ends[1], cwd=folder, env=dict(environment),
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            for reader in readers:
                os.close(reader)
            raise
        finally:
            for end in ends:
                os.close(end)
    outputs = [CommandOutput(), CommandOutput()]
    reading = [asyncio.create_task(_collect(*each)) for each in zip(readers, outputs, strict=True)]
    returncode = None
    try:
        async with asyncio.timeout(timeout_s):
            returncode = await process.wait()
    except TimeoutError:
        pass
    finally:
        await _end_group(process)
        # A process that left the group can hold the pipes open.
        _, late = await asyncio.wait(reading, timeout=_GRACE_S)
        for task in late:
            task.cancel()
    return CommandResult(returncode, *(output.text() for output in outputs))


class CommandOutput:
    """The beginning and the end of a command's output."""

    def __init__(self) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._cut = False

    def add(self, chunk: bytes) -> None:
        room = _KEPT_EACH - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * _KEPT_EACH:
            self._cut = True
            del self._tail[:-_KEPT_EACH]

    def text(self) -> str:
        # A line break at the cut keeps the incomplete lines on both sides apart.
        parts = [self._head, self._tail]
        return (b"\n" if self._cut else b"").join(parts).decode("utf-8", "replace")


async def _collect(descriptor: int, output: CommandOutput) -> None:
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        while chunk := await stream.read(_CHUNK):
            output.add(chunk)
    finally:
        transport.close()


async def _end_group(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_S)
    _signal_group(process.pid, signal.SIGKILL)
    if process.returncode is None:
        await process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
