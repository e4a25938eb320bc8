"""Rows of local copies, and of a hub on loopback through the hub's own protocol."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.sources.files import DataError
from benchmarks.sources.hub import ID, HubData, Source

ROOT = Path(__file__).parents[3]
REVISION = "0123456789abcdef0123456789abcdef01234567"
DATA = HubData("maker/rows", REVISION, "validation")


def parquet_file(rows: list[dict], row_group: int) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=row_group, compression="none")
    return sink.getvalue().to_pybytes()


def local(path: Path, hub: HubData = DATA) -> Source:
    return Source(str(path), hub, "benchmark.some.source")


def test_the_files_of_the_split_are_read_from_a_folder(tmp_path):
    (tmp_path / "data").mkdir()
    for split, number in (("validation", 1), ("test", 2)):
        (tmp_path / "data" / f"{split}-00000-of-00001.jsonl").write_text(json.dumps({"id": number}))
    (tmp_path / "README.md").write_text("not data")
    assert list(local(tmp_path).rows(["id"])) == [{"id": 1}]


def test_named_files_are_read_from_any_place_in_a_folder(tmp_path):
    (tmp_path / "pairs-16.json").write_text('[{"id": 16}]')
    (tmp_path / "pairs-32.json").write_text('[{"id": 32}]')
    assert list(local(tmp_path, HubData("m/r", REVISION, files=("data/pairs-32.json",))).rows(["id"])) == [{"id": 32}]


@pytest.mark.parametrize(
    "name, message",
    [
        ("absent", "expected 'generated', 'hub', or an existing file or folder"),
        ("notes.txt", "expected a parquet"),
        (".", "expected a folder with"),
    ],
)
def test_a_path_without_rows_is_refused_with_its_key(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=rf"benchmark\.some\.source is .*{message}"):
        list(local(tmp_path / name).rows(["id"]))


def test_no_matching_row_is_an_error_but_a_local_part_is_not(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": 2}\n')
    assert len(list(local(tmp_path).rows(["id"], count=50))) == 2
    with pytest.raises(DataError, match="found 0 rows with id = 3: expected at least one row"):
        list(local(tmp_path).rows(["id"], {"id": 3}))


@pytest.mark.parametrize("value", [None, 1, True, ["a"], {"a": 1}, "", " \n"])
def test_a_value_of_another_type_is_reported_with_its_row_and_column(tmp_path, value):
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in ("a", value)))
    with pytest.raises(DataError, match=r"a\.jsonl, row 2: column text is .*: expected"):
        list(local(tmp_path).rows(["text"], types={"text": str}))


def test_an_id_is_a_string_or_an_integer(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "a"}\n{"id": 1}\n{"id": true}\n')
    rows = local(tmp_path).rows(["id"], types={"id": ID})
    assert [next(rows)["id"], next(rows)["id"]] == ["a", 1]
    with pytest.raises(DataError, match="expected str or int, not bool"):
        next(rows)


def test_identity_changes_with_the_content_of_local_files(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    before = local(tmp_path).identity()
    (tmp_path / "a.jsonl").write_text('{"id": 2}\n')
    assert local(tmp_path).identity() != before


def test_a_table_is_read_again_when_its_file_has_changed(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = tmp_path / "a.jsonl"
    for number in (1, 2):
        path.write_text(json.dumps({"id": number}))
        assert list(local(path).table(["id"])["id"]) == [number]
    path.write_text('{"id": 1}\n{"id": \n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2"):
        local(path).table(["id"])


_CLIENT = """
import json, sys
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HubData, Source

def rows(repo, revision, split, files, columns, where, count):
    source = Source("hub", HubData(repo, revision, split, tuple(files)), "benchmark.some.source")
    try:
        return [list(row.values()) for row in source.rows(columns, where, count)]
    except DataError as error:
        return str(error)

for line in sys.stdin:
    print(json.dumps(rows(*json.loads(line))), flush=True)
"""


def test_only_the_needed_bytes_of_the_pinned_revision_are_requested(tmp_path, fake_hub):
    big = 40_000
    rows = [
        {"id": i, "kind": "wanted" if 20 <= i < 30 else "other", "text": f"{i:05d}" * (big // 5), "labels": "x" * big}
        for i in range(60)
    ]
    name = "data/validation-00000-of-00001.parquet"
    files = {
        "README.md": b"---\nlicense: mit\n---\n",
        name: parquet_file(rows, row_group=10),
        "data/test-00000-of-00001.parquet": parquet_file(rows[:20], row_group=10),
        "data/pairs-32.json": b'[{"id": 1}, {"id": 2}]',
    }
    with fake_hub.fake_hub({("maker/rows", REVISION): files}) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        for unwanted in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE"):
            environment.pop(unwanted, None)
        client = subprocess.Popen(
            [sys.executable, "-c", _CLIENT], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

        def ask(columns, where=None, count=None, repo="maker/rows", revision=REVISION, split="validation", files=()):
            hub.served.clear()
            client.stdin.write(json.dumps([repo, revision, split, files, columns, where, count]) + "\n")
            client.stdin.flush()
            return json.loads(client.stdout.readline())

        try:
            got = ask(["id", "text"], {"kind": "wanted"}, 10)
            assert [row[0] for row in got] == list(range(20, 30))
            assert all(row[1] == f"{row[0]:05d}" * (big // 5) for row in got)
            # One row group's texts, and neither labels nor other rows nor the other split.
            assert 10 * big <= hub.served[name] < 15 * big
            assert not any("test" in file for file in hub.served)
            assert all(REVISION in path for _, path in hub.asked if "/maker/rows/" in path)

            assert len(ask(["id"], {"kind": "wanted", "id": [1, 20, 25, 40]})) == 2
            assert hub.served[name] < 2 * big
            assert ask(["id"], files=["data/pairs-*.json"]) == [[1], [2]]

            assert "found 60 rows: expected 7 rows" in ask(["id"], count=7)
            assert "has no column answer; its columns: id, kind, text, labels" in ask(["id", "answer"])
            assert "has no split 'train'; its splits: validation, test" in ask(["id"], split="train")
            assert "has no file data/none.json; its files: README.md" in ask(["id"], files=["data/none.json"])
            for changed in ({"revision": "f" * 40}, {"repo": "maker/other"}):
                message = ask(["id"], **changed)
                assert "cannot be read from the hub" in message
                assert "hf download" in message
                assert "benchmark.some.source=DIR" in message
        finally:
            client.stdin.close()
            client.stdout.close()
            client.wait()
