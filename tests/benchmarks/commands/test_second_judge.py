"""rescore --also: a second judge on the same answers, its table, and a run that keeps its scores."""

import asyncio
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.config.compose import compose
from benchmarks.report import write_report
from benchmarks.report.tables.second_judge import second_judge_display, second_judge_table
from benchmarks.running.run import run
from benchmarks.running.second_judge import ANSWER, read_verdicts, write_verdicts

WORDS = [
    "model=openai", "benchmark=[browsecomp_plus]", "benchmark.browsecomp_plus.documents=[3]",
    "benchmark.browsecomp_plus.queries=4", "benchmark.browsecomp_plus.world_documents=50",
    "benchmark.browsecomp_plus.sentences=[8,16]", "method=[oracle,base]", "run_dir=run", "judge=gpt_4_1",
]  # fmt: skip
SECOND = ["rescore", "run", "--also", "judge=gpt_4_1", "judge.root.name=gpt-4.1-mini"]


class Judges:
    """A step of the server for each request: the run's judge accepts all answers, the second one gives `second`."""

    def __init__(self, second):
        self.second = second
        self.asked = {"gpt-4.1": 0, "gpt-4.1-mini": 0}

    def __call__(self, number, body):
        model = body["model"]
        if model not in self.asked:
            return {"text": "It is 1987."}
        self.asked[model] += 1
        verdict = "yes" if model == "gpt-4.1" else self.second[(self.asked[model] - 1) % len(self.second)]
        return {"text": f"extracted_final_answer: it\ncorrect: {verdict}\nconfidence: 70"}


@pytest.fixture
def judged(fake_openai, in_folder, monkeypatch):
    """Carry out the run against a server in a thread; judged(["yes", ...]) gives the counts of the judges' calls."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = []

    def start(second, *words):
        judges = Judges(second)
        servers.append(fake_openai.FakeOpenAI(judges))
        asyncio.run_coroutine_threadsafe(servers[-1].__aenter__(), loop).result(20)
        monkeypatch.setenv("OPENAI_BASE_URL", servers[-1].base_url)
        assert run(compose([*WORDS, *words])).state == "finished"
        return judges

    yield start
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


def files():
    kept = ("run.json", "samples.parquet", "calls.parquet", "journal/*.jsonl")
    return {path: path.read_bytes() for pattern in kept for path in Path("run").glob(pattern)}


def test_a_second_judge_is_kept_beside_the_scores_and_is_in_the_report(judged, in_folder, capsys, monkeypatch):
    judges = judged(["yes", "no", "unsure", "yes"])
    before, paid = files(), judges.asked["gpt-4.1"]
    capsys.readouterr()
    assert main(SECOND) == 0
    told = capsys.readouterr().out
    # Both judges: 2 of 4 agree; the first one has a single category, so kappa is 0 by definition.
    cells = [cell.strip() for cell in told.splitlines()[2].split("|")]
    assert cells[1:7] == ["browsecomp_plus", "base", "gpt-4.1-mini (judge-v1)", "4", "100.0", "50.0"]
    assert cells[7].startswith("-50.0 [-") and cells[9].startswith("50.0 [") and cells[10].startswith("0.00 [")
    assert cells[11] == "0, 1"
    assert "4 answers judged by gpt-4.1-mini (judge-v1) for $" in told and "the run keeps its scores" in told
    assert told.splitlines()[-1] == "run: run"
    assert files() == before and judges.asked == {"gpt-4.1": paid, "gpt-4.1-mini": 4}

    (kept,) = (in_folder / "run" / "judges").glob("*.parquet")
    table = pd.read_parquet(kept)
    assert sorted(table["second_score"]) == [0, 0, 1, 1] and set(table["method"]) == {"base"}
    about = json.loads(kept.with_suffix(".json").read_text())
    assert about["judge"]["model"] == "gpt-4.1-mini" and about["samples"] == 4 and about["cost_usd"] > 0

    monkeypatch.setattr("benchmarks.report.build.write_figures", lambda *_, **__: [])
    files_of_report = write_report([in_folder / "run"], in_folder / "report")
    assert "## Two judges on the same answers" in files_of_report.markdown.read_text()
    rows = pd.read_csv(in_folder / "report" / "tables" / "second_judge.csv")
    (row,) = rows.to_dict("records")
    assert (row["n"], row["judged"], row["agreement"], row["kappa"]) == (4, 4, 50, 0)
    assert (row["score"], row["second_score"], row["difference"]) == (100, 50, -50)
    assert row["low"] < -50 < row["high"] and row["kappa_low"] < 0 < row["kappa_high"]

    assert main(SECOND) == 0
    assert judges.asked["gpt-4.1-mini"] == 4, "its verdicts are in the store"

    kept.write_bytes(b"PAR1")
    assert main(["report", "run"]) == 2
    assert f"{kept.relative_to(in_folder)} cannot be read" in capsys.readouterr().err
    kept.unlink()

    # Only another judge on judged answers is accepted.
    for words, told in (
        (["rescore", "run", "--also"], "--also: expected a second judge, such as judge=gpt_4_1"),
        (["rescore", "run", "--also", "budget.max_cost_usd=1"], "--also: expected a second judge"),
        (["rescore", "run", "--also", "judge=none"], "judge is none: expected a second judge"),
        (["rescore", "run", "--also", "judge=gpt_4_1"], "judge is gpt-4.1 (judge-v1), the run's own"),
    ):
        assert main(words) == 2
        assert told in capsys.readouterr().err
    assert main(["rescore", "run", "judge=none"]) == 0
    assert main(SECOND) == 2
    assert "run has no sample that a judge has scored" in capsys.readouterr().err


def test_judges_of_one_name_are_told_apart_and_each_answer_counts_once(tmp_path, make_rows):
    samples = make_rows("base", [1, 0, 1], judged_by="judge", judge_verdict="yes", started_at=[0.0, 1.0, 2.0])
    answers = samples[list(ANSWER)].assign(score=1.0, judge_cost_usd=0.0).to_dict("records")
    details = {"judge_verdict": "yes", "judge_confidence": 50.0}
    records = [SimpleNamespace(row=SimpleNamespace(**answer, details=details)) for answer in answers]
    for temperature in (0.0, 1.0):
        described = {"model": "m", "prompt": "judge-v1", "sampling": {"temperature": temperature}}
        write_verdicts(tmp_path, described, records * 2)
    found = read_verdicts(tmp_path)
    assert found.groupby("second_judge").size().to_list() == [3, 3]
    assert found["second_judge"].str.fullmatch(r"m \(judge-v1\) [0-9a-f]{8}").all()
    table = second_judge_table(samples, found.assign(run=0))
    assert table["n"].to_list() == [3, 3] and table["left_out"].to_list() == [0, 0]


def test_two_judges_with_epochs_and_clusters_by_hand(make_rows):
    def rows(method, first):
        verdict = ["yes" if one else "no" for one in first]
        return make_rows(
            method, first, benchmark="custom", sample_id=[f"s{i // 2}" for i in range(len(first))],
            epoch=[i % 2 for i in range(len(first))], cluster=[f"s{i // 2}" for i in range(len(first))],
            judged_by="judge", judge_verdict=verdict, started_at=[float(i) for i in range(len(first))],
        )  # fmt: skip

    samples = pd.concat(
        [rows("base", [1, 1, 0, 0, 1, 0, 1, 1]), rows("rlm", [1, 1, 1, 1, 1, 1, 0, 0])], ignore_index=True
    )
    second = [1, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1]
    given = samples[list(ANSWER)].assign(
        second_judge="mini (judge-v1)", second_score=[float(one) for one in second],
        second_verdict=["yes" if one else "no" for one in second], second_confidence=None, second_cost_usd=0.0, run=0,
    )  # fmt: skip
    table = second_judge_table(samples, given).set_index("method")
    assert list(table.index) == ["base", "rlm", "all methods"]
    # base: 7 of 8 agree, chance 5/8 * 4/8 + 3/8 * 4/8 = 1/2.
    assert table["agreement"].to_dict() == {"base": 87.5, "rlm": 87.5, "all methods": 87.5}
    assert table["kappa"]["base"] == pytest.approx(0.75)
    assert table["difference"]["base"] == pytest.approx(-12.5) and table["difference"]["rlm"] == pytest.approx(12.5)
    assert table["samples"]["base"] == 4 and table["n"]["all methods"] == 16
    assert second_judge_display(table.reset_index())["n"].iloc[0] == "4 samples x 2 epochs"
    # An answer that was made again is not the one that the judge has read.
    samples.loc[0, "started_at"] = 99.0
    assert second_judge_table(samples, given).set_index("method")["left_out"].to_dict() == {
        "base": 1, "rlm": 0, "all methods": 1,
    }  # fmt: skip
