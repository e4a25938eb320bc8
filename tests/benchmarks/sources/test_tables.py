"""Rows of a user's table with their places, and the bounds of reading."""

import gzip
import io

import pytest

from benchmarks.sources import files, tables
from benchmarks.sources.files import DataError
from benchmarks.sources.tables import placed_rows


def read(name: str, data: bytes, columns=("a", "b"), required=()) -> list:
    return list(placed_rows(name, lambda: io.BytesIO(data), columns, required))


def test_a_csv_row_has_the_line_on_which_it_begins():
    data = b'a,b,c\r\n"x\r\ny",1,\r\n\r\n"z",,3\r\n'
    assert read("t.csv", data) == [
        ("t.csv, line 2", {"a": "x\r\ny", "b": "1"}),
        ("t.csv, line 5", {"a": "z", "b": None}),
    ]


def test_a_csv_cell_may_be_long():
    (row,) = read("t.csv", b"a,b\n" + b"x" * 1_000_000 + b",y\n")
    assert len(row[1]["a"]) == 1_000_000


@pytest.mark.parametrize("row", [b"ab," * 200, b'a,"' + b"\n,,,," * 40 + b'"'])
def test_a_row_of_many_cells_is_refused_before_it_is_parsed(row, monkeypatch):
    monkeypatch.setattr("benchmarks.sources.tables._MOST_COMMAS", 100)
    content = b"a,b\n" + b"x,y\n" * 200
    assert len(list(placed_rows("t.csv", lambda: io.BytesIO(content), ["a"]))) == 200
    with pytest.raises(DataError, match=r"t\.csv is refused: the row of line \d+ has more than 100 commas"):
        list(placed_rows("t.csv", lambda: io.BytesIO(content + row), ["a"]))


def test_json_rows_have_only_the_columns_that_are_asked_for():
    assert read("t.jsonl", b'\n{"a": 1, "c": 2}\n') == [("t.jsonl, line 2", {"a": 1})]
    assert read("t.json.gz", gzip.compress(b'[{"a": 1},\n{"b": 2}]')) == [
        ("t.json.gz, line 1", {"a": 1}),
        ("t.json.gz, line 2", {"b": 2}),
    ]


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.csv"])
def test_a_row_that_would_fill_the_memory_is_refused(name, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_ROW", 1000)
    monkeypatch.setattr(tables, "_LONGEST_CELL", 1000)
    monkeypatch.setattr(files, "_CHUNK", 100)
    start = b"a,b\n" if name.endswith("csv") else b'{"a": "'
    with pytest.raises(DataError, match="t"):
        read(name, start + b"x" * 100_000 + (b",y\n" if name.endswith("csv") else b'"}\n'))


def test_a_csv_row_of_many_lines_is_bounded(monkeypatch):
    monkeypatch.setattr(tables, "_LONGEST_CELL", 1000)
    monkeypatch.setattr(tables, "_LONGEST_ROW", 3000)
    cell = b'"' + b"x\n" * 400 + b'"'
    assert len(read("t.csv", b"a,b\n" + b"\n".join([cell + b"," + cell] * 3) + b"\n")) == 3
    with pytest.raises(DataError, match="row of line 1495 has more than 3,000 bytes"):
        read("t.csv", b"a,b\n" + b",".join([cell] * 9) + b"\n")


def test_a_long_row_is_parsed_with_a_bound_on_the_memory_of_its_texts(monkeypatch):
    monkeypatch.setattr(files, "_LONG_ROW", 1000)
    monkeypatch.setattr(files, "_MOST_TEXT_BYTES", 5000)
    row = b'{"a": "' + b"x" * 3000 + b'\\n", "b": 1}'
    for name, content in (("t.jsonl", row + b"\n" + row), ("t.json", b"[" + row + b",\n" + row + b"]")):
        (place, first), (second, _) = read(name, content)
        assert first["a"] == "x" * 3000 + "\n" and (place, second) == (f"{name}, line 1", f"{name}, line 2")
        with pytest.raises(DataError, match=r"line 1: its texts take more than 5,000 bytes of memory: one wide"):
            read(name, content.replace(b"\\n", "\U0001f600".encode()))
        with pytest.raises(DataError, match=r"line 2.*not JSON"):
            read(name, content[:-9] + b"x" + content[-9:])


def test_a_row_has_a_bound_and_one_of_a_packed_file_a_smaller_one(monkeypatch):
    assert files.LONGEST_ROW == 256 << 20
    monkeypatch.setattr(files, "LONGEST_ROW", 3000)
    monkeypatch.setattr(files, "LONGEST_PACKED_ROW", 1000)
    row = b'{"a": "' + b"x" * 2000 + b'", "b": 1}'
    assert len(list(read("t.jsonl", row))) == 1
    with pytest.raises(DataError, match="line 1 has more than 3,000 bytes"):
        read("t.jsonl", row.replace(b"x", b"xx"))
    with pytest.raises(DataError, match="line 1 has more than 1,000 bytes"):
        read("t.jsonl.gz", gzip.compress(row))


def test_a_missing_column_is_named_with_those_that_are_there():
    with pytest.raises(DataError, match=r"t\.csv, line 1 has no column b; its columns: a, c"):
        read("t.csv", b"a,c\n1,2\n", required=["b"])
