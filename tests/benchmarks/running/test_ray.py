"""The Ray executor: results equal the local one's, a lost worker's samples run again, the dollar limit holds."""

import os
import signal
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.running.journal import read_journal
from benchmarks.running.rows import TIME_COLUMNS

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.long
WORDS = [
    "model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=20",
    "method=[floor,base,map_reduce]", "model.root.max_output_tokens=100", "model.sub.max_output_tokens=100",
    "concurrency.samples=4",
]  # fmt: skip
RAY = ["executor=ray", "executor.workers=2", "executor.cpus=0.5"]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One cluster of this machine for all tests; the workers get the environment of their run, not the cluster's."""
    with pytest.MonkeyPatch.context() as patch:
        # By default, the workers wait for every other process, such as the tests that run beside these.
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()


def results(folder):
    samples = pd.read_parquet(folder / "samples.parquet")
    return samples.drop(columns=list(TIME_COLUMNS))


def actors(name):
    """Process ids of the actors of a class, of this program's cluster."""
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if read(process / "cmdline").startswith(f"ray::{name}") and os.getpid() in ancestors(int(process.name))
    ]


def ancestors(pid):
    above = []
    while pid > 1 and (stat := read(Path(f"/proc/{pid}/stat"))):
        pid = int(stat.rpartition(")")[2].split()[1])
        above.append(pid)
    return above


def read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def test_results_equal_the_local_executors_though_a_worker_is_killed(go, server, in_folder):
    fake = server(latency=0.2)
    assert go(fake, *WORDS, "run_dir=local").state == "finished"
    killed = []

    def kill_one():
        while len(read_journal(in_folder / "spread" / "journal")) < 12:
            time.sleep(0.05)
        killed.extend(actors("Worker")[:1])
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    outcome = go(fake, *WORDS, *RAY, "run_dir=spread")
    killer.join()
    assert outcome.state == "finished"
    assert killed
    pd.testing.assert_frame_equal(results(in_folder / "spread"), results(in_folder / "local"))
    assert not list((in_folder / "spread").glob("calls-worker*-wal")), "the workers closed their stores"
    lines = [line for path in (in_folder / "spread" / "journal").iterdir() for line in path.read_bytes().splitlines()]
    assert len(lines) == 60, "no sample was journaled twice"
    # Paid once by each run, but for what the lost worker had on the wire.
    assert max(fake.paid().values()) <= 3
    assert fake.paid().total() <= 2 * len(fake.paid()) + 4


def test_all_workers_keep_the_dollar_limit_and_others_go_on_without_paying_twice(go, server, in_folder):
    fake = server(latency=0.1)
    words = [*WORDS, *RAY, "method=[base]", "run_dir=spread", "concurrency.samples=2"]
    outcome = go(fake, *words, "budget.max_cost_usd=0.004")
    assert outcome.state == "budget" and "budget.max_cost_usd" in outcome.message
    samples = pd.read_parquet(in_folder / "spread" / "samples.parquet")
    assert 0 < len(samples) < 20
    assert samples["cost_usd"].sum() <= 0.004 + 3 * samples["cost_usd"].max(), "what is on the wire may still be paid"
    more = go(fake, *words, "budget.max_cost_usd=0.007", "executor.workers=1")
    assert more.state == "budget", more.message
    assert len(samples) < len(pd.read_parquet(in_folder / "spread" / "samples.parquet")) < 20
    assert go(fake, *WORDS, "method=[base]", "run_dir=spread").state == "finished"
    assert len(fake.paid()) == fake.paid().total() == 20


def test_what_stops_a_run_is_told_by_the_workers(go, server):
    fake = server({"random": {"seed": 1, "faults": {"bad_key": 1.0}}})
    outcome = go(fake, *WORDS, *RAY, "run_dir=spread", "executor.workers=1")
    assert outcome.state == "failed"
    assert "the API key is refused (OPENAI_API_KEY)" in outcome.message and "\n" not in outcome.message


def test_a_sample_that_loses_every_worker_ends_the_run_in_one_line(go, server, in_folder):
    fake = server(["hang"] * 1000)
    stop = threading.Event()

    def kill_all():
        while not stop.wait(0.5):
            for pid in actors("Worker"):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_all, daemon=True)
    killer.start()
    outcome = go(fake, *WORDS, *RAY, "method=[base]", "run_dir=spread", "executor.workers=1", "executor.max_losses=1")
    stop.set()
    killer.join()
    assert outcome.state == "failed"
    assert "lost its worker 2 times" in outcome.message and "\n" not in outcome.message


def test_a_lost_ledger_ends_the_run_in_one_line_and_what_is_done_is_kept(go, server, in_folder):
    fake = server(latency=0.1)
    words = [*WORDS, "method=[base]", "run_dir=spread", "concurrency.samples=2"]

    def kill():
        while len(read_journal(in_folder / "spread" / "journal")) < 2:
            time.sleep(0.02)
        for pid in actors("Ledger"):
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    outcome = go(fake, *words, *RAY, "executor.workers=1", "budget.max_cost_usd=1")
    killer.join()
    assert outcome.state == "failed"
    assert "the actor that adds up the budget is lost" in outcome.message and "\n" not in outcome.message
    done = len(pd.read_parquet(in_folder / "spread" / "samples.parquet"))
    assert 2 <= done < 20
    assert go(fake, *words).state == "finished"
    assert fake.paid().total() <= 20 + 2, "what was done is not paid again"
