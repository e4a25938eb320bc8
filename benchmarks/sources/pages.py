"""Reads the pages of parquet files as their own headers describe them, because a footer may state false sizes.

A column chunk is its optional dictionary and its data pages. Each page begins with a PageHeader in Thrift's compact
protocol (parquet-format, parquet.thrift). The reader of pyarrow allocates what the headers state.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, Any

# Page types and encodings of parquet.thrift: values by their prefixes, and as indices into the dictionary.
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_DELTA_BYTE_ARRAY, _CODED = 7, (2, 8)
# Field numbers of PageHeader. Data pages have their number of values first, then version 1 has the encoding second.
_TYPE, _UNPACKED, _PACKED = 1, 2, 3
_HEADERS = {_DATA: (5, 2), _DICTIONARY: (7, 2), _DATA_2: (8, 4)}
# Values of one header. A header has about twenty.
_MOST_VALUES = 1000
# A larger dictionary is not searched for its longest entry.
_MOST_SEARCHED, _MOST_ENTRIES = 16 << 20, 200_000
_CODECS = {"LZ4": "lz4_raw"}
# Old writers leave the dictionary's header out of the size of a chunk; pyarrow then reads so many bytes more.
_PADDING = 100
# An entry of a dictionary is a pointer and a length besides its bytes.
_ENTRY_BYTES = 24


class BadPages(OSError):
    """The pages of a column chunk are not as the parquet format describes them. The message is one line."""


@dataclass(frozen=True)
class Pages:
    """The pages of a column chunk.

    data: the number of values and the unpacked bytes of each data page. held: bytes that a reader holds at a time.
    entry: bytes of the longest entry of the dictionary, and coded: the number of values that refer to an entry.
    repeated: the column holds lists, so that a row may span all pages. prefixes: a value may begin with all of the
    previous one.
    """

    data: tuple[tuple[int, int], ...]
    held: int
    unpacked: int
    entry: int
    coded: int
    repeated: bool
    prefixes: bool

    @property
    def values(self) -> int:
        return sum(values for values, _ in self.data)

    def most_bytes(self, rows: int) -> int:
        """Return a size that no `rows` consecutive rows exceed."""
        if self.repeated:
            return self.unpacked + self.coded * self.entry
        if self.prefixes:
            return rows * self.unpacked
        return self._most_spanned(rows) + rows * self.entry

    def _most_spanned(self, rows: int) -> int:
        """Return the largest total size of the neighbouring pages that `rows` consecutive rows can touch."""
        most = size = values = first = 0
        for place, (count, bytes_) in enumerate(self.data):
            size += bytes_
            # Between the first page and this one, at most rows - 2 values can be.
            while first < place and values - self.data[first][0] > rows - 2:
                values -= self.data[first][0]
                size -= self.data[first][1]
                first += 1
            values += count
            most = max(most, size)
        return most


def read_pages(chunk: memoryview, expected: int, codec: str, *, repeated: bool, fixed: bool) -> Pages:
    """Walk the pages of a chunk until `expected` values, as pyarrow does. Raises BadPages.

    codec: its compression as pyarrow names it. repeated: the column holds lists. fixed: its values have one size.
    """
    at = values = unpacked = largest = dictionary = entry = coded = 0
    data: list[tuple[int, int]] = []
    prefixes = False
    while at < len(chunk) and values < expected:
        header = _Compact(chunk, at)
        fields = header.fields()
        size, packed = _count(fields, _UNPACKED), _count(fields, _PACKED)
        number, encoded_in = _HEADERS.get(_count(fields, _TYPE), (0, 0))
        details = fields.get(number)
        count = _count(details, 1) if isinstance(details, dict) else 0
        encoding = details.get(encoded_in) if isinstance(details, dict) else None
        if fields[_TYPE] == _DICTIONARY:
            if count > size:
                raise BadPages(f"a dictionary states {count:,} values in {size:,} bytes")
            dictionary = max(dictionary, size + _ENTRY_BYTES * count)
            page = chunk[header.at : header.at + packed]
            entry = max(entry, 16 if fixed else _longest_entry(page, size, count, codec))
        else:
            data.append((count, size))
            values += count
            coded += count * (encoding in _CODED)
            prefixes |= encoding == _DELTA_BYTE_ARRAY
            largest = max(largest, size)
        unpacked += size
        at = header.at + packed
        if len(data) > _MOST_VALUES + values:
            raise BadPages("a column has many pages without values")
    return Pages(tuple(data), len(chunk) + largest + dictionary, unpacked, entry, coded, repeated, prefixes)


def _longest_entry(page: memoryview, size: int, count: int, codec: str) -> int:
    """Return the bytes of the longest entry of a dictionary, or a size that it cannot exceed."""
    import pyarrow as pa

    if size > _MOST_SEARCHED or count > _MOST_ENTRIES:
        return size
    try:
        content = page if codec == "UNCOMPRESSED" else pa.decompress(page, size, _CODECS.get(codec, codec.lower()))
    except (pa.ArrowException, OSError, ValueError):
        return size
    content, at, longest = memoryview(content), 0, 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        at, longest = at + 4 + length, max(longest, length)
    return min(size, longest)


def _count(fields: dict[int, Any], field: int) -> int:
    count = fields.get(field)
    if not isinstance(count, int) or count < 0:
        raise BadPages("a page header states no valid size")
    return count


class CheckedStream:
    """A stream of which pyarrow can read only the footer, and then the chunks that have been loaded and checked.

    pyarrow reads neighbouring chunks at once; bytes between those that it asked for are zeros.
    """

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._at = 0
        self._is_open = True
        self._loaded: dict[int, memoryview] = {}
        self.size = stream.seek(0, os.SEEK_END)

    def load(self, start: int, length: int) -> memoryview:
        """Return the bytes of a chunk, which pyarrow can read until `forget`."""
        if start < 0 or length < 0 or start + length > self.size:
            raise BadPages("a column is outside the file")
        self._stream.seek(start)
        data = memoryview(self._stream.read(min(length + _PADDING, self.size - start)))
        self._loaded[start] = data
        return data[:length]

    def forget(self) -> None:
        """Let pyarrow read only chunks that are loaded from now on."""
        self._is_open = False
        self._loaded = {}

    def read(self, size: int = -1) -> bytes | memoryview:
        start, end = self._at, self.size if size < 0 else min(self._at + size, self.size)
        self._at = end
        if self._is_open:
            self._stream.seek(start)
            return self._stream.read(end - start)
        whole = self._loaded.get(start)
        if whole is not None and len(whole) >= end - start:
            return whole[: end - start]
        joined = bytearray(end - start)
        for first, data in self._loaded.items():
            if first < end and first + len(data) > start:
                piece = data[max(0, start - first) : end - first]
                place = max(0, first - start)
                joined[place : place + len(piece)] = piece
        return bytes(joined)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: the caller closes the stream."""


class _Compact:
    """Reads one struct of Thrift's compact protocol; `at` is the offset after the bytes that were read."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self.at = data, at
        self._read = 0

    def fields(self, depth: int = 0) -> dict[int, Any]:
        """Return the integers, booleans and structs by field number; all other values are None. Raises BadPages."""
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) & 0x0F:
            kind = head & 0x0F
            number = number + (head >> 4) if head >> 4 else self._integer()
            # In a field's head, 1 and 2 are true and false.
            fields[number] = self._value(kind, depth) if kind > 2 else kind == 1
            if len(fields) > _MOST_VALUES:
                raise BadPages("a page header is too large")
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self._read += 1
        if depth > 8 or self._read > _MOST_VALUES:
            raise BadPages("a page header is too large")
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._integer()
            case 7:
                self.at += 8
            case 8:
                size = self._varint()
                self.at += size
            case 9 | 10:
                head = self._byte()
                for _ in range(self._varint() if head >> 4 == 15 else head >> 4):
                    self._value(head & 0x0F, depth + 1)
            case 11:
                if size := self._varint():
                    kinds = self._byte()
                    for _ in range(size):
                        self._value(kinds >> 4, depth + 1)
                        self._value(kinds & 0x0F, depth + 1)
            case 12:
                return self.fields(depth + 1)
            case _:
                raise BadPages("a page header is invalid")
        return None

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise BadPages("a page header is invalid")

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise BadPages("a page header is cut")
        self.at += 1
        return self._data[self.at - 1]
