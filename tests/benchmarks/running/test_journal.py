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

from benchmarks.running.journal import Journal, key_of, read_journal


def record(sample_id="s1", status="ok", epoch=0, **row):
    fields = {"benchmark": "b", "method": "m", "sample_id": sample_id, "epoch": epoch, "status": status}
    return {"row": fields | row, "calls": []}


async def test_records_come_back_by_key(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    await asyncio.gather(*(journal.append(record(f"s{i}", score=i)) for i in range(100)))
    journal.close()
    records = read_journal(tmp_path)
    assert [records["b", "m", f"s{i}", 0]["row"]["score"] for i in range(100)] == list(range(100))


async def test_the_newest_record_of_a_sample_wins_but_an_error_never_hides_a_result(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    for entry in (record(status="error"), record(status="ok", score=1), record(status="error")):
        await journal.append(entry)
    journal.close()
    assert read_journal(tmp_path)["b", "m", "s1", 0]["row"]["score"] == 1


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


@pytest.mark.parametrize("rubbish", [b"\x00\xff\n", b"[]\n", b'{"row": 1}\n', b'{"row": {}}\n', b"null\n", b"\n"])
async def test_lines_that_are_not_records_are_passed_over(tmp_path, rubbish):
    (tmp_path / "a.jsonl").write_bytes(rubbish)
    journal = Journal(tmp_path / "a.jsonl")
    await journal.append(record())
    journal.close()
    assert list(read_journal(tmp_path)) == [key_of(record())]


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
    assert {key[2]: kept["row"]["score"] for key, kept in read_journal(tmp_path).items()} == dict.fromkeys(
        ("s1", "s2", "s3", "s4"), 1
    )


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from benchmarks.running.journal import Journal

        async def main():
            journal = Journal(Path(sys.argv[1]) / "a.jsonl")
            for number in range(100000):
                row = {"benchmark": "b", "method": "m", "sample_id": str(number), "epoch": 0, "status": "ok"}
                await journal.append({"row": row, "calls": []})
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
