"""Packs texts, and unpacks gzip files within bounds, so that a small file cannot fill the memory or take minutes."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from typing import IO, Any, cast

# A file may always unpack to so many bytes, and to so many times its size. gzip can pack a thousand bytes into one, but
# texts rarely shrink to a hundredth.
ALWAYS_BYTES, MAX_RATIO = 256 << 20, 200
# A row of a packed file has at least a byte, except in small files.
ALWAYS_ROWS = 1_000_000
_PART_BYTES = 1 << 20


class TooLarge(OSError):
    """A file exceeds the bounds of reading. The message is one line."""


def pack(texts: str | Iterable[str]) -> bytes:
    """Return texts gzipped, in parts, so that no second copy is held as bytes. Equal texts give equal bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 1, packed, mtime=0) as file:
        for text in [texts] if isinstance(texts, str) else texts:
            for start in range(0, len(text), _PART_BYTES):
                file.write(text[start : start + _PART_BYTES].encode("utf-8", "surrogatepass"))
    return packed.getvalue()


def unpacked(file: IO[bytes]) -> IO[bytes]:
    """Return the unpacked bytes of a gzip file as a file. Reading it raises TooLarge beyond the bounds."""
    return cast("IO[bytes]", io.BufferedReader(_Unpacked(file), _PART_BYTES))


def unpack(data: bytes) -> bytes:
    """Return the unpacked bytes of gzip data.

    Raises TooLarge beyond the bounds, and OSError, EOFError and zlib.error.
    """
    with unpacked(io.BytesIO(data)) as file:
        return b"".join(iter(lambda: file.read(_PART_BYTES), b""))


def check_row_number(file: IO[bytes], number: int) -> None:
    """Raise TooLarge if a file of `unpacked` cannot plausibly hold `number` rows; other files have no bound."""
    raw = getattr(file, "raw", None)
    if number > ALWAYS_ROWS and isinstance(raw, _Unpacked) and number > ALWAYS_ROWS + raw.packed_bytes:
        raise TooLarge(f"it has more than {number - 1:,} rows in {raw.packed_bytes:,} packed bytes: unpack it first")


class _Counted:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.bytes += len(data)
        return data


class _Unpacked(io.RawIOBase):
    def __init__(self, file: IO[bytes]) -> None:
        self._packed = _Counted(file)
        self._gzip = gzip.GzipFile(fileobj=cast("IO[bytes]", self._packed))
        self._bytes = 0

    @property
    def packed_bytes(self) -> int:
        return self._packed.bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._gzip.readinto(buffer)
        self._bytes += count
        if self._bytes > max(ALWAYS_BYTES, MAX_RATIO * self.packed_bytes):
            raise TooLarge(
                f"it unpacks to more than {self._bytes - count:,} bytes, {MAX_RATIO} times its size: unpack it first"
            )
        return count
