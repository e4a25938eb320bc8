"""What a run does with its budget, with prices it does not know, with fatal errors and with faults of plug-ins."""

import json
from itertools import cycle

import pandas as pd
import pytest

from benchmarks.config.errors import ConfigError
from benchmarks.running.contexts import find_context, read_context
from benchmarks.sample import Score
from benchmarks.suites.sniah.suite import SNIAH

SMALL = ["model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "method=[base]", "name=r"]
JUDGED = [
    "model=openai", "benchmark=[browsecomp_plus]", "benchmark.browsecomp_plus.documents=[3]", "judge=gpt_4_1",
    "benchmark.browsecomp_plus.queries=2", "benchmark.browsecomp_plus.world_documents=50",
    "benchmark.browsecomp_plus.sentences=[8,16]", "method=[base]", "name=r",
]  # fmt: skip
YES = {"rules": [{"match": "<correct_answer>", "text": "extracted_final_answer: it\ncorrect: yes\nconfidence: 70"}]}


def samples_of(outcome):
    return pd.read_parquet(outcome.path / "samples.parquet")


@pytest.mark.parametrize("key", ["budget.max_cost_usd", "limits.max_cost_usd"])
def test_a_dollar_limit_over_a_model_without_a_price_is_refused_before_the_first_call(go, server, key):
    fake = server()
    words = [*SMALL, "benchmark.sniah.samples=2", "model.root.name=acme-1", f"{key}=0.01"]
    with pytest.raises(ConfigError) as refused:
        go(fake, *words)
    message = str(refused.value)
    assert message.startswith(f"{key} cannot be enforced: model.root.name is acme-1, and no price is known for acme-1")
    assert "+prices.acme-1.input=" in message and "budget.unpriced=allow" in message and "\n" not in message
    assert fake.asked().total() == 0
    assert go(fake, *words, "budget.unpriced=allow").state == "finished"


def test_a_dollar_limit_over_a_judge_without_a_price_is_refused(go, server):
    with pytest.raises(ConfigError, match=r"judge\.root\.name is acme-1, and no price is known"):
        go(server(), *JUDGED, "judge.root.name=acme-1", "budget.max_cost_usd=1")


def test_a_spent_budget_leaves_the_remaining_samples_unbuilt(go, server, monkeypatch):
    built = []
    build = SNIAH.sample
    monkeypatch.setattr(SNIAH, "sample", lambda self, sample_id: built.append(sample_id) or build(self, sample_id))
    words = [*SMALL, "benchmark.sniah.samples=40", "concurrency.samples=1"]
    outcome = go(server(), *words, "budget.max_cost_usd=0.0000001")
    assert outcome.state == "budget" and "39 samples are missing" in outcome.message
    assert len(built) == outcome.samples == 1


def test_a_token_budget_ends_a_run_and_more_of_it_resumes(go, server):
    fake = server()
    words = [*SMALL, "benchmark.sniah.samples=6", "concurrency.samples=1"]
    outcome = go(fake, *words, "budget.max_tokens=1000")
    assert outcome.state == "budget" and "budget.max_tokens (1000) is spent" in outcome.message
    assert 0 < outcome.samples < 6
    assert go(fake, *words, "budget.max_tokens=1000000").state == "finished"
    assert fake.paid().total() == 6


def test_a_budget_spent_between_answer_and_verdict_leaves_samples_to_be_judged_later(go, server):
    fake = server(YES)
    first = go(fake, *JUDGED, "budget.max_cost_usd=0.0000001")
    assert (first.state, first.samples) == ("budget", 0)
    answered = fake.paid().total()
    second = go(fake, *JUDGED)
    assert second.state == "finished" and set(samples_of(second)["score"]) == {1.0}
    assert set(samples_of(second)["judge_verdict"]) == {"yes"}
    assert fake.paid().total() == 4 and set(fake.paid().values()) == {1}, f"{answered} answers are not paid twice"


CODE = "```repl\nfound = llm_query('Which one?')\nprint('turn ends')\n```"
ROOT = [{"match": "turn ends", "text": "FINAL_VAR(found)"}, {"match": "FINAL_VAR", "text": CODE}]


@pytest.mark.parametrize("tokens", [1, 1_200, 2_400, 3_600, 4_800])
def test_a_budget_that_is_spent_at_any_call_loses_and_repeats_nothing(go, server, tokens):
    fake = server({"rules": [*YES["rules"], *ROOT]})
    words = [*JUDGED, "method=[base,rlm,compaction]", "concurrency.samples=2"]
    first = go(fake, *words, f"budget.max_tokens={tokens}")
    assert first.state == "budget" and first.samples < 6
    if first.samples:
        assert set(samples_of(first)["score"]) == {1.0} and set(samples_of(first)["stop_reason"]) == {"answer"}
    second = go(fake, *words)
    samples = samples_of(second)
    assert (second.state, len(samples)) == ("finished", 6)
    assert set(samples["score"]) == {1.0} and set(samples["stop_reason"]) == {"answer"}
    assert set(fake.asked().values()) == {1}


def test_a_judge_that_never_parses_stops_the_run(go, server):
    fake = server({"rules": [{"match": "<correct_answer>", "text": "I cannot say."}]})
    outcome = go(fake, *JUDGED, "epochs=8", "concurrency.samples=2")
    assert outcome.state == "failed" and "no verdict in any of the first 10 replies" in outcome.message
    assert "'I cannot say.'" in outcome.message


def test_samples_that_finish_together_with_a_fatal_error_are_kept(go, server):
    fake = server([None] * 7 + ["bad_key"], latency=0.2)
    words = [*SMALL, "benchmark.sniah.samples=8", "concurrency.samples=8", "cache.mode=off"]
    outcome = go(fake, *words)
    assert outcome.state == "failed" and "401" in outcome.message
    assert outcome.samples == len(samples_of(outcome)) == 7
    assert go(fake, *words).state == "finished"
    assert fake.paid().total() == 8


def test_a_cell_whose_samples_failed_has_no_score_and_its_cost_is_unknown(go, server):
    fake = server({"random": {"seed": 1, "faults": {"bad_request": 1.0}}})
    outcome = go(fake, *SMALL, "benchmark.sniah.samples=3")
    (line,) = outcome.unscored
    assert line.startswith("no score for sniah, base, length 512: 3 of 3 samples ended in errors: ")
    assert "messages[0] is not right" in line
    assert set(samples_of(outcome)["cost_state"]) == {"unknown"}


def test_an_arm_whose_requests_are_refused_has_no_score_and_the_other_arm_keeps_its_own(go, server):
    refused = {"status": 400, "body": {"error": {"message": "System role not supported"}}}
    fake = server({"rules": [{"match": "FINAL_VAR", **refused}]})
    outcome = go(fake, *SMALL, "benchmark.sniah.samples=4", "method=[base,rlm]")
    assert set(samples_of(outcome).groupby("method")["status"].first().items()) == {("base", "ok"), ("rlm", "error")}
    (line,) = outcome.unscored
    assert "sniah, rlm" in line and "4 of 4 samples ended in errors" in line and "System role not supported" in line


def test_the_complete_context_as_the_answer_earns_nothing(go, server):
    shows = [{"match": "turn ends", "text": "FINAL_VAR(context)"}, {"match": "FINAL_VAR", "text": CODE}]
    outcome = go(
        server({"rules": shows}), "model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[4096]",
        "benchmark.sniah.samples=3", "method=[rlm]", "name=r",
    )  # fmt: skip
    samples = samples_of(outcome)
    assert set(samples["stop_reason"]) == {"answer"} and samples["answer_cut"].all()
    assert set(samples["score"]) == {0.0} and (samples["prediction"].str.len() > 4096).all()


@pytest.mark.parametrize("name", ["method", "status", "cost_usd", "score", "epoch"])
def test_a_detail_with_the_name_of_a_column_fails_its_sample_and_the_run_can_be_finished(go, server, monkeypatch, name):
    fake = server()
    words = [*SMALL, "benchmark.sniah.samples=2"]

    async def score(self, target, answer, judge=None):
        return Score(1.0, 1.0, True, "it", {name: 99.0})

    with monkeypatch.context() as broken:
        broken.setattr(SNIAH, "score", score)
        outcome = go(fake, *words)
    samples = samples_of(outcome)
    assert (outcome.state, outcome.samples) == ("finished", 2)
    assert set(samples["method"]) == {"base"} and set(samples["score"]) == {0.0}
    assert set(samples["error"]) == {
        f"scorer: benchmark.sniah: score() returned detail {name!r} has the name of a column: rename the detail"
    }
    assert go(fake, *words).unscored == ()
    assert set(samples_of(outcome)["status"]) == {"ok"} and fake.paid().total() == 2


def test_details_of_several_types_share_a_column(go, server, monkeypatch):
    notes = cycle([0.5, "half", None])

    async def score(self, target, answer, judge=None):
        return Score(1.0, 1.0, True, "it", {"note": next(notes)})

    monkeypatch.setattr(SNIAH, "score", score)
    outcome = go(server(), *SMALL, "benchmark.sniah.samples=6")
    assert outcome.state == "finished"
    assert samples_of(outcome)["note"].value_counts().to_dict() == {"0.5": 2, "half": 2}


def test_a_change_of_provider_is_reported_and_in_the_manifest(go, server, capsys):
    parts = [{"fields": {"provider": name, "system_fingerprint": f"fp_{name}"}} for name in ("one", "two")]
    fake = server([parts[0]] * 2 + [parts[1]] * 2)
    words = [*SMALL, "concurrency.samples=1"]
    outcome = go(fake, *words, "benchmark.sniah.samples=4", "limit=4")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 2 and "the provider has changed from one to two" in lines[0]
    calls = pd.read_parquet(outcome.path / "calls.parquet")
    assert list(calls["provider"]) == ["one", "one", "two", "two"]
    (served,) = json.loads((outcome.path / "run.json").read_text())["served_by"]
    assert served["provider"] == {"one": 2, "two": 2} and served["system_fingerprint"] == {"fp_one": 2, "fp_two": 2}


def test_targets_are_in_the_tables_and_not_in_the_journal(go, server, in_folder):
    fake = server()
    outcome = go(fake, *SMALL, "benchmark.sniah.samples=3")
    samples = samples_of(outcome)
    assert samples["target"].notna().all()
    # The page reads the contexts of the samples, each stored once, from the run folder.
    found = [find_context(outcome.path, "sniah", name) for name in samples["sample_id"]]
    assert len(set(found)) == len(samples) == len(list((outcome.path / "contexts").rglob("*.*")))
    for name, target in zip(found, samples["target"], strict=True):
        assert json.loads(target) in read_context(outcome.path, name)
    journal = b"".join(path.read_bytes() for path in (outcome.path / "journal").iterdir())
    assert b'"target":' not in journal
    # A session that was killed leaves no tables; the next one builds the samples again for their targets.
    (outcome.path / "samples.parquet").unlink()
    manifest = json.loads((outcome.path / "run.json").read_text())
    (outcome.path / "run.json").write_text(json.dumps(manifest | {"state": "running"}))
    assert samples_of(go(fake, *SMALL, "benchmark.sniah.samples=3"))["target"].equals(samples["target"])
    assert fake.paid().total() == 3
    bare = go(fake, *SMALL, "benchmark.sniah.samples=3", "save_contexts=false", "run_dir=bare")
    assert not (bare.path / "contexts").exists()


def test_a_journal_line_of_another_shape_runs_its_sample_again(go, server, capsys):
    fake = server()
    words = [*SMALL, "benchmark.sniah.samples=3", "concurrency.samples=1"]
    outcome = go(fake, *words)
    before = samples_of(outcome)
    (journal,) = (outcome.path / "journal").iterdir()
    lines = journal.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace('"score":', '"score":[],"scores":', 1)
    journal.write_text("".join(lines))
    capsys.readouterr()
    assert go(fake, *words).state == "finished"
    assert (
        f"{journal.relative_to(outcome.path)} line 2 is set aside: its checksum does not match"
        in capsys.readouterr().err
    )
    assert samples_of(outcome)["score"].equals(before["score"])
    assert fake.paid().total() == 3, "the answer comes from the recorded responses"
