"""Every sample of a run is in every table and figure exactly once, and every count of samples names its epochs."""

import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from benchmarks.report.build import make_tables
from benchmarks.report.figures.all import FIGURES
from benchmarks.report.figures.style import drawing
from benchmarks.report.runs import load_calls, load_runs
from benchmarks.report.tables.formats import tokens
from benchmarks.report.tables.scores import scores_display, scores_table
from benchmarks.report.tables.shared import SharedTables
from benchmarks.report.tables.terminal import compact
from tests.benchmarks.conftest import calls as make_calls
from tests.benchmarks.conftest import rows as make_rows
from tests.benchmarks.conftest import write_run

# Lengths that round to the same label, lengths that are exact, and none.
LENGTHS = [39_000, 39_010, 39_936, 40_000, 8_192, 1_048_576, None]
# Without the search for an explanation, which runs every line of pandas under a tracer.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
ARMS = ["benchmark", "method", "model"]

row_of_a_sample = st.fixed_dictionaries({
    "length": st.sampled_from(LENGTHS),
    "documents": st.sampled_from(["documents_10", "documents_1000", "counting", ""]),
    "score": st.sampled_from([0.0, 0.25, 1.0]),
    "status": st.sampled_from(["ok"] * 9 + ["error", "limit", "context_overflow"]),
    "cost": st.sampled_from([0.0, 0.01, 0.5, None]),
    "judge": st.sampled_from(["yes", "no", None]),
})  # fmt: skip
method = st.tuples(st.sampled_from(["base", "rlm", "floor"]), st.sampled_from(["gpt-5", "qwen3-8b"]))
runs_of_samples = st.lists(
    st.tuples(st.sets(method, min_size=1, max_size=3), st.lists(row_of_a_sample, min_size=1, max_size=9),
              st.integers(1, 3), st.integers(0, 3)),
    min_size=1, max_size=2,
)  # fmt: skip


def rows_of(methods, samples, epochs, missing):
    """Rows of a run: each method has every sample in every epoch, but for the last `missing` rows."""
    tables = []
    reference = {("floor", None) for name, _ in methods if name == "floor"}
    for name, model in [*sorted(one for one in methods if one[0] != "floor"), *reference]:
        repeated = [(i, epoch, one) for epoch in range(epochs) for i, one in enumerate(samples)]
        kept = repeated[: max(1, len(repeated) - missing)]
        table = make_rows(
            name, [one["score"] if one["status"] != "error" else 0.0 for *_, one in kept], model=model,
            benchmark="sniah", sample_id=[f"s{i}" for i, *_ in kept], epoch=[epoch for _, epoch, _ in kept],
            length=[one["length"] for *_, one in kept], task_group=[one["documents"] for *_, one in kept],
            status=[one["status"] for *_, one in kept], stop_reason=[one["status"] for *_, one in kept],
            cost_usd=[one["cost"] or 0.0 for *_, one in kept], target_sha256="t",
            cost_state=["unknown" if one["cost"] is None else "known" for *_, one in kept], wall_s=2.0, sub_calls=1,
            decomposition="per_line" if name == "rlm" else None,
        )  # fmt: skip
        tables.append(table.assign(judge_verdict=[one["judge"] for *_, one in kept], match=1.0))
    return pd.concat(tables, ignore_index=True)


def counted(table, *columns):
    """The sum of columns for each benchmark, method and model."""
    return table.assign(sum=table[list(columns)].sum(axis=1)).groupby(ARMS)["sum"].sum().to_dict() if len(table) else {}


def total(samples):
    return samples.groupby(ARMS).size().to_dict()


def check_tables(samples, calls, baseline):
    """Assert that the counts of every table add up to those of the samples."""
    tables = {table.name: table.values for table in make_tables(samples, calls, baseline)}
    methods = samples[~samples["method"].isin(["oracle", "floor"])]
    with_lengths = samples if samples["length"].notna().any() else samples.iloc[:0]
    pooled = tables["scores"]["all_lengths"].astype(bool) if len(tables["scores"]) else []
    together, tables["scores"] = tables["scores"][pooled], tables["scores"][~pooled]
    assert counted(together, "n") in ({}, total(samples))
    if len(tables["lengths"]):
        tables["lengths"] = tables["lengths"][~tables["lengths"]["all_lengths"]]
    expected = {"scores": total(samples), "lengths": total(with_lengths), "behaviour": total(methods)}
    for name, counts in expected.items():
        assert counted(tables[name], "n") == counts, name
    for dimension, group in tables["groups"].groupby("dimension") if len(tables["groups"]) else ():
        assert counted(group, "n") == total(samples), dimension
    for _, group in tables["cost"].groupby("quantity") if len(tables["cost"]) else ():
        assert counted(group, "n", "left_out") == {key: total(methods)[key] for key in counted(group, "n")}
    truncated = tables["details"][tables["details"]["detail"] == "truncated"]
    assert counted(truncated, "n") == total(samples)
    assert counted(tables["judge"], "n") == total(samples[samples["judge_verdict"].notna()])
    other = methods[~methods["stop_reason"].isin(["answer", ""])]
    assert counted(tables["stops"], "n") == total(other)
    told = methods[methods["method"].str.startswith("rlm")]
    assert counted(tables["decomposition"], "n") == total(told)
    effective = tables["effective_lengths"]
    for bar in ("own", "threshold"):
        part = effective[effective["bar"] == bar] if len(effective) else effective
        assert counted(part, "n", "no_length").items() <= total(methods).items(), bar
    epochs = tables["epochs"]
    assert counted(epochs, "n").keys() <= total(methods).keys()
    for name, columns in (("pairs", ["unpaired"]), ("crossover_lengths", ["unpaired", "no_length"])):
        pairs = tables[name]
        if name == "pairs" and len(pairs):
            pairs = pairs[pairs["family"] == "methods"]
        for (benchmark, model, one), group in pairs.groupby(["benchmark", "model", "method"]) if len(pairs) else ():
            found = 2 * group["n"].sum() + group[columns].to_numpy().sum()
            both = [total(samples)[benchmark, which, model]
                    for which in (one, group["baseline"].iloc[0])]  # fmt: skip
            assert found == sum(both), name
    assert (tables["calls"]["calls"].sum() if len(tables["calls"]) else 0) == len(calls)
    return tables


def check_figures(samples, baseline):
    """Assert that the table behind every figure accounts for every sample of the methods that it shows."""
    several = samples["model"].where(samples["method"] != "floor").nunique() > 1
    arms = samples["method"] + (", " + samples["model"]).where(several & (samples["method"] != "floor"), "")
    by_arm = arms.value_counts().to_dict()
    shared = SharedTables.of(samples, baseline)
    for make in FIGURES:
        with drawing() as plt:
            made = make(plt, shared)
        if made is None:
            continue
        name, table = make.__name__, made[1]
        if name == "lengths_reached":
            assert all(row["n"] <= by_arm[row["arm"]] for row in table.to_dict("records"))
            continue
        left_out = table.get("left_out", 0)
        found = table.assign(counted=table["n"] + left_out, arm=table.get("arm", table["method"]))
        if name == "cost_histograms":
            assert (table.groupby(["benchmark", "method"])["count"].sum().to_numpy() == table["n"].iloc[::20]).all()
            found = found.iloc[::20]
        if name == "solved_by":
            assert (table["n"] == table["samples"] * table["epochs"]).all() or table["epochs"].max() > 1
            assert (table[["only_method", "both", "only_baseline", "neither"]].sum(axis=1) == table["samples"]).all()
            continue
        counts = found.groupby("arm")["counted"].sum().to_dict()
        if name != "subcalls_by_outcome":
            assert counts == {arm: by_arm[arm] for arm in counts}, name
        else:
            assert sum(counts.values()) == sum(by_arm[row["method"] + (f", {row['model']}" if several else "")]
                                               for row in table.drop_duplicates(ARMS).to_dict("records"))  # fmt: skip


@settings(max_examples=10, deadline=None, phases=PHASES)
@given(runs_of_samples)
def test_every_table_counts_every_sample_once(drawn):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, about in enumerate(drawn):
            rows = rows_of(*about)
            rows = rows[~rows["method"].eq("floor")] if number else rows
            if len(rows):
                calls = make_calls(3, method=rows["method"].iloc[0], sample_id=rows["sample_id"].iloc[0])
                paths.append(write_run(Path(folder) / f"run-{number}", rows, calls))
        runs = load_runs(paths)
        samples, calls = runs.samples, load_calls(runs)
        assert len(samples) == sum(len(pd.read_parquet(path / "samples.parquet")) for path in paths)
        methods = list(dict.fromkeys(samples.loc[samples["method"] != "floor", "method"]))
        check_tables(samples, calls, methods[0] if methods else None)
        scores = scores_table(samples)
        shown = scores_display(scores)
        assert not shown.duplicated(["benchmark", "method", "model"]).any()
        screen = compact(scores, width=70).split("\nscore in percent")[0].splitlines()
        cells = [cell for line in screen if line.startswith("|") for cell in line.split("|")[2:-1]]
        assert sum("[" in cell or "not stated" in cell for cell in cells) == len(scores)
        assert scores["all_lengths"].sum() in (0, len(scores) - scores["best"].isna().sum())


@settings(max_examples=6, deadline=None, phases=PHASES)
@given(runs_of_samples)
def test_the_table_behind_every_figure_counts_every_sample_once(drawn):
    with tempfile.TemporaryDirectory() as folder:
        path = write_run(Path(folder) / "run", rows_of(*drawn[0]))
        samples = load_runs([path]).samples
        methods = list(dict.fromkeys(samples.loc[samples["method"] != "floor", "method"]))
        if methods:
            check_figures(samples, methods[0])


def test_lengths_that_round_to_the_same_number_keep_all_their_samples():
    samples = make_rows("base", [1.0] * 8, length=[39_000, 39_010] * 3 + [None] * 2)
    screen = compact(scores_table(samples))
    assert [name in screen for name in ("39,000 (n=3)", "39,010 (n=3)", "no length (n=2)")] == [True] * 3
    assert list(scores_display(scores_table(samples))["benchmark"]) == [
        "oolong (all lengths)", "oolong (no length)", "oolong 39,000", "oolong 39,010"
    ]  # fmt: skip


@given(st.sets(st.integers(1, 10**7), min_size=2, max_size=40))
def test_different_lengths_have_different_labels(lengths):
    assert max(Counter(map(tokens, lengths)).values()) == 1


@pytest.mark.parametrize(("length", "text"), [(8192, "8K"), (1_048_576, "1M"), (1_572_864, "1.5M"), (39_000, "39,000"),
                                              (1_024_000, "1,024,000"), (2176, "2176"),
                                              (700, "700"), (10_000, "10,000")])  # fmt: skip
def test_only_exact_multiples_are_shortened(length, text):
    assert tokens(length) == text


def test_every_table_and_the_screen_state_samples_and_epochs():
    ids = {"sample_id": [f"s{i // 3}" for i in range(30)], "epoch": [i % 3 for i in range(30)]}
    samples = pd.concat([make_rows(name, [1.0, 0.0, 1.0] * 10, **ids, sub_calls=i) for i, name in enumerate("ab")])
    text = "10 samples x 3 epochs"
    assert f"oolong (n={text})" in compact(scores_table(samples), width=120)
    for table in make_tables(load_prepared(samples), make_calls(0), "a"):
        if len(table.values) and "n" in table.values:
            assert {"n", "samples", "epochs"} <= set(table.values.columns), table.name
            if table.name != "behaviour":
                assert table.values["epochs"].isin([3]).all(), table.name
                assert set(table.shown["n"].astype(str)) == {text}, table.name
    part = samples.iloc[:-1]
    assert set(scores_display(scores_table(part))["n"]) == {text, f"29 of {text}"}


def load_prepared(samples):
    from benchmarks.report.runs import prepare

    return prepare(samples)
