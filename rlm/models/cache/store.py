"""A file of finished model calls by key; a call is on disk as soon as it is stored."""

from __future__ import annotations

import fcntl
import gzip
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlm.models.cache.records import (
    Record,
    StoredResult,
    checksum,
    decode,
    encode,
    is_final,
    read_recording,
    recording_line,
    text_line,
)
from rlm.models.cache.requests import Messages, describe_request, first_difference, kept_text
from rlm.models.chat import FatalModelError, Sampling

log = logging.getLogger(__name__)

VERSION = 2
# Marks the file as a call store in SQLite's header.
APPLICATION_ID = 0x524C4D43
BUSY_S = 60.0
# Stored calls after which the write-ahead log is folded into the file.
FOLD_EVERY = 2_000
# Texts that this process knows to be in the file, so that they are not written again.
_KNOWN_TEXTS = 100_000
# Recorded requests that a missing one is compared with.
_MAX_COMPARED = 20_000
_COLUMNS = "key, model, outcome, checksum, request"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS calls (key BLOB PRIMARY KEY, model TEXT NOT NULL, outcome TEXT NOT NULL)",
    "ALTER TABLE calls ADD COLUMN checksum TEXT",
    "ALTER TABLE calls ADD COLUMN request TEXT",
    "CREATE TABLE texts (id BLOB PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE TABLE set_aside (key BLOB, model TEXT, outcome TEXT, checksum TEXT, reason TEXT)",
)


class CallStore:
    """Results of model calls by key, in an SQLite file that several processes of one machine may share.

    path: the file, created if missing; or a recording (`*.jsonl.gz`), read into memory. read_also: further stores that
    are only read, such as those of other machines. A result is in the file, and survives the end of the process, when
    `put` returns. A record that fails its checksum, cannot be read or holds a passing failure is set aside, reported
    once and treated as absent. A damaged file is set aside as `*.damaged`, and its readable records are kept. Every
    method raises FatalModelError, one line, for a file that cannot be used.
    """

    def __init__(self, path: Path | str, read_also: Sequence[Path | str] = ()) -> None:
        self.path = Path(path)
        self.endpoints: dict[str, list[str]] = {}
        self._recordings: list[Path] = []
        self._lock = threading.Lock()
        self._unfolded = 0
        self._folding = threading.Thread()
        self._known_texts: set[bytes] = set()
        with self._reporting("open"):
            if self.path.name.endswith(".jsonl.gz"):
                self._file = _create(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
                self.import_(self.path)
            else:
                self._file = _open(self.path)
            others = [Path(other) for other in read_also if Path(other).resolve() != self.path.resolve()]
            self._others = [_open_to_read(other) for other in others]

    @property
    def source(self) -> str:
        """The files that answers come from, for messages: the recordings read in, else the store's own file."""
        return ", ".join(map(str, self._recordings or [self.path]))

    def get(self, key: bytes) -> StoredResult | None:
        """The result stored under a key, or None."""
        with self._reporting("read"):
            for file in (self._file, *self._others):
                found = self._run(f"SELECT {_COLUMNS} FROM calls WHERE key = ?", (key,), file).fetchone()
                if found is None:
                    continue
                record = Record(*found)
                try:
                    return decode(record)
                except ValueError as error:
                    self._set_aside(record, str(error), file)
        return None

    def put(
        self,
        key: bytes,
        model: str,
        result: StoredResult,
        request: str | None = None,
        texts: Sequence[tuple[bytes, str]] = (),
    ) -> bool:
        """Store a result; False if the key has one already, which is kept.

        request, texts: the request by `describe_request`, and the texts that it names. A result that is not final
        is not stored.
        """
        if not is_final(result):
            return True
        outcome = encode(result)
        record = key, model, outcome, checksum(key, model, outcome), request
        insert = f"INSERT OR IGNORE INTO calls ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"
        with self._reporting("write"):
            self._put_texts(texts)
            new = self._run(insert, record).rowcount == 1
            if not new and self.get(key) is None:
                # The earlier record was damaged and has been set aside.
                new = self._run(insert, record).rowcount == 1
        self._unfolded += new
        if self._unfolded >= FOLD_EVERY and not self._folding.is_alive():
            self._unfolded = 0
            self._folding = threading.Thread(target=_fold, args=(self.path,), name="fold calls")
            self._folding.start()
        return new

    def nearest_difference(
        self, model: str, messages: Messages, sampling: Sampling, epoch: int, occurrence: int
    ) -> str | None:
        """One sentence on where a request differs from the nearest recorded request of the model.

        None if no request of the model is kept, as in recordings of older versions.
        """
        select = "SELECT request FROM calls WHERE model = ? AND request IS NOT NULL LIMIT ?"
        with self._reporting("read"):
            files = (self._file, *self._others)
            recorded = (row[0] for file in files for row in file.execute(select, (model, _MAX_COMPARED)))
            request, _ = describe_request(messages, sampling, epoch, occurrence)
            return first_difference(request, messages, recorded, self._text)

    def _text(self, identifier: bytes) -> str | None:
        select = "SELECT text FROM texts WHERE id = ?"
        found = (file.execute(select, (identifier,)).fetchone() for file in (self._file, *self._others))
        return next((row[0] for row in found if row), None)

    def __len__(self) -> int:
        with self._reporting("read"):
            return self._run("SELECT count(*) FROM calls").fetchone()[0]

    def export(self, path: Path | str) -> int:
        """Write all results as a recording (`*.jsonl.gz`); returns their number. Equal results give equal bytes."""
        path, rows = Path(path), 0
        partial = path.with_name(path.name + ".partial")
        with self._reporting("export"), partial.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
            for found in self._file.execute(f"SELECT {_COLUMNS} FROM calls ORDER BY key"):
                try:
                    decode(record := Record(*found))
                except ValueError as error:
                    log.warning("%s: record %s is left out: %s", self.path, found[0].hex()[:16], error)
                    continue
                packed.write(recording_line(record))
                rows += 1
            for identifier, text in self._file.execute("SELECT id, text FROM texts ORDER BY id"):
                packed.write(text_line(identifier, text))
        partial.replace(path)
        return rows

    def import_(self, path: Path | str) -> int:
        """Add a recording's results; returns their number.

        Raises OSError for a file that cannot be read, ValueError naming the line that is damaged.
        """
        records, texts = [], []
        for one in read_recording(Path(path)):
            if isinstance(one, tuple):
                texts.append(one)
                continue
            try:
                decode(one)
            except ValueError as error:
                log.warning("%s: record %s is set aside: %s", path, one.key.hex()[:16], error)
                continue
            records.append((one.key, one.model, one.outcome, one.checksum, one.request))
        with self._reporting("import"), self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany(f"INSERT OR IGNORE INTO calls ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", records)
            self._file.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", texts)
            self._file.execute("COMMIT")
        self._recordings.append(Path(path))
        return len(records)

    def close(self) -> None:
        """Close the files; SQLite folds the write-ahead log in first."""
        if self._folding.is_alive():
            self._folding.join()
        for file in (self._file, *self._others):
            file.close()

    def _put_texts(self, texts: Sequence[tuple[bytes, str]]) -> None:
        new = [(identifier, kept_text(text)) for identifier, text in texts if identifier not in self._known_texts]
        if len(self._known_texts) > _KNOWN_TEXTS:
            self._known_texts.clear()
        for row in new:
            self._run("INSERT OR IGNORE INTO texts VALUES (?, ?)", row)
            self._known_texts.add(row[0])

    def _set_aside(self, record: Record, reason: str, file: sqlite3.Connection) -> None:
        log.warning("%s: record %s is set aside: %s", self.path, record.key.hex()[:16], reason)
        if file is not self._file:
            return
        values = record.key, record.model, record.outcome, record.checksum, reason
        try:
            self._run("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?)", values)
            self._run("DELETE FROM calls WHERE key = ?", (record.key,))
        except sqlite3.OperationalError:
            # A store that can only be read: the record is absent for this process.
            return

    def _run(
        self, statement: str, values: Sequence[Any] = (), file: sqlite3.Connection | None = None
    ) -> sqlite3.Cursor:
        with self._lock:
            try:
                return (file or self._file).execute(statement, values)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError | sqlite3.InterfaceError | sqlite3.ProgrammingError):
                    raise
                if file not in (None, self._file):
                    raise
                self._file.close()
                self._file = _salvage(self.path, error)
                self._known_texts.clear()
                return self._file.execute(statement, values)

    @contextmanager
    def _reporting(self, action: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            raise FatalModelError(f"cannot {action} the stored model calls in {self.path}: {error}") from error


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
    for statement in _SCHEMA if version is None else _SCHEMA[1:] if version < VERSION else ():
        file.execute(statement)
    if version != VERSION:
        file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        file.execute(f"PRAGMA user_version = {VERSION}")
    file.execute("COMMIT")
    # With a write-ahead log a commit survives the end of the process without waiting for the disk.
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    # Folding the log in waits for the disk: _fold does it in a thread, not a call.
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
    version = _version(file)
    if version is None:
        file.execute("SELECT 1 FROM calls")
    elif version < VERSION:
        _view_as_current(file)
    return file


def _view_as_current(file: sqlite3.Connection) -> None:
    """Give this connection the tables of the current version over those of version 1, which stay unchanged."""
    file.execute("PRAGMA temp_store = MEMORY")
    file.execute(
        "CREATE TEMP VIEW calls AS SELECT key, model, outcome, NULL AS checksum, NULL AS request FROM main.calls"
    )
    file.execute("CREATE TEMP TABLE texts (id BLOB PRIMARY KEY, text TEXT NOT NULL)")


def _version(file: sqlite3.Connection) -> int | None:
    """The version of a store; None for an empty file. Raises OperationalError for any other file."""
    application = file.execute("PRAGMA application_id").fetchone()[0]
    version = file.execute("PRAGMA user_version").fetchone()[0]
    if not application and not file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return None
    if application != APPLICATION_ID:
        raise sqlite3.OperationalError("it is a database of another program")
    if not 1 <= version <= VERSION:
        raise sqlite3.OperationalError(f"it has version {version}, this program reads up to {VERSION}: move it away")
    return version


def _salvage(path: Path, problem: Exception) -> sqlite3.Connection:
    """Set a damaged store aside and make a new one of its readable records."""
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if path.stat().st_ino != os.fstat(held.fileno()).st_ino:
            # Another process was faster.
            return _create(_connect(path))
        header = held.read(100)
        if header[:16] != b"SQLite format 3\0":
            raise sqlite3.OperationalError("it is not a store of model calls")
        # SQLite reads nothing of a file that is shorter than its header states: fill it up.
        page_size, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
        if path.stat().st_size < page_size * pages:
            os.truncate(path, page_size * pages)
        records = {record.key: record for order in ("ASC", "DESC") for record in _readable(path, order)}
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        file = _create(_connect(fresh))
        values = [(one.key, one.model, one.outcome, one.checksum, one.request) for one in records.values()]
        file.executemany(f"INSERT OR IGNORE INTO calls ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", values)
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.close()
        damaged = path.with_name(path.name + ".damaged")
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.replace(damaged.with_name(damaged.name + ending))
        fresh.replace(path)
    log.warning("%s was damaged (%s): %d calls were kept, the rest is in %s", path, problem, len(records), damaged)
    return _create(_connect(path))


def _readable(path: Path, order: str) -> Iterator[Record]:
    file = _connect(path)
    try:
        columns = _COLUMNS if _version(file) == VERSION else "key, model, outcome"
        for found in file.execute(f"SELECT {columns} FROM calls ORDER BY rowid {order}"):
            record = Record(*found)
            try:
                decode(record)
            except ValueError:
                continue
            yield record
    except (sqlite3.Error, ValueError):
        return
    finally:
        file.close()
