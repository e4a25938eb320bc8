"""The contexts of a run's samples: one compressed file each in the run folder, for the page that shows them."""

from __future__ import annotations

import contextlib
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.config.errors import ConfigError
from benchmarks.running.run_files import PACKED_BYTES, file_inside, make_folder, safe_name
from benchmarks.sources.protect import sealed_bytes
from rlm.reading import read_bounded
from rlm.unpacking import pack, unpack

FOLDER = "contexts"
_OPEN, _SEALED = ".txt.gz", ".sealed"


class ContextFiles:
    """Writes the context of each sample once, although each of its methods runs with it."""

    def __init__(self, run: Path) -> None:
        self._folder = run / FOLDER
        self._written: set[tuple[str, str]] = set()

    def write(self, benchmark: str, sample_id: str, context: str | Sequence[str], *, protected: bool) -> None:
        """Write a context if it has no file yet. If the disk is full, it is omitted, because results matter more."""
        if (benchmark, sample_id) in self._written:
            return
        self._written.add((benchmark, sample_id))
        file = self._folder / benchmark / f"{safe_name(sample_id)}{_SEALED if protected else _OPEN}"
        new = file.with_name(f"{uuid.uuid4().hex}.new")
        with contextlib.suppress(OSError):
            make_folder(file.parent, self._folder.parent)
            packed = pack(context_text(context))
            try:
                new.write_bytes(sealed_bytes(packed) if protected else packed)
                new.replace(file)
            finally:
                new.unlink(missing_ok=True)


def context_text(context: str | Sequence[str]) -> str:
    """Return a context as one text; each of several documents begins with a line that numbers it."""
    if isinstance(context, str):
        return context
    return "\n\n".join(f"[document {place} of {len(context)}]\n{text}" for place, text in enumerate(context, 1))


def find_context(run: Path, benchmark: str, sample_id: str) -> str | None:
    """Return the path of a context's file below the folder of contexts; None if the run has none."""
    if "/" in benchmark or benchmark in (".", ".."):
        return None
    stem = f"{benchmark}/{safe_name(sample_id)}"
    return next((f"{stem}{end}" for end in (_OPEN, _SEALED) if file_inside(run / FOLDER, f"{stem}{end}")), None)


def read_context(run: Path, relative: str) -> str:
    """Read a context by the path that `find_context` returned. Raises ConfigError."""
    file = file_inside(run / FOLDER, relative)
    if file is None:
        raise ConfigError(f"{run / FOLDER / relative} does not exist")
    try:
        content = read_bounded(file, PACKED_BYTES)
        return unpack(sealed_bytes(content) if relative.endswith(_SEALED) else content).decode("utf-8", "surrogatepass")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error


def hides(relative: str, reveal: frozenset[str]) -> bool:
    """True if the context at a path is protected and its benchmark is not in `reveal`."""
    return not relative.endswith(_OPEN) and relative.split("/", 1)[0] not in reveal
