"""Table 5: losses by length, effective context length and crossover, on curves with a known truth."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.report.runs import load_runs
from benchmarks.report.tables.display import tidy
from benchmarks.report.tables.length import length_table, with_all_lengths
from benchmarks.report.tables.reach import crossover_display, crossover_lengths, effective_display, effective_lengths

LENGTHS = [2**k for k in range(13, 18)]


@pytest.fixture
def curve(make_rows):
    """Rows of a method with so many of 20 samples right at each length: curve("base", [20, 18, 9, 3, 0])."""

    def make(method, right, per_length=20, lengths=LENGTHS, **columns):
        scores = [float(i < count) for count in right for i in range(per_length)]
        each = [length for length in lengths for _ in range(per_length)]
        return make_rows(method, scores, length=each, benchmark="sniah", context_limit=40_000, **columns)

    return make


def test_points_are_lost_to_the_window_or_to_wrong_answers(make_rows):
    table = make_rows(
        "base", [1.0, 0.5, 0.0, 0.0, 0.0], length=[8192, 8192, 16384, 16384, 16384],
        status=["ok", "ok", "context_overflow", "ok", "limit"], truncated=[False, False, False, True, False],
    )  # fmt: skip
    short, long = length_table(table).to_dict("records")
    assert (short["score"], short["answered_wrong"], short["over_window"]) == (75.0, 25.0, 0.0)
    third = pytest.approx(100 / 3)
    assert (long["over_window"], long["answered_wrong"], long["limit"]) == (third, third, third)
    assert long["truncated"] == third
    for row in (short, long):
        lost = row["over_window"] + row["limit"] + row["error"] + row["answered_wrong"]
        assert row["score"] + lost == pytest.approx(100)


def test_context_rot_is_the_loss_of_answers_beyond_that_at_the_shortest_length(make_rows):
    # 8K: a fifth of the answers is wrong. 16K: half of them. 32K: half does not fit, a fifth of the rest is wrong.
    scores = [1.0] * 8 + [0.0] * 2 + [1.0] * 5 + [0.0] * 5 + [1.0] * 4 + [0.0] * 6
    status = ["ok"] * 25 + ["context_overflow"] * 5
    length = [8192] * 10 + [16384] * 10 + [32768] * 10
    found = length_table(make_rows("base", scores, length=length, status=status))
    assert list(found["context_rot"]) == pytest.approx([0.0, 30.0, 0.0])
    assert list(found["over_window"]) == pytest.approx([0.0, 0.0, 50.0])
    none = length_table(make_rows("base", [0.0] * 2, length=[8192, 16384], status=["error", "ok"]))
    assert none["context_rot"].isna().all()


def test_a_row_over_all_lengths_is_the_mean_of_its_lengths(make_rows):
    scores, length = [1.0] * 3 + [0.0] + [0.5] * 2, [8192] * 4 + [16384] * 2
    rows = pd.concat([make_rows("base", scores, length=length), make_rows("rlm", [1.0], length=[8192])])
    table = with_all_lengths(rows, length_table(rows))
    assert list(zip(table["method"], table["all_lengths"], table["n"], strict=True)) == [
        ("base", True, 6), ("base", False, 4), ("base", False, 2), ("rlm", False, 1)
    ]  # fmt: skip
    together, first, second = table.iloc[0], table.iloc[1], table.iloc[2]
    for name in ("score", "answered_wrong", "context_rot"):
        assert together[name] == pytest.approx((4 * first[name] + 2 * second[name]) / 6)
    assert list(tidy(table)["length"]) == ["all lengths", "8K", "16K", "8K"]


def test_a_limit_that_kept_some_points_lost_only_the_rest(make_rows):
    row = length_table(make_rows("rlm", [0.6], length=[8192], status="limit")).iloc[0]
    assert (row["score"], row["limit"]) == pytest.approx((60.0, 40.0))


def test_effective_length_is_the_last_before_the_score_falls_below_the_bar(curve):
    found = effective_lengths(curve("base", [20, 19, 18, 9, 20])).set_index("bar")
    # RULER's bar of 85.6%, and 85% of 100%; what comes after a fall does not count.
    assert found.loc["threshold", "effective_length"] == 32768
    assert found.loc["own", "effective_length"] == 32768
    assert found.loc["threshold", "low"] <= 32768 <= found.loc["threshold", "high"]


def test_effective_length_at_the_ends(curve):
    weak, strong = curve("weak", [10] * 5, per_length=100), curve("strong", [100] * 5, per_length=100)
    found = effective_lengths(pd.concat([weak, strong])).set_index(["method", "bar"])
    assert found.loc[("weak", "threshold"), ["effective_length", "low", "high"]].tolist() == [0, 0, 0]
    assert found.loc[("strong", "threshold"), ["effective_length", "low", "high"]].tolist() == [LENGTHS[-1]] * 3
    shown = effective_display(effective_lengths(pd.concat([weak, strong])))["effective length [95% interval]"]
    assert shown[0] == "below 8K [below 8K, below 8K]"
    assert shown[2] == "128K or more [128K or more, 128K or more]"


def test_a_method_that_scores_nothing_has_no_effective_length(curve):
    found = effective_lengths(curve("base", [0, 0, 0, 0, 0]))
    assert list(zip(found["bar"], found["effective_length"], strict=True)) == [("threshold", 0)]


def test_few_samples_leave_the_effective_length_open(curve):
    row = effective_lengths(curve("base", [4, 4, 4, 0, 0], per_length=4)).iloc[0]
    assert row["effective_length"] == 32768
    assert row["low"] < 32768


def test_three_samples_a_length_leave_both_lengths_open(curve):
    base, rlm = curve("base", [3, 2, 0, 0, 0], per_length=3), curve("rlm", [3, 2, 2, 2, 2], per_length=3)
    crossed = crossover_lengths(pd.concat([base, rlm])).iloc[0]
    assert crossed["crossover"] == 32768
    assert (crossed["low"], crossed["high"]) == (8192, math.inf)
    own = effective_lengths(rlm).set_index("bar").loc["own"]
    assert (own["effective_length"], own["low"], own["high"]) == (8192, 8192, LENGTHS[-1])


def test_effective_length_covers_the_truth(curve, make_rows):
    rng, truth = np.random.default_rng(3), [0.97, 0.95, 0.92, 0.75, 0.5]
    covered = 0
    for _ in range(20):
        right = [rng.binomial(40, share) for share in truth]
        row = effective_lengths(curve("base", right, per_length=40)).iloc[0]
        covered += row["low"] <= 32768 <= row["high"]
    assert covered >= 17


def test_effective_length_is_reproducible_and_needs_two_lengths(curve, make_rows):
    table = curve("base", [18, 17, 15, 9, 2])
    pd.testing.assert_frame_equal(effective_lengths(table), effective_lengths(table))
    assert effective_lengths(make_rows("base", [1.0, 0.0], length=8192)).empty
    assert effective_lengths(make_rows("base", [1.0, 0.0])).empty


def test_crossover_is_the_length_from_which_a_method_stays_ahead(curve):
    table = pd.concat([curve("base", [20, 18, 12, 6, 0]), curve("rlm", [17, 18, 16, 15, 15])])
    row = crossover_lengths(table).iloc[0]
    assert (row["method"], row["baseline"], row["crossover"]) == ("rlm", "base", 32768)
    assert row["low"] <= 32768 <= row["high"]
    assert not row["ahead_at_shortest"]


def test_a_method_that_is_never_or_always_ahead(curve):
    never = pd.concat([curve("base", [20] * 5), curve("rlm", [20, 20, 20, 20, 12])])
    always = pd.concat([curve("base", [5] * 5), curve("rlm", [19] * 5)])
    assert math.isinf(crossover_lengths(never)["crossover"].iloc[0])
    assert crossover_lengths(always)["ahead_at_shortest"].iloc[0]
    column = "overtakes base at [95% interval]"
    assert crossover_display(crossover_lengths(never))[column][0].startswith("not reached [")
    assert crossover_display(crossover_lengths(always))[column][0].startswith("8K or less [")


def test_crossover_uses_only_samples_that_both_have(curve):
    base = curve("base", [20, 18, 12, 6, 0])
    rlm = curve("rlm", [17, 18, 16, 15, 15])
    half = rlm[rlm["sample_id"].isin(rlm["sample_id"].iloc[::2])]
    assert crossover_lengths(pd.concat([base, half]))["n"].iloc[0] == 50
    assert crossover_lengths(rlm).empty
    assert crossover_lengths(pd.concat([base, rlm]), baseline="compaction").empty


def test_crossover_of_several_runs_is_against_the_baseline_of_the_same_run_and_model(curve, make_run):
    runs = [
        make_run(name, [curve("base", base, model=model), curve("rlm", [10] * 5, model=model)])
        for name, model, base in (
            ("a", "gpt-5", [20, 18, 12, 6, 0]),
            ("b", "gpt-5", [0] * 5),
            ("c", "qwen3-8b", [20, 5, 5, 5, 5]),
        )
    ]
    found = crossover_lengths(load_runs(runs).samples, baseline="base (a)")
    columns = found[["method", "model", "baseline", "crossover"]]
    assert list(columns.itertuples(index=False, name=None)) == [
        ("rlm (a)", "gpt-5", "base (a)", 65536),
        ("rlm (b)", "gpt-5", "base (b)", 8192),
        ("rlm", "qwen3-8b", "base", 16384),
    ]
    shown = crossover_display(found)
    assert list(shown["baseline"]) == ["base (a)", "base (b)", "base"]
    assert shown["overtakes the baseline at [95% interval]"].notna().all()


def test_crossover_is_not_stated_where_the_comparison_is_refused(curve):
    rows = [curve("base", [20, 18, 12, 6, 0], scorer="one@1"), curve("rlm", [17] * 5, scorer="one@2")]
    row = crossover_lengths(pd.concat(rows)).iloc[0]
    assert (row["not_stated"], math.isnan(row["crossover"])) == ("refused: different scorers", True)


def test_paired_draws_narrow_the_crossover(curve):
    # The method is ahead on the same samples everywhere, by a little, from the second length on.
    base, rlm = curve("base", [10, 10, 10, 10, 10]), curve("rlm", [9, 12, 12, 12, 12])
    paired = crossover_lengths(pd.concat([base, rlm])).iloc[0]
    assert paired["crossover"] == 16384
    assert paired["low"] >= 8192
