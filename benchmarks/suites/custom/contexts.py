"""Reads the contexts of a user's rows: texts in the row, or files below a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.sources.files import DataError
from benchmarks.suites.custom.columns import RowCells
from rlm.documents import UnreadablePath, decode, read_file

KINDS = ("context", "context_file", "documents")
_SNIFFED_BYTES = 8192
_LONGEST_PATH = 1024


def context_of(cells: RowCells, root: Path | None) -> dict[str, object]:
    """Return the columns `texts` and `files` of a row, one of which is empty, and True for a list of documents.

    root: the folder of files; None if the row may name none. Raises DataError.
    """
    given = [purpose for purpose in KINDS if cells.get(purpose) is not None]
    if len(given) != 1:
        names = [cells.names.get(purpose, purpose) for purpose in KINDS]
        got = " and ".join(cells.names[purpose] for purpose in given) or "no context"
        raise DataError(f"{cells.place} has {got}: expected one of the columns {', '.join(names)}")
    if given == ["context"]:
        return {"texts": [cells.text("context")], "files": [], "many": False}
    if given == ["context_file"]:
        return {"texts": [], "files": [_file(cells, "context_file", cells.text("context_file"), root)], "many": False}
    texts = cells.texts("documents", "a list of texts, or of paths of text files", numbers=False)
    if not texts:
        raise cells.error("documents", "a list of texts, or of paths of text files")
    if _are_paths(texts, root):
        return {"texts": [], "files": [_file(cells, "documents", text, root) for text in texts], "many": True}
    return {"texts": texts, "files": [], "many": True}


def context_key(context: dict[str, object]) -> str:
    """Return a name of a context that is equal for rows that share it."""
    digest = hashlib.sha256()
    for text in (*_strings(context["texts"]), *_strings(context["files"])):
        data = text.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"context-{digest.hexdigest()[:12]}"


def read_files(paths: Sequence[str]) -> list[str]:
    """Read the texts of files. Raises DataError."""
    try:
        return [read_file(Path(path)) for path in paths]
    except UnreadablePath as error:
        raise DataError(str(error)) from error


def files_sha256(paths: Sequence[str]) -> str:
    """Return one hash of the names and contents of files."""
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        with Path(path).open("rb") as file:
            digest.update(Path(path).name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _strings(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _are_paths(texts: Sequence[str], root: Path | None) -> bool:
    """True if all documents look like paths, and one of them is a file or has a file suffix."""
    if root is None or any(len(text) > _LONGEST_PATH or "\n" in text for text in texts):
        return False
    if any(_is_file(root / text) for text in texts):
        return True
    return all(Path(text).suffix[1:].isalnum() and len(Path(text).suffix) <= 6 and " " not in text for text in texts)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _file(cells: RowCells, purpose: str, name: str, root: Path | None) -> str:
    """Return the path of a file below `root`, which is read when its sample is built."""
    if root is None:
        raise cells.error(purpose, "text; rows of the hub name no files unless the setting root is a folder")
    path = root / name
    if not _is_file(path):
        raise cells.error(purpose, f"the path of a text file, relative to {root}")
    # Data from elsewhere must not send files of this machine to a model.
    if not path.resolve().is_relative_to(root.resolve()):
        raise cells.error(purpose, f"a file below {root}; the setting root allows another folder")
    try:
        with path.open("rb") as file:
            is_text = decode(file.read(_SNIFFED_BYTES)) is not None
    except OSError as error:
        raise cells.error(purpose, f"a file that can be read ({error.strerror})") from error
    if not is_text or not path.stat().st_size:
        raise cells.error(purpose, "the path of a text file that is not empty")
    return str(path)
