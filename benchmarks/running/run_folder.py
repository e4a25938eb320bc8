"""The run folder as a run writes to it: its lock, its journal, its manifest and its trajectories."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.growth import growth
from benchmarks.config.schema import RunConfig
from benchmarks.running.journal import Journal, Record, read_journal
from benchmarks.running.manifest import find_manifest, manifest_text
from benchmarks.running.rows import Key
from benchmarks.running.run_files import make_folder, safe_name, write_whole


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
        write_whole(self.path / "run.json", manifest_text(manifest))

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
        make_folder(path.parent, self.path)
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
        """Lock the file run.lock, and the folder itself, because the file can be removed during the run."""
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
