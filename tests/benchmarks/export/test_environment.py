"""`rlm-eval export verifiers`: prompts without targets, and the process that answers and scores for an environment.

scripts/check_verifiers runs the exported package with `vf-eval` itself, in an environment of its own.
"""

import io
import json
import subprocess
import sys

import pytest

from benchmarks.cli import main
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.export import environment_worker
from benchmarks.export.environment import export_environment
from benchmarks.suites.sniah import SNIAH


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of two samples with a method and a reference row: its manifest is what an export reads."""
    folder = tmp_path_factory.mktemp("run")
    words = ["benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=2", "model=openai"]
    config = compose([*words, "method=[base,oracle]"])
    (folder / "run.json").write_text(json.dumps({"config": config.plain, "state": "running", "benchmarks": {}}))
    return folder


def sample_of(number):
    benchmark = SNIAH(lengths=(512,), samples=2)
    return benchmark.sample(benchmark.infos()[number].sample_id)


def test_an_environment_has_prompts_and_methods_but_no_targets(run, tmp_path, capsys):
    out = tmp_path / "made"
    assert main(["export", "verifiers", str(run), str(out)]) == 0
    assert capsys.readouterr().out.count("wrote: ") == 3
    package = out / "rlm_eval_run"
    tasks = [json.loads(line) for line in (package / "tasks.jsonl").read_text().splitlines()]
    assert [set(task) for task in tasks] == [{"benchmark", "sample_id", "messages"}] * 2
    assert tasks[0]["messages"] == sample_of(0).prompt.messages()
    settings = json.loads((package / "settings.json").read_text())
    assert settings == {"python": sys.executable, "run": str(run), "methods": ["base"]}
    compile((package / "__init__.py").read_text(), "module", "exec")
    assert main(["export", "verifiers", str(run), str(out)]) == 2


def test_protected_benchmarks_and_runs_without_methods_are_refused(run, tmp_path, monkeypatch):
    manifest = json.loads((run / "run.json").read_text())
    manifest["config"]["method"] = {"oracle": manifest["config"]["method"]["oracle"]}
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="only reference rows: expected at least one method"):
        export_environment(other, tmp_path / "none")
    monkeypatch.setattr(SNIAH, "protected", True)
    with pytest.raises(ConfigError, match="all benchmarks of the run are protected"):
        export_environment(run, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_worker_answers_with_the_method_at_the_endpoint_of_the_environment(run, capsys, monkeypatch, tmp_path):
    script = tmp_path / "server.json"
    script.write_text(json.dumps([{"text": f"It is {SNIAH().oracle(sample_of(1).target)}."}]))
    server = [sys.executable, "tests/servers/fake_openai.py", f"--script={script}", f"--log={tmp_path / 'log.jsonl'}"]
    monkeypatch.setenv("RLM_EVAL_ENDPOINT_KEY", "secret")
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1]
            words = ["solve", str(run), "sniah", sample_of(1).sample_id, "base", url, "some/model"]
            assert environment_worker.main(words) == 0
            solved = json.loads(capsys.readouterr().out)
            assert environment_worker.main([*words[:4], "oracle", *words[5:]]) == 2
            assert "method is 'oracle': expected one of base" in capsys.readouterr().err
        finally:
            process.terminate()
    assert solved["stop_reason"] == "answer" and solved["usage"]["root_calls"] == 1
    for answer, expected in ((solved["answer"], 1.0), ("none", 0.0)):
        request = {"benchmark": "sniah", "sample_id": sample_of(1).sample_id, "answer": answer}
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
        assert environment_worker.main(["score", str(run)]) == 0
        assert json.loads(capsys.readouterr().out)["score"] == expected
