"""The files of a run folder, which may be untrusted: only regular files inside it are read and written."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.sources.protect import PREFIX, unseal
from rlm.reading import open_regular
from rlm.structure import check_structure
from rlm.unpacking import unpacked

# Room for the epoch and the suffixes of a trajectory's file.
_NAME_BYTES = 200
# Folders with a file for each sample. Their files are found by `file_inside`.
_LARGE = ("trajectories", "contexts", "report_trajectories", "report_contexts")
# Bytes of a packed trajectory or context, and values of all events of a trajectory.
PACKED_BYTES = 64 << 20
_MOST_VALUES = 2_000_000


def check_folder(path: Path) -> None:
    """Raise ConfigError for a link that leads out of a run or report folder, and for devices and other special files.

    Reading through such a link would show, and writing through it would change, files of the user.
    """
    inside = _real(path)
    for entry in _entries(path):
        try:
            mode = entry.stat(follow_symlinks=True).st_mode
            leads_out = entry.is_symlink() and not _real(Path(entry.path)).is_relative_to(inside)
        except OSError:
            # Writing to a dangling link would create the file that it points to.
            mode, leads_out = stat.S_IFLNK, entry.is_symlink()
        if leads_out:
            raise ConfigError(f"{entry.path} is a link that leads out of the folder: replace it with a copy")
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
            raise ConfigError(f"{entry.path} is neither a file nor a folder: remove it")


def _real(path: Path) -> Path:
    """Return a path without links. Before Python 3.13, Path.resolve raises RuntimeError for links in a circle."""
    return Path(os.path.realpath(path))


def _entries(path: Path, depth: int = 3) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        yield entry
        if depth and entry.name not in _LARGE and entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), depth - 1)


def file_inside(folder: Path, relative: str) -> Path | None:
    """Return the file with that path below a folder; None if it does not exist or is outside the folder."""
    try:
        file = _real(folder / relative)
        return file if file.is_relative_to(_real(folder)) and file.is_file() else None
    except (OSError, ValueError):
        return None


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a reader, or a run after a kill, sees the complete file or the previous one."""
    new = new_file(path)
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    new.replace(path)


def make_folder(path: Path, inside: Path) -> None:
    """Create a folder. Raises OSError, also if a link leads out of the folder `inside`."""
    path.mkdir(parents=True, exist_ok=True)
    if not _real(path).is_relative_to(_real(inside)):
        raise OSError(errno.EXDEV, f"a link in {path} leads out of the run folder")


def new_file(path: Path) -> Path:
    """Return the path of the file that will replace `path`. A link there would be written through, so it is removed."""
    new = path.with_name(path.name + ".new")
    if new.is_symlink():
        new.unlink()
    return new


def newer_than_journal(file: Path, run: Path) -> bool:
    """True if the file exists and no journal of the run was written after it."""
    if not file.is_file():
        return False
    written = file.stat().st_mtime_ns
    return all(journal.stat().st_mtime_ns <= written for journal in (run / "journal").glob("*.jsonl"))


def read_trajectory(path: Path, relative: str) -> list[dict[str, Any]]:
    """Read the events of a sample, by its path in samples.parquet. Raises ConfigError if they cannot be read."""
    file = path / relative
    if (inside := file_inside(path, relative)) is None:
        raise ConfigError(f"{file} cannot be read: it does not exist or is outside the run folder")
    try:
        events = list(_events(inside))
    except (OSError, ValueError, EOFError, RecursionError, zlib.error) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    return events


def _events(file: Path) -> Iterator[dict[str, Any]]:
    with open_regular(file) as packed, unpacked(packed) as lines:
        first = lines.readline()
        if first.startswith(PREFIX.encode()):
            text = unseal(first.decode("utf-8", "surrogatepass"))
            yield from _parsed(text.encode("utf-8", "surrogatepass").split(b"\n"))
        else:
            yield from _parsed(chain([first], lines))


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    left = _MOST_VALUES
    for number, line in enumerate(lines, 1):
        left -= 1 + check_structure(line, left)
        if line.strip():
            event = json.loads(line.decode("utf-8", "surrogatepass"))
            if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
                raise ValueError(f"line {number} is not an event")
            yield event


def safe_name(sample_id: str) -> str:
    """Return a sample id as a file name. An id that has to be changed gets a hash of the complete id."""
    data = sample_id.encode("utf-8", "surrogatepass")
    # File systems limit names to 255 bytes, not characters.
    if re.fullmatch(r"[\w=+-][\w.=+-]{0,119}", sample_id) and len(data) <= _NAME_BYTES:
        return sample_id
    import hashlib

    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', sample_id)[:80]}-{hashlib.sha256(data).hexdigest()[:12]}"
