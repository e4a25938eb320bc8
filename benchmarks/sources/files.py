"""Reads the rows of data files one at a time: parquet, jsonl and json, also gzipped."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from benchmarks.sources.parquet import BoundedParquet
from rlm.completion import one_line
from rlm.measured_json import TextTooLong, measured_json
from rlm.reading import open_regular
from rlm.structure import MAX_VALUES, bounded_json, value_end
from rlm.unpacking import TooLarge, check_row_number, unpacked

if TYPE_CHECKING:
    import pyarrow.parquet as pq

Row = dict[str, Any]
# By column: the value, or the collection of values, that a row must have.
Where = Mapping[str, Any]
Open = Callable[[], IO[bytes]]

ENDINGS = (".parquet", ".jsonl", ".json", ".jsonl.gz", ".json.gz")
# A longer row would fill the memory. A row of a packed file can be far longer than the file, so its bound is smaller.
LONGEST_ROW, LONGEST_PACKED_ROW = 256 << 20, 64 << 20
# Longer rows are parsed in little more memory than their texts take, which is at most _MOST_TEXT_BYTES.
_LONG_ROW, _MOST_TEXT_BYTES = 16 << 20, 320 << 20
# Blank lines that may follow each other; a megabyte can hold a billion of them.
_MOST_BLANK = 100_000
_CHUNK = 1 << 20
_KEY_ROWS = 1024
_NOT_SPACE = re.compile(rb"[^ \t\r\n]")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb'[^ \t\r\n,\[\]{}"][^ \t\r\n,\[\]{}":]*+|[\s\S]')


class DataError(ValueError):
    """Data is missing, malformed or unexpected; the message is one line."""


def is_data_file(name: str, endings: tuple[str, ...] = ENDINGS) -> bool:
    return name.lower().endswith(endings)


def iter_rows(
    name: str, open_file: Open, columns: Sequence[str], where: Where | None = None, optional: Sequence[str] = ()
) -> Iterator[Row]:
    """Yield the rows of one file that match `where`, reduced to `columns` and `optional`, which may be missing (None).

    name: the file name, whose suffix gives the format and which messages use. Of a parquet file, only these columns and
    the row groups that can contain a match are read. Memory is bounded by one row group, or by one row of a json file.
    Raises DataError, which names the file and the line, for malformed data and missing columns.
    """
    where = {column: _accepted(value) for column, value in (where or {}).items()}
    try:
        with open_file() as file:
            if name.lower().endswith(".parquet"):
                rows = _parquet_rows(name, file, columns, where, optional)
            else:
                rows = _json_rows(name, file, columns, where, optional)
            for row in rows:
                yield {**dict.fromkeys(optional), **row} if optional else row
    except TooLarge as error:
        raise DataError(f"{name} is refused: {error}") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{name} cannot be read: {one_line(error)}") from error


def local_opener(path: Path) -> Open:
    return lambda: open_regular(path)


def _accepted(value: Any) -> frozenset[Any]:
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return frozenset(value)
    return frozenset([value])


def _hashable(value: Any) -> Any:
    return value if isinstance(value, Hashable) else repr(value)


def check_columns(where: str, columns: Collection[str], found: Collection[str]) -> None:
    """Raise DataError if columns are missing."""
    if missing := [column for column in columns if column not in found]:
        names = ", ".join(map(str, found)) or "none"
        raise DataError(f"{where} has no column {', '.join(missing)}; its columns: {names}")


# --- parquet


def _parquet_rows(
    name: str, file: IO[bytes], columns: Sequence[str], where: dict[str, frozenset], optional: Sequence[str]
) -> Iterator[Row]:
    import pyarrow as pa

    try:
        bounded = BoundedParquet(file)
        parquet = bounded.file
        needed = list(dict.fromkeys([*columns, *where]))
        check_columns(name, needed, parquet.schema_arrow.names)
        columns = [*columns, *(column for column in optional if column in parquet.schema_arrow.names)]
        for index in range(parquet.num_row_groups):
            if all(_may_hold(parquet, index, column, values) for column, values in where.items()):
                yield from _row_group_rows(bounded, index, columns, where)
    except pa.ArrowException as error:
        raise DataError(f"{name} is not a valid parquet file: {one_line(error)}") from error


def _may_hold(parquet: pq.ParquetFile, group: int, column: str, values: frozenset) -> bool:
    """False if the statistics of a row group exclude all of the values."""
    meta = parquet.metadata.row_group(group)
    for index in range(meta.num_columns):
        chunk = meta.column(index)
        if chunk.path_in_schema == column:
            bounds = chunk.statistics
            if bounds is None or not bounds.has_min_max:
                return True
            try:
                return any(bounds.min <= value <= bounds.max for value in values)
            except TypeError:
                return True
    return True


def _row_group_rows(
    parquet: BoundedParquet, group: int, columns: Sequence[str], where: dict[str, frozenset]
) -> Iterator[Row]:
    # The filter's columns are read first, because they are small and often exclude the complete row group.
    keep: list[bool] | None = None
    if where:
        keep = [
            all(_hashable(row[column]) in values for column, values in where.items())
            for keys in parquet.batches([group], list(where), _KEY_ROWS)
            for row in parquet.python_rows(keys)
        ]
        if not any(keep):
            return
    start = 0
    for batch in parquet.batches([group], columns):
        rows = range(batch.num_rows)
        picked = [i for i in rows if keep[start + i]] if keep is not None else list(rows)
        start += batch.num_rows
        if picked:
            # A copy of part of a batch would take its memory twice.
            yield from parquet.python_rows(batch if len(picked) == batch.num_rows else batch.take(picked))


# --- json


def _json_rows(
    name: str, file: IO[bytes], columns: Sequence[str], where: dict[str, frozenset], optional: Sequence[str]
) -> Iterator[Row]:
    if name.lower().endswith(".gz"):
        file = unpacked(file)
    for place, row in json_objects(name, file):
        check_columns(place, list(dict.fromkeys([*columns, *where])), row)
        if all(_hashable(row[column]) in values for column, values in where.items()):
            yield {column: row[column] for column in (*columns, *optional) if column in row}


def json_objects(name: str, file: IO[bytes]) -> Iterator[tuple[str, Row]]:
    """Yield the objects of an unpacked jsonl or json file, each with its place."""
    is_jsonl = name.lower().removesuffix(".gz").endswith(".jsonl")
    values = _lines(name, file) if is_jsonl else _values(name, file)
    for number, (line, row) in enumerate(values, 1):
        check_row_number(file, number)
        place = f"{name}, line {line}"
        if not isinstance(row, dict):
            raise DataError(f"{place} is a {type(row).__name__}: expected an object")
        yield place, row


def longest_row(name: str) -> int:
    return LONGEST_PACKED_ROW if name.lower().endswith(".gz") else LONGEST_ROW


def bounded_lines(name: str, file: IO[bytes], longest: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers. Raises TooLarge for a long line, and for many blank ones."""
    longest = longest or longest_row(name)
    blank = 0
    for number, line in enumerate(iter(lambda: file.readline(longest + 1), b""), 1):
        if len(line) > longest:
            raise TooLarge(f"line {number} has more than {longest:,} bytes: expected shorter lines")
        blank = 0 if len(line) > 2 or line.strip() else blank + 1
        if blank > _MOST_BLANK:
            raise TooLarge(f"more than {_MOST_BLANK:,} blank lines follow each other before line {number + 1}")
        yield number, line


def _lines(name: str, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    for number, line in bounded_lines(name, file):
        if line.strip():
            try:
                yield number, bounded_json(line) if len(line) <= _LONG_ROW else _long_json(number, line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{name}, line {number} is not JSON: {one_line(error)}") from error


def _long_json(line: int, body: bytes) -> Any:
    try:
        return measured_json(body, MAX_VALUES, max_text_bytes=_MOST_TEXT_BYTES)[0]
    except TextTooLong as error:
        raise TooLarge(
            f"line {line}: its texts take more than {_MOST_TEXT_BYTES:,} bytes of memory: {error}"
        ) from error


def _values(name: str, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield the items of a JSON array, or of a sequence of JSON values, each with the number of its first line."""
    scanner = _Scanner(name, file)
    first = scanner.peek()
    if first != "[":
        while scanner.peek():
            yield scanner.value()
        return
    scanner.skip()
    while scanner.peek() != "]":
        yield scanner.value()
        if scanner.peek() == ",":
            scanner.skip()
        elif scanner.peek() != "]":
            raise scanner.error(
                f"found {scanner.peek() or 'the end of the file'}: expected a comma or the end of the array"
            )
    scanner.skip()
    if scanner.peek():
        raise scanner.error("text follows the end of the array")


class _Scanner:
    """Reads one JSON value after another from a file that may be larger than the memory."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name, self._file, self._longest = name, file, longest_row(name)
        self._data, self._at, self._line, self._ended = b"", 0, 1, False
        self._read()
        self._data = self._data.removeprefix(codecs.BOM_UTF8)

    def peek(self) -> str:
        """Return the next character that is not white space; empty at the end of the file."""
        while True:
            found = _NOT_SPACE.search(self._data, self._at)
            self._advance(found.start() if found else len(self._data))
            if found or not self._read():
                return found.group().decode("latin-1") if found else ""

    def skip(self) -> None:
        self._at += 1

    def value(self) -> tuple[int, Any]:
        """Return the next value and the number of its first line."""
        start = self.peek()
        while (end := self._end(start)) is None:
            self._read()
        body, line = self._data[self._at : end], self._line
        self._advance(end)
        if len(body) > _LONG_ROW:
            # The buffer would be a second copy.
            self._data, self._at = self._data[end:], 0
        try:
            value = json.loads(body.decode()) if len(body) <= _LONG_ROW else _long_json(line, body)
        except json.JSONDecodeError as error:
            self._line = line + error.lineno - 1
            raise self.error(f"not JSON: {error.msg}") from error
        except UnicodeDecodeError:
            raise
        except (RecursionError, ValueError) as error:
            self._line = line
            why = "a value is nested too deeply" if isinstance(error, RecursionError) else f"not JSON: {error}"
            raise self.error(why) from error
        return line, value

    def error(self, message: str) -> DataError:
        return DataError(f"{self._name}, line {self._line}: {message}")

    def _end(self, start: str) -> int | None:
        """Return the offset after the value that begins here; None if more has to be read."""
        if start in ("[", "{"):
            try:
                length = value_end(self._data[self._at :])
            except ValueError as error:
                raise TooLarge(f"line {self._line}: a value is too large: {error}") from error
            end = None if length is None else self._at + length
        else:
            found = (_STRING if start == '"' else _SCALAR).match(self._data, self._at)
            # A number at the end of the buffer may continue.
            end = found.end() if found and (start == '"' or found.end() < len(self._data)) else None
        return len(self._data) if end is None and self._ended else end

    def _advance(self, to: int) -> None:
        self._line += self._data.count(b"\n", self._at, to)
        self._at = to

    def _read(self) -> bool:
        if len(self._data) - self._at > self._longest:
            raise TooLarge(f"line {self._line}: a value has more than {self._longest:,} bytes")
        # Doubling the buffer keeps the work linear in the size of a value.
        self._data, self._at = self._data[self._at :], 0
        size = min(max(_CHUNK, len(self._data)), self._longest + 1)
        chunk = b"" if self._ended else self._file.read(size)
        self._ended = not chunk
        self._data += chunk
        return bool(chunk)
