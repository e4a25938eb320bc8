"""CallStore: a file of finished model calls by key, written to disk at each call."""

from __future__ import annotations

import gzip
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlm.models.cache.database import COLUMNS, create_tables, fold, open_store, open_to_read, salvage
from rlm.models.cache.records import (
    LONGEST,
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

# Errors that say nothing about the file. DataError is raised for a value beyond LONGEST.
_NOT_DAMAGED = sqlite3.OperationalError | sqlite3.InterfaceError | sqlite3.ProgrammingError | sqlite3.DataError
# Stored calls after which the write-ahead log is folded into the file.
FOLD_EVERY = 2_000
# The number of ids of stored texts that this process remembers, so that they are not written again.
_KNOWN_TEXTS = 100_000
# The number of recorded requests that a missing one is compared with.
_MAX_COMPARED = 20_000


class CallStore:
    """Stores results of model calls by key, in an SQLite file that processes of one machine may share.

    path: the file, created if missing; or a recording (`*.jsonl.gz`), read into memory. read_also: further stores to
    read from, such as those of other machines. A result is in the file, and survives the end of the process, when `put`
    returns. A record that fails its checksum, cannot be read or holds a temporary failure is set aside, reported once
    and treated as absent. A damaged file is set aside as `*.damaged`, and its readable records are kept. Every method
    raises FatalModelError, one line, for a file that cannot be used.
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
                self._file = create_tables(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
                self.import_(self.path)
            else:
                self._file = open_store(self.path)
            others = [Path(other) for other in read_also if Path(other).resolve() != self.path.resolve()]
            self._others = [open_to_read(other) for other in others]

    @property
    def source(self) -> str:
        """The files that answers come from, for messages: the loaded recordings, else the store's own file."""
        return ", ".join(map(str, self._recordings or [self.path]))

    def get(self, key: bytes) -> StoredResult | None:
        """Return the result stored under a key, or None."""
        with self._reporting("read"):
            for file in (self._file, *self._others):
                record = Record(key, "", "")
                try:
                    found = self._run(f"SELECT {COLUMNS} FROM calls WHERE key = ?", (key,), file).fetchone()
                    if found is None:
                        continue
                    return decode(record := Record(*found))
                except sqlite3.DataError:
                    self._set_aside(record, f"it has more than {LONGEST:,} bytes", file)
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
        """Store a result, and return True; return False if the key already has a result, which is kept.

        request, texts: the result of `describe_request`. A result that is not final, or has more than LONGEST
        bytes, is not stored.
        """
        if not is_final(result):
            return True
        outcome = encode(result)
        if len(outcome) > LONGEST:
            return True
        record = key, model, outcome, checksum(key, model, outcome), request
        insert = f"INSERT OR IGNORE INTO calls ({COLUMNS}) VALUES (?, ?, ?, ?, ?)"
        with self._reporting("write"):
            self._put_texts(texts)
            new = self._run(insert, record).rowcount == 1
            if not new and self.get(key) is None:
                # The earlier record was damaged and has been set aside.
                new = self._run(insert, record).rowcount == 1
        self._unfolded += new
        if self._unfolded >= FOLD_EVERY and not self._folding.is_alive():
            self._unfolded = 0
            self._folding = threading.Thread(target=fold, args=(self.path,), name="fold calls")
            self._folding.start()
        return new

    def nearest_difference(
        self, model: str, messages: Messages, sampling: Sampling, epoch: int, occurrence: int
    ) -> str | None:
        """Describe in one sentence how a request differs from the nearest recorded request of the model.

        None if no request of the model is stored, as in recordings of older versions.
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
        """Write all results as a recording (`*.jsonl.gz`); returns their number. Equal results give identical files."""
        path, rows = Path(path), 0
        partial = path.with_name(path.name + ".partial")
        with self._reporting("export"), partial.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
            for found in self._file.execute(f"SELECT {COLUMNS} FROM calls ORDER BY key"):
                record = Record(*found)
                try:
                    decode(record)
                except ValueError as error:
                    log.warning("%s: record %s is left out: %s", self.path, record.name, error)
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
                log.warning("%s: record %s is set aside: %s", path, one.name, error)
                continue
            records.append((one.key, one.model, one.outcome, one.checksum, one.request))
        with self._reporting("import"), self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany(f"INSERT OR IGNORE INTO calls ({COLUMNS}) VALUES (?, ?, ?, ?, ?)", records)
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
        log.warning("%s: record %s is set aside: %s", self.path, record.name, reason)
        if file is not self._file:
            return
        values = record.key, record.model, record.outcome, record.checksum, reason
        try:
            self._run("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?)", values)
            self._run("DELETE FROM calls WHERE key = ?", (record.key,))
        except sqlite3.OperationalError:
            # The store is read-only, so the record is only ignored by this process.
            return

    def _run(
        self, statement: str, values: Sequence[Any] = (), file: sqlite3.Connection | None = None
    ) -> sqlite3.Cursor:
        with self._lock:
            try:
                return (file or self._file).execute(statement, values)
            except sqlite3.DatabaseError as error:
                if isinstance(error, _NOT_DAMAGED):
                    raise
                if file not in (None, self._file):
                    raise
                self._file.close()
                self._file = salvage(self.path, error)
                self._known_texts.clear()
                return self._file.execute(statement, values)

    @contextmanager
    def _reporting(self, action: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            raise FatalModelError(f"cannot {action} the stored model calls in {self.path}: {error}") from error
