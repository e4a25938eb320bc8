"""Reads files and folders as text, so that a path can take the place of a prompt or a document."""

from __future__ import annotations

import codecs
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

# Folders that hold no text written by the user.
SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", ".venv", "node_modules", "__pycache__"})
_SNIFFED_BYTES = 8192
# Longer marks come first: the little-endian mark of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)

Skipped = Callable[[Path, str], None]


class UnreadablePath(ValueError):
    """A path that has no text or cannot be read. The message is one line that names the path."""


def read_path(path: Path, skipped: Skipped | None = None) -> str | tuple[str, ...]:
    """Read a file's text, or a document for each text file below a folder. Raises UnreadablePath.

    In a folder, each document begins with the name of its file. `skipped(path, reason)` is called for skipped files.
    """
    if not path.is_dir():
        return read_file(path)
    documents = tuple(headed(str(file.relative_to(path)), text) for file, text in read_folder(path, skipped))
    if not documents:
        raise UnreadablePath(f"{path} has no text files")
    return documents


def headed(name: str, text: str) -> str:
    """Return a document that begins with the name of its file."""
    return f"File: {name}\n\n{text}"


def read_file(path: Path) -> str:
    """Read a file's text, as UTF-8 or in the encoding of its byte order mark; invalid bytes become U+FFFD.

    Raises UnreadablePath for a file that does not exist, cannot be read or is not text.
    """
    try:
        text = _text(path)
    except OSError as error:
        raise UnreadablePath(f"{path} cannot be read: {error.strerror or error}") from error
    if text is None:
        raise UnreadablePath(f"{path} is not a text file")
    return text


def read_folder(folder: Path, skipped: Skipped | None = None) -> Iterator[tuple[Path, str]]:
    """Read the text files below a folder, sorted by name; `skipped(path, reason)` is called for the others.

    Symbolic links are not followed, because they may lead out of the folder or form a cycle. Raises UnreadablePath for
    a folder that cannot be read.
    """
    tell = skipped or (lambda path, reason: None)
    for file in _files(folder, tell):
        try:
            text = _text(file)
        except OSError as error:
            tell(file, error.strerror or str(error))
            continue
        if text is None:
            tell(file, "not text")
        else:
            yield file, text


def decode(data: bytes | mmap.mmap) -> str | None:
    """Decode bytes as text; None if they are not text."""
    encoding = _encoding(bytes(data[:_SNIFFED_BYTES]))
    return None if encoding is None else str(data, encoding, "replace")


def _encoding(start: bytes) -> str | None:
    """Determine the encoding of a file from its first bytes; None if it is not text."""
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    return marked or (None if b"\0" in start else "utf-8")


def _files(folder: Path, tell: Skipped) -> Iterator[Path]:
    try:
        waiting = sorted(folder.iterdir(), reverse=True)
    except OSError as error:
        raise UnreadablePath(f"{folder} cannot be read: {error.strerror or error}") from error
    while waiting:
        entry = waiting.pop()
        try:
            if entry.is_symlink():
                tell(entry, "a symbolic link")
            elif entry.is_dir():
                if entry.name not in SKIPPED_FOLDERS:
                    waiting += sorted(entry.iterdir(), reverse=True)
            elif entry.is_file():
                yield entry
            else:
                tell(entry, "not a file")
        except OSError as error:
            tell(entry, error.strerror or str(error))


def _text(path: Path) -> str | None:
    with path.open("rb") as file:
        if _encoding(file.peek(_SNIFFED_BYTES)) is None:
            # Checked before the file is read, because a device may be endless.
            return None
        try:
            # With a mapped file, only the decoded text is in memory, not also a copy of the bytes.
            data: bytes | mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            # Pipes and empty files cannot be mapped. Files below /proc appear to be empty.
            data = file.read()
        return decode(data)
