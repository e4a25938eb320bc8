"""`rlm-eval top`: ranks on the same samples, refuses other ones, and writes CSV."""

import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.report.top import leaderboard


def scores(right, n=60):
    return [float(i < right) for i in range(n)]


@pytest.fixture
def runs(make_run, make_rows):
    """Two runs over the same samples: two methods that are alike, and one that is worse."""
    return [
        make_run("first", [make_rows("base", scores(20)), make_rows("rlm", scores(55))]),
        make_run("second", make_rows("rlm", scores(54), model="qwen3-8b", wall_s=2.0)),
    ]


def test_methods_of_several_runs_are_ranked_by_paired_comparison(runs, tmp_path, capsys):
    assert main(["top", *map(str, runs), "--csv", str(tmp_path / "out" / "top.csv")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1", "1", "3"]
    board = pd.read_csv(tmp_path / "out" / "top.csv").set_index(["method", "model"])
    assert board["rank"].to_dict() == {("rlm", "gpt-5"): 1, ("rlm", "qwen3-8b"): 1, ("base", "gpt-5"): 3}
    base = board.loc[("base", "gpt-5")]
    assert base["difference"] == pytest.approx(-100 * 35 / 60)
    assert base["difference_low"] < base["difference"] < base["difference_high"] < 0
    assert board.loc[("rlm", "qwen3-8b"), ["run", "runtime_mean_s"]].tolist() == ["second", 2.0]


def test_epochs_of_a_sample_count_as_one_in_a_comparison(make_run, make_rows):
    once = {method: make_rows(method, scores(right)) for method, right in (("base", 20), ("rlm", 55))}
    twice = {method: [rows, rows.assign(epoch=1)] for method, rows in once.items()}
    single = leaderboard([make_run("single", list(once.values()))]).set_index("method")
    double = leaderboard([make_run("double", [*twice["base"], *twice["rlm"]])]).set_index("method")
    columns = ["rank", "difference", "difference_low", "difference_high"]
    pd.testing.assert_frame_equal(single[columns], double[columns])


def test_a_folder_of_runs_stands_for_its_runs(runs):
    pd.testing.assert_frame_equal(leaderboard([runs[0].parent]), leaderboard(runs))


def test_methods_with_other_samples_targets_scorers_or_many_errors_have_no_rank(make_run, make_rows):
    paths = [
        make_run("same", [make_rows("base", scores(20)), make_rows("rlm", scores(55))]),
        make_run("fewer", make_rows("few", scores(30, 30))),
        make_run("targets", make_rows("changed", scores(60), target_sha256="other")),
        make_run("scorer", make_rows("scored", scores(10), scorer="scorer-2")),
        make_run("failed", make_rows("failed", scores(40), status=["ok"] * 40 + ["error"] * 20)),
    ]
    board = leaderboard(paths).set_index("method")
    assert board["rank"].dropna().to_dict() == {"rlm": 1, "base": 2}
    assert board["reason"].to_dict() == {
        "rlm": "", "base": "", "few": "other samples: 30 of 60 in common",
        "changed": "other samples: 0 of 60 in common", "scored": "another scorer: scorer-2 instead of scorer-1",
        "failed": "20 of 60 samples ended in errors",
    }  # fmt: skip
    assert board.loc["few", "score"] == 100.0


def test_the_scorer_of_most_methods_is_ranked_whatever_another_one_gives(make_run, make_rows):
    paths = [
        make_run("lenient", make_rows("lenient", scores(60), scorer="scorer-2")),
        make_run("strict", [make_rows("base", scores(20)), make_rows("rlm", scores(55))]),
        make_run("capped", make_rows("base", scores(30), max_output_tokens=100)),
    ]
    board = leaderboard(paths).set_index("run")
    assert board["rank"].dropna().tolist() == [1, 2]
    assert board.loc["lenient", "reason"] == "another scorer: scorer-2 instead of scorer-1"
    assert board.loc["capped", "reason"] == "different output caps than rlm"


def test_runs_without_common_samples_are_refused_in_one_line(make_run, make_rows, tmp_path, capsys):
    paths = [make_run("a", make_rows("base", scores(5, 10))), make_run("b", make_rows("rlm", scores(5, 20)))]
    assert main(["top", *map(str, paths)]) == 2
    assert capsys.readouterr().err == (
        "rlm-eval: no two methods have the same samples of a benchmark: there is nothing to rank\n"
    )
    assert main(["top", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not a run folder" in capsys.readouterr().err
    assert leaderboard(paths[:1])["rank"].tolist() == [1]
