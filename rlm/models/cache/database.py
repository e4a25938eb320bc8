"""Opens, creates, upgrades and salvages the SQLite file of a call store."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from rlm.models.cache.records import LONGEST, Record, decode

log = logging.getLogger(__name__)

VERSION = 2
# Marks the file as a call store in SQLite's header.
APPLICATION_ID = 0x524C4D43
BUSY_S = 60.0
# The time that `fold` lets writers wait for readers of the log; after it, the log stays until the next `fold`.
FOLD_WAIT_MS = 100
COLUMNS = "key, model, outcome, checksum, request"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS calls (key BLOB PRIMARY KEY, model TEXT NOT NULL, outcome TEXT NOT NULL)",
    "ALTER TABLE calls ADD COLUMN checksum TEXT",
    "ALTER TABLE calls ADD COLUMN request TEXT",
    "CREATE TABLE texts (id BLOB PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE TABLE set_aside (key BLOB, model TEXT, outcome TEXT, checksum TEXT, reason TEXT)",
)


def open_store(path: Path) -> sqlite3.Connection:
    """Open the file of a store, created or salvaged if necessary; a file that is not writable is opened for reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return open_to_read(path)
    try:
        return create_tables(_connect(path))
    except sqlite3.DatabaseError as error:
        if not path.exists() or isinstance(error, sqlite3.OperationalError):
            raise
        return salvage(path, error)


def _connect(path: Path) -> sqlite3.Connection:
    _check_regular(path)
    return _bounded(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False))


def _check_regular(path: Path) -> None:
    # SQLite would wait for the writer of a FIFO.
    if path.exists() and not path.is_file():
        raise sqlite3.OperationalError("it is not a regular file")


def _bounded(file: sqlite3.Connection) -> sqlite3.Connection:
    """Let SQLite raise DataError for a larger value instead of reading it."""
    file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    return file


def create_tables(file: sqlite3.Connection) -> sqlite3.Connection:
    """Create the tables of the current version, or add what an older version lacks."""
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
    # Folding the log in waits for the disk: `fold` does it in a thread, not in a call.
    file.execute("PRAGMA wal_autocheckpoint = 0")
    return file


def fold(path: Path) -> None:
    """Fold the write-ahead log into the file, and empty the log."""
    try:
        file = _connect(path)
    except sqlite3.Error as error:
        log.warning("cannot fold the write-ahead log of %s: %s", path, error)
        return
    try:
        # The first statement writes nearly everything, beside other writers; only the second makes them wait.
        file.execute("PRAGMA wal_checkpoint(PASSIVE)")
        file.execute(f"PRAGMA busy_timeout = {FOLD_WAIT_MS}")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        log.warning("cannot fold the write-ahead log of %s: %s", path, error)
    finally:
        file.close()


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open the file of a store without changing it."""
    # `immutable` also opens a file in a folder in which SQLite cannot write its lock files.
    immutable = "" if os.access(path.parent, os.W_OK) else "&immutable=1"
    address = f"{path.resolve().as_uri()}?mode=ro{immutable}"
    _check_regular(path)
    file = _bounded(sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False))
    version = _version(file)
    if version is None:
        file.execute("SELECT 1 FROM calls")
    elif version < VERSION:
        _view_as_current(file)
    return file


def _view_as_current(file: sqlite3.Connection) -> None:
    """Define the current version's tables as views of those of version 1, which stay unchanged."""
    file.execute("PRAGMA temp_store = MEMORY")
    file.execute(
        "CREATE TEMP VIEW calls AS SELECT key, model, outcome, NULL AS checksum, NULL AS request FROM main.calls"
    )
    file.execute("CREATE TEMP TABLE texts (id BLOB PRIMARY KEY, text TEXT NOT NULL)")


def _version(file: sqlite3.Connection) -> int | None:
    """Return the version of a store, None for an empty file. Raises OperationalError for any other file."""
    application = file.execute("PRAGMA application_id").fetchone()[0]
    version = file.execute("PRAGMA user_version").fetchone()[0]
    if not application and not file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return None
    if application != APPLICATION_ID:
        raise sqlite3.OperationalError("it is a database of another program")
    if not 1 <= version <= VERSION:
        raise sqlite3.OperationalError(f"it has version {version}: expected at most {VERSION}; move the file")
    return version


def salvage(path: Path, problem: Exception) -> sqlite3.Connection:
    """Rename a damaged store, and make a new one from its readable records."""
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if path.stat().st_ino != os.fstat(held.fileno()).st_ino:
            # Another process has replaced the file.
            return create_tables(_connect(path))
        header = held.read(100)
        if header[:16] != b"SQLite format 3\0":
            raise sqlite3.OperationalError("it is not a store of model calls")
        # SQLite refuses a file that is shorter than its header states, so it is padded.
        page_size, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
        if path.stat().st_size < page_size * pages:
            os.truncate(path, page_size * pages)
        records = {record.key: record for order in ("ASC", "DESC") for record in _readable(path, order)}
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        file = create_tables(_connect(fresh))
        values = [(one.key, one.model, one.outcome, one.checksum, one.request) for one in records.values()]
        file.executemany(f"INSERT OR IGNORE INTO calls ({COLUMNS}) VALUES (?, ?, ?, ?, ?)", values)
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.close()
        damaged = path.with_name(path.name + ".damaged")
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.replace(damaged.with_name(damaged.name + ending))
        fresh.replace(path)
    log.warning("%s was damaged (%s): %d calls were kept, the rest is in %s", path, problem, len(records), damaged)
    return create_tables(_connect(path))


def _readable(path: Path, order: str) -> Iterator[Record]:
    file = _connect(path)
    try:
        columns = COLUMNS if _version(file) == VERSION else "key, model, outcome"
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
