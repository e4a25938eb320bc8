"""Rows of data files: every format gives equal rows, and errors name the file and the line."""

import gzip
import io
import json
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources import files
from benchmarks.sources.files import DataError, iter_rows

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists, max_leaves=5)
tables = st.lists(
    st.fixed_dictionaries({"id": st.integers(0, 5), "text": texts, "more": values}), min_size=1, max_size=12
)


def rows_of(name: str, content: bytes, columns=("id", "text"), where=None) -> list[dict]:
    return list(iter_rows(name, lambda: io.BytesIO(content), columns, where))


def wanted(rows: list[dict], columns=("id", "text"), where=None) -> list[dict]:
    return [{c: row[c] for c in columns} for row in rows if all(row[k] in v for k, v in (where or {}).items())]


@given(tables, st.integers(1, 40), st.sampled_from([None, 1]), st.sets(st.integers(0, 5)))
def test_json_arrays_in_chunks_of_any_size_equal_those_of_the_standard_library(rows, chunk, indent, ids):
    content = json.dumps(rows, indent=indent, ensure_ascii=False).encode()
    columns = ("id", "text", "more")
    with mock.patch.object(files, "_CHUNK", chunk):
        assert rows_of("rows.json", content, columns, {"id": ids}) == wanted(rows, columns, {"id": ids})


@given(tables)
def test_lines_gzip_and_consecutive_values_give_equal_rows(rows):
    lines = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    pretty = "\n".join(json.dumps(row, indent=2) for row in rows).encode()
    for name, content in (
        ("a.jsonl", lines),
        ("a.JSONL", lines),
        ("a.json", lines),
        ("a.json", pretty),
        ("a.jsonl.gz", gzip.compress(lines, mtime=0)),
        ("a.json.gz", gzip.compress(pretty, mtime=0)),
    ):
        assert rows_of(name, content) == wanted(rows)


@given(tables, st.integers(1, 5), st.sets(st.integers(0, 5)), st.sampled_from(["NONE", "ZSTD"]))
def test_parquet_gives_equal_rows_for_any_row_groups(rows, group, ids, compression):
    rows = [{"id": row["id"], "text": row["text"]} for row in rows]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=group, compression=compression)
    assert rows_of("rows.parquet", buffer.getvalue(), where={"id": ids}) == wanted(rows, where={"id": ids})


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("rows.jsonl", b'{"id": 1, "text": "a"}\n{"id": 2, "text"}\n', "rows.jsonl, line 2"),
        ("rows.jsonl", b'{"id": 1, "text": "a"}\n[1]\n', "line 2 is a list: expected an object"),
        ("rows.jsonl", b'\n\n{"id": 1}\n', "line 3 has no column text; its columns: id"),
        ("rows.jsonl", b'{"id": 1, "text": "\xff"}\n', "rows.jsonl, line 1"),
        ("rows.jsonl", b'{"id": ' + b"9" * 5000 + b"}", "rows.jsonl, line 1 is not JSON"),
        ("rows.json", b'[{"id": ' + b"9" * 5000 + b"}]", "rows.json, line 1: not JSON"),
        ("rows.json", b'[\n{"id": 1, "text": "a"},\n{"id": 2,\n"text": nope}]', "rows.json, line 4"),
        ("rows.json", b'[\n{"id": 1, "text": "a"}\n{"id": 2, "text": "a"}]', "line 3: found {: expected a comma"),
        ("rows.json", b'[{"id": 1, "text": "a"}', "found the end of the file: expected a comma"),
        ("rows.json", b'[{"id": 1, "text": "a"}]\n}', "line 2: text follows the end of the array"),
        ("rows.json", b'[{"id": 1, "text": "a"},\n\n', "line 3: not JSON"),
        ("rows.json", b"[" * 100_000, "nested deeper than 50"),
        ("rows.json", b'[{"id": 1, "text": "\xff"}]', "rows.json cannot be read"),
        ("rows.json.gz", b"not gzip", "rows.json.gz cannot be read"),
        ("rows.jsonl.gz", gzip.compress(b'{"id": 1}\n' * 9000, mtime=0)[:60], "rows.jsonl.gz cannot be read"),
        ("rows.parquet", b"PAR1 and then something else PAR1", "rows.parquet is not a valid parquet file"),
    ],
)
def test_malformed_data_is_reported_in_one_line(name, content, message):
    with pytest.raises(DataError) as caught:
        rows_of(name, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_parquet_column_is_reported_with_the_existing_ones():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": [1], "body": ["a"]}), buffer)
    with pytest.raises(DataError, match=r"rows.parquet has no column text, more; its columns: id, body"):
        rows_of("rows.parquet", buffer.getvalue(), columns=("id", "text", "more"))


@given(st.binary(max_size=60), st.sampled_from(["a.json", "a.jsonl", "a.json.gz", "a.parquet"]))
def test_any_bytes_give_rows_or_a_data_error(content, name):
    try:
        rows_of(name, content)
    except DataError as error:
        assert name in str(error)


def test_a_column_of_lists_matches_nothing():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": [[1]], "text": ["a"]}), buffer)
    assert rows_of("rows.parquet", buffer.getvalue(), where={"id": 1}) == []
    assert rows_of("rows.jsonl", b'{"id": [1], "text": "a"}', where={"id": 1}) == []
