"""Run folders of somebody else: no file takes the memory, waits, leads out of the folder or ends in a traceback."""

import gzip
import json
import os
import shutil
import urllib.error
import urllib.request
from threading import Thread
from types import SimpleNamespace

import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.commands import run as run_command
from benchmarks.config.errors import ConfigError
from benchmarks.export.tables import RunTables, reading_events
from benchmarks.report.page import asked, view
from benchmarks.report.page.site import Site, find_page
from benchmarks.report.runs import in_use, load_calls, load_runs
from benchmarks.running import journal, manifest
from benchmarks.running.contexts import ContextFiles, find_context
from benchmarks.running.journal import Journal, Record, read_journal
from benchmarks.running.manifest import find_manifest, manifest_text
from benchmarks.running.rows import CallRow, SampleRow
from benchmarks.running.run_files import check_folder, file_inside, make_folder, read_trajectory, write_whole
from benchmarks.running.tables import refresh_tables, write_tables
from rlm.trajectory import Trajectory

IDS = ["s0", "s1", "s2"]


@pytest.fixture
def records():
    def record(sample_id):
        row = SampleRow(benchmark="b", method="m", model="gpt", sample_id=sample_id, score=0.5, prediction="Paris")
        return Record(row, [CallRow(call_id=0, model="gpt", **row.key.of_calls())], 1.0)

    return [record(sample_id) for sample_id in IDS]


@pytest.fixture
def folder(tmp_path, records):
    """A finished run of three samples."""
    path = tmp_path / "run"
    (path / "journal").mkdir(parents=True)
    (path / "journal" / "host.jsonl").write_bytes(b"".join(record.to_line() for record in records))
    described = {
        "name": "run", "state": "finished", "samples_planned": 3, "methods": {"m": {}}, "model_labels": ["gpt"],
        "benchmarks": {"b": {"sample_ids": IDS}}, "sessions": [{"state": "finished", "started_at": 1.0, "git": {}}],
    }  # fmt: skip
    (path / "run.json").write_text(manifest_text(described))
    write_tables(path, records)
    return path


# --- run.json


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmarks": []}, r"benchmarks is '\[\]': expected an object"),
        ({"benchmarks": {"b": {"sample_ids": "s0"}}}, r"benchmarks\.b\.sample_ids is 's0': expected a list"),
        ({"benchmarks": {"b": {"sample_ids": [1]}}}, r"benchmarks\.b\.sample_ids\.0 is '1': expected a text"),
        ({"sessions": {}}, r"sessions is '\{\}': expected a list"),
        ({"sessions": [1]}, r"sessions\.0 is '1': expected an object"),
        ({"sessions": [{"git": 1}]}, r"sessions\.0\.git is '1': expected an object"),
        ({"model_labels": [None, {}]}, r"model_labels\.1 is '\{\}': expected a text"),
        ({"state": ["finished"]}, r"state is .*: expected a text"),
        ({"name": 5}, r"name is '5': expected a text"),
        ({"samples_planned": "many"}, r"samples_planned is 'many': expected a number from 0"),
        ({"started_at": -1}, r"started_at is '-1': expected a number from 0"),
    ],
)
def test_a_part_of_another_type_is_one_line_that_names_it(folder, change, message):
    (folder / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | change))
    with pytest.raises(ConfigError, match=rf"run\.json: {message}") as error:
        load_runs([folder])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"[]," * 40, b"[" * 60, b" " * 3000, b'{"name": "', b"\xff\xfe", b"null"])
def test_a_large_nested_or_cut_manifest_is_one_line(folder, content, monkeypatch, capsys):
    monkeypatch.setattr(manifest, "_MOST_BYTES", 2000)
    monkeypatch.setattr(manifest, "_MOST_VALUES", 50)
    (folder / "run.json").write_bytes(content)
    for command in ("report", "top", "export sft"):
        assert main([*command.split(), str(folder)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "run.json" in said


def test_a_changed_manifest_is_reported_and_one_without_a_checksum_is_not(folder, capsys):
    file = folder / "run.json"
    written = file.read_text()
    assert find_manifest(folder)["samples_planned"] == 3 and not capsys.readouterr().err
    file.write_text(written.replace('"s2"', '"s3"'))
    assert "checksum" not in find_manifest(folder)
    assert "run.json was changed since rlm-eval wrote it" in capsys.readouterr().err
    file.write_text(json.dumps(json.loads(written)))
    find_manifest(folder)
    assert not capsys.readouterr().err


# --- journal and tables


def test_every_changed_bit_of_a_line_is_noticed(records):
    line = records[0].to_line()
    # All bits of every seventh byte, so that the test is fast.
    for place in range(0, len(line) - 32, 7):
        for bit in range(8):
            flipped = bytearray(line)
            flipped[place] ^= 1 << bit
            with pytest.raises(ValueError):
                Record.read(bytes(flipped))


def test_a_line_of_an_older_version_has_no_checksum(records):
    content = json.loads(records[0].to_line())
    del content["checksum"]
    assert Record.read(json.dumps(content).encode()).row == records[0].row


def test_a_long_line_is_set_aside_and_the_next_one_read(folder, records, monkeypatch):
    line = records[0].to_line()
    monkeypatch.setattr(journal, "LONGEST_LINE", len(line) + 10)
    file = folder / "journal" / "host.jsonl"
    file.write_bytes(b"\0" * 10_000 + b"\n" + line)
    told = []
    assert [key.sample_id for key in read_journal(folder / "journal", told.append)] == ["s0"]
    assert "line 1 is set aside: it has more than" in told[0]
    # A line without an end that is longer than any line is kept apart from the next one.
    with file.open("ab") as tail:
        tail.truncate(file.stat().st_size + 100_000)
    Journal(file).close()
    assert file.read_bytes().endswith(b"\0\n")
    monkeypatch.setattr(journal, "_SKIPPED_BYTES", 1 << 20)
    os.truncate(file, file.stat().st_size + (4 << 20))
    with pytest.raises(ConfigError, match=r"host\.jsonl cannot be read: a line has more than"):
        read_journal(folder / "journal", told.append)


def test_characters_that_need_long_escapes_do_not_make_a_line_too_long(records, monkeypatch):
    row = records[0].row
    row.prediction = row.extracted = "\N{GRINNING FACE}\ud800\0" * 1000
    monkeypatch.setattr(journal, "LONGEST_LINE", 30_000)
    line = records[0].to_line()
    assert len(line) < 30_000 and Record.read(line).row == row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": ["x"] * 3}, "column score is of type (large_)?string: expected a number"),
        ({"epoch": [[1]] * 3}, "column epoch is of type list"),
        ({"sample_id": ["s0", None, "s2"]}, "rows without sample_id"),
        ({"sub_calls": [1.0, float("nan"), None]}, "column sub_calls has no finite value in 2 rows: expected an"),
        ({"length": [1.0, float("inf"), None]}, "column length has no finite value in 1 row: expected an integer"),
        ({"prompt_tokens": ["x"] * 3}, "column prompt_tokens is of type (large_)?string: expected an integer"),
    ],
)
def test_columns_of_other_types_are_one_line(folder, change, message):
    table = pd.read_parquet(folder / "samples.parquet")
    table.assign(**{name: pd.Series(values) for name, values in change.items()}).to_parquet(folder / "samples.parquet")
    with pytest.raises(ConfigError, match=message):
        load_runs([folder])


def test_changed_bytes_of_a_table_change_no_value_unnoticed(folder):
    file = folder / "samples.parquet"
    content = bytearray(file.read_bytes())
    table, refused = load_runs([folder]).samples, 0
    for place in range(4, 1000, 97):
        content[place] ^= 1
        file.write_bytes(content)
        try:
            # The headers of pages have values that nothing reads.
            assert load_runs([folder]).samples.equals(table)
        except ConfigError as error:
            refused += "samples.parquet cannot be read" in str(error)
        content[place] ^= 1
    assert refused > 5


# --- links, FIFOs, devices

PLACES = [
    "run.json", "samples.parquet", "journal/host.jsonl", "report/report.html", "report/tables/scores.csv",
    "samples.parquet.new", "run.lock", "calls.sqlite",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["link", "fifo", "device"])
def test_what_is_no_file_of_the_folder_ends_every_command(folder, place, kind, tmp_path):
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    private = tmp_path / "private"
    private.write_text("secret")
    if kind == "link":
        file.symlink_to(private)
    elif kind == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    reason = "neither a file nor a folder" if kind == "fifo" else "a link that leads out of the folder"
    with pytest.raises(ConfigError, match=reason):
        find_manifest(folder)
    with pytest.raises(ConfigError, match=reason):
        find_page(folder)
    assert private.read_text() == "secret"


def test_links_in_a_circle_are_one_line(folder, tmp_path, capsys):
    circle = tmp_path / "circle"
    circle.symlink_to("circle")
    for command in (
        ["top", str(circle)],
        ["report", str(circle)],
        ["export", "hf", str(circle), str(tmp_path / "out")],
    ):
        assert main(command) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (folder / "trajectories").mkdir(exist_ok=True)
    (folder / "trajectories" / "one").symlink_to("one")
    assert file_inside(folder, "trajectories/one") is None


def test_links_within_a_folder_and_to_a_folder_are_followed(folder, tmp_path):
    (folder / "journal" / "host.jsonl").rename(folder / "elsewhere.jsonl")
    (folder / "journal" / "host.jsonl").symlink_to("../elsewhere.jsonl")
    (tmp_path / "alias").symlink_to(folder)
    runs = load_runs([tmp_path / "alias"])
    assert len(runs.samples) == len(load_calls(runs)) == 3


def test_nothing_is_written_through_a_link(tmp_path):
    private = tmp_path / "private"
    private.write_text("secret")
    for name in ("a.json.new", "run/journal/host.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(private)
    write_whole(tmp_path / "a.json", "new")
    with pytest.raises(OSError):
        Journal(tmp_path / "run" / "journal" / "host.jsonl")
    assert private.read_text() == "secret"


def test_a_folder_that_a_link_moves_out_of_the_run_is_not_written_to(folder, tmp_path):
    (tmp_path / "private").mkdir()
    (folder / "trajectories").mkdir()
    (folder / "trajectories" / "b").symlink_to(tmp_path / "private")
    with pytest.raises(OSError, match="leads out of the run folder"):
        make_folder(folder / "trajectories" / "b", folder)
    (folder / "contexts").mkdir()
    (folder / "contexts" / "b").symlink_to(tmp_path / "private")
    ContextFiles(folder).write("b", "s0", "text", protected=False)
    assert not list((tmp_path / "private").iterdir())


def test_a_rescore_without_a_configuration_is_one_line(folder, capsys):
    assert main(["rescore", str(folder)]) == 2
    assert "run.json has no config" in capsys.readouterr().err


def test_view_serves_no_file_that_a_link_leads_to(tmp_path, folder):
    (tmp_path / "shadow").write_text("secret")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "report.html").symlink_to("../shadow")
    with pytest.raises(ConfigError, match="a link that leads out of the folder"):
        Site.of([saved], tmp_path / "scratch")
    page = saved / "report.html"
    with view.bind(Site.of([page], tmp_path / "scratch")) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for path in ("", "shadow", "../shadow", "%2e%2e/shadow"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(view.address(server) + path)
        server.shutdown()


def test_a_context_is_named_by_its_benchmark_and_not_by_a_path(folder):
    (folder / "contexts" / "b").mkdir(parents=True)
    (folder / "contexts" / "b" / "s0.txt.gz").write_bytes(b"")
    assert find_context(folder, "b", "s0") == "b/s0.txt.gz"
    assert find_context(folder, "../contexts/b", "s0") is None


# --- trajectories


def test_the_events_of_a_trajectory_are_bounded(folder, monkeypatch):
    trajectory = Trajectory()
    trajectory.record("turn", turn=1)
    (folder / "t.jsonl.gz").write_bytes(trajectory.to_gzip())
    assert [event["kind"] for event in read_trajectory(folder, "t.jsonl.gz")] == ["turn"]
    monkeypatch.setattr("benchmarks.running.run_files._MOST_VALUES", 3)
    with pytest.raises(ConfigError, match=r"t\.jsonl\.gz cannot be read: it has more than"):
        read_trajectory(folder, "t.jsonl.gz")


@pytest.mark.parametrize(
    "events", [[{}], [[]], [{"kind": 1}], [{"kind": "call"}], [{"kind": "call", "id": 1, "parent": []}]]
)
def test_events_of_another_shape_are_one_line(folder, events, capsys):
    (folder / "t.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, events)).encode()))
    table = pd.read_parquet(folder / "samples.parquet")
    table.assign(trajectory="t.jsonl.gz", stop_reason="answer").to_parquet(folder / "samples.parquet", index=False)
    assert main(["export", "sft", str(folder), "--min-turns", "1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "t.jsonl.gz" in said
    with (
        pytest.raises(ConfigError, match="cannot be exported"),
        reading_events(RunTables(folder, {}, table), {"trajectory": "t.jsonl.gz"}),
    ):
        events[0]["no such key"]


def test_a_saved_trajectory_is_shown_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(asked, "MAX_VALUES", 10)
    file = tmp_path / "a.jsonl"
    file.write_text('{"kind": "call", "prompt_tokens": 1e999}\n' * 3 + '{"kind": [[[[[[[[[]]]]]]]]]}\n' * 3)
    page = asked.write_asked_page(file, tmp_path / "out")
    assert page.read_text().count("report") > 0
    os.mkfifo(tmp_path / "b.jsonl")
    with pytest.raises(ConfigError, match="is not a regular file"):
        asked.write_asked_page(tmp_path / "b.jsonl", tmp_path / "out")


# --- locks and copies


def test_a_lock_is_kept_when_the_same_process_opens_and_closes_its_files(folder, tmp_path):
    """Locks of POSIX (lockf) would be lost here; those of flock belong to the open file."""
    import fcntl

    held = [os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT), os.open(folder, os.O_RDONLY)]
    for one in held:
        fcntl.flock(one, fcntl.LOCK_EX)
    for _ in range(2):
        assert in_use(folder)
        (folder / "run.lock").read_bytes()
        check_folder(folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert not in_use(tmp_path / "copy")
    for one in held:
        os.close(one)
    assert not in_use(folder)


def test_a_copy_made_of_hard_links_does_not_share_the_journal(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=os.link)
    before = (folder / "journal" / "host.jsonl").read_bytes()
    opened = Journal(copy / "journal" / "host.jsonl")
    os.write(opened._file, b"{}\n")
    opened.close()
    assert (folder / "journal" / "host.jsonl").read_bytes() == before
    assert (copy / "journal" / "host.jsonl").read_bytes() == before + b"{}\n"


async def test_a_folder_that_was_moved_away_ends_the_run(folder, records):
    opened = Journal(folder / "journal" / "host.jsonl")
    folder.rename(folder.with_name("moved"))
    with pytest.raises(OSError, match="removed or replaced"):
        await opened.append(records[0])
    opened.close()


def test_a_run_whose_folder_is_gone_fails_with_its_own_message(tmp_path, monkeypatch, capsys):
    outcome = SimpleNamespace(
        samples=1,
        message="the run folder cannot be written",
        unscored=(),
        used="",
        path=tmp_path / "gone",
        state="failed",
    )
    monkeypatch.setattr(run_command, "resolve", lambda composed: None)
    monkeypatch.setattr(run_command, "_hydra_files", lambda composed: {})
    monkeypatch.setattr("benchmarks.running.run.run", lambda *_: outcome)
    assert run_command._run(None, agreed=True) == 1
    assert capsys.readouterr().err == "rlm-eval: the run folder cannot be written\n"


def test_samples_that_are_not_in_the_plan_are_reported(folder, capsys):
    described = find_manifest(folder)
    described["benchmarks"]["b"]["sample_ids"] = ["s0"]
    (folder / "run.json").write_text(manifest_text(described))
    refresh_tables(folder)
    assert "2 samples of the journal are not in the plan of run.json" in capsys.readouterr().err
