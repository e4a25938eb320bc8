"""Every reader refuses files of a few kilobytes that hold gigabytes, in one line and before they fill the memory."""

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.commands.score import read_rows
from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import load_runs
from benchmarks.running.run_folder import read_trajectory
from benchmarks.sources import files, parquet
from benchmarks.sources.files import DataError, iter_rows
from benchmarks.sources.hub import HubData, Source
from benchmarks.sources.tables import TABLE_ENDINGS, placed_rows
from rlm import unpacking
from rlm.models.cache.records import read_recording

MB = 1 << 20


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    """A hundredth of the real bounds, so that the bombs are quick to make; scripts/hostile_table.py has real ones."""
    monkeypatch.setattr(unpacking, "ALWAYS_BYTES", MB)
    for module in (unpacking, parquet):
        monkeypatch.setattr(module, "ALWAYS_ROWS", 10_000)
    monkeypatch.setattr(files, "LONGEST_PACKED_ROW", MB // 2)
    monkeypatch.setattr(files, "_MOST_BLANK", 1000)
    for name, value in {"_GROUP_BYTES": 2 * MB, "_ROW_BYTES": MB, "_ALL_BYTES": 4 * MB, "_GROUP_ITEMS": 40_000}.items():
        monkeypatch.setattr(parquet, name, value)


def parquet_file(table: dict, **options) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer, compression="zstd", **options)
    assert len(buffer.getvalue()) < 64_000
    return buffer.getvalue()


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
    with pytest.raises(ConfigError, match=r"samples\.parquet cannot be read: (it has|row group|a row|a value|its)"):
        load_runs([tmp_path])


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


def test_files_that_repeat_much_but_are_small_are_read(tmp_path):
    content = parquet_file({"a": ["x" * 100_000] * 30, "b": ["y"] * 30})
    assert len(list(iter_rows("t.parquet", lambda: io.BytesIO(content), ["a", "b"]))) == 30
    assert (
        len(list(placed_rows("t.csv.gz", lambda: io.BytesIO(gzip.compress(b"a,b\n" + b"x,y\n" * 9000)), ["a"]))) == 9000
    )
