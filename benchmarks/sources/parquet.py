"""Reads parquet files within bounds: a file of a few kilobytes can hold gigabytes, because values are stored once."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from rlm.unpacking import ALWAYS_ROWS, MAX_RATIO, TooLarge

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 64
# Bytes of one row group, of one row and of all rows that any file may have. Larger files may have MAX_RATIO times their
# size, and rows of _ROW_RATIO times their size.
_GROUP_BYTES, _ROW_BYTES, _ALL_BYTES = 128 << 20, 64 << 20, 2 << 30
_ROW_RATIO = 20
_BATCH_BYTES = 128 << 20
# Items of all lists of one row group; they can take no bytes at all.
_GROUP_ITEMS = 4_000_000
_HEADER_BYTES, _DICTIONARY_PAGE = 32, 2
_AGAIN = "write it again with smaller row groups, or as jsonl"


class BoundedParquet:
    """A parquet file whose rows are read in small batches.

    size: that of the file on disk, if it was packed. `file` is its pyarrow.parquet.ParquetFile. Raises TooLarge, here
    and when rows are read, for a file that holds much more than its size suggests.
    """

    def __init__(self, stream: IO[bytes], size: int | None = None) -> None:
        import pyarrow.parquet as pq

        self._stream = stream
        self._size = stream.seek(0, 2) if size is None else size
        self._read = 0
        self.file = pq.ParquetFile(stream)
        rows = self.file.metadata.num_rows
        if rows > ALWAYS_ROWS + self._size:
            raise TooLarge(f"it has {rows:,} rows in {self._size:,} bytes: expected at least a byte a row")

    def batches(
        self, groups: Sequence[int], columns: Collection[str], rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Yield the columns of row groups in batches of at most `rows` rows."""
        for group in groups:
            most = max(1, min(rows, _BATCH_BYTES // max(1, self._largest_value(group, columns))))
            for batch in self.file.iter_batches(batch_size=most, row_groups=[group], columns=list(columns)):
                self._read += batch.nbytes
                if batch.nbytes > batch.num_rows * max(_ROW_BYTES, _ROW_RATIO * self._size):
                    raise TooLarge(f"a row has more than {batch.nbytes // batch.num_rows - 1:,} bytes: {_AGAIN}")
                if self._read > max(_ALL_BYTES, MAX_RATIO * self._size):
                    raise TooLarge(f"its rows have more than {self._read - batch.nbytes:,} bytes: {_AGAIN}")
                yield batch

    def check_all(self) -> None:
        """Read all rows once, in small batches, if they can be much larger than the file."""
        groups = range(self.file.metadata.num_row_groups)
        names = self.file.schema_arrow.names
        largest = sum(self.file.metadata.row_group(g).num_rows * self._largest_value(g, names) for g in groups)
        if largest > _GROUP_BYTES:
            for _ in self.batches(groups, names, 1024):
                pass

    def _largest_value(self, group: int, columns: Collection[str]) -> int:
        """Return the size that no repeated value of a row group exceeds. Raises TooLarge for too large a group."""
        meta, wanted = self.file.metadata.row_group(group), set(columns)
        largest = size = 0
        for index in range(meta.num_columns):
            chunk = meta.column(index)
            if chunk.path_in_schema.partition(".")[0] not in wanted:
                continue
            size += chunk.total_uncompressed_size
            if chunk.num_values > max(meta.num_rows, _GROUP_ITEMS, _ROW_RATIO * self._size):
                raise TooLarge(f"row group {group} has lists of {chunk.num_values:,} items: {_AGAIN}")
            if "DELTA_BYTE_ARRAY" in chunk.encodings:
                largest = max(largest, chunk.total_uncompressed_size)
            offset = chunk.dictionary_page_offset or chunk.data_page_offset
            largest = max(largest, self._dictionary_bytes(min(offset, chunk.data_page_offset)))
        if size > max(_GROUP_BYTES, MAX_RATIO * self._size):
            raise TooLarge(f"row group {group} has {size:,} bytes, {MAX_RATIO} times the file's size: {_AGAIN}")
        if largest > max(_ROW_BYTES, _ROW_RATIO * self._size):
            raise TooLarge(f"a value of row group {group} has up to {largest:,} bytes: {_AGAIN}")
        return largest

    def _dictionary_bytes(self, offset: int) -> int:
        """Return the unpacked size of the page at an offset, from its header; 0 if it is no dictionary.

        The header is in Thrift's compact protocol (parquet-format, PageHeader): the page's type, then its size.
        """
        self._stream.seek(offset)
        header = self._stream.read(_HEADER_BYTES)
        kind, at = _integer(header, 1)
        return _integer(header, at + 1)[0] if kind == _DICTIONARY_PAGE else 0


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """Read a zigzag varint; returns the number and the offset behind it."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            break
    return (value >> 1) ^ -(value & 1), at


def check_table(path: Any) -> None:
    """Raise TooLarge if a parquet file would fill the memory when it is read completely."""
    with pathlib.Path(path).open("rb") as stream:
        BoundedParquet(stream).check_all()
