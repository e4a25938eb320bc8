"""rescore: new scores for stored answers, by today's scorer or another judge, all of them or none."""

import json

import pandas as pd
import pytest

from benchmarks.cli import main

WORDS = [
    "model=openai", "benchmark=[browsecomp_plus]", "benchmark.browsecomp_plus.documents=[3]",
    "benchmark.browsecomp_plus.queries=2", "benchmark.browsecomp_plus.world_documents=50",
    "benchmark.browsecomp_plus.sentences=[8,16]", "method=[oracle,base]", "epochs=2", "run_dir=run",
]  # fmt: skip
YES = {"rules": [{"match": "<correct_answer>", "text": "extracted_final_answer: it\ncorrect: yes\nconfidence: 70"}]}
KEY = ["benchmark", "method", "sample_id", "epoch"]


def tables():
    return pd.read_parquet("run/samples.parquet"), pd.read_parquet("run/calls.parquet")


def test_a_judge_put_in_and_taken_out_later(go, server, in_folder, capsys):
    answering = server(YES)
    assert go(answering, *WORDS).state == "finished"
    before, _ = tables()
    paid = answering.paid().total()

    assert main(["rescore", "run", "judge=gpt_4_1"]) == 0
    assert capsys.readouterr().out.splitlines() == ["8 samples scored again, 4 scores changed", "run: run"]
    samples, calls = tables()
    assert before.loc[before["method"] == "base", "score"].eq(0).all() and samples["score"].eq(1).all()
    assert samples["judged_by"].eq("judge").all() and samples["judge_cost_usd"].gt(0).all()
    assert samples["prediction"].equals(before["prediction"])
    assert calls["role"].value_counts().to_dict() == {"judge": 8, "root": 4}
    assert not calls.duplicated([*KEY, "call_id"]).any()
    assert answering.paid().total() == paid + 8, "the method's model was not asked"

    assert main(["rescore", "run", "judge=none"]) == 0
    samples, calls = tables()
    assert samples["score"].equals(before["score"]) and sorted(samples.columns) == sorted(before.columns)
    assert set(calls["role"]) == {"root"}

    assert main(["rescore", "run", "judge=gpt_4_1"]) == 0
    assert answering.paid().total() == paid + 8, "every epoch's verdict is in the store"
    manifest = json.loads((in_folder / "run" / "run.json").read_text())
    assert manifest["judge"]["model"] == "gpt-4.1"
    assert {"gpt-5", "gpt-4.1"} <= manifest["prices"]["usd_per_million_tokens"].keys()


def test_a_judge_that_fails_leaves_the_run_as_it_was(go, server, in_folder, capsys, monkeypatch):
    assert go(server(), *WORDS).state == "finished"
    files = {
        path: path.read_bytes()
        for path in (in_folder / "run").rglob("*")
        if path.suffix in (".json", ".jsonl", ".parquet")
    }
    refusing = server(["bad_key"] * 20)
    monkeypatch.setenv("OPENAI_BASE_URL", refusing.base_url)
    capsys.readouterr()
    assert main(["rescore", "run", "judge=gpt_4_1"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("rlm-eval: run keeps its scores: the judge failed: ") and told.count("\n") == 1
    assert {path: path.read_bytes() for path in files} == files


NO_VERDICT = {"rules": [{"match": "<correct_answer>", "status": 400, "body": {"error": {"message": "no"}}}]}


def test_samples_whose_judge_failed_are_healed(go, server, in_folder, capsys, monkeypatch):
    outcome = go(server(NO_VERDICT), *WORDS, "judge=gpt_4_1")
    failed, _ = tables()
    assert failed["status"].eq("error").all() and failed["score"].eq(0).all() and outcome.unscored
    working = server(YES)
    paid = working.paid().total()
    monkeypatch.setenv("OPENAI_BASE_URL", working.base_url)
    assert main(["rescore", "run", "judge=gpt_4_1", "judge.root.max_output_tokens=777"]) == 0
    assert "8 samples scored again, 8 scores changed" in capsys.readouterr().out
    samples, calls = tables()
    assert samples["score"].eq(1).all() and samples["status"].eq("ok").all() and samples["error"].isna().all()
    assert samples["stop_reason"].eq("answer").all() and samples["prediction"].equals(failed["prediction"])
    assert working.paid().total() == paid + 8 and calls["role"].value_counts().to_dict() == {"judge": 8, "root": 4}


def test_a_budget_bounds_the_verdicts_and_those_given_are_not_paid_again(go, server, in_folder, capsys):
    fake = server(YES)
    assert go(fake, *WORDS).state == "finished"
    before, _ = tables()
    paid = fake.paid().total()
    words = ["rescore", "run", "judge=gpt_4_1", "concurrency.samples=2"]
    capsys.readouterr()
    assert main([*words, "budget.max_cost_usd=0.0000001"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("rlm-eval: run keeps its scores: the budget is spent (") and told.count("\n") == 1
    assert tables()[0].equals(before)
    assert paid < fake.paid().total() <= paid + 2
    assert main([*words, "budget.max_cost_usd=null"]) == 0
    assert tables()[0]["score"].eq(1).all() and fake.paid().total() == paid + 8


def test_only_the_judge_its_budget_and_concurrency_can_be_changed(capsys):
    assert main(["rescore", "run", "seed=3"]) == 2
    assert "'seed=3': expected a key of judge, budget, concurrency" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("index", "value", "told"),
    [
        ("0", "4712", "sample ruler-0 of sniah has a different target"),
        ("1", "4711", "sample ruler-0 of sniah cannot be built"),
    ],
)
def test_data_that_have_changed_are_refused(index, value, told, in_folder, capsys):
    def write(index, value):
        row = {"index": index, "input": f"The number is {value}.", "outputs": [value], "length": 9}
        (in_folder / "rows.jsonl").write_text(json.dumps(row))

    write("0", "4711")
    words = ["model=openai", "benchmark=[sniah]", "benchmark.sniah.source=rows.jsonl", "method=[oracle]", "run_dir=run"]
    assert main(["run", *words]) == 0
    write(index, value)
    assert main(["rescore", "run"]) == 2
    assert told in capsys.readouterr().err
