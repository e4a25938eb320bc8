"""The journal: one JSON line for each finished sample, written to disk before the sample counts as done."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from benchmarks.config.errors import ConfigError
from benchmarks.running.rows import OWNER, CallRow, Key, RowError, SampleRow
from benchmarks.running.run_files import new_file
from rlm.reading import open_regular
from rlm.structure import bounded_json

# Both texts of an answer are cut to LONGEST_ANSWER characters of at most six bytes. A longer line is set aside.
LONGEST_LINE = 64 << 20
# A longer line makes the journal unreadable.
_SKIPPED_BYTES, _PART_BYTES = 4 << 30, 1 << 20
_CHECKSUM = b',"checksum":"'
_END_BYTES = len(_CHECKSUM) + 16 + 2


@dataclass(slots=True)
class Record:
    """A finished sample: its row, the rows of its calls, and the time of writing."""

    row: SampleRow
    calls: list[CallRow] = field(default_factory=list)
    at: float = 0.0

    def to_line(self) -> bytes:
        """Return the journal line, which ends with the checksum of what precedes it. Targets are not journaled."""
        row = self.row.values()
        del row["target"]
        calls = [{name: value for name, value in call.values().items() if name not in OWNER} for call in self.calls]
        content = {"at": self.at, "row": row, "calls": calls}
        text = json.dumps(content, separators=(",", ":"))
        if len(text) > LONGEST_LINE:
            # Escapes take up to three times the bytes of the characters.
            text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        body = text.encode("utf-8", "surrogatepass")[:-1]
        return body + _CHECKSUM + _checksum(body) + b'"}\n'

    @classmethod
    def read(cls, line: bytes) -> Record:
        """Parse the record of a line. Raises ValueError; RowError, a subclass, for JSON of another shape.

        Lines of older versions have no checksum.
        """
        line = line.removesuffix(b"\n")
        body, end = line[:-_END_BYTES], line[-_END_BYTES:]
        if end.startswith(_CHECKSUM) and end[len(_CHECKSUM) : -2] != _checksum(body):
            raise RowError("its checksum does not match")
        found = bounded_json(line)
        if not isinstance(found, Mapping) or not isinstance(found.get("row"), Mapping):
            raise RowError("the line is not an object with a row")
        row = SampleRow.read(found["row"])
        calls, at = found.get("calls", []), found.get("at", 0.0)
        if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
            raise RowError("calls are not a list of objects")
        if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < 2**63:
            raise RowError("at is not a number")
        owner = row.key.of_calls()
        return cls(row, [CallRow.read(call, **owner) for call in calls], at)


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()


class Journal:
    """Appends records to one file; records that arrive during a write go to disk together with the next write."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = self._open()
        self._drop_half_line()
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, record: Record) -> None:
        """Write a record, and return when it is on disk. Raises OSError, for example for a full disk."""
        record.at = time.time()
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((record.to_line(), written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        await written

    def close(self) -> None:
        os.close(self._file)

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            error: OSError | None = None
            try:
                await asyncio.to_thread(self._write, b"".join(line for line, _ in batch))
            except OSError as caught:
                error = caught
            except Exception as caught:
                # For example, no thread can be started. Without an answer, the samples would wait for ever.
                error = OSError(errno.EIO, f"{type(caught).__name__}: {caught}")
            for _, written in batch:
                if written.cancelled():
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(OSError(error.errno, error.strerror))

    def _write(self, data: bytes) -> None:
        if not self._is_there():
            raise OSError(errno.ESTALE, "the journal was removed or replaced; finished samples are in samples.parquet")
        size = os.lseek(self._file, 0, os.SEEK_END)
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError:
            # A partial line must not become the start of the next one.
            os.ftruncate(self._file, size)
            raise

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o644)
        if os.fstat(file).st_nlink > 1:
            # A hard link, as in a copy that `cp -l` made of a run folder, would also get the lines of this run.
            os.close(file)
            copy = new_file(self._path)
            shutil.copyfile(self._path, copy)
            copy.replace(self._path)
            file = os.open(self._path, flags, 0o644)
        return file

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except OSError:
            return False

    def _drop_half_line(self) -> None:
        # A killed run can leave an incomplete line, to which the next line would be appended.
        size = end = os.lseek(self._file, 0, os.SEEK_END)
        lowest = max(0, size - LONGEST_LINE)
        while end > lowest:
            start = max(lowest, end - _PART_BYTES)
            found = os.pread(self._file, end - start, start).rfind(b"\n")
            if found >= 0:
                lowest = start + found + 1
                break
            end = start
        else:
            if lowest:
                # No line is so long: it ends here, and is set aside when the journal is read.
                os.write(self._file, b"\n")
                return
        if lowest != size:
            os.ftruncate(self._file, lowest)


def warn(message: str) -> None:
    print(f"rlm-eval: {message}", file=sys.stderr, flush=True)


def read_journal(folder: Path, report: Callable[[str], None] = warn) -> dict[Key, Record]:
    """Read the newest record of each sample, over all files of a folder.

    Within a file, the last record of a sample is the newest. Between files, which several machines may have written,
    the time of writing decides. A failure never replaces a result. Broken lines are set aside: `report` is called with
    one message per file, and their samples run again. Raises ConfigError for a file that cannot be read.
    """
    records: dict[Key, Record] = {}
    for path in sorted(folder.glob("*.jsonl")):
        here: dict[Key, Record] = {}
        try:
            for record in _records(path, report):
                _keep(here, record.row.key, record)
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
        for key, record in here.items():
            if key not in records or record.at >= records[key].at:
                _keep(records, key, record)
            elif records[key].row.failed and not record.row.failed:
                records[key] = record
    return records


def _keep(records: dict[Key, Record], key: Key, newer: Record) -> None:
    if key not in records or records[key].row.failed or not newer.row.failed:
        records[key] = newer


def _records(path: Path, report: Callable[[str], None]) -> Iterator[Record]:
    broken: dict[int, str] = {}
    with open_regular(path) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE), b""), 1):
            try:
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    _skip_line(lines)
                    raise RowError(f"it has more than {LONGEST_LINE:,} bytes")
                # The last line of a killed run can be incomplete; its sample had not finished.
                if line.endswith(b"\n"):
                    yield Record.read(line)
            except (ValueError, RecursionError) as error:
                broken[number] = " ".join(str(error).split())[:200]
    if broken:
        (number, reason), more = next(iter(broken.items())), len(broken) - 1
        others = f" (and {more} more broken line{'s' if more > 1 else ''})" if more else ""
        report(f"{path} line {number}{others} is set aside: {reason}; its sample runs again when the run is resumed")


def _skip_line(lines: IO[bytes]) -> None:
    """Read to the end of a line. Raises OSError for one that would take minutes."""
    for _ in range(_SKIPPED_BYTES // _PART_BYTES):
        part = lines.readline(_PART_BYTES)
        if not part or part.endswith(b"\n"):
            return
    raise OSError(f"a line has more than {_SKIPPED_BYTES:,} bytes")
