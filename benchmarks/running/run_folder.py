"""The run folder: its lock, its journal, its trajectories and its tables."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.growth import growth
from benchmarks.config.schema import RunConfig
from benchmarks.running.journal import Journal, Record, read_journal
from benchmarks.running.manifest import find_manifest, read_manifest
from benchmarks.running.rows import CALL_COLUMNS, SAMPLE_COLUMNS, Key, arms_of
from benchmarks.sources.parquet import check_table
from benchmarks.sources.protect import seal, unseal
from rlm.unpacking import unpack

if TYPE_CHECKING:
    import pandas as pd

_ROWS_AT_ONCE = 50_000
# Room for the epoch and the suffixes of a trajectory's file.
_NAME_BYTES = 200


class RunFolder:
    """A run folder to which this process writes; a second process is refused.

    added: what the configuration adds to the one that the folder has, as `growth` returns it. Raises ConfigError if the
    folder belongs to another configuration, is in use by another process or is not writable.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self._config = config
        self._locks: list[int] = []
        self._made: list[Path] = []
        self._journal: Journal | None = None
        self.added: dict[str, Any] = {}

    @property
    def journal(self) -> Journal:
        """The journal; the folder must be open."""
        assert self._journal is not None, "the run folder is not open"
        return self._journal

    def __enter__(self) -> RunFolder:
        try:
            self._check_owner()
            self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._check_owner()
            (self.path / "trajectories").mkdir(exist_ok=True)
            self._journal = Journal(self.path / "journal" / f"{socket.gethostname()}.jsonl")
        except OSError as error:
            self.close()
            raise ConfigError(f"run_dir {self.path} cannot be written: {error.strerror or error}") from error
        except ConfigError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, ConfigError) and not (self.path / "run.json").exists():
            self._remove()

    def close(self) -> None:
        if self._journal:
            self._journal.close()
            self._journal = None
        while self._locks:
            os.close(self._locks.pop())

    def records(self) -> dict[Key, Record]:
        """Read the finished samples."""
        return read_journal(self.path / "journal")

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        write_whole(self.path / "run.json", json.dumps(manifest, indent=2, default=str) + "\n")

    def write_hydra(self, files: Mapping[str, str]) -> None:
        """Write the composed configuration in Hydra's own layout."""
        (self.path / ".hydra").mkdir(exist_ok=True)
        for name, text in files.items():
            write_whole(self.path / ".hydra" / name, text)

    def write_trajectory(self, record: Record, packed: bytes, answer: bytes = b"") -> None:
        """Write the gzipped events of a sample and record their path in its row.

        answer: the gzipped answer, if it is too long for the row; it is written beside the events.
        """
        record.row.trajectory = None
        if not packed:
            return
        benchmark, method, sample_id, epoch, model = record.row.key
        folders = map(safe_name, (benchmark, method, model or "none"))
        relative = Path("trajectories", *folders, f"{safe_name(sample_id)}-{epoch}.jsonl.gz")
        path = self.path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, packed)
        if answer:
            write_whole(path.with_name(path.name.replace(".jsonl.gz", ".answer.txt.gz")), answer)
        record.row.trajectory = str(relative)

    def _remove(self) -> None:
        # If the run cannot start, the new folders are removed. Folders that existed before remain.
        if self.path in self._made:
            shutil.rmtree(self.path, ignore_errors=True)
            for folder in self._made[1:]:
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _check_owner(self) -> None:
        before = find_manifest(self.path)
        if before is None:
            return
        if not self._config.resume:
            raise ConfigError(
                f"run_dir {self.path} already holds a run, and resume=false: choose another name or run_dir"
            )
        if before.get("config_hash") == self._config.hash:
            return
        # A newer version may have added keys or moved classes: then the hash differs although the configuration does
        # not.
        self.added, changed = growth(before.get("config") or {}, self._config.plain)
        if changed:
            raise ConfigError(
                f"run_dir {self.path} belongs to another configuration: these keys differ: {'; '.join(changed[:8])}"
                f"{' ...' if len(changed) > 8 else ''}; choose another name or run_dir"
            )

    def _take_lock(self) -> None:
        """Lock the file run.lock, and the folder itself, because the file can be removed while the run goes on."""
        self._locks.append(os.open(self.path / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        try:
            fcntl.flock(self._locks[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise self._in_use() from error
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise ConfigError(
                    f"run_dir {self.path} is on a file system without locks ({error.strerror}), so a second process "
                    "could not be refused: choose another file system"
                ) from error
            raise
        self._locks.append(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        try:
            fcntl.flock(self._locks[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Network file systems can lock only files that are open for writing.
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise self._in_use() from error

    def _in_use(self) -> ConfigError:
        return ConfigError(f"run_dir {self.path} is in use by another process: wait for it or stop it")


def samples_table(records: Iterable[Record]) -> pd.DataFrame:
    """Return samples.parquet as a table; details of scores follow the declared columns."""
    return _table([record.row.values() for record in records], SAMPLE_COLUMNS)


def calls_table(records: Iterable[Record]) -> pd.DataFrame:
    """Return calls.parquet as a table."""
    import pandas as pd

    tables: list[pd.DataFrame] = []
    rows: list[dict[str, Any]] = []
    for record in records:
        rows += [call.values() for call in record.calls]
        # Row objects take ten times the memory of a table, and a run can have a million rows.
        if len(rows) > _ROWS_AT_ONCE:
            tables, rows = [*tables, _table(rows, CALL_COLUMNS)], []
    if rows or not tables:
        tables.append(_table(rows, CALL_COLUMNS))
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


def write_tables(path: Path, records: Sequence[Record]) -> None:
    """Write samples.parquet and calls.parquet, each of them atomically."""
    for name, table in (("samples", samples_table(records)), ("calls", calls_table(records))):
        new = path / f"{name}.parquet.new"
        table.to_parquet(new, index=False, compression="zstd")
        new.replace(path / f"{name}.parquet")


def read_trajectory(path: Path, relative: str) -> list[dict[str, Any]]:
    """Read the events of a sample, by its path in samples.parquet. Raises ConfigError if they cannot be read."""
    file = path / relative
    if (inside := file_inside(path, relative)) is None:
        raise ConfigError(f"{file} cannot be read: it does not exist or is outside the run folder")
    try:
        lines = unseal(unpack(inside.read_bytes()).decode("utf-8", "surrogatepass"))
        return [json.loads(line) for line in lines.split("\n") if line]
    except (OSError, ValueError, EOFError, RecursionError, zlib.error) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error


def file_inside(folder: Path, relative: str) -> Path | None:
    """Return the file with that path below a folder; None if it does not exist or is outside the folder."""
    try:
        file = (folder / relative).resolve()
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except (OSError, ValueError):
        return None


def newer_than_journal(file: Path, run: Path) -> bool:
    """True if the file exists and no journal of the run was written after it."""
    if not file.is_file():
        return False
    written = file.stat().st_mtime_ns
    return all(journal.stat().st_mtime_ns <= written for journal in (run / "journal").glob("*.jsonl"))


def refresh_tables(path: Path, targets: Mapping[str, str] | None = None) -> None:
    """Write the tables of a killed run from its journal, in the order of the plan.

    targets: further targets by their SHA-256, in addition to those in the existing tables; the journal has none. Raises
    ConfigError for a folder that is not a run or has no finished sample.
    """
    manifest = read_manifest(path)
    records = read_journal(path / "journal")
    if not records:
        raise ConfigError(f"{path} has no finished sample")
    order = {
        (benchmark, sample_id): place
        for benchmark, described in manifest["benchmarks"].items()
        for place, sample_id in enumerate(described["sample_ids"])
    }
    benchmarks, methods = list(manifest["benchmarks"]), list(manifest["methods"])
    # Runs before 0.2 have one model.
    labels = manifest.get("model_labels") or list(dict.fromkeys(key.model for key in records if key.model)) or [""]
    arms = arms_of(methods, {key.method for key in records if key.model is None}, labels)
    planned = [key for key in records if (key[0], key[2]) in order and (key.method, key.model) in arms]
    planned.sort(
        key=lambda key: (
            benchmarks.index(key[0]), key.epoch, order[key[0], key[2]], arms.index((key.method, key.model))
        )
    )  # fmt: skip
    ordered = [records[key] for key in planned]
    add_targets(ordered, written_targets(path) | dict(targets or {}))
    try:
        write_tables(path, ordered)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def written_targets(path: Path) -> dict[str, str]:
    """Read unsealed targets by their SHA-256 from the samples.parquet of a run folder; empty if there are none."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        check_table(path / "samples.parquet")
        table = parquet.read_table(path / "samples.parquet", columns=["target_sha256", "target"]).to_pydict()
    except (OSError, ValueError, pa.ArrowException):
        return {}
    pairs = zip(table["target_sha256"], table["target"], strict=True)
    targets: dict[str, str] = {}
    for digest, target in pairs:
        # A target that cannot be read is built again.
        with contextlib.suppress(ValueError):
            targets |= {digest: unseal(target)} if digest and target is not None else {}
    return targets


def add_targets(records: Iterable[Record], targets: Mapping[str, str]) -> None:
    """Fill the column `target`, which is missing in the journal, from unsealed targets by their SHA-256."""
    for record in records:
        row = record.row
        target = targets.get(row.target_sha256)
        if row.target is None and target is not None:
            row.target = seal(target) if row.protected else target


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a reader, or a run after a kill, sees the complete file or the previous one."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    new.replace(path)


def safe_name(sample_id: str) -> str:
    """Return a sample id as a file name. An id that has to be changed gets a hash of the complete id."""
    data = sample_id.encode("utf-8", "surrogatepass")
    # File systems limit names to 255 bytes, not characters.
    if re.fullmatch(r"[\w=+-][\w.=+-]{0,119}", sample_id) and len(data) <= _NAME_BYTES:
        return sample_id
    import hashlib

    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', sample_id)[:80]}-{hashlib.sha256(data).hexdigest()[:12]}"


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    extra = sorted({key for row in rows for key in row} - columns.keys())
    try:
        table = pd.DataFrame(list(rows), columns=[*columns, *extra])
    except UnicodeEncodeError:
        # Models sometimes write half a surrogate pair, which a table cannot hold; the journal keeps it.
        valid = [{key: _encodable(value) for key, value in row.items()} for row in rows]
        table = pd.DataFrame(valid, columns=[*columns, *extra])
    for name in extra:
        if len({isinstance(value, str) for value in table[name] if value is not None and value == value}) > 1:
            # A scorer may report a number for one sample and a text for another, but a column has one type.
            table[name] = [None if value is None or value != value else str(value) for value in table[name]]
    return table.astype(dict(columns))


def _encodable(value: Any) -> Any:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
