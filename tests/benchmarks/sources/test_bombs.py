"""Every reader refuses files of a few kilobytes that hold gigabytes, in one line and before they fill the memory."""

import gzip
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.commands.score import read_rows
from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import load_runs
from benchmarks.running.run_files import read_trajectory
from benchmarks.scoring.named import named_scorer
from benchmarks.sources import files, parquet
from benchmarks.sources.files import DataError, iter_rows
from benchmarks.sources.hub import HubData, Source
from benchmarks.sources.tables import TABLE_ENDINGS, placed_rows
from benchmarks.suites.browsecomp_plus.rows import read_qrels
from benchmarks.suites.oolong_pairs.rows import LabelledText
from rlm import unpacking
from rlm.methods.map_reduce import load_program
from rlm.models.cache.records import read_recording
from rlm.models.scripted import read_script
from rlm.prompts import load_prompt

MB = 1 << 20


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    """A hundredth of the real bounds, so that the bombs are quick to make; scripts/hostile_table.py has real ones."""
    monkeypatch.setattr(unpacking, "ALWAYS_BYTES", MB)
    for module in (unpacking, parquet):
        monkeypatch.setattr(module, "ALWAYS_ROWS", 10_000)
    monkeypatch.setattr(files, "LONGEST_PACKED_ROW", MB // 2)
    monkeypatch.setattr(files, "_MOST_BLANK", 1000)
    bounds = {
        "_GROUP_BYTES": 2 * MB, "_ROW_BYTES": MB, "_ALL_BYTES": 4 * MB, "_GROUP_ITEMS": 40_000, "_BATCH_BYTES": MB,
        "_LARGEST_BATCH": 2 * MB, "_TABLE_BYTES": 4 * MB, "MAX_VALUES": 20_000,
    }  # fmt: skip
    for name, value in bounds.items():
        monkeypatch.setattr(parquet, name, value)


def parquet_file(table: dict, **options) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer, compression="zstd", **options)
    assert len(buffer.getvalue()) < 64_000
    return buffer.getvalue()


def with_false_size(content: bytes) -> bytes:
    """State a small size in the footer, which other readers than pyarrow trust."""
    size = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(0).total_uncompressed_size
    stated = bytes((size << 1 >> 7 * place) & 127 | 128 for place in range(3)) + bytes([size << 1 >> 21])
    assert content.count(stated) > 0
    return content.replace(stated, b"\x82\x80\x80\x00")


STRUCT = pa.struct([("a", pa.string()), ("b", pa.string())])
ROW = b'{"a": "x", "b": "y"}\n'
# 900 MB as text; the table holds them once.
REPEATED = pa.DictionaryArray.from_arrays(pa.array([0] * 9000, pa.int32()), ["x" * 100_000])
PARQUETS = {
    "one value in many rows": parquet_file({"a": REPEATED}, dictionary_pagesize_limit=MB, store_schema=False),
    "one long value": parquet_file({"a": ["x" * 3 * MB]}),
    "one long value in a dictionary": parquet_file({"a": ["x" * 3 * MB] * 4}, dictionary_pagesize_limit=8 * MB),
    "a value by its prefix": parquet_file(
        {"a": ["x" * MB] * 40}, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"}
    ),
    "values without a dictionary": parquet_file({"a": ["x" * 10_000] * 600}, use_dictionary=False),
    "rows without content": parquet_file({"a": pa.nulls(90_000, pa.string())}),
    "a value larger than the footer states": with_false_size(
        parquet_file({"a": ["x" * 3 * MB]}, use_dictionary=False, write_statistics=False)
    ),
    "a list of structs without content": parquet_file({"a": pa.array([[None] * 30_000], pa.list_(STRUCT))}),
    "a list of one value": parquet_file({"a": [["x" * 50_000] * 1000]}, dictionary_pagesize_limit=MB),
    "a list without content": parquet_file({"a": pa.array([[None] * 1_000_000], pa.list_(pa.string()))}),
}
PACKED = {
    "one long line": b'{"a": "' + b"x" * 3 * MB + b'"}\n',
    "many long lines": (b'{"a": "' + b"x" * 100_000 + b'"}\n') * 30,
    "many rows": ROW * 40_000,
    "lines without end": b"\n" * 5000,
    "spaces without end": b" " * 3 * MB,
}


@pytest.mark.parametrize("bomb", PARQUETS)
@pytest.mark.parametrize("read", [iter_rows, placed_rows])
def test_parquet_bombs_are_refused(bomb, read):
    name = f"{bomb}.parquet"
    with pytest.raises(DataError, match=rf"{bomb}\.parquet is refused: .*(bytes|items)") as refused:
        for _ in read(name, lambda: io.BytesIO(PARQUETS[bomb]), ["a"]):
            pass
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("bomb", PARQUETS)
def test_the_table_of_a_run_folder_is_no_bomb(bomb, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"state": "finished"}))
    (tmp_path / "samples.parquet").write_bytes(PARQUETS[bomb])
    with pytest.raises(
        ConfigError, match=r"samples\.parquet (has no column|cannot be read: (it has|row group|a row|its))"
    ):
        load_runs([tmp_path])


@pytest.mark.parametrize("column", ["benchmark", "method", "model"])
def test_a_run_folder_of_thousands_of_names_is_refused(column, tmp_path):
    columns = {"benchmark": ["b"] * 300, "method": ["m"] * 300, "model": ["o"] * 300, "epoch": [0] * 300}
    columns |= {"sample_id": [f"s{n}" for n in range(300)], "score": [0.5] * 300, column: [f"n{n}" for n in range(300)]}
    (tmp_path / "run.json").write_text(json.dumps({"state": "finished"}))
    (tmp_path / "samples.parquet").write_bytes(parquet_file(columns))
    with pytest.raises(ConfigError, match=rf"has 300 values of {column}: expected at most 100"):
        load_runs([tmp_path])


def test_pages_are_read_as_pyarrow_reads_them():
    """For every encoding, in small pages, the rows are those of pyarrow."""
    columns = {
        "number": list(range(500)), "text": [f"a text {n}" for n in range(500)], "same": ["x" * 200] * 500,
        "list": [[n, None] for n in range(500)],
        "map": pa.array([[("k", 1.5)]] * 500, pa.map_(pa.string(), pa.float64())),
        "fixed": pa.array([b"0123"] * 500, pa.binary(4)), "nothing": pa.nulls(500, pa.string()),
        "struct": [{"role": "user", "parts": ["a", "b"]}] * 500,
    }  # fmt: skip
    for options in (
        {"data_page_version": "2.0", "compression": "snappy"}, {"use_dictionary": False, "compression": "gzip"},
        {"data_page_size": 100, "compression": "lz4", "write_page_checksum": True}, {"row_group_size": 90},
        {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "use_dictionary": False}, {"dictionary_pagesize_limit": 64},
    ):  # fmt: skip
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer, **options)
        expected = pq.read_table(buffer).to_pylist()
        rows = iter_rows("t.parquet", lambda content=buffer: io.BytesIO(content.getvalue()), list(columns))
        assert list(rows) == expected


def test_a_filter_reads_no_bomb_either():
    content = parquet_file({"a": ["x"] * 300, "b": ["x" * 100_000] * 300}, dictionary_pagesize_limit=MB)
    with pytest.raises(DataError, match="is refused"):
        list(iter_rows("t.parquet", lambda: io.BytesIO(content), ["a"], {"b": "y"}))


@pytest.mark.parametrize("bomb", PACKED)
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_packed_bombs_are_refused(bomb, ending):
    if (ending, bomb) == ("json", "lines without end"):
        pytest.skip("white space between values of a json file is skipped a megabyte at a time")
    content = gzip.compress((b"a,b\n" if ending == "csv" else b"") + PACKED[bomb])
    assert len(content) < 12_000
    with pytest.raises(DataError, match=r"t\.(jsonl|json|csv)\.gz( is refused: |, line \d+)") as refused:
        for _ in placed_rows(f"t.{ending}.gz", lambda: io.BytesIO(content), ["a"]):
            pass
    assert "\n" not in str(refused.value)


def test_the_line_names_the_key(tmp_path):
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(ROW * 200_000))
    with pytest.raises(DataError, match=r"^benchmark\.custom\.source: .*t\.jsonl\.gz is refused: it (has|unpacks)"):
        list(Source(str(path), HubData("t", ""), "benchmark.custom.source", TABLE_ENDINGS).placed_rows(["a"]))


@pytest.mark.parametrize("bomb", PACKED)
def test_predictions_and_recordings_are_no_bombs(bomb, tmp_path):
    path = tmp_path / "packed.jsonl.gz"
    path.write_bytes(gzip.compress(PACKED[bomb]))
    with pytest.raises(ConfigError, match=r"packed\.jsonl\.gz"):
        list(read_rows(path))
    with pytest.raises(ValueError, match=r"packed\.jsonl\.gz is not a complete recording"):
        list(read_recording(path))


def test_trajectories_are_no_bombs(tmp_path):
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(b'{"kind": "' + b"x" * 5 * MB + b'"}\n'))
    with pytest.raises(ConfigError, match=r"t\.jsonl\.gz cannot be read: it unpacks to more than"):
        read_trajectory(tmp_path, "t.jsonl.gz")


# Functions that read a text file which a setting names.
TEXTS = {
    "a prompt": load_prompt, "a program": load_program, "a script": lambda path: read_script(Path(path)),
    "a rubric": lambda path: named_scorer("judge", rubric=path), "a window": LabelledText,
    "relevant documents": lambda path: read_qrels(path, "qrels"),
}  # fmt: skip


@pytest.mark.parametrize("read", TEXTS.values(), ids=TEXTS)
def test_texts_of_settings_are_regular_files_of_bounded_size(read, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "long").touch()
    os.truncate(tmp_path / "long", 1 << 40)
    for name, error in {"fifo": "is not a regular file", "long": "has more than"}.items():
        with pytest.raises(ValueError, match=error):
            read(str(tmp_path / name))


def test_a_program_that_is_nested_too_deep_is_refused(tmp_path):
    (tmp_path / "deep.py").write_text("x = " + "-" * 200_000 + "1")
    with pytest.raises(ValueError, match="program is"):
        load_program(str(tmp_path / "deep.py"))
    (tmp_path / "deep.md").write_text("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}")
    with pytest.raises(ValueError, match="prompt is"):
        load_prompt(str(tmp_path / "deep.md"))


def test_files_that_repeat_much_but_are_small_are_read(tmp_path):
    content = parquet_file({"a": ["x" * 100_000] * 30, "b": ["y"] * 30})
    assert len(list(iter_rows("t.parquet", lambda: io.BytesIO(content), ["a", "b"]))) == 30
    assert (
        len(list(placed_rows("t.csv.gz", lambda: io.BytesIO(gzip.compress(b"a,b\n" + b"x,y\n" * 9000)), ["a"]))) == 9000
    )
