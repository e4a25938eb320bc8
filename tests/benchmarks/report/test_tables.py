"""Tables 1, 2, 4 and 6: the values of their cells."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.report.runs import pooled
from benchmarks.report.tables.behaviour import behaviour_table, decomposition_table, stops_table
from benchmarks.report.tables.calls import calls_table
from benchmarks.report.tables.cost import cost_table
from benchmarks.report.tables.details import details_display, details_table, judge_table
from benchmarks.report.tables.display import tidy
from benchmarks.report.tables.epochs import epoch_table
from benchmarks.report.tables.groups import group_table
from benchmarks.report.tables.length import length_table
from benchmarks.report.tables.scores import scores_display, scores_table
from benchmarks.report.tables.terminal import compact
from benchmarks.sources.protect import seal
from benchmarks.statistics import mean_interval


def only(table, **values):
    """The one row with these values, as a dictionary."""
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0].to_dict()


def test_scores_are_in_percent_with_the_interval_of_the_statistics(make_rows):
    scores = [1.0] * 28 + [0.0] * 22
    row = only(scores_table(make_rows("rlm", scores)), method="rlm")
    expected = mean_interval(scores)
    assert (row["score"], row["low"], row["high"]) == pytest.approx((56.0, 100 * expected.low, 100 * expected.high))
    assert (row["n"], row["windows"], row["scope"]) == (50, 50, "population")


def test_scores_that_share_windows_have_wider_intervals(make_rows):
    scores = [float(i // 10 % 2) for i in range(100)]
    apart = only(scores_table(make_rows("rlm", scores)))
    shared = only(scores_table(make_rows("rlm", scores, per_window=10)))
    assert shared["windows"] == 10
    assert shared["high"] - shared["low"] > 2 * (apart["high"] - apart["low"])


def test_failures_count_in_n_by_their_kind(make_rows):
    table = make_rows(
        "base",
        [1.0, 0.0, 0.0, math.nan, math.nan, 0.0, 1.0] + [0.0] * 13,
        status=["ok", "limit", "context_overflow", "error", "ok", "ok", "ok"] + ["ok"] * 13,
        stop_reason=["answer", "max_turns", "context_overflow", "error", "answer", "no_answer", "answer"]
        + ["answer"] * 13,
        format_ok=[True, False, False, False, True, False, False] + [True] * 13,
        truncated=[False, False, False, False, False, False, True] + [False] * 13,
    )
    row = only(scores_table(table))
    assert row["n"] == 20
    assert row["score"] == pytest.approx(10.0)
    kinds = ("limit", "context_overflow", "error", "unscored", "no_answer", "truncated", "wrong_format")
    assert [row[kind] for kind in kinds] == [1, 1, 1, 1, 1, 1, 2]
    assert row["hit_context_limit"]
    shown = scores_display(scores_table(table)).iloc[0]
    assert shown["score [95% interval]"].startswith("10.0* [")
    assert "1 over window, 1 limit, 1 error, 1 unscored, 1 no answer" in shown["failures"]


def test_cost_is_known_free_or_unknown_and_never_zero_by_default(make_rows):
    rows = {
        "known": make_rows("rlm", [1.0] * 3, cost_usd=[0.1, 0.2, 0.3]),
        "part": make_rows("rlm", [1.0] * 3, cost_usd=[0.1, 0.3, 0.0], cost_state=["known", "known", "unknown"]),
        "unknown": make_rows("rlm", [1.0] * 3, cost_state="unknown"),
        "free": make_rows("rlm", [1.0] * 3, cost_usd=0.0, cost_state="free"),
    }
    shown = {name: scores_display(scores_table(table)).iloc[0]["cost mean ± sd"] for name, table in rows.items()}
    assert shown == {
        "known": "$0.20 ± $0.10", "part": "$0.20 ± $0.14 (part unknown)", "unknown": "unknown", "free": "free"
    }  # fmt: skip


def test_a_benchmark_of_several_lengths_has_a_row_each(make_rows):
    table = make_rows("rlm", [1.0, 0.0, 1.0, 1.0], length=[8192, 8192, 16384, 16384])
    assert list(scores_table(table)["size"].dropna()) == [8192, 16384]
    assert list(scores_display(scores_table(table))["benchmark"]) == [
        "oolong (all lengths)", "oolong 8K", "oolong 16K"
    ]  # fmt: skip


def test_a_collection_of_several_numbers_of_documents_has_a_row_each(make_rows):
    groups = ["documents_10", "documents_1000"] * 2
    table = make_rows("rlm", [1.0, 0.0, 1.0, 1.0], benchmark="browsecomp_plus", task_group=groups)
    assert list(scores_display(scores_table(table))["benchmark"]) == [
        "browsecomp_plus (all lengths)", "browsecomp_plus 10", "browsecomp_plus 1000"
    ]  # fmt: skip


def test_reference_rows_come_last_and_cost_nothing(make_rows):
    rows = [make_rows(method, [1.0, 0.0]) for method in ("oracle", "base", "floor", "rlm")]
    table = scores_table(pd.concat(rows))
    assert list(table["method"]) == ["base", "rlm", "oracle", "floor"]
    assert list(scores_display(table)["cost mean ± sd"]) == ["$0.10 ± $0.00", "$0.10 ± $0.00", "", ""]


def test_no_samples_make_empty_tables(make_rows):
    empty = make_rows("rlm", [1.0]).iloc[:0]
    for make in (scores_table, cost_table, group_table, epoch_table, details_table, judge_table, behaviour_table):
        assert make(empty).empty
    assert compact(scores_table(empty)) == "(no samples)\n"


def test_compact_fits_the_terminal_and_explains_its_marks(make_rows):
    rows = [
        make_rows(method, [1.0, 0.0] * 10, benchmark=benchmark, per_window=10)
        for benchmark in ("sniah", "oolong", "oolong_pairs", "codeqa", "browsecomp_plus")
        for method in ("base", "rlm", "codeact_subcalls")
    ]
    rows[0] = make_rows("base", [0.0] * 20, benchmark="sniah", status="context_overflow")
    text = compact(scores_table(pd.concat(rows)), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "| base             | 0.0* [0, 16] $0.10" in text
    assert "50.0† [" in text
    assert "† one or two context windows" in text
    assert "* hit the context limit" in text
    assert "20 over window" in text


def test_compact_shows_n_in_the_cell_where_methods_differ(make_rows):
    text = compact(scores_table(pd.concat([make_rows("base", [1.0] * 10), make_rows("rlm", [1.0] * 12)])))
    assert "n=10" in text
    assert "n=12" in text


def test_quantiles_of_cost_tokens_and_runtime(make_rows):
    table = make_rows(
        "rlm", [1.0] * 5, cost_usd=[1.0, 2.0, 3.0, 4.0, 100.0], cost_uncached_usd=[2.0, 4.0, 6.0, 8.0, 200.0],
        prompt_tokens=[10, 20, 30, 40, 50], wall_s=[1.0] * 5, cost_state=["known"] * 4 + ["unknown"],
    )  # fmt: skip
    cost = only(cost_table(table), quantity="cost, USD")
    assert (cost["p25"], cost["p50"], cost["p75"], cost["max"], cost["mean"]) == (1.75, 2.5, 3.25, 4.0, 2.5)
    assert cost["unknown"] == 20.0
    assert only(cost_table(table), quantity="cost without cache discount, USD")["p50"] == 5.0
    assert only(cost_table(table), quantity="prompt tokens")["p50"] == 30


def test_groups_have_rows_only_where_there_are_several(make_rows):
    table = make_rows("rlm", [1.0, 0.0, 1.0, 1.0], task_group=["counting", "counting", "user", "user"])
    found = group_table(table)
    assert list(zip(found["dimension"], found["group"], found["score"], strict=True)) == [
        ("task group", "counting", 50.0),
        ("task group", "user", 100.0),
    ]


def test_groups_and_lengths_of_one_window_are_marked(make_rows):
    table = make_rows(
        "rlm", [1.0, 0.0] * 4, task_group=["counting", "user"] * 4, length=[8192] * 4 + [16384] * 4, per_window=8
    )
    for found in (group_table(pooled(table)), length_table(table)):
        shown = tidy(found)
        assert shown["score [95% interval]"].str.contains("†", regex=False).all()
        assert "scope" not in shown
    apart = tidy(group_table(pooled(make_rows("rlm", [1.0, 0.0] * 4, task_group=["counting", "user"] * 4))))
    assert not apart["score [95% interval]"].str.contains("†", regex=False).any()


def test_spread_between_epochs_and_between_samples_is_separated(make_rows):
    rng = np.random.default_rng(0)
    samples, epochs = 400, 4
    own = np.repeat(rng.uniform(0.3, 0.7, samples), epochs)
    scores = np.clip(own + rng.normal(0, 0.05, samples * epochs), 0, 1)
    table = make_rows(
        "rlm", scores, sample_id=[f"s{i // epochs}" for i in range(len(scores))],
        epoch=[i % epochs for i in range(len(scores))],
    )  # fmt: skip
    row = only(epoch_table(table))
    assert row["sd_epochs"] == pytest.approx(5, abs=0.4)
    assert row["sd_samples"] == pytest.approx(100 * 0.4 / math.sqrt(12), abs=0.8)
    assert row["lowest"] <= row["score"] <= row["highest"]
    assert epoch_table(make_rows("rlm", [1.0, 0.0])).empty


def test_epochs_have_pass_at_k_and_the_majority(make_rows):
    def epochs(method, scores, answers, n, **columns):
        names = [f"s{i // n}" for i in range(len(scores))]
        return make_rows(
            method, scores, sample_id=names, prediction=answers, epoch=[i % n for i in range(len(scores))], **columns
        )

    # The first sample has one correct answer of three, but two epochs agree on a wrong one; the second is the reverse.
    rlm = epochs("rlm", [1.0, 0.0, 0.0, 1.0, 1.0, 0.0], ["A", "sealed:?", "sealed:?", "A", "A", "B"], 3)
    sealed = [seal(answer) for answer in ("A", " a", "B", "b")]
    base = epochs("base", [1.0, 1.0, 0.0, 0.0], sealed, 2, protected=True)
    lost = epochs("codeact", [1.0, 0.0], ["A", "B"], 2, status="error")
    table = epoch_table(pd.concat([rlm, base, lost]))
    assert list(table.columns)[-5:] == ["pass@1", "pass@2", "pass@3", "majority", "not_stated"]
    row = only(table, method="rlm")
    assert [row[f"pass@{k}"] for k in (1, 2, 3)] == pytest.approx([50, 100 * (2 / 3 + 1) / 2, 100])
    assert row["majority"] == 50
    row = only(table, method="base")
    assert (row["pass@1"], row["pass@2"], row["majority"]) == (50, 50, 50) and math.isnan(row["pass@3"])
    assert math.isnan(only(table, method="codeact")["pass@1"]) and only(table, method="codeact")["not_stated"]


def test_pass_at_k_counts_only_samples_that_have_several_epochs(make_rows):
    table = make_rows("rlm", [1.0, 0.0, 0.0], sample_id=["a", "a", "b"], epoch=[0, 1, 0])
    row = only(epoch_table(table))
    assert (row["repeated"], row["pass@1"], row["pass@2"]) == (1, 50, 100)


def test_details_of_scores_are_averaged(make_rows):
    table = make_rows("rlm", [0.5, 0.7]).assign(
        precision=[0.5, 1.0], n_gold=[100.0, 300.0], wrong_format=[True, False], judged_by=["match", "match"]
    )
    found = details_table(table).set_index("detail")
    assert found.loc["precision", "mean"] == 75.0
    assert (found.loc["n gold", "mean"], found.loc["n gold", "unit"]) == (200.0, "")
    assert found.loc["wrong format", "mean"] == 0.0
    assert found.loc["pairs in another form", "mean"] == 50.0
    assert "judged by" not in found.index


def test_a_count_that_is_zero_for_one_method_is_no_percentage(make_rows):
    table = pd.concat(
        [make_rows("base", [0.0]).assign(n_predicted=0.0), make_rows("rlm", [1.0]).assign(n_predicted=6.0)]
    )
    found = details_table(table)
    assert list(found.loc[found["detail"] == "n predicted", "unit"]) == ["", ""]
    shown = details_display(found).set_index("method")
    assert list(shown["n predicted"]) == ["0.0", "6.0"]
    assert list(shown["lenient score %"]) == ["0.0", "100.0"]


def test_details_of_fewer_samples_have_their_own_n(make_rows):
    table = make_rows("rlm", [1.0, 0.0, 0.0]).assign(precision=[0.5, None, None])
    assert details_display(details_table(table))["precision %"].item() == "50.0 (n=1)"


def test_methods_that_cost_nothing_have_no_rows_of_cost(make_rows):
    free = cost_table(make_rows("base", [1.0], cost_state="free", cost_usd=0.0))
    assert set(free["quantity"]) == {"prompt tokens", "cached prompt tokens", "completion tokens", "runtime, s"}
    assert "unknown" not in tidy(free)
    assert "unknown" in tidy(cost_table(make_rows("base", [1.0], cost_state="unknown")))


def test_groups_of_one_sample_each_are_not_shown(make_rows):
    assert group_table(make_rows("base", [1.0, 0.0], task_group=["a", "b"])).empty
    assert len(group_table(make_rows("base", [1.0, 0.0, 1.0], task_group=["a", "b", "b"]))) == 2


def test_judge_against_match(make_rows):
    table = make_rows("rlm", [1.0, 1.0, 0.0, 0.0]).assign(
        judge_verdict=["yes", "yes", "no", "unparsed"],
        match=[1.0, 0.0, 1.0, 0.0],
        stated_confidence=[100.0, None, 0.0, 0.0],
    )
    row = only(judge_table(table))
    assert [row[name] for name in ("both", "judge_only", "match_only", "neither", "unparsed")] == [1, 1, 1, 1, 1]
    assert row["agreement"] == 50.0
    assert (row["calibration_error"], row["n_confidence"]) == (0.0, 3)


def test_behaviour_by_outcome(make_rows):
    table = make_rows("rlm", [1.0, 1.0, 0.0], sub_calls=[2, 4, 90], syntax_errors=[0, 1, 3], turns=[2, 4, 20])
    correct, incorrect = (only(behaviour_table(table), outcome=name) for name in ("correct", "incorrect"))
    assert (correct["sub_calls"], correct["turns"], correct["syntax_error"]) == (3.0, 3.0, 50.0)
    assert (incorrect["sub_calls"], incorrect["max_sub_calls"], incorrect["syntax_error"]) == (90.0, 90, 100.0)


def test_guard_rails_that_were_hit_are_counted(make_rows):
    reasons = ["answer", "max_turns", "max_turns", "repeated_cells"]
    found = stops_table(make_rows("rlm", [1.0, 0.0, 1.0, 0.0], stop_reason=reasons))
    row = only(found, stop_reason="max_turns")
    assert (row["n"], row["share"], row["score"]) == (2, 50.0, 50.0)
    assert set(found["stop_reason"]) == {"max_turns", "repeated_cells"}


def test_calls_are_counted_by_role_with_replayed_cut_and_retried_ones(make_rows, make_calls):
    calls = make_calls(
        4, role=["root", "sub", "sub", "sub"], cost_usd=[0.5, 0.1, 0.1, 0.1], cache_hit=[False, True, True, True],
        finish_reason=["stop", "length", "stop", "error"], retries=[0, 2, 0, 1],
    )  # fmt: skip
    found = calls_table(make_rows("rlm", [1.0, 1.0]), calls)
    row = only(found, role="sub")
    assert (row["calls"], row["calls_per_sample"], row["retries"], row["replayed"]) == (3, 1.5, 3, 100.0)
    assert row["cost_usd"] == pytest.approx(0.3)
    assert row["cut"] == row["failed"] == pytest.approx(100 / 3)
    assert calls_table(make_rows("rlm", [1.0]), calls.iloc[:0]).empty


def test_calls_beside_a_reference_row_have_no_number_of_samples(make_rows, make_calls):
    found = calls_table(make_rows("floor", [1.0]), make_calls(2, method="floor"))
    assert found["calls"].sum() == 2 and found["calls_per_sample"].isna().all()


def test_first_decompositions_are_counted_for_methods_that_report_them(make_rows):
    rlm = make_rows("rlm", [1.0, 0.0, 1.0, 0.0], decomposition=["per_line", "per_line", "whole", None])
    found = decomposition_table(pd.concat([rlm, make_rows("base", [1.0] * 4)]))
    assert set(found["method"]) == {"rlm"}
    assert found.set_index("decomposition")["share"].to_dict() == {"none": 25.0, "per_line": 50.0, "whole": 25.0}
    assert only(found, decomposition="per_line")["score"] == 50.0


def test_answers_that_contradict_a_variable_are_a_share_of_those_that_are_known(make_rows):
    table = make_rows("rlm", [0.0] * 4, contradicts_variable=[True, False, pd.NA, pd.NA])
    assert only(behaviour_table(table))["contradicts_variable"] == 50.0
