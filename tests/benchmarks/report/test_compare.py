"""`rlm-eval compare` as a gate: verdicts, their error rates, refusals, exit codes, JUnit."""

import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.config.errors import ConfigError
from benchmarks.report.compare import NO_REGRESSION, REGRESSION, NotComparable, compare
from benchmarks.report.verdict import text


@pytest.fixture
def pair(make_run, make_rows):
    """Two runs of one method over the same samples: pair(old scores, new scores, base={...}, new={...})."""
    count = iter(range(10_000))

    def make(old, new, base=None, young=None, **columns):
        number = next(count)
        return (
            make_run(f"base-{number}", make_rows("rlm", old, **columns, **(base or {}))),
            make_run(f"new-{number}", make_rows("rlm", new, **columns, **(young or {}))),
        )

    return make


def drawn(rng, n, drop, per_window=1):
    """Binary scores of two runs, the second worse by `drop`, that agree on most samples of a window."""
    window = np.repeat(rng.uniform(-0.2, 0.2, -(-n // per_window)), per_window)[:n]
    shared = rng.random(n)
    again = np.where(rng.random(n) < 0.8, shared, rng.random(n))
    return (shared < 0.6 + window).astype(float), (again < 0.6 - drop + window).astype(float)


def test_a_run_is_no_regression_of_itself_at_any_margin(pair):
    scores = [1, 0, 1, 1]
    run, _ = pair(scores, scores)
    for max_drop in (0.0, 0.01, 1.0):
        for strict in (False, True):
            assert compare(run, run, max_drop=max_drop, max_cost_rise=0.0, strict=strict).code == NO_REGRESSION
    assert compare(run, run).code == NO_REGRESSION


def test_a_drop_fails_if_it_is_larger_than_allowed_and_equal_scores_pass(pair):
    old = [1.0] * 30 + [0.0] * 20
    equal = pair(old, old[25:] + old[:25], young={"prediction": "another answer"})
    assert compare(*equal, max_drop=0.05).code == NO_REGRESSION
    assert compare(*equal, max_drop=0.05, strict=True).code == REGRESSION
    three = pair(old, [0.0] * 3 + old[3:])
    found = compare(*three, max_drop=0.05)
    assert found.code == REGRESSION
    assert found.arms[0].score_failure == "worse by 6.0 points: expected at most 5.0 points (within the sampling error)"
    assert compare(*three, max_drop=0.06).code == NO_REGRESSION
    with pytest.raises(ConfigError, match="--strict is set without --max-drop"):
        compare(*three, strict=True)


@pytest.mark.parametrize("which", ["base", "young"])
def test_an_arm_with_too_many_errors_is_not_comparable(pair, which):
    scores = [1.0] * 20
    runs = pair(scores, scores, **{which: {"status": ["error"] * 3 + ["ok"] * 17}})
    with pytest.raises(NotComparable, match=r"oolong, rlm: 3 of 20 samples ended in errors in the (first|second) run"):
        compare(*runs, max_drop=0.5)
    assert compare(*pair(scores, scores, **{which: {"status": ["error"] * 2 + ["ok"] * 18}})).code == NO_REGRESSION


def test_a_clear_drop_is_a_regression_with_and_without_a_margin(pair):
    base, new = pair([1.0] * 80 + [0.0] * 20, [1.0] * 50 + [0.0] * 50)
    for max_drop in (None, 0.05, 0.2):
        verdict = compare(base, new, max_drop=max_drop)
        assert verdict.code == REGRESSION
        assert "worse by 30.0 points" in verdict.arms[0].score_failure
    assert compare(base, new, max_drop=0.5).code == NO_REGRESSION
    assert compare(new, base, max_drop=0.05).code == NO_REGRESSION


def test_two_samples_that_both_end_without_an_answer_are_the_same(pair):
    none = {"prediction": [None, None], "status": "limit"}
    assert compare(*pair([0, 0], [0, 0], **none), max_drop=0.02, strict=True).code == NO_REGRESSION
    other = none | {"status": "context_overflow"}
    assert compare(*pair([0, 0], [0, 0], none, other), max_drop=0.02, strict=True).code == REGRESSION


def test_strict_fails_for_few_samples_and_states_how_many_are_needed(pair):
    base, new = pair([1, 0, 1, 1, 0], [1, 1, 0, 1, 0])
    arm = compare(base, new, max_drop=0.1, strict=True).arms[0]
    assert "not ruled out" in arm.score_failure
    assert arm.needed > 50
    assert f"about {arm.needed} pairs are needed" in arm.score_failure
    assert compare(base, new).code == NO_REGRESSION


def test_equal_scores_of_other_answers_are_evidence_not_identity(pair):
    few = pair([1.0] * 10, [1.0] * 10, young={"prediction": "another answer"})
    many = pair([1.0] * 100, [1.0] * 100, young={"prediction": "another answer"})
    assert compare(*few, max_drop=0.05, strict=True).code == REGRESSION
    assert compare(*many, max_drop=0.05, strict=True).code == NO_REGRESSION


@pytest.fixture
def simulated(make_run, make_rows):
    """Two runs of 24 methods, each a simulation of its own: simulated(drop, per_window)."""
    methods, n = 24, 200

    def make(drop, per_window=1):
        rng = np.random.default_rng(11)
        scores = np.array([drawn(rng, n, drop, per_window) for _ in range(methods)])
        names = [f"method{i}" for i in range(methods) for _ in range(n)]
        labels = {"sample_id": [f"s{i}" for i in range(n)] * methods, "target_sha256": "the same"}
        labels["cluster"] = [f"window-{i // per_window}" for i in range(n)] * methods
        return [
            make_run(f"{name}{drop}", make_rows("", scores[:, k].ravel(), **labels).assign(method=names))
            for k, name in enumerate(("base", "new"))
        ]

    return make


@pytest.mark.parametrize("per_window", [1, 10])
def test_error_rates_of_the_margin_are_the_stated_ones(simulated, per_window):
    passed = {}
    for drop in (0.1, 0.0, -0.1):
        arms = compare(*simulated(drop, per_window), max_drop=0.1, strict=True).arms
        passed[drop] = sum(not arm.score_failure for arm in arms) / len(arms)
    # At alpha = 5% a run that is as much worse as the margin passes in 5% of cases: more than 4 of 24 have a
    # probability below 1%.
    assert passed[0.1] <= 4 / 24
    assert passed[0.0] >= 0.6
    assert passed[-0.1] >= 0.98


def test_error_rates_of_the_plain_test_are_the_stated_ones(simulated):
    failed = {}
    for drop in (0.1, 0.0, -0.1):
        arms = compare(*simulated(drop)).arms
        failed[drop] = sum(arm.p < 0.05 for arm in arms) / len(arms)
    assert failed[0.1] >= 0.6
    assert failed[0.0] <= 4 / 24
    assert failed[-0.1] == 0


def test_the_plain_test_corrects_for_the_number_of_methods(make_run, make_rows):
    old, new = [1.0] * 6 + [0.0] * 20, [0.0] * 26
    one = [make_run(f"{name}1", make_rows("rlm", scores)) for name, scores in (("a", old), ("b", new))]
    assert compare(*one).code == REGRESSION
    others = [make_rows(f"method{i}", [1.0, 0.0] * 13) for i in range(9)]
    many = [make_run(f"{name}10", [make_rows("rlm", scores), *others]) for name, scores in (("a", old), ("b", new))]
    verdict = compare(*many)
    assert verdict.code == NO_REGRESSION
    assert text(verdict).endswith("(one-sided test at alpha = 0.05, corrected for 10 comparisons (Holm))\n")


def test_costs_of_one_window_may_differ_by_chance(pair):
    dear = [1.0] + [0.1] * 19
    base, new = pair([1.0] * 20, [1.0] * 20, base={"cost_usd": 0.1}, young={"cost_usd": dear}, per_window=20)
    verdict = compare(base, new, max_cost_rise=0.2)
    assert verdict.code == NO_REGRESSION
    assert verdict.arms[0].cost_low <= 1 < verdict.arms[0].cost_ratio


def test_cost_that_rises_beyond_the_allowance_is_a_regression(pair):
    costs = np.random.default_rng(1).lognormal(-2, 0.5, 30)
    scores = [1.0, 0.0] * 15
    base, dear = pair(scores, scores, base={"cost_usd": costs}, young={"cost_usd": 1.5 * costs})
    verdict = compare(base, dear, max_cost_rise=0.2)
    assert verdict.code == REGRESSION
    assert verdict.arms[0].cost_ratio == pytest.approx(1.5)
    assert "rose by 50%" in verdict.arms[0].cost_failure
    assert compare(base, dear, max_cost_rise=0.6).code == NO_REGRESSION
    assert compare(base, dear).code == NO_REGRESSION
    assert compare(dear, base, max_cost_rise=0.0).code == NO_REGRESSION
    free, _ = pair(scores, scores, base={"cost_usd": 0.0, "cost_state": "free"})
    assert "mean cost rose from nothing" in compare(free, base, max_cost_rise=0.5).arms[0].cost_failure


def test_a_rise_of_cost_that_can_be_chance_passes(pair):
    scores = [1.0, 0.0] * 4
    noise = [0.1] * 7
    base, new = pair(scores, scores, base={"cost_usd": [*noise, 0.1]}, young={"cost_usd": [*noise[:-1], 0.05, 1.0]})
    verdict = compare(base, new, max_cost_rise=0.2)
    assert verdict.arms[0].cost_ratio > 2
    assert verdict.code == NO_REGRESSION


def test_cost_that_is_not_known_cannot_pass_a_limit_on_cost(pair):
    base, new = pair([1.0, 0.0], [1.0, 0.0], young={"cost_state": ["known", "unknown"]})
    with pytest.raises(NotComparable, match="cost of 1 sample is unknown"):
        compare(base, new, max_cost_rise=0.2)
    assert compare(base, new).code == NO_REGRESSION


@pytest.mark.parametrize(
    ("old", "young", "allow", "message"),
    [
        ({}, {"target_sha256": "other"}, "data", "different targets in 4 of 4 samples"),
        ({}, {"input_tokens": 1001}, "data", "different inputs"),
        ({"max_output_tokens": 512}, {"max_output_tokens": 4096}, "caps", "different output caps, 512 and 4096"),
        ({}, {"max_output_tokens": 4096}, "caps", "different output caps, none and 4096"),
        ({}, {"scorer": "scorer-2"}, "scorer", "different scorers, scorer-1 and scorer-2"),
    ],
)
def test_runs_with_different_settings_are_refused_unless_allowed(pair, old, young, allow, message):
    scores = [1.0, 0.0, 1.0, 1.0]
    base, new = pair(scores, scores, base=old, young=young)
    with pytest.raises(NotComparable, match=message) as refusal:
        compare(base, new)
    assert "\n" not in str(refusal.value)
    assert compare(base, new, allow=frozenset({allow})).code == NO_REGRESSION


def test_missing_samples_are_refused_unless_allowed(pair):
    base, new = pair([1.0, 0.0, 1.0], [1.0, 0.0])
    with pytest.raises(NotComparable, match="1 sample that the second lacks"):
        compare(base, new)
    assert compare(base, new, allow=frozenset({"missing"})).arms[0].score.n == 2


def test_runs_that_are_not_finished_are_refused_unless_allowed_even_if_they_lack_the_same(make_run, make_rows):
    base, new = (make_run(name, make_rows("rlm", [1.0, 0.0]), samples_planned=5) for name in ("a", "b"))
    for pair in ((base, new), (base, base)):
        with pytest.raises(NotComparable, match="the first run is not finished, 3 of its 5 samples are missing"):
            compare(*pair)
        assert compare(*pair, allow=frozenset({"missing"})).arms[0].score.n == 2


def test_samples_that_occur_twice_are_refused_unless_allowed(make_run, make_rows):
    rows = make_rows("rlm", [1.0, 0.0])
    base, new = make_run("a", rows), make_run("b", [rows, rows.iloc[:1].assign(score=0.0)], samples_planned=2)
    with pytest.raises(NotComparable, match="the second run has 1 repeated row of a sample"):
        compare(base, new)
    assert compare(base, new, allow=frozenset({"data"})).arms[0].new_score == 0.0
    several = make_run("c", [rows, rows.assign(model="qwen3-8b")])
    assert [arm.method for arm in compare(several, several).arms] == ["rlm, gpt-5", "rlm, qwen3-8b"]


def test_another_judge_is_refused_unless_allowed(make_run, make_rows):
    runs = [
        make_run(name, make_rows("rlm", [1.0, 0.0]), judge={"model": name, "prompt": "judge-v1"})
        for name in ("qwen3-32b", "gpt-4.1")
    ]
    with pytest.raises(NotComparable, match=r"different judges, qwen3-32b judge-v1 and gpt-4.1 judge-v1"):
        compare(*runs)
    assert compare(*runs, allow=frozenset({"scorer"})).code == NO_REGRESSION


def test_runs_without_anything_in_common_are_refused(make_run, make_rows):
    two = [make_rows("base", [1.0]), make_rows("rlm", [1.0])]
    base = make_run("a", two)
    with pytest.raises(NotComparable, match="no method in common: base, rlm in the first, compaction"):
        compare(base, make_run("b", make_rows("compaction", [1.0])))
    with pytest.raises(NotComparable, match="no benchmark in common: oolong in the first, codeqa"):
        compare(base, make_run("c", make_rows("rlm", [1.0], benchmark="codeqa")))
    with pytest.raises(ConfigError, match="not a run folder"):
        compare(base, base.parent / "nowhere")


def test_the_only_method_of_each_run_is_compared_whatever_its_name(make_run, make_rows):
    base, new = make_run("a", make_rows("base", [0.0] * 30)), make_run("b", make_rows("rlm", [1.0] * 30))
    assert compare(base, new).arms[0].method == "base -> rlm"
    assert compare(base, new, max_drop=0.05).code == NO_REGRESSION
    assert compare(new, base).code == REGRESSION


def test_every_method_of_both_runs_is_compared_and_the_rest_is_named(make_run, make_rows):
    base = make_run("a", [make_rows(m, [1.0, 0.0]) for m in ("base", "rlm", "oracle", "compaction")])
    new = make_run("b", [make_rows(m, [1.0, 0.0]) for m in ("rlm", "base", "oracle")])
    verdict = compare(base, new)
    assert [arm.method for arm in verdict.arms] == ["base", "rlm"]
    assert verdict.notes == ("method compaction is only in one run and is omitted",)


def test_epochs_count_as_one_sample(pair):
    ids = {"sample_id": [f"s{i // 3}" for i in range(30)], "epoch": [i % 3 for i in range(30)]}
    base, new = pair([1.0, 0.0, 1.0] * 10, [1.0, 1.0, 0.0] * 10, **ids)
    assert compare(base, new).arms[0].score.n == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_drop": 5}, "--max-drop is 5"),
        ({"max_drop": float("nan")}, "--max-drop is nan"),
        ({"max_cost_rise": -1}, "--max-cost-rise is -1"),
        ({"alpha": 0.9}, "--alpha is 0.9"),
        ({"allow": frozenset({"everything"})}, "--allow is everything"),
    ],
)
def test_invalid_settings_are_refused(pair, settings, message):
    base, new = pair([1.0], [1.0])
    with pytest.raises(ConfigError, match=message):
        compare(base, new, **settings)


def test_differences_between_the_configurations_are_listed(make_run, make_rows):
    base = make_run("a", make_rows("rlm", [1.0]), config={"seed": 0, "limits": {"max_turns": 10}}, methods={"rlm": {}})
    new = make_run(
        "b",
        make_rows("rlm", [1.0]),
        config={"seed": 0, "limits": {"max_turns": 20}},
        methods={"rlm": {"prompt_sha256": "abc"}},
        git={"commit": "feed", "dirty": True},
    )
    changes = compare(base, new).changes
    assert "limits.max_turns: 10 -> 20" in changes
    assert "git.commit: 0123abcd -> feed" in changes
    assert "methods.rlm.prompt_sha256: (absent) -> abc" in changes
    assert not any("seed" in line for line in changes)


def test_the_command_prints_the_verdict_and_returns_its_code(pair, tmp_path, capsys):
    base, new = pair([1.0] * 80 + [0.0] * 20, [1.0] * 50 + [0.0] * 50)
    file = tmp_path / "reports" / "junit.xml"
    assert main(["compare", str(base), str(new), "--max-drop", "0.05", "--junit", str(file)]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "verdict: regression in 1 of 1 (max_drop = 0.05)"
    suite = ElementTree.parse(file).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
    assert "worse by 30.0 points" in suite.find("testcase/failure").get("message")
    assert main(["compare", str(new), str(base), "--max-cost-rise", "0", "--junit", str(file)]) == 0
    assert "verdict: no regression" in capsys.readouterr().out
    assert [case.get("name") for case in ElementTree.parse(file).iter("testcase")] == ["rlm score", "rlm cost"]


def test_a_junit_file_that_cannot_be_written_is_one_line(pair, tmp_path, capsys):
    base, new = pair([1.0], [1.0])
    (tmp_path / "file").write_text("")
    assert main(["compare", str(base), str(new), "--junit", str(tmp_path / "file" / "junit.xml")]) == 2
    assert "--junit" in capsys.readouterr().err


def test_runs_that_cannot_be_compared_end_with_code_2_and_one_line(pair, tmp_path, capsys):
    base, new = pair([1.0], [1.0], young={"scorer": "scorer-2"})
    file = tmp_path / "junit.xml"
    assert main(["compare", str(base), str(new), "--junit", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    assert ElementTree.parse(file).getroot().get("errors") == "1"


@pytest.mark.parametrize("damage", ["no run", "no table", "half a table", "odd manifest", "odd scores"])
def test_whatever_cannot_be_read_is_code_2_in_words_and_in_the_junit_file(damage, pair, tmp_path, capsys):
    base, new = pair([1.0, 0.0], [1.0, 0.0])
    table = new / "samples.parquet"
    if damage == "no run":
        new = tmp_path / "nowhere"
    elif damage == "no table":
        table.write_bytes(b"")
    elif damage == "half a table":
        table.write_bytes(table.read_bytes()[: table.stat().st_size // 2])
    elif damage == "odd manifest":
        (new / "run.json").write_text('{"git": 1}')
    else:
        pd.read_parquet(table).assign(score=7.0).to_parquet(table)
    file = tmp_path / "junit.xml"
    assert main(["compare", str(base), str(new), "--junit", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    assert ElementTree.parse(file).getroot().get("errors") == "1"


def test_a_fault_of_the_comparison_itself_is_no_regression(pair, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("odd")

    monkeypatch.setattr("benchmarks.report.compare.paired_difference", broken)
    assert main(["compare", *map(str, pair([1.0], [1.0]))]) == 2
    assert "not comparable: RuntimeError: odd" in capsys.readouterr().err


def test_the_exit_code_is_kept_if_the_pipe_is_closed(pair):
    base, new = pair([1.0] * 40, [0.0] * 40)
    command = [sys.executable, "-m", "benchmarks.cli", "compare", str(base), str(new)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait() == 1
    process.stderr.close()


def test_names_with_control_characters_make_no_broken_xml(make_run, make_rows, tmp_path):
    run = make_run("a", make_rows("rlm", [1.0]).assign(method="rlm\x01<&\x1b"))
    file = tmp_path / "junit.xml"
    assert main(["compare", str(run), str(run), "--junit", str(file)]) == 0
    assert "<&" in ElementTree.parse(file).getroot().find("testcase").get("name")
