"""The runner: a run ends with whole tables, goes on where it was stopped, and refuses what is not its own."""

import fcntl
import json
import re
import shutil
import textwrap

import pandas as pd
import pytest

from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import in_use
from benchmarks.running.journal import Journal, Record
from benchmarks.running.rows import CALL_COLUMNS, SAMPLE_COLUMNS, SampleRow
from benchmarks.running.run import run
from benchmarks.running.run_files import read_trajectory
from benchmarks.running.run_folder import RunFolder

SMALL = [
    "model=openai",
    "benchmark=[sniah]",
    "benchmark.sniah.lengths=[512]",
    "benchmark.sniah.samples=4",
    "method=[oracle,floor,base]",
]


def split_closing(stdout):
    """The lines of a run's results, and the closing line, which has a duration."""
    lines = stdout.splitlines()
    return [line for line in lines if not line.startswith("used: ")], lines[-2]


def test_a_run_leaves_the_contracts_tables_and_a_second_call_makes_no_request(in_folder, server, command):
    fake = server()
    first = command("run", *SMALL, "name=small", env=fake.environment)
    assert first.returncode == 0, first.stderr
    folder = in_folder / "results" / "runs" / "small"
    assert first.stdout.splitlines()[-1] == "run: results/runs/small"
    samples = pd.read_parquet(folder / "samples.parquet")
    calls = pd.read_parquet(folder / "calls.parquet")
    assert SAMPLE_COLUMNS.keys() <= set(samples.columns)
    assert CALL_COLUMNS.keys() <= set(calls.columns)
    assert len(samples) == 12 and len(calls) == 4
    scores = samples.groupby("method")["score"].mean()
    assert scores["oracle"] == 1.0
    assert scores["floor"] < 1.0
    assert samples["input_tokens"].between(300, 512).all()
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["state"] == "finished"
    assert {"config", "config_hash", "git", "packages", "benchmarks", "methods", "seed", "machine"} <= manifest.keys()
    assert {"config.yaml", "overrides.yaml", "hydra.yaml"} == {path.name for path in (folder / ".hydra").iterdir()}
    assert fake.paid().total() == 4

    second = command("run", *SMALL, "name=small", env=fake.environment)
    assert second.returncode == 0
    results, closings = zip(*(split_closing(one.stdout) for one in (first, second)), strict=True)
    assert results[0] == results[1]
    used = r"used: \d+:\d\d, 12 samples{}, \$0\.\d{{4}}, [\d,]+ prompt tokens \(\d+ cached\), "
    used += r"[\d,]+ output tokens, 4 calls \(0 sub-calls\)"
    assert re.fullmatch(used.format(""), closings[0])
    assert re.fullmatch(used.format(r" \(12 from earlier sessions\)"), closings[1])
    assert f"{calls['prompt_tokens'].sum():,} prompt tokens" in closings[0]
    assert fake.paid().total() == 4

    refused = command("run", *SMALL, "name=small", "seed=7", env=fake.environment)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "seed: 0 -> 7" in refused.stderr
    assert json.loads((folder / "run.json").read_text())["seed"] == 0


def test_no_target_is_in_anything_a_model_was_sent(go, server, in_folder):
    fake = server()
    folder = go(fake, *SMALL).path
    samples = pd.read_parquet(folder / "samples.parquet")
    targets = samples[samples["method"] == "oracle"].set_index("sample_id")["prediction"]
    for sample in samples[samples["method"] == "base"].itertuples():
        sent = json.dumps(read_trajectory(folder, sample.trajectory))
        # The needle itself holds the value, and nothing else does.
        assert sent.count(targets[sample.sample_id]) == 1


def test_how_a_run_is_carried_out_may_change(go, server, in_folder):
    fake = server()
    go(fake, *SMALL, "name=small")
    again = ["concurrency.samples=1", "budget.max_cost_usd=5", "model.endpoint.max_concurrency=1"]
    assert go(fake, *SMALL, "name=small", *again).state == "finished"
    assert fake.paid().total() == 4
    with pytest.raises(ConfigError, match="resume=false"):
        go(fake, *SMALL, "name=small", "resume=false")


def test_a_run_is_not_continued_with_prompts_of_another_generator(go, server, in_folder):
    fake = server()
    go(fake, *SMALL, "name=small")
    folder = in_folder / "results" / "runs" / "small"
    manifest = json.loads((folder / "run.json").read_text())
    manifest["benchmarks"]["sniah"]["data"]["generator"] = "sniah-generated-1"
    (folder / "run.json").write_text(json.dumps(manifest))
    go(fake, *SMALL, "name=small")
    (journal,) = (folder / "journal").glob("*.jsonl")
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:5]))
    with pytest.raises(ConfigError, match="sniah-generated-1 generated: expected sniah-generated-2, which"):
        go(fake, *SMALL, "name=small")
    assert json.loads((folder / "run.json").read_text()) == manifest


def test_a_second_process_on_a_run_folder_is_refused(in_folder):
    folder = in_folder / "results" / "runs" / "small"
    folder.mkdir(parents=True)
    with (folder / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="in use by another process"):
            run(compose([*SMALL, "name=small"]))


def test_a_second_process_is_refused_although_the_lock_file_was_removed(in_folder):
    config = compose([*SMALL, "name=small"])
    with RunFolder(config.folder, config) as first:
        (first.path / "run.lock").unlink()
        assert in_use(first.path)
        with pytest.raises(ConfigError, match="in use by another process"), RunFolder(config.folder, config):
            pass
        assert in_use(first.path)
    assert not in_use(config.folder)


async def test_a_removed_journal_fails_the_run_and_not_its_finished_samples(tmp_path):
    journal = Journal(tmp_path / "journal" / "host.jsonl")
    row = SampleRow(benchmark="b", method="m", sample_id="s", epoch=0, score=1.0)
    await journal.append(Record(row))
    shutil.rmtree(tmp_path / "journal")
    with pytest.raises(OSError, match="the journal was removed"):
        await journal.append(Record(row))
    journal.close()


def test_a_folder_that_cannot_be_written_is_one_clear_line(in_folder):
    (in_folder / "file").write_text("")
    with pytest.raises(ConfigError, match="run_dir file/run cannot be written: Not a directory"):
        run(compose([*SMALL, "run_dir=file/run"]))


@pytest.mark.parametrize("fault", ["bad_key", "no_quota", "unknown_model"])
def test_what_no_retry_can_mend_stops_the_run_and_scores_nothing(go, server, in_folder, fault):
    fake = server({"random": {"seed": 1, "faults": {fault: 1.0}}})
    outcome = go(fake, *SMALL[:-1], "method=[base]")
    assert outcome.state == "failed"
    assert outcome.message and "\n" not in outcome.message
    manifest = json.loads((outcome.path / "run.json").read_text())
    assert manifest["state"] == "failed" and manifest["samples_done"] == 0


def test_a_run_wide_dollar_limit_holds_and_more_budget_goes_on(go, server, in_folder):
    fake = server()
    words = [*SMALL[:-1], "method=[base]", "benchmark.sniah.samples=12", "concurrency.samples=2", "name=b"]
    first = go(fake, *words, "budget.max_cost_usd=0.002")
    assert first.state == "budget" and "budget.max_cost_usd" in first.message
    samples = pd.read_parquet(first.path / "samples.parquet")
    assert 0 < len(samples) < 12
    assert samples["cost_usd"].sum() <= 0.002 + 2 * samples["cost_usd"].max()
    assert go(fake, *words).state == "finished"
    assert fake.paid().total() == 12


@pytest.mark.parametrize("brought", ["journal", "calls"])
def test_what_other_machines_have_done_is_put_together(go, server, in_folder, brought):
    fake = server()
    words = [*SMALL[:-1], "method=[base]", "benchmark.sniah.samples=6", "concurrency.samples=1"]
    first = go(fake, *words, "run_dir=here", "budget.max_cost_usd=0.0005")
    assert first.state == "budget"
    there = go(fake, *words, "run_dir=there").path
    asked = fake.asked().total()
    if brought == "journal":
        (journal,) = (there / "journal").iterdir()
        shutil.copy(journal, in_folder / "here" / "journal" / "there.jsonl")
        shutil.copytree(there / "trajectories", in_folder / "here" / "trajectories", dirs_exist_ok=True)
    else:
        shutil.copy(there / "calls.sqlite", in_folder / "here" / "calls-there.sqlite")
    assert go(fake, *words, "run_dir=here").state == "finished"
    assert fake.asked().total() == asked, "nothing is asked again"
    here = pd.read_parquet(in_folder / "here" / "samples.parquet")
    assert len(here) == 6 and set(here["status"]) == {"ok"}
    assert all((in_folder / "here" / path).is_file() for path in here["trajectory"])


def test_samples_that_failed_are_run_again_and_the_failure_stays_in_the_journal(go, server, in_folder):
    fake = server({"random": {"seed": 1, "faults": {"bad_request": 1.0}, "first": 4}})
    words = [*SMALL[:-1], "method=[base]", "name=f"]
    folder = go(fake, *words).path
    assert set(pd.read_parquet(folder / "samples.parquet")["status"]) == {"error"}
    go(fake, *words)
    assert set(pd.read_parquet(folder / "samples.parquet")["status"]) == {"ok"}
    lines = b"".join(path.read_bytes() for path in (folder / "journal").iterdir())
    assert lines.count(b'"status":"error"') == 4 and lines.count(b'"status":"ok"') == 4


def test_too_many_failures_end_the_run(go, server, in_folder):
    fake = server({"random": {"seed": 1, "faults": {"bad_request": 1.0}}})
    outcome = go(fake, *SMALL[:-1], "method=[base]", "fail_on_error=0.5", "concurrency.samples=1")
    assert outcome.state == "failed" and "fail_on_error=0.5" in outcome.message
    assert len(pd.read_parquet(outcome.path / "samples.parquet")) == 3


def test_a_scorer_that_fails_is_a_failed_sample_and_no_lost_run(go, server, monkeypatch):
    from benchmarks.suites.sniah.suite import SNIAH

    fake = server()
    words = [*SMALL[:-1], "method=[base]", "name=s"]
    with monkeypatch.context() as broken:
        broken.setattr(SNIAH, "score", lambda self, target, *rest: (_ for _ in ()).throw(KeyError(target)))
        outcome = go(fake, *words)
    samples = pd.read_parquet(outcome.path / "samples.parquet")
    assert outcome.state == "finished" and set(samples["status"]) == {"error"}
    expected = "scorer: benchmark.sniah: score() raised KeyError"
    assert set(samples["error"]) == {expected}, "the exception's message could hold the target"
    assert outcome.unscored == (f"no score for sniah, base, length 512: 4 of 4 samples ended in errors: {expected}",)
    go(fake, *words)
    assert set(pd.read_parquet(outcome.path / "samples.parquet")["status"]) == {"ok"}
    assert fake.paid().total() == 4, "what was answered is not paid again"


def test_a_sample_that_cannot_be_built_is_an_error_and_the_other_samples_run(go, server, monkeypatch):
    from benchmarks.suites.sniah.suite import SNIAH

    build = SNIAH.sample

    def broken(self, sample_id):
        return {}["needle"] if sample_id.endswith("0") else build(self, sample_id)

    fake = server()
    words = [*SMALL[:-1], "method=[oracle,base]", "name=b"]
    with monkeypatch.context() as patched:
        patched.setattr(SNIAH, "sample", broken)
        outcome = go(fake, *words)
    samples = pd.read_parquet(outcome.path / "samples.parquet")
    failed = samples[samples["status"] == "error"]
    assert outcome.state == "finished" and 0 < len(failed) < len(samples)
    assert failed["error"].str.contains("benchmark.sniah: sample .* cannot be built: KeyError").all()
    assert len(outcome.unscored) == 2
    assert go(fake, *words).unscored == ()
    assert set(pd.read_parquet(outcome.path / "samples.parquet")["status"]) == {"ok"}


def test_a_method_of_the_users_own_is_one_class_and_one_yaml(go, server, in_folder, monkeypatch):
    package = in_folder / "theirs"
    (package / "conf" / "method").mkdir(parents=True)
    (package / "shout.py").write_text(
        textwrap.dedent("""
            from dataclasses import dataclass
            from rlm.methods.method import Answer, Method

            @dataclass(kw_only=True)
            class Shout(Method):
                word: str

                async def answer(self, prompt, tree):
                    reply = await tree.call(self.model, [{"role": "user", "content": f"{self.word}! {prompt.query}"}])
                    return Answer(reply.text)
        """)
    )
    (package / "conf" / "method" / "shout.yaml").write_text(
        "# @package method.shout\n# Shouts.\n_target_: theirs.shout.Shout\nword: hey\n"
    )
    monkeypatch.syspath_prepend(str(in_folder))
    fake = server()
    search = f"hydra.searchpath=[file://{package / 'conf'}]"
    outcome = go(fake, *SMALL[:-1], "method=[shout]", "method.shout.word=ho", "limit=1", search)
    (sample,) = pd.read_parquet(outcome.path / "samples.parquet").itertuples()
    (call,) = [e for e in read_trajectory(outcome.path, sample.trajectory) if e["kind"] == "call"]
    assert call["messages"][0]["content"].startswith("ho! ")


def test_a_reference_row_that_cannot_be_made_is_an_error_and_all_else_is_run(go, server, in_folder, monkeypatch):
    for module in ("conditions", "suite"):
        monkeypatch.setattr(f"benchmarks.suites.oolong_pairs.{module}.MOST_WRITTEN", 0)
    words = ["model=openai", "benchmark=[oolong_pairs]", "benchmark.oolong_pairs.lengths=[512]", "limit=2"]
    outcome = go(server(), *words, "method=[oracle,floor,base]")
    assert outcome.state == "finished"
    samples = pd.read_parquet(outcome.path / "samples.parquet").set_index("method")
    assert set(samples.loc["base", "status"]) == {"ok"}
    for method in ("oracle", "floor"):
        assert set(samples.loc[method, "status"]) == {"error"} and set(samples.loc[method, "score"]) == {0.0}
        assert samples.loc[method, "error"].str.contains("pairs to write: expected at most 0").all()
