"""Configurations and run folders of older versions, in which classes have their former dotted names."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks.config.compose import compose
from benchmarks.config.identity import config_hash, differences, run_name
from benchmarks.config.renamed import TARGETS
from benchmarks.report.compare import compare
from benchmarks.running.run import run

PROGRAM = Path(sys.executable).with_name("rlm-eval")
RECORDED = Path(__file__).parents[3] / "results" / "recorded" / "ci" / "run.json"
SMALL = ["model=scripted", "model.script=script.jsonl", "benchmark=[sniah]", "method=[base,oracle]", "limit=2"]
SIZES = ["benchmark.sniah.lengths=[512]"]


@pytest.mark.parametrize("new", TARGETS.values())
def test_every_former_name_leads_to_a_class(new):
    module, name = new.rsplit(".", 1)
    assert isinstance(getattr(importlib.import_module(module), name), type)


# A configuration as version 0.1 wrote it into run.json, and the hash that it wrote beside it.
OLD = {
    "benchmark": {"sniah": {"_target_": "benchmarks.sniah.SNIAH", "lengths": [512], "seed": 0}},
    "method": {"base": {"_target_": "rlm.methods.base.BaseModel"}, "rlm": {"_target_": "rlm.methods.recursive.RLM"}},
    "model": {"endpoint": {"base_url": "http://h/v1", "patience_s": 9}, "root": {"name": "m"}},
    "name": None,
    "seed": 0,
}
OLD_HASH = "df77e7092887c8102daa862afc3d0b1d5d94b46bca51fea51e6e8861d86eae23"


def renamed(config, names):
    text = json.dumps(config)
    for before, after in names.items():
        text = text.replace(f'"{before}"', f'"{after}"')
    return json.loads(text)


def test_a_configuration_of_version_0_1_keeps_its_hash():
    current = renamed(OLD, TARGETS)
    assert current != OLD
    assert config_hash(OLD) == config_hash(current) == OLD_HASH
    assert run_name(OLD) == run_name(current) and differences(OLD, current) == []


def test_the_hash_of_a_recorded_configuration_is_the_one_in_its_manifest():
    recorded = json.loads(RECORDED.read_text())
    former = renamed(recorded["config"], {new: old for old, new in TARGETS.items()})
    assert config_hash(recorded["config"]) == config_hash(former) == recorded["config_hash"]
    assert differences(former, recorded["config"]) == []


def test_a_key_that_a_version_has_added_counts_with_its_default():
    before = {"benchmark": {"x": {"_target_": "benchmarks.suites.sniah.SNIAH", "samples": 2}}, "limits": {}}
    added = {"_target_": "benchmarks.suites.sniah.SNIAH", "samples": 2, "seed": 0}
    after = {"benchmark": {"x": added}, "limits": {"max_turns": 50}}
    assert differences(before, after) == []
    added["seed"] = 1
    assert differences(before, after) == ["benchmark.x.seed: 0 -> 1"]


def test_another_class_is_a_difference_under_its_current_name():
    before = {"benchmark": {"x": {"_target_": "benchmarks.sniah.SNIAH"}}}
    after = {"benchmark": {"x": {"_target_": "benchmarks.suites.codeqa.CodeQA"}}}
    assert differences(before, after) == [
        "benchmark.x._target_: 'benchmarks.suites.sniah.SNIAH' -> 'benchmarks.suites.codeqa.CodeQA'"
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.jsonl").write_text(json.dumps({"match": "", "reply": "said"}) + "\n")
    return tmp_path


def old_run(path):
    """Give a run folder the names of version 0.1."""
    file = path / "run.json"
    text = file.read_text()
    for old, new in TARGETS.items():
        text = text.replace(f'"{new}"', f'"{old}"')
    file.write_text(text)
    assert "benchmarks.sniah.SNIAH" in text
    return json.loads(text)


def test_a_run_of_an_older_version_is_resumed_reported_rescored_and_compared(folder, forks):
    words = [*SMALL, *SIZES]
    outcome = run(compose([*words, "run_dir=whole"]))
    assert outcome.state == "finished"
    run(compose([*words, "run_dir=old"]))
    old = folder / "old"
    manifest = old_run(old)
    (journal,) = (old / "journal").glob("*.jsonl")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:2]))
    (old / "run.json").write_text(json.dumps(manifest | {"state": "running"}))

    def command(*line):
        done = forks.run(forks.RLM_EVAL, *line)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "run: old" in command("run", *words, "run_dir=old")
    assert len(journal.read_text().splitlines()) == len(lines)
    old_run(old)
    assert "wrote: " in command("report", "old")
    assert "0 scores changed" in command("rescore", "old")
    verdict = compare(folder / "whole", old)
    assert verdict.code == 0 and verdict.changes == ()


def test_a_file_with_a_former_name_runs_with_a_warning_of_one_line(folder, forks):
    words = [*SMALL, *SIZES, "benchmark.sniah._target_=benchmarks.sniah.SNIAH"]
    done = forks.run(forks.RLM_EVAL, "run", *words, "run_dir=done")
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "deprecated" in line]
    assert warnings == [
        "rlm-eval: benchmark.sniah._target_=benchmarks.sniah.SNIAH is deprecated: "
        "the class is now benchmarks.suites.sniah.SNIAH"
    ]
    manifest = json.loads((folder / "done" / "run.json").read_text())
    assert manifest["config"]["benchmark"]["sniah"]["_target_"] == "benchmarks.suites.sniah.SNIAH"
    assert manifest["config_hash"] == compose([*SMALL, *SIZES]).hash
