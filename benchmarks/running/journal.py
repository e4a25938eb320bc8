"""The journal: one JSON line a finished sample, on disk before the sample counts as done."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Key = tuple[str, str, str, int]  # benchmark, method, sample_id, epoch
Record = dict[str, Any]  # {"row": a row of samples.parquet, "calls": rows of calls.parquet}; written: "at" as well


def key_of(record: Record) -> Key:
    """What a record is the record of."""
    row = record["row"]
    return row["benchmark"], row["method"], row["sample_id"], row["epoch"]


class Journal:
    """Appends records to one file; what was added while a write was under way goes to disk with the next one."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._drop_half_line()
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, record: Record) -> None:
        """Write a record; returns when it is on disk. Raises OSError, for a full disk for example."""
        line = json.dumps({"at": time.time(), **record}, separators=(",", ":")).encode() + b"\n"
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((line, written))
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
        size = os.lseek(self._file, 0, os.SEEK_END)
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError:
            # Part of a line may be there, and must not be glued to what is written when there is room again.
            os.ftruncate(self._file, size)
            raise

    def _drop_half_line(self) -> None:
        # A run that was killed can leave a line without its end; what follows must not be glued to it.
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


def read_journal(folder: Path) -> dict[Key, Record]:
    """The newest record of each sample, over all files of a folder; lines that are not whole are passed over.

    A file's last record of a sample is its newest; between files, which several machines have written, the time of
    writing decides. A failure never hides a result.
    """
    records: dict[Key, Record] = {}
    for path in sorted(folder.glob("*.jsonl")):
        here: dict[Key, Record] = {}
        for record in _whole_records(path):
            _keep(here, key_of(record), record)
        for key, record in here.items():
            if key not in records or record.get("at", 0.0) >= records[key].get("at", 0.0):
                _keep(records, key, record)
            elif _failed(records[key]) and not _failed(record):
                records[key] = record
    return records


def _keep(records: dict[Key, Record], key: Key, newer: Record) -> None:
    if key not in records or _failed(records[key]) or not _failed(newer):
        records[key] = newer


def _failed(record: Record) -> bool:
    return record["row"]["status"] == "error"


def _whole_records(path: Path) -> Iterator[Record]:
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                continue
            try:
                record = json.loads(line)
                key_of(record), _failed(record)
            except (ValueError, TypeError, KeyError):
                continue
            yield record
