"""+experiment=ci: recorded responses of the embedded model through today's code, and the gate that compares them."""

import shutil
from xml.etree import ElementTree

import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.config.compose import compose
from benchmarks.config.plugins import conf_dir
from benchmarks.running.rows import TIME_COLUMNS
from benchmarks.running.run import run
from rlm.models.embedded import model as embedded

pytestmark = pytest.mark.long
BASELINE = conf_dir().parent / "results" / "recorded" / "ci"
AGAIN = "what made the responses has changed on purpose? Then: scripts/record_ci (docs/ci.md)"


def samples_without_times(folder):
    """samples.parquet as bytes, with its times zeroed."""
    samples = pd.read_parquet(folder / "samples.parquet")
    samples[list(TIME_COLUMNS)] = 0.0
    samples.to_parquet(folder / "without_times.parquet", index=False)
    return (folder / "without_times.parquet").read_bytes()


@pytest.fixture
def replay(tmp_path, monkeypatch):
    """Replay the experiment where no model can be started: replay("name", "key=value", ...) returns its outcome."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)

    def carry_out(name, *words):
        return run(compose(["+experiment=ci", f"name={name}", *words]))

    return carry_out


def test_two_replays_give_the_same_bytes_and_no_regression(replay, capsys, tmp_path):
    first, second = replay("one", "concurrency.samples=1"), replay("two", "concurrency.samples=7")
    assert first.state == second.state == "finished", f"{first.message}\n{AGAIN}"
    assert samples_without_times(first.path) == samples_without_times(second.path)
    samples, calls = (pd.read_parquet(first.path / f"{name}.parquet") for name in ("samples", "calls"))
    assert len(samples) == 70 and not samples["status"].eq("error").any()
    assert calls.loc[calls["error"].isna(), "cache_hit"].all()

    gate = ["compare", str(BASELINE), str(second.path), "--max-drop", "0", "--junit", "compare.xml"]
    assert main(gate) == 0, f"{capsys.readouterr().out}\n{AGAIN}"
    suite = ElementTree.parse(tmp_path / "compare.xml").getroot()
    assert suite.get("failures") == suite.get("errors") == "0" and int(suite.get("tests")) == 20


def test_the_gate_tells_a_regression_and_runs_that_cannot_be_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    worse, other = (tmp_path / name for name in ("worse", "other"))
    samples = pd.read_parquet(BASELINE / "samples.parquet")
    needles = (samples["benchmark"] == "sniah") & (samples["method"] == "map_reduce")
    for folder, changes in ((worse, {"score": 0.0, "prediction": "none"}), (other, {"scorer": "another"})):
        shutil.copytree(BASELINE, folder)
        samples.assign(**{name: samples[name].mask(needles, value) for name, value in changes.items()}).to_parquet(
            folder / "samples.parquet"
        )
    assert main(["compare", str(BASELINE), str(worse), "--max-drop", "0.02", "--junit", "worse.xml"]) == 1
    assert ElementTree.parse("worse.xml").getroot().get("failures") == "1"
    assert main(["compare", str(BASELINE), str(other), "--max-drop", "0.02", "--junit", "other.xml"]) == 2
    assert ElementTree.parse("other.xml").getroot().get("errors") == "1"


def test_a_changed_prompt_stops_the_replay_and_says_what_to_run(replay):
    outcome = replay("changed", "method=[rlm]", "method.rlm.prompt=recursive/default-v1")
    assert outcome.state == "failed" and "\n" not in outcome.message
    assert (
        outcome.message.startswith("recorded response missing: Qwen2.5-Coder-1.5B")
        and "scripts/record_ci" in outcome.message
    )
    assert "ci.jsonl.gz: the nearest recorded request differs in message 0 (system), character" in outcome.message
