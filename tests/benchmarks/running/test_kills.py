"""A run that is killed again and again loses no finished sample, doubles none and pays for no finished call twice."""

import bisect
import json
import textwrap
from collections import Counter, defaultdict

import pandas as pd
import pytest

from benchmarks.running.journal import read_journal

pytestmark = pytest.mark.long
KILLS = 20
# concurrency.samples: each sample has at most one call on the wire.
SAMPLES = 3

# Forks children that carry out the run, and kills each at another moment; the last one is let through. A run in this
# process comes first, so that the children need not import anything and begin at once.
DRIVER = """
    import json, os, signal, sys, time
    from benchmarks.config.compose import compose
    from benchmarks.running.run import run

    words, kills, log = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    run(compose([*words, "seed=1", "limit=1", "run_dir=" + sys.argv[4]]))
    config = compose(words)
    for number in range(kills):
        child = os.fork()
        if child == 0:
            run(config)
            os._exit(0)
        # Most kills are to hit calls: they wait until the server has heard of this child. The others hit its start.
        heard, given_up = os.path.getsize(log), time.time() + (20 if number % 5 else 0)
        while os.path.getsize(log) == heard and time.time() < given_up:
            time.sleep(0.005)
        # The moments are spread evenly over the time of two calls; 7 has no factor in common with the kills.
        time.sleep(0.25 * (7 * number % kills) / kills)
        os.kill(child, signal.SIGKILL)
        print(time.time(), flush=True)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print("finished before it could be killed", file=sys.stderr)
    print(run(config).state, flush=True)
"""


def test_twenty_kills_at_moments_of_every_kind(tmp_path, server, forks):
    fake = server(latency=0.1)
    words = [
        "model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[1024]", "benchmark.sniah.samples=100",
        "method=[base,compaction]", "model.root.context_window=1600", "model.compactor.context_window=900",
        "model.root.max_output_tokens=100", "model.compactor.max_output_tokens=100", f"concurrency.samples={SAMPLES}",
        f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    arguments = json.dumps(words), str(KILLS), str(fake.log), str(tmp_path / "warm")
    done = forks.run(textwrap.dedent(DRIVER), *arguments, env=fake.environment, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    *kills, state = done.stdout.split()
    assert len(kills) == KILLS and state == "finished"
    assert "finished before" not in done.stderr, "every kill hit a run that was under way"

    samples = pd.read_parquet(tmp_path / "run" / "samples.parquet")
    assert len(samples) == samples.groupby(["method", "sample_id"]).ngroups == 200
    assert set(samples["status"]) == {"ok"}
    lines = [line for path in (tmp_path / "run" / "journal").iterdir() for line in path.read_bytes().splitlines()]
    assert len(lines) == len(read_journal(tmp_path / "run" / "journal")) == 200, "no sample was journaled twice"
    sessions = json.loads((tmp_path / "run" / "run.json").read_text())["sessions"]
    assert {session["state"] for session in sessions[:-1]} == {"killed"} and sessions[-1]["state"] == "finished"

    cut_off = sum(times - 1 for times in fake.asked().values())
    assert KILLS / 5 < cut_off <= SAMPLES * KILLS, "kills cut calls off, at most what was on the wire each time"
    answered = defaultdict(list)
    for event in fake.events("answered"):
        answered[event["sha256"]].append(event["at"])
    # A reply that a kill kept from the store is paid twice: one a sample for each kill.
    ends = [float(kill) for kill in kills]
    lost = Counter(bisect.bisect_left(ends, at) for times in answered.values() for at in sorted(times)[:-1])
    assert max(lost.values(), default=0) <= SAMPLES, "a finished call was paid twice"
