"""Reads the rows of a user's table with their places: parquet, jsonl, json and csv, also gzipped."""

from __future__ import annotations

import contextlib
import csv
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from typing import IO

from benchmarks.sources.files import (
    ENDINGS,
    LONGEST_PACKED_ROW,
    LONGEST_ROW,
    DataError,
    Open,
    Row,
    bounded_lines,
    check_columns,
    json_objects,
)
from benchmarks.sources.parquet import BoundedParquet
from rlm.completion import one_line
from rlm.unpacking import TooLarge, check_row_number, unpacked

# Each may begin a cell, which takes 60 bytes.
_MOST_COMMAS = 4_000_000
# The parser holds four bytes for each character of a cell. A row can have many lines.
_LONGEST_CELL, _LONGEST_ROW = LONGEST_PACKED_ROW, LONGEST_ROW
TABLE_ENDINGS = (*ENDINGS, ".csv", ".parquet.gz", ".csv.gz")


def placed_rows(
    name: str, open_file: Open, columns: Collection[str], required: Collection[str] = ()
) -> Iterator[tuple[str, Row]]:
    """Yield the rows of one file with their places, such as `rows.jsonl, line 3`, reduced to existing `columns`.

    name: ends in one of TABLE_ENDINGS. required: columns that every row must have. The values of a csv file are
    strings; an empty cell is None. Memory is bounded as in `iter_rows`. Raises DataError.
    """
    lower = name.lower()
    try:
        with open_file() as opened:
            file = unpacked(opened) if lower.endswith(".gz") else opened
            if lower.removesuffix(".gz").endswith(".parquet"):
                # Parquet is read from its end, so a gzipped file is unpacked first.
                with tempfile.TemporaryFile() if lower.endswith(".gz") else contextlib.nullcontext(file) as seekable:
                    if seekable is not file:
                        shutil.copyfileobj(file, seekable)
                        seekable.seek(0)
                    size = None if seekable is file else opened.tell()
                    yield from _placed_parquet(name, seekable, columns, required, size)
            elif lower.removesuffix(".gz").endswith(".csv"):
                yield from _placed_csv(name, file, columns, required)
            else:
                for place, row in json_objects(name, file):
                    check_columns(place, required, row)
                    yield place, {column: row[column] for column in columns if column in row}
    except TooLarge as error:
        raise DataError(f"{name} is refused: {error}") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{name} cannot be read: {one_line(error)}") from error


def _placed_parquet(
    name: str, file: IO[bytes], columns: Collection[str], required: Collection[str], size: int | None
) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa

    try:
        bounded = BoundedParquet(file, size)
        parquet = bounded.file
        check_columns(name, required, parquet.schema_arrow.names)
        present = [column for column in parquet.schema_arrow.names if column in columns]
        number = 0
        for group in range(parquet.num_row_groups):
            for row in bounded.rows(group, present):
                number += 1
                yield f"{name}, row {number}", row
    except pa.ArrowException as error:
        raise DataError(f"{name} is not a valid parquet file: {one_line(error)}") from error


def _text_lines(name: str, file: IO[bytes], row: Counter[str]) -> Iterator[str]:
    """Yield the lines of a csv file. row: commas and bytes of the current row, which the caller clears."""
    # Decoded line by line, so that an invalid byte is reported with its line. Other tools begin with a byte order mark.
    encoding = "utf-8-sig"
    for number, line in bounded_lines(name, file, _LONGEST_CELL):
        row.update(commas=line.count(b","), bytes=len(line))
        if row["bytes"] > _LONGEST_ROW:
            raise TooLarge(f"the row of line {number} has more than {_LONGEST_ROW:,} bytes: write it as jsonl")
        if row["commas"] > _MOST_COMMAS:
            raise TooLarge(f"the row of line {number} has more than {_MOST_COMMAS:,} commas: write it as jsonl")
        yield line.decode(encoding)
        encoding = "utf-8"


def _placed_csv(
    name: str, file: IO[bytes], columns: Collection[str], required: Collection[str]
) -> Iterator[tuple[str, Row]]:
    before = csv.field_size_limit(_LONGEST_CELL)
    row: Counter[str] = Counter()
    lines = csv.reader(_text_lines(name, file, row), strict=True)
    start = 1
    try:
        header = next(lines, [])
        if len(set(header)) < len(header):
            raise DataError(f"{name}, line 1: the header names a column twice: expected each column once")
        check_columns(f"{name}, line 1", required, header)
        start = lines.line_num + 1
        for number, cells in enumerate(lines, 1):
            check_row_number(file, number)
            row.clear()
            place, start = f"{name}, line {start}", lines.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(f"{place}: {len(cells)} cells: expected {len(header)}, as in the header")
            yield place, {c: cell or None for c, cell in zip(header, cells, strict=True) if c in columns}
    except csv.Error as error:
        if "field limit" in str(error):
            raise TooLarge(f"line {start}: a cell has more than {_LONGEST_CELL:,} characters") from error
        raise DataError(f"{name}, line {start} is not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name}, line {lines.line_num + 1} is not UTF-8: {error}") from error
    finally:
        csv.field_size_limit(before)
