"""A file of finished model calls: what was answered under which key, kept the moment it arrives."""

from __future__ import annotations

import fcntl
import gzip
import json
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlm.models.chat import (
    ContextOverflow,
    Cost,
    CostState,
    FailedAttempt,
    FatalModelError,
    Reply,
    TokenUsage,
    ToolCall,
)

log = logging.getLogger(__name__)

VERSION = 1
# Marks the file as ours in SQLite's header.
APPLICATION_ID = 0x524C4D43
BUSY_S = 60.0
# Stored calls after which the write-ahead log is folded into the file.
FOLD_EVERY = 2_000
_SCHEMA = "CREATE TABLE IF NOT EXISTS calls (key BLOB PRIMARY KEY, model TEXT NOT NULL, outcome TEXT NOT NULL)"

# What a call came to: an answer, or that its prompt was too long.
Outcome = Reply | ContextOverflow


class CallStore:
    """Outcomes of model calls by key, in an SQLite file that several processes of one machine may share.

    path: the file, made where there is none; or a recording (`*.jsonl.gz`), read into memory. read_also: further
    stores that are only read, such as those of other machines, which need a file each. An outcome is in the file,
    and survives the end of the process, when `put` returns. A file found damaged is set aside as `*.damaged` and what
    can be read of it is kept. Every method raises FatalModelError, one line, for a file that cannot be used.
    """

    def __init__(self, path: Path | str, read_also: Sequence[Path | str] = ()) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._unfolded = 0
        self._folding = threading.Thread()
        with self._telling("open"):
            if self.path.name.endswith(".jsonl.gz"):
                self._file = _create(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
                self.import_(self.path)
            else:
                self._file = _open(self.path)
            others = [Path(other) for other in read_also if Path(other).resolve() != self.path.resolve()]
            self._others = [_open_to_read(other) for other in others]

    def get(self, key: bytes) -> Outcome | None:
        """The outcome stored under a key, None where there is none."""
        with self._telling("read"):
            found = self._run("SELECT outcome FROM calls WHERE key = ?", (key,)).fetchone()
            for other in () if found else self._others:
                found = found or other.execute("SELECT outcome FROM calls WHERE key = ?", (key,)).fetchone()
            return _decode(found[0]) if found else None

    def put(self, key: bytes, model: str, outcome: Outcome) -> bool:
        """Store an outcome; False where the key has one already, which stays."""
        with self._telling("write"):
            row = key, model, _encode(outcome)
            new = self._run("INSERT OR IGNORE INTO calls VALUES (?, ?, ?)", row).rowcount == 1
        self._unfolded += new
        if self._unfolded >= FOLD_EVERY and not self._folding.is_alive():
            self._unfolded = 0
            self._folding = threading.Thread(target=_fold, args=(self.path,), name="fold calls")
            self._folding.start()
        return new

    def __len__(self) -> int:
        with self._telling("read"):
            return self._run("SELECT count(*) FROM calls").fetchone()[0]

    def export(self, path: Path | str) -> int:
        """Write all outcomes as a recording (`*.jsonl.gz`) and say how many; the same outcomes give the same bytes."""
        path, rows = Path(path), 0
        partial = path.with_name(path.name + ".partial")
        with self._telling("export"), partial.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
            for key, model, outcome in self._file.execute("SELECT key, model, outcome FROM calls ORDER BY key"):
                row = {"key": key.hex(), "model": model, "outcome": json.loads(outcome)}
                packed.write(json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n")
                rows += 1
        partial.replace(path)
        return rows

    def import_(self, path: Path | str) -> int:
        """Add a recording's outcomes and say how many there were.

        Raises OSError for a file that cannot be read, ValueError naming the line that is damaged.
        """
        rows = list(_read_recording(Path(path)))
        with self._telling("import"), self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?, ?)", rows)
            self._file.execute("COMMIT")
        return len(rows)

    def close(self) -> None:
        """Close the files; what is in the write-ahead log is folded in first."""
        if self._folding.is_alive():
            self._folding.join()
        for file in (self._file, *self._others):
            file.close()

    def _run(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        with self._lock:
            try:
                return self._file.execute(statement, values)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError | sqlite3.InterfaceError | sqlite3.ProgrammingError):
                    raise
                self._file.close()
                self._file = _salvage(self.path, error)
                return self._file.execute(statement, values)

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            raise FatalModelError(f"cannot {what} the stored model calls in {self.path}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return _open_to_read(path)
    try:
        return _create(_connect(path))
    except sqlite3.DatabaseError as error:
        if not path.exists() or isinstance(error, sqlite3.OperationalError):
            raise
        return _salvage(path, error)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _create(file: sqlite3.Connection) -> sqlite3.Connection:
    file.execute("BEGIN IMMEDIATE")
    version = _version(file)
    if version is None:
        file.execute(_SCHEMA)
        file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        file.execute(f"PRAGMA user_version = {VERSION}")
    file.execute("COMMIT")
    # With a write-ahead log a commit survives the end of the process without waiting for the disk.
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    # Folding the log in waits for the disk, so it is not done inside a call but by _fold, in a thread.
    file.execute("PRAGMA wal_autocheckpoint = 0")
    return file


def _fold(path: Path) -> None:
    file = _connect(path)
    try:
        file.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except sqlite3.Error as error:
        log.warning("cannot fold the write-ahead log of %s: %s", path, error)
    finally:
        file.close()


def _open_to_read(path: Path) -> sqlite3.Connection:
    # `immutable` reads a file in a folder where SQLite may not write its own lock files.
    immutable = "" if os.access(path.parent, os.W_OK) else "&immutable=1"
    address = f"{path.resolve().as_uri()}?mode=ro{immutable}"
    file = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    if _version(file) is None:
        file.execute("SELECT 1 FROM calls")
    return file


def _version(file: sqlite3.Connection) -> int | None:
    """The version of a store, None for an empty file. Raises OperationalError for what is not ours."""
    application = file.execute("PRAGMA application_id").fetchone()[0]
    version = file.execute("PRAGMA user_version").fetchone()[0]
    if not application and not file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return None
    if application != APPLICATION_ID:
        raise sqlite3.OperationalError("it is a database of something else")
    if version != VERSION:
        raise sqlite3.OperationalError(f"it has version {version}, this program reads {VERSION}: move it away")
    return version


def _salvage(path: Path, problem: Exception) -> sqlite3.Connection:
    """Set a damaged store aside and make a new one of the rows that can be read."""
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if path.stat().st_ino != os.fstat(held.fileno()).st_ino:
            # Another process was faster.
            return _create(_connect(path))
        header = held.read(100)
        if header[:16] != b"SQLite format 3\0":
            raise sqlite3.OperationalError("it is not a store of model calls")
        # SQLite reads nothing of a file that is shorter than its header says: fill it up.
        page_size, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
        if path.stat().st_size < page_size * pages:
            os.truncate(path, page_size * pages)
        rows = {row[0]: row for order in ("ASC", "DESC") for row in _readable(path, order)}
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        file = _create(_connect(fresh))
        file.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?, ?)", rows.values())
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.close()
        damaged = path.with_name(path.name + ".damaged")
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.replace(damaged.with_name(damaged.name + ending))
        fresh.replace(path)
    log.warning("%s was damaged (%s): %d calls were kept, the rest is in %s", path, problem, len(rows), damaged)
    return _create(_connect(path))


def _readable(path: Path, order: str) -> Iterator[tuple[bytes, str, str]]:
    file = _connect(path)
    try:
        for key, model, outcome in file.execute(f"SELECT key, model, outcome FROM calls ORDER BY rowid {order}"):
            _decode(outcome)
            yield key, model, outcome
    except (sqlite3.Error, ValueError):
        return
    finally:
        file.close()


def _read_recording(path: Path) -> Iterator[tuple[bytes, str, str]]:
    packed = path.read_bytes()
    number = 0
    try:
        for line in gzip.decompress(packed).decode().splitlines():
            number += 1
            row = json.loads(line)
            outcome = json.dumps(row["outcome"])
            _decode(outcome)
            yield bytes.fromhex(row["key"]), str(row["model"]), outcome
    except (ValueError, KeyError, TypeError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole recording of model calls (line {number}): {error}") from error


def _encode(outcome: Outcome) -> str:
    if isinstance(outcome, ContextOverflow):
        return json.dumps({"overflow": str(outcome), "failures": _failures(outcome.failures)})
    plain = {
        "text": outcome.text,
        "finish_reason": outcome.finish_reason,
        "reasoning": outcome.reasoning,
        "usage": _usage(outcome.usage),
        "cost": _cost(outcome.cost),
        "model": outcome.model,
        "latency_s": outcome.latency_s,
        "failures": _failures(outcome.failures),
        "provider": outcome.provider,
        "system_fingerprint": outcome.system_fingerprint,
        "output_cap": outcome.output_cap,
        "prompt_cut": outcome.prompt_cut or None,
        "tool_calls": [[call.name, call.arguments] for call in outcome.tool_calls],
    }
    return json.dumps({key: value for key, value in plain.items() if value not in ("", [], None)})


def _decode(text: str) -> Outcome:
    try:
        row: Mapping[str, Any] = json.loads(text)
        failures = [
            FailedAttempt(kind, message, wait_s, TokenUsage(*usage), Cost(cost[0], cost[1], CostState(cost[2])))
            for kind, message, wait_s, usage, cost in row.get("failures", ())
        ]
        if "overflow" in row:
            overflow = ContextOverflow(str(row["overflow"]), failures)
            overflow.cache_hit = True
            return overflow
        usd, uncached_usd, state = row["cost"]
        return Reply(
            text=str(row.get("text", "")),
            finish_reason=str(row["finish_reason"]),
            reasoning=str(row.get("reasoning", "")),
            usage=TokenUsage(*row["usage"]),
            cost=Cost(usd, uncached_usd, CostState(state)),
            model=str(row.get("model", "")),
            latency_s=float(row["latency_s"]),
            cache_hit=True,
            failures=tuple(failures),
            provider=str(row.get("provider", "")),
            system_fingerprint=str(row.get("system_fingerprint", "")),
            output_cap=row.get("output_cap"),
            prompt_cut=bool(row.get("prompt_cut", False)),
            tool_calls=tuple(ToolCall(name, arguments) for name, arguments in row.get("tool_calls", ())),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"an outcome cannot be read: {error!r}") from error


def _failures(failures: Sequence[FailedAttempt]) -> list[Any]:
    return [[f.kind, f.message, f.wait_s, _usage(f.usage), _cost(f.cost)] for f in failures]


def _usage(usage: TokenUsage) -> list[Any]:
    return [usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens, usage.clamped]


def _cost(cost: Cost) -> list[Any]:
    return [cost.usd, cost.uncached_usd, str(cost.state)]
