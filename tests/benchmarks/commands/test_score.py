"""rlm-eval score with a judge: concurrent, within the budget, and no verdict is lost when another one fails."""

import json

import pytest

from benchmarks.cli import main
from benchmarks.commands import score as score_command

WORDS = [
    "benchmark.browsecomp_plus.documents=[3]", "benchmark.browsecomp_plus.queries=6",
    "benchmark.browsecomp_plus.world_documents=50", "benchmark.browsecomp_plus.sentences=[8,16]", "judge=gpt_4_1",
]  # fmt: skip
YES = "extracted_final_answer: it\ncorrect: yes\nconfidence: 70"


@pytest.fixture
def predictions(in_folder, capsys):
    """A file of six predictions, the third of which reads `third`."""
    assert main(["data", "browsecomp_plus", *WORDS]) == 0
    ids = [json.loads(line)["sample_id"] for line in capsys.readouterr().out.splitlines()]
    rows = [{"sample_id": name, "prediction": "third" if place == 2 else "it"} for place, name in enumerate(ids)]
    (in_folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ids


def score(fake, monkeypatch, capsys, *words):
    monkeypatch.setenv("OPENAI_BASE_URL", fake.base_url)
    code = main(["score", "browsecomp_plus", "rows.jsonl", *WORDS, *words])
    printed = capsys.readouterr()
    return code, [json.loads(line) for line in printed.out.splitlines()], printed.err


def test_rows_are_judged_at_the_same_time_and_printed_in_order(predictions, server, monkeypatch, capsys):
    fake = server({"rules": [{"match": "<correct_answer>", "text": YES}]}, latency=0.2)
    code, rows, _ = score(fake, monkeypatch, capsys, "concurrency.samples=3")
    assert code == 0 and [row["sample_id"] for row in rows] == predictions
    assert [row["score"] for row in rows] == [1.0] * 6
    under_way, most = 0, 0
    for event in map(json.loads, fake.log.read_text().splitlines()):
        under_way += {"received": 1, "answered": -1}.get(event["event"], 0)
        most = max(most, under_way)
    assert most == 3


def test_a_verdict_that_fails_costs_its_own_row_only(predictions, server, monkeypatch, capsys):
    refused = {"match": "third", "status": 400, "body": {"error": {"message": "not this one"}}}
    fake = server({"rules": [refused, {"match": "<correct_answer>", "text": YES}]})
    code, rows, err = score(fake, monkeypatch, capsys)
    assert code == 1
    assert [row["sample_id"] for row in rows] == [name for place, name in enumerate(predictions) if place != 2]
    assert "1 row without a score, first rows.jsonl line 3: " in err and "not this one" in err


def test_the_budget_ends_the_judging_and_what_is_judged_is_printed(predictions, server, monkeypatch, capsys):
    fake = server({"rules": [{"match": "<correct_answer>", "text": YES}]})
    words = ["concurrency.samples=1", "budget.max_cost_usd=0.0000001"]
    code, rows, err = score(fake, monkeypatch, capsys, *words)
    assert code == 1 and len(rows) == 1 and fake.paid().total() == 1
    assert "rows.jsonl line 2: the budget is spent" in err


async def test_long_rows_are_not_all_held_at_the_same_time(monkeypatch):
    monkeypatch.setattr(score_command, "_HELD_BYTES", 5000)
    read = []

    async def done(self, where, row):
        return {"read": len(read)}

    def rows():
        for number in range(9):
            read.append(number)
            yield str(number), {"prediction": "x" * 3000}

    monkeypatch.setattr(score_command._Scoring, "_score", done)
    results = [result async for _, result in score_command._Scoring(None, {}, None, 9).rows(rows())]
    assert len(results) == 9 and results[0] == {"read": 2}
