"""Opens and reads untrusted files: only regular files, and only up to a maximum size."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rlm.unpacking import TooLarge


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading. Raises OSError, also for a FIFO, a device or a folder, without waiting for a writer."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path.name} is not a regular file")
    return os.fdopen(file, "rb")


def read_bounded(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file. Raises TooLarge for more than `most`, before they are read, and OSError."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise TooLarge(f"it has more than {most:,} bytes")
        data = file.read(most + 1)
    if len(data) > most:
        raise TooLarge(f"it has more than {most:,} bytes")
    return data


def read_text(path: Path, most: int) -> str:
    """Return the text of a regular file in UTF-8, of at most `most` bytes. Raises OSError and UnicodeDecodeError."""
    return io.TextIOWrapper(io.BytesIO(read_bounded(path, most)), encoding="utf-8").read()


def bounded_lines(file: IO[bytes], most: int) -> Iterator[bytes | None]:
    """Yield the lines of a file, and None for each one of more than `most` bytes, which is read in pieces."""
    while line := file.readline(most + 1):
        yield line if len(line) <= most else None
        while len(line) > most and not line.endswith(b"\n"):
            line = file.readline(most + 1)
