"""The journal keeps what it was given, in the face of kills, full disks and rubbish."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.running.journal import Journal, Record, read_journal
from benchmarks.running.rows import SampleRow


def record(sample_id="s1", status="ok", epoch=0, **row):
    fields = {"benchmark": "b", "method": "m", "sample_id": sample_id, "epoch": epoch, "status": status}
    return Record(SampleRow(**{"score": 0.0} | fields | row))


async def test_records_come_back_by_key(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    await asyncio.gather(*(journal.append(record(f"s{i}", turns=i)) for i in range(100)))
    journal.close()
    records = read_journal(tmp_path)
    assert [records["b", "m", f"s{i}", 0, None].row.turns for i in range(100)] == list(range(100))


async def test_the_newest_record_of_a_sample_wins_but_an_error_never_hides_a_result(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    for entry in (record(status="error"), record(status="ok", score=1), record(status="error")):
        await journal.append(entry)
    journal.close()
    assert read_journal(tmp_path)["b", "m", "s1", 0, None].row.score == 1


@given(cut=st.integers(min_value=0, max_value=400))
def test_a_journal_cut_anywhere_loses_only_the_line_that_was_cut(cut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    path = folder / "a.jsonl"

    async def write(*entries):
        journal = Journal(path)
        for entry in entries:
            await journal.append(entry)
        journal.close()

    asyncio.run(write(*(record(f"s{i}") for i in range(4))))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    survivors = whole[:cut].count(b"\n")
    assert len(read_journal(folder)) == survivors
    asyncio.run(write(record("after")))
    assert {key[2] for key in read_journal(folder)} == {f"s{i}" for i in range(survivors)} | {"after"}


ROW = b'"benchmark":"b","method":"m","sample_id":"s0","epoch":0'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\x00\xff", "codec can't decode"),
        (b"[]", "the line is not an object with a row"),
        (b"null", "the line is not an object with a row"),
        (b"", "Expecting value"),
        (b'{"row": 1}', "the line is not an object with a row"),
        (b'{"row": {}}', "column benchmark is missing"),
        (b'{"row": {' + ROW + b"}}", "column score is missing"),
        (b'{"row": {' + ROW + b',"score":[1]}}', "column score is [1]: expected a number"),
        (b'{"row": {' + ROW + b',"score":1e999}}', "column score is inf: expected a number"),
        (b'{"row": {' + ROW + b',"score":1,"length":"8K"}}', "column length is '8K': expected an integer or null"),
        (b'{"row": {' + ROW + b',"score":1},"calls":{}}', "calls are not a list of objects"),
        (b'{"row": {' + ROW + b',"score":1},"calls":[{"call_id":"x"}]}', "column call_id is 'x': expected an integer"),
        (b'{"row": {' + ROW + b',"score":1},"at":"now"}', "at is not a number"),
        (b'{"row": {' + ROW + b',"score":1},"at":' + b"9" * 400 + b"}", "at is not a number"),
        (b"[" * 5_000, "recursion"),
        (b"[" * 100_000, "nested deeper than 50"),
    ],
)
async def test_a_broken_line_is_set_aside_with_its_file_and_number(tmp_path, line, reason):
    (tmp_path / "a.jsonl").write_bytes(line + b"\n")
    journal = Journal(tmp_path / "a.jsonl")
    await journal.append(record())
    journal.close()
    reported = []
    assert list(read_journal(tmp_path, reported.append)) == [record().row.key]
    (told,) = reported
    assert told.startswith(f"{tmp_path}/a.jsonl line 1 is set aside: ") and reason in told and "\n" not in told


def test_several_broken_lines_of_a_file_are_one_line_of_report(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" * 3)
    reported = []
    assert read_journal(tmp_path, reported.append) == {}
    (told,) = reported
    assert "line 1 (and 2 more broken lines) is set aside" in told


async def test_a_target_is_not_journaled(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    await journal.append(record(target='"the gold answer"', prediction="an answer"))
    journal.close()
    assert b"gold" not in (tmp_path / "a.jsonl").read_bytes()
    (kept,) = read_journal(tmp_path).values()
    assert kept.row.target is None and kept.row.prediction == "an answer"


async def test_a_sample_is_not_done_when_the_disk_is_full(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    await journal.append(record("before"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "a.jsonl").stat().st_size + 10, before[1]))
    try:
        with pytest.raises(OSError):
            await journal.append(record("after"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert {key[2] for key in read_journal(tmp_path)} == {"before"}
    await journal.append(record("when there is room again"))
    journal.close()
    assert {key[2] for key in read_journal(tmp_path)} == {"before", "when there is room again"}


async def test_of_several_machines_the_latest_record_counts_whatever_their_names(tmp_path, monkeypatch):
    for at, machine, entry in (
        (3.0, "a", record("s1", score=1)), (2.0, "b", record("s1", score=0)),
        (2.0, "a", record("s2", score=0)), (3.0, "b", record("s2", score=1)),
        (2.0, "a", record("s3", score=1)), (3.0, "b", record("s3", status="error")),
        (3.0, "a", record("s4", status="error")), (2.0, "b", record("s4", score=1)),
    ):  # fmt: skip
        monkeypatch.setattr("benchmarks.running.journal.time.time", lambda at=at: at)
        journal = Journal(tmp_path / f"{machine}.jsonl")
        await journal.append(entry)
        journal.close()
    assert {key[2]: kept.row.score for key, kept in read_journal(tmp_path).items()} == dict.fromkeys(
        ("s1", "s2", "s3", "s4"), 1
    )


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from benchmarks.running.journal import Journal, Record
        from benchmarks.running.rows import SampleRow

        async def main():
            journal = Journal(Path(sys.argv[1]) / "a.jsonl")
            for number in range(100000):
                row = SampleRow(benchmark="b", method="m", sample_id=str(number), epoch=0, score=1.0)
                await journal.append(Record(row))
                print(number, flush=True)

        asyncio.run(main())
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    acknowledged = [process.stdout.readline() for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += process.stdout.read().split("\n")
    process.wait()
    seen = {line.strip() for line in acknowledged} - {""}
    assert len(seen) >= 20
    assert seen <= {key[2] for key in read_journal(tmp_path)}


async def test_a_sample_whose_line_cannot_be_written_for_another_reason_gets_an_error(tmp_path, monkeypatch):
    async def no_thread(*_):
        raise RuntimeError("can't start new thread")

    journal = Journal(tmp_path / "a.jsonl")
    monkeypatch.setattr(asyncio, "to_thread", no_thread)
    with pytest.raises(OSError, match="can't start new thread"):
        await asyncio.wait_for(journal.append(record()), 5)
    journal.close()
