"""Reads parquet files within bounds: a file of a few kilobytes can hold gigabytes, because values are stored once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from benchmarks.sources.pages import CheckedStream, Pages, read_pages
from rlm.reading import open_regular
from rlm.structure import MAX_VALUES, check_structure
from rlm.unpacking import ALWAYS_ROWS, MAX_RATIO, TooLarge

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 64
# Bytes that are held of a row group, bytes of one row, and those of all rows and pages that any file may have. Larger
# files may hold and have in a row _ROW_RATIO times their size, and MAX_RATIO times their size in all.
_GROUP_BYTES, _ROW_BYTES, _ALL_BYTES = 128 << 20, 64 << 20, 2 << 30
_ROW_RATIO = 20
_BATCH_BYTES = 64 << 20
# Bytes that a batch of one row may take before it is read: its lists are counted as if each item were the longest.
_LARGEST_BATCH = 256 << 20
# Bytes of a batch that is converted at once.
_ROWS_AT_ONCE = 1 << 20
# Items of all lists of one row group. pyarrow holds up to 20 bytes of each, and an item can take no byte of the file.
_GROUP_ITEMS = 8_000_000
# pyarrow takes 25 times the bytes of a footer.
_FOOTER_BYTES = 8 << 20
# Bytes of a table that is read completely, in a file of any size; a larger one may have _ROW_RATIO times its size.
_TABLE_BYTES = 256 << 20
_AGAIN = "write it again with smaller row groups, or as jsonl"


class BoundedParquet:
    """A parquet file whose rows are read in small batches.

    size: that of the file on disk, if it was packed. `file` is its pyarrow.parquet.ParquetFile. Raises TooLarge, here
    and when rows are read, for a file that holds much more than its size suggests. The sizes that its footer states are
    not trusted: those in the headers of its pages count.
    """

    def __init__(self, stream: IO[bytes], size: int | None = None) -> None:
        import pyarrow.parquet as pq

        self._stream = CheckedStream(stream)
        self._size = self._stream.size if size is None else size
        self._unpacked = self._read = 0
        self._stream.seek(max(0, self._stream.size - 8))
        footer = int.from_bytes(bytes(self._stream.read(4)), "little")
        if self._stream.size > footer > _FOOTER_BYTES:
            raise TooLarge(f"its footer has {footer:,} bytes: expected at most {_FOOTER_BYTES:,}")
        self._stream.seek(0)
        self.file = pq.ParquetFile(self._stream, page_checksum_verification=True)
        self._stream.forget()
        rows = self.file.metadata.num_rows
        if rows > ALWAYS_ROWS + self._size:
            raise TooLarge(f"it has {rows:,} rows in {self._size:,} bytes: expected at least one byte per row")

    def batches(
        self, groups: Sequence[int], columns: Collection[str], rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Yield the columns of row groups in batches of at most `rows` rows."""
        for group in groups:
            most = self._load(group, columns, rows)
            for batch in self.file.iter_batches(batch_size=most, row_groups=[group], columns=list(columns)):
                self._read += batch.nbytes
                if batch.nbytes > batch.num_rows * self._bound(_ROW_BYTES):
                    raise TooLarge(f"a row has more than {batch.nbytes // batch.num_rows - 1:,} bytes: {_AGAIN}")
                self._check_total(self._read, "rows have")
                yield batch
            self._stream.forget()

    def rows(self, group: int, columns: Collection[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a row group as Python values."""
        for batch in self.batches([group], columns):
            yield from self.python_rows(batch)

    def python_rows(self, batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
        """Yield the rows of a batch as Python values, which take up to ten times its memory, one at a time."""
        lists = any(is_nested(field.type) for field in batch.schema)
        if batch.nbytes <= _ROWS_AT_ONCE and not lists:
            yield from batch.to_pylist()
            return
        for place in range(batch.num_rows):
            row = batch.slice(place, 1)
            if row.nbytes > self._bound(_ROW_BYTES):
                raise TooLarge(f"a row has {row.nbytes:,} bytes: {_AGAIN}")
            if lists and (items := sum(map(item_count, row.columns))) > MAX_VALUES:
                raise TooLarge(f"a row has lists of {items:,} items: expected at most {MAX_VALUES:,}")
            yield from row.to_pylist()

    def table(self, columns: Collection[str]) -> pa.Table:
        """Return columns of all rows. Raises TooLarge for a table that would fill the memory."""
        import pyarrow as pa

        most = self._bound(_TABLE_BYTES)
        parts, held = [], 0
        for batch in self.batches(range(self.file.num_row_groups), columns, 1024):
            held += batch.nbytes
            if held > most:
                raise TooLarge(f"its rows have more than {held - batch.nbytes:,} bytes in {self._size:,}")
            parts.append(batch)
        schema = self.file.schema_arrow
        chosen = pa.schema([schema.field(name) for name in columns], schema.metadata)
        return pa.Table.from_batches([batch.cast(chosen) for batch in parts], chosen)

    def _load(self, group: int, columns: Collection[str], rows: int) -> int:
        """Load the columns of a row group; returns the rows, at most `rows`, of a batch of bounded size."""
        meta, wanted, schema = self.file.metadata.row_group(group), set(columns), self.file.schema
        loaded: list[Pages] = []
        for index in range(meta.num_columns):
            chunk, column = meta.column(index), schema.column(index)
            if chunk.path_in_schema.partition(".")[0] not in wanted:
                continue
            # As pyarrow finds the start of a chunk.
            start = chunk.data_page_offset
            if chunk.dictionary_page_offset and 0 < chunk.dictionary_page_offset < start:
                start = chunk.dictionary_page_offset
            pages = read_pages(
                self._stream.load(start, chunk.total_compressed_size), chunk.num_values, chunk.compression,
                repeated=column.max_repetition_level > 0, fixed=not column.physical_type.endswith("BYTE_ARRAY"),
            )  # fmt: skip
            loaded.append(pages)
            self._unpacked += pages.unpacked
            self._check_total(self._unpacked, "pages have")
        held, items = sum(one.held for one in loaded), sum(one.values for one in loaded if one.repeated)
        if items > _GROUP_ITEMS:
            raise TooLarge(f"row group {group} has lists of {items:,} items: {_AGAIN}")
        if held > self._bound(_GROUP_BYTES):
            raise TooLarge(f"row group {group} has pages of {held:,} bytes, over {_ROW_RATIO} times its size: {_AGAIN}")
        while rows > 1 and sum(one.most_bytes(rows) for one in loaded) > _BATCH_BYTES:
            rows //= 2
        largest = sum(one.most_bytes(rows) for one in loaded)
        if largest > self._bound(_LARGEST_BATCH):
            raise TooLarge(f"a row of row group {group} has up to {largest:,} bytes: {_AGAIN}")
        return rows

    def _bound(self, least: int) -> int:
        return max(least, _ROW_RATIO * self._size)

    def _check_total(self, size: int, what: str) -> None:
        if size > max(_ALL_BYTES, MAX_RATIO * self._size):
            raise TooLarge(f"its {what} {size:,} bytes, more than {MAX_RATIO} times its size: {_AGAIN}")


def is_nested(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_nested(kind)


def item_count(array: pa.Array) -> int:
    """Return the number of values in an array's lists and structs."""
    import pyarrow as pa

    kind = array.type
    if pa.types.is_struct(kind):
        return len(array) + sum(map(item_count, array.flatten()))
    if pa.types.is_map(kind):
        return item_count(array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))))
    if pa.types.is_nested(kind) and hasattr(array, "flatten"):
        return item_count(array.flatten())
    return len(array)


def read_table(path: Path, choose: Callable[[pa.Schema], Collection[str]]) -> pa.Table:
    """Read all rows of a parquet file. choose: returns the names of the columns to read.

    Raises TooLarge for a file that would fill the memory, and OSError, ValueError and pyarrow's exceptions.
    """
    with open_regular(path) as stream:
        bounded = BoundedParquet(stream)
        schema = bounded.file.schema_arrow
        # pandas parses this part of the footer.
        check_structure((schema.metadata or {}).get(b"pandas", b""))
        return bounded.table(choose(schema))
