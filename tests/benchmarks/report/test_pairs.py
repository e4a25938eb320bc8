"""Table 3: paired differences, their corrections and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import load_runs
from benchmarks.report.tables.pairs import choose_baseline, paired_table, pairs_display
from benchmarks.statistics import holm


def test_difference_interval_p_and_counts_of_solved_samples(make_rows):
    rlm = [1.0] * 20 + [1.0] * 12 + [0.0] * 4 + [0.0] * 14
    base = [1.0] * 20 + [0.0] * 12 + [1.0] * 4 + [0.0] * 14
    row = paired_table(pd.concat([make_rows("base", base), make_rows("rlm", rlm)])).iloc[0]
    assert (row["method"], row["baseline"], row["n"], row["unpaired"]) == ("rlm", "base", 50, 0)
    assert row["difference"] == pytest.approx(16.0)
    assert [row[name] for name in ("both", "only_method", "only_baseline", "neither")] == [20, 12, 4, 14]
    assert row["p"] == pytest.approx(0.0768, abs=1e-3)
    assert row["low"] < 0 < row["high"]
    assert row["verdict"] == "no difference shown"
    assert row["detectable"] > 16.0


def test_a_win_needs_the_corrected_p_and_the_interval(make_rows):
    rng = np.random.default_rng(0)
    base = (rng.random(100) < 0.5).astype(float)
    methods = [make_rows("base", base), make_rows("good", np.ones(100)), make_rows("bad", np.zeros(100))]
    methods += [make_rows(f"same{i}", rng.permutation(base)) for i in range(5)]
    table = paired_table(pd.concat(methods)).set_index("method")
    assert (table.loc["good", "verdict"], table.loc["bad", "verdict"]) == ("better", "worse")
    assert (table.loc[[f"same{i}" for i in range(5)], "verdict"] == "no difference shown").all()
    assert list(table["p_holm"]) == pytest.approx(holm(list(table["p"])))


def test_a_difference_that_correction_takes_away_is_no_win(make_rows):
    # 9 against 1 of 30: p = 0.021 by itself.
    base = make_rows("base", [0.0] * 9 + [1.0] + [1.0] * 20)
    rlm = [1.0] * 9 + [0.0] + [1.0] * 20
    alone = paired_table(pd.concat([base, make_rows("rlm", rlm)]))
    assert alone["verdict"].iloc[0] == "better"
    others = [make_rows(f"m{i}", [0.0, 1.0] * 15) for i in range(4)]
    among = paired_table(pd.concat([base, make_rows("rlm", rlm), *others])).set_index("method")
    assert among.loc["rlm", "verdict"] == "no difference shown"
    assert among.loc["rlm", "detectable"] > alone["detectable"].iloc[0]


def test_samples_of_one_method_only_are_left_out_and_counted(make_rows):
    row = paired_table(pd.concat([make_rows("base", [1.0] * 27), make_rows("rlm", [1.0] * 32)])).iloc[0]
    assert (row["n"], row["unpaired"]) == (27, 5)


def test_methods_without_common_samples_or_with_other_settings_are_refused(make_rows):
    base = make_rows("base", [1.0, 0.0], max_output_tokens=512)
    cases = {
        "no samples in common": make_rows("rlm", [1.0, 0.0], sample_id=["x", "y"], max_output_tokens=512),
        "refused: different output caps": make_rows("rlm", [1.0, 0.0], max_output_tokens=4096),
        "refused: different scorers": make_rows("rlm", [1.0, 0.0], max_output_tokens=512, scorer="scorer-2"),
        "refused: different targets": make_rows("rlm", [1.0, 0.0], max_output_tokens=512, target_sha256="other"),
    }
    for verdict, rows in cases.items():
        row = paired_table(pd.concat([base, rows])).iloc[0]
        assert row["verdict"] == verdict
        assert math.isnan(row["difference"])
        assert pairs_display(paired_table(pd.concat([base, rows])))["difference [95% interval]"][0] == ""


def test_epochs_of_a_sample_are_one_pair(make_rows):
    ids = {"sample_id": [f"s{i // 5}" for i in range(50)], "epoch": [i % 5 for i in range(50)]}
    row = paired_table(
        pd.concat([make_rows("base", [0.0, 1.0] * 25, **ids), make_rows("rlm", [1.0] * 50, **ids)])
    ).iloc[0]
    assert (row["n"], row["samples"], row["epochs"]) == (50, 10, 5)


def test_a_comparison_in_one_window_is_marked(make_rows):
    rows = [make_rows(m, s, per_window=100) for m, s in (("base", [0.0] * 40), ("rlm", [1.0] * 30 + [0.0] * 10))]
    table = paired_table(pd.concat(rows))
    assert table["scope"].iloc[0] == "these windows"
    assert "†" in pairs_display(table)["difference [95% interval]"][0]


def test_methods_are_compared_within_a_model_and_models_within_a_method(make_rows):
    rows = [
        make_rows(method, [score] * 20, model=model)
        for model, base, rlm in (("gpt-5", 0.0, 1.0), ("qwen3-8b", 1.0, 0.0))
        for method, score in (("base", base), ("rlm", rlm))
    ]
    table = paired_table(pd.concat(rows))
    found = table[["family", "method", "model", "baseline", "baseline_model", "difference"]]
    assert list(found.itertuples(index=False, name=None)) == [
        ("methods", "rlm", "gpt-5", "base", "gpt-5", 100.0),
        ("methods", "rlm", "qwen3-8b", "base", "qwen3-8b", -100.0),
        ("models", "base", "qwen3-8b", "base", "gpt-5", 100.0),
        ("models", "rlm", "qwen3-8b", "rlm", "gpt-5", -100.0),
    ]
    assert list(table["family_size"]) == [2] * 4
    assert list(table["p_holm"]) == pytest.approx(2 * table["p"])
    shown = pairs_display(table)
    assert list(shown.columns[:3]) == ["benchmark", "comparison", "verdict"]
    assert shown["comparison"].iloc[2] == "base (qwen3-8b) − base (gpt-5)"


def test_runs_are_compared_with_the_first_and_methods_with_the_baseline_of_their_run(make_run, make_rows):
    runs = [
        make_run(name, [make_rows("base", base), make_rows("rlm", rlm), make_rows("oracle", [1.0] * 20)])
        for name, base, rlm in (("a", [0.0] * 20, [1.0] * 20), ("b", [1.0] * 20, [0.0] * 20))
    ]
    table = paired_table(load_runs(runs).samples, baseline="base (a)")
    found = table[["family", "method", "baseline", "verdict"]]
    assert list(found.itertuples(index=False, name=None)) == [
        ("methods", "rlm (a)", "base (a)", "better"),
        ("methods", "rlm (b)", "base (b)", "worse"),
        ("runs", "base (b)", "base (a)", "better"),
        ("runs", "rlm (b)", "rlm (a)", "worse"),
    ]


def test_runs_of_other_models_are_compared_as_models(make_run, make_rows):
    runs = [
        make_run(name, make_rows("rlm", scores, model=model))
        for name, model, scores in (
            ("a", "gpt-5", [0.0] * 20),
            ("b", "gpt-5", [1.0] * 20),
            ("c", "qwen3-8b", [1.0] * 20),
        )
    ]
    table = paired_table(load_runs(runs).samples)
    found = table[["family", "method", "model", "baseline", "baseline_model"]]
    assert list(found.itertuples(index=False, name=None)) == [
        ("models", "rlm", "qwen3-8b", "rlm (a)", "gpt-5"), ("runs", "rlm (b)", "gpt-5", "rlm (a)", "gpt-5"),
    ]  # fmt: skip
    assert list(pairs_display(table)["comparison"]) == ["rlm (qwen3-8b) − rlm (a) (gpt-5)", "rlm (b) − rlm (a) (gpt-5)"]


def test_lengths_are_a_family_of_their_own_beside_the_row_over_all_of_them(make_rows):
    length = [8192] * 20 + [16384] * 20
    rows = [make_rows(name, scores, length=length) for name, scores in (("base", [0.0] * 40), ("rlm", [1.0] * 40))]
    table = paired_table(pd.concat(rows))
    assert list(table["family"]) == ["methods", "methods by length", "methods by length"]
    assert list(table["family_size"]) == [1, 2, 2]
    assert list(table["all_lengths"]) == [True, False, False]
    assert list(pairs_display(table)["benchmark"]) == ["oolong (all lengths)", "oolong 8K", "oolong 16K"]


def test_methods_that_are_equal_by_construction_do_not_count_in_the_correction(make_rows):
    spent = {"prompt_tokens": range(100, 140), "prediction": [f"answer {i}" for i in range(40)]}
    rows = [make_rows(name, [1.0, 0.0] * 20, **spent) for name in ("base", "base_truncated")]
    table = paired_table(pd.concat([*rows, make_rows("rlm", [1.0] * 40)])).set_index("method")
    assert set(table["family_size"]) == {1}
    assert table.loc["rlm", "p_holm"] == table.loc["rlm", "p"]
    sentence = table.loc["base_truncated", "sentence"]
    assert sentence == "On oolong, base_truncated and base are not compared: same calls and answers."


def test_a_sentence_states_the_comparison_in_words(make_rows):
    rows = [make_rows(name, [float(i < right) for i in range(50)]) for name, right in (("base", 20), ("rlm", 45))]
    rows.append(make_rows("compaction", [float(i < 21) for i in range(50)]))
    table = paired_table(pd.concat(rows)).set_index("method")
    assert table.loc["rlm", "sentence"].startswith("On oolong, rlm scores 50.0 points higher than base (95% interval ")
    assert table.loc["rlm", "sentence"].endswith("p < 0.001 after Holm's correction for 2 comparisons, 50 samples).")
    assert table.loc["compaction", "sentence"].startswith(
        "On oolong, no difference between compaction and base is shown: +2.0 points (95% interval "
    )


def test_baseline_is_base_the_first_method_or_the_one_that_is_named(make_rows):
    rows = pd.concat([make_rows(method, [1.0]) for method in ("oracle", "rlm", "base")])
    assert choose_baseline(rows) == "base"
    assert choose_baseline(rows[rows["method"] != "base"]) == "rlm"
    assert choose_baseline(rows, "rlm") == "rlm"
    assert choose_baseline(rows[rows["method"] == "oracle"]) is None
    with pytest.raises(ConfigError, match="baseline is 'oracle': expected one of the methods rlm, base"):
        choose_baseline(rows, "oracle")
    assert paired_table(rows[rows["method"] == "oracle"]).empty


def verdicts(make_rows, gain, n, windows=None, runs=24):
    """Share of each verdict over simulated runs of two methods, the second better by `gain` in truth."""
    rng = np.random.default_rng(5)
    labels = np.arange(n) if windows is None else np.arange(n) * windows // n
    clusters = [f"w{label}" for label in labels]
    rows = pd.concat([make_rows(method, [0.0] * n, cluster=clusters) for method in ("base", "rlm")])
    found = []
    for _ in range(runs):
        # Half the chance of a sample is its window's; both methods meet the same sample, and agree on most.
        chance = 0.5 + (rng.uniform(-0.2, 0.2, labels.max() + 1)[labels])
        shared = rng.random(n)
        own = np.where(rng.random(n) < 0.7, shared, rng.random(n))
        # In a window the gain differs, as methods have their good and bad contexts.
        gains = gain + (0 if windows is None else rng.uniform(-0.1, 0.1, windows)[labels])
        scores = np.concatenate([shared < chance, own < chance + gains]).astype(float)
        found.append(paired_table(rows.assign(score=scores))["verdict"].item())
    return {verdict: found.count(verdict) / runs for verdict in ("better", "worse", "no difference shown")}


@pytest.mark.parametrize("windows", [None, 25], ids=["independent", "clustered"])
def test_runs_of_known_truth_get_the_right_verdict_at_the_stated_rate(make_rows, windows):
    # 250 samples of which two methods judge 15% otherwise: 10 points are found with a power above 90%.
    better, equal, worse = (verdicts(make_rows, gain, 250, windows) for gain in (0.1, 0.0, -0.1))
    assert better["better"] >= 0.8 and better["worse"] == 0
    assert worse["worse"] >= 0.8 and worse["better"] == 0
    # At a level of 5%, more than 4 of 24 have a probability below 1%.
    assert equal["better"] + equal["worse"] <= 4 / 24


def test_a_handful_of_samples_shows_no_difference_of_10_points(make_rows):
    assert verdicts(make_rows, 0.1, 6)["no difference shown"] >= 0.95
