"""Ctrl-C: once lets what runs finish, twice ends at once; either way the folder is whole and nothing is paid twice."""

import json
import os
import signal
import time

import pandas as pd
import pytest

from benchmarks.running.journal import read_journal

pytestmark = pytest.mark.long
WORDS = [
    "model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=12",
    "concurrency.samples=2", "run_dir=run",
]  # fmt: skip
# The root of an RLM: a cell, and an answer in the next turn.
ROOT = {
    "rules": [
        {"match": "first look", "text": "FINAL(done)"},
        {"match": "context", "text": "```repl\nprint('first look')\n```"},
    ]
}


def wait_for(process, ready):
    while not ready():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def interrupt(process):
    """What Ctrl-C in a terminal does: the signal goes to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)


def wait_until_told(process):
    for line in process.stderr:
        if line.startswith("stopping"):
            return line
    raise AssertionError("the first Ctrl-C was not answered")


def check_folder(in_folder, process):
    """The folder that an interrupted run leaves; how many samples are done."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.splitlines()[-1] == "run: run"
    manifest = json.loads((in_folder / "run" / "run.json").read_text())
    assert manifest["state"] == manifest["sessions"][-1]["state"] == "interrupted"
    done = len(read_journal(in_folder / "run" / "journal"))
    assert manifest["samples_done"] == len(pd.read_parquet(in_folder / "run" / "samples.parquet")) == done
    assert (in_folder / "run" / "report" / "report.md").is_file()
    return done


@pytest.mark.parametrize(("method", "script", "calls"), [("base", None, 1), ("rlm", ROOT, 2)])
def test_once_finishes_what_runs(in_folder, server, begin, go, method, script, calls):
    fake = server(script, latency=0.3)
    words = [*WORDS, f"method=[{method}]"]
    process = begin(fake, "run", *words)
    wait_for(process, lambda: fake.paid().total() >= 2 * calls)
    interrupt(process)
    done = check_folder(in_folder, process)
    assert 2 <= done < 12
    assert fake.asked() == fake.paid(), "every call that was begun was waited for"
    assert fake.paid().total() == done * calls, "every sample that was begun is done"

    assert go(fake, *words).state == "finished"
    samples = pd.read_parquet(in_folder / "run" / "samples.parquet")
    assert samples["sample_id"].nunique() == len(samples) == 12 and set(samples["status"]) == {"ok"}
    assert fake.asked() == fake.paid() and set(fake.paid().values()) == {1}


def test_twice_ends_at_once(in_folder, server, begin, go):
    # The calls that are on the wire at the second Ctrl-C would never be answered.
    fake = server([None] * 4 + ["hang"] * 2)
    words = [*WORDS, "method=[base]"]
    process = begin(fake, "run", *words)
    wait_for(process, lambda: fake.asked().total() == 6)
    interrupt(process)
    wait_until_told(process)
    interrupt(process)
    assert check_folder(in_folder, process) == 4

    assert go(fake, *words).state == "finished"
    assert set(pd.read_parquet(in_folder / "run" / "samples.parquet")["status"]) == {"ok"}
    assert len(fake.paid()) == 12 and set(fake.paid().values()) == {1}
    assert fake.asked().total() == 14, "only what was on the wire is asked again"


def test_samples_that_outlast_the_grace_period_are_cancelled_and_those_that_finish_are_kept(in_folder, server, begin):
    fake = server([None] * 4 + ["hang"] * 2)
    process = begin(fake, "run", *WORDS, "method=[base]", "stop_grace_s=0.5")
    wait_for(process, lambda: fake.asked().total() == 6)
    interrupt(process)
    line = wait_until_told(process)
    assert line.startswith("stopping: waiting for 2 samples with 2 model calls in flight, for at most 0.5 s")
    assert check_folder(in_folder, process) == 4
