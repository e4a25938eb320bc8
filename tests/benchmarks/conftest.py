"""Fixtures for runs against a server, and for reports: run folders made of scores that a test chooses."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.report.published import QUESTION_FORMS
from benchmarks.running.rows import CALL_COLUMNS, SAMPLE_COLUMNS, CallRow, SampleRow, defaults


def _defaults(row, columns, n):
    values = defaults(row)
    return pd.DataFrame({name: pd.Series([values.get(name)] * n, dtype=object) for name in columns})


def rows(method, scores, *, benchmark="oolong", per_window=1, **columns):
    """Rows of samples.parquet: one a score; a further column is one value, or a list of one each."""
    n = len(scores)
    table = _defaults(SampleRow, SAMPLE_COLUMNS, n)
    reference = method in ("oracle", "floor")
    ids = [f"{benchmark}-{i:04d}" for i in range(n)]
    given = {
        "benchmark": benchmark,
        "method": method,
        "model": None if reference else "gpt-5",
        "sub_model": None if reference else "gpt-5-mini",
        "sample_id": ids,
        "cluster": [f"window-{i // per_window}" for i in range(n)],
        "task_group": "counting",
        "complexity": "linear",
        "metric": "score",
        "score": scores,
        "lenient_score": scores,
        "format_ok": True,
        "prediction": [f"{method} {score}" for score in scores],
        "target_sha256": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
        "status": "ok",
        "stop_reason": "answer",
        "cost_state": "free" if reference else "known",
        "cost_usd": 0.0 if reference else 0.1,
        "input_tokens": 1000,
        "scorer": "scorer-1",
    }
    for name, value in (given | columns).items():
        table[name] = value
    return table.astype(SAMPLE_COLUMNS)


def calls(n, **columns):
    """Rows of calls.parquet, alike but for the columns that are given."""
    table = _defaults(CallRow, CALL_COLUMNS, n)
    given = {"call_id": range(n), "benchmark": "oolong", "method": "rlm", "sample_id": "oolong-0000", "role": "root"}
    for name, value in (given | {"model": "gpt-5", "cost_state": "known", "finish_reason": "stop"} | columns).items():
        table[name] = value
    return table.astype(CALL_COLUMNS)


def hub_data(name):
    """The identity of data from the hub, in the paper's form."""
    return {"source": "hub"} | QUESTION_FORMS.get(name, {})


def write_run(path, samples, calls=None, /, **manifest):
    """A run folder with its tables and run.json."""
    path.mkdir(parents=True)
    samples = pd.concat(samples, ignore_index=True) if isinstance(samples, list) else samples
    samples.to_parquet(path / "samples.parquet", index=False)
    if calls is not None:
        calls.to_parquet(path / "calls.parquet", index=False)
    described = {
        "name": path.name,
        "config": {"method": {"rlm": {"max_depth": 1}}, "seed": 0, "repl": {"confinement": "confined"}},
        "benchmarks": {
            name: {"scorer": "scorer-1", "metric": "score", "data": hub_data(name), "sample_ids": list(ids)}
            for name, ids in samples.groupby("benchmark")["sample_id"].unique().items()
        },
        "git": {"commit": "0123abcd", "dirty": False},
        "state": "finished",
        "samples_planned": len(samples),
    }
    (path / "run.json").write_text(json.dumps(described | manifest))
    return path


@pytest.fixture
def make_rows():
    return rows


@pytest.fixture
def make_calls():
    return calls


@pytest.fixture
def make_run(tmp_path):
    """Write a run folder below tmp_path and return its path: make_run("name", [rows...], calls, state="running")."""

    def make(folder, samples, calls=None, /, **manifest):
        return write_run(tmp_path / folder, samples, calls, **manifest)

    return make


class ServerProcess:
    """tests/servers/fake_openai.py in a process of its own."""

    def __init__(self, forks, folder, script, options):
        self.log = folder / "server.jsonl"
        words = [f"--{name}={value}" for name, value in options.items()]
        if script is not None:
            (folder / "script.json").write_text(json.dumps(script))
            words.append(f"--script={folder / 'script.json'}")
        path = Path(__file__).parent.parent / "servers" / "fake_openai.py"
        program = f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')"
        self._process = forks.start(program, f"--log={self.log}", *words)
        self.base_url = self._process.stdout.readline().split()[-1]

    @property
    def environment(self):
        return os.environ | {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": self.base_url}

    def events(self, name):
        return [event for event in map(json.loads, self.log.read_text().splitlines()) if event["event"] == name]

    def asked(self):
        """How often each request came in."""
        return Counter(event["sha256"] for event in self.events("received"))

    def paid(self):
        """How often each request was answered."""
        return Counter(event["sha256"] for event in self.events("answered") if event["paid"])

    def stop(self):
        self._process.close()


@pytest.fixture
def server(tmp_path, forks):
    """Start a server: server(script, latency=0.1, jitter=0.1); it is stopped when the test ends."""
    started = []

    def start(script=None, **options):
        started.append(ServerProcess(forks, tmp_path, script, options))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    return tmp_path


@pytest.fixture
def go(in_folder, monkeypatch):
    """Carry out a run in this process, against a server: go(server, "key=value", ...) returns its outcome."""
    from benchmarks.config.compose import compose
    from benchmarks.running.run import run

    def carry_out(server, *words):
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        return run(compose(words))

    return carry_out


@pytest.fixture
def begin(in_folder, forks):
    """Begin a command in a process group of its own: begin(server, "run", ...); it is killed when the test ends."""
    begun = []

    def start(server, *words):
        begun.append(forks.start(forks.RLM_EVAL, *words, env=server.environment))
        return begun[-1]

    yield start
    for process in begun:
        process.close()


@pytest.fixture
def command(in_folder, forks):
    """Run a command in a process of its own: command("run", ..., env=environment) returns it as subprocess.run does."""
    return lambda *words, **options: forks.run(forks.RLM_EVAL, *words, **options)
