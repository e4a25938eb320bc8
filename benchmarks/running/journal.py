"""The journal: one JSON line for each finished sample, written to disk before the sample counts as done."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.running.rows import OWNER, CallRow, Key, RowError, SampleRow


@dataclass(slots=True)
class Record:
    """A finished sample: its row, the rows of its calls, and the time of writing."""

    row: SampleRow
    calls: list[CallRow] = field(default_factory=list)
    at: float = 0.0

    def to_json(self) -> str:
        """Return the journal line. Targets are not journaled."""
        row = self.row.values()
        del row["target"]
        calls = [{name: value for name, value in call.values().items() if name not in OWNER} for call in self.calls]
        return json.dumps({"at": self.at, "row": row, "calls": calls}, separators=(",", ":"))

    @classmethod
    def read(cls, line: bytes) -> Record:
        """Parse the record of a line. Raises ValueError; RowError, a subclass, for JSON of another shape."""
        found = json.loads(line)
        if not isinstance(found, Mapping) or not isinstance(found.get("row"), Mapping):
            raise RowError("the line is not an object with a row")
        row = SampleRow.read(found["row"])
        calls, at = found.get("calls", []), found.get("at", 0.0)
        if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
            raise RowError("calls are not a list of objects")
        if isinstance(at, bool) or not isinstance(at, int | float):
            raise RowError("at is not a number")
        owner = row.key.of_calls()
        return cls(row, [CallRow.read(call, **owner) for call in calls], at)


class Journal:
    """Appends records to one file; records that arrive during a write go to disk together with the next write."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._drop_half_line()
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, record: Record) -> None:
        """Write a record, and return when it is on disk. Raises OSError, for example for a full disk."""
        record.at = time.time()
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((record.to_json().encode() + b"\n", written))
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
            for _, written in batch:
                if written.cancelled():
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(OSError(error.errno, error.strerror))

    def _write(self, data: bytes) -> None:
        if not os.fstat(self._file).st_nlink:
            raise OSError(errno.ESTALE, "the journal was removed; finished samples are in samples.parquet")
        size = os.lseek(self._file, 0, os.SEEK_END)
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError:
            # A partial line must not become the start of the next one.
            os.ftruncate(self._file, size)
            raise

    def _drop_half_line(self) -> None:
        # A killed run can leave an incomplete line, to which the next line would be appended.
        size = os.lseek(self._file, 0, os.SEEK_END)
        end, block = size, 1 << 20
        while end:
            start = max(0, end - block)
            found = os.pread(self._file, end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end != size:
            os.ftruncate(self._file, end)


def warn(message: str) -> None:
    print(f"rlm-eval: {message}", file=sys.stderr, flush=True)


def read_journal(folder: Path, report: Callable[[str], None] = warn) -> dict[Key, Record]:
    """Read the newest record of each sample, over all files of a folder.

    Within a file, the last record of a sample is the newest. Between files, which several machines may have written,
    the time of writing decides. A failure never replaces a result. Broken lines are set aside: `report` is called with
    one message per file, and their samples run again.
    """
    records: dict[Key, Record] = {}
    for path in sorted(folder.glob("*.jsonl")):
        here: dict[Key, Record] = {}
        for record in _records(path, report):
            _keep(here, record.row.key, record)
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
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            # The last line of a killed run can be incomplete; its sample had not finished.
            if not line.endswith(b"\n"):
                continue
            try:
                yield Record.read(line)
            except (ValueError, RecursionError) as error:
                broken[number] = " ".join(str(error).split())[:200]
    if broken:
        (number, reason), more = next(iter(broken.items())), len(broken) - 1
        others = f" (and {more} more broken line{'s' if more > 1 else ''})" if more else ""
        report(f"{path} line {number}{others} is set aside: {reason}; its sample runs again when the run is resumed")
