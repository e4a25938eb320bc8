"""Complete reports: of one run, an unfinished run and several runs; their warnings, tables and figures."""

import fcntl
import json
import re

import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.config.errors import ConfigError
from benchmarks.report import write_report
from benchmarks.report.build import screen
from benchmarks.report.figures.all import write_figures
from benchmarks.report.figures.curves import runtime_by_length
from benchmarks.report.figures.style import drawing
from benchmarks.report.figures.tradeoff import score_by_cost
from benchmarks.report.runs import load_calls, load_runs, refresh
from benchmarks.report.tables.shared import SharedTables
from benchmarks.running.journal import Record
from benchmarks.running.tables import calls_table, write_tables

LENGTHS = [8192, 32768, 131072]


def _record(row, calls):
    return Record.read(json.dumps({"row": row, "calls": calls}).encode())


@pytest.fixture
def samples(make_rows):
    """Three methods and two reference rows on two benchmarks, one over three lengths."""
    tables = []
    for method, scores in {
        "base": [1, 1, 1, 1, 0, 1, 0, 0, 0],
        "rlm": [1, 0, 1, 1, 1, 1, 1, 0, 1],
        "compaction": [1, 1, 0, 0, 1, 0, 0, 1, 0],
        "oracle": [1] * 9,
        "floor": [0, 1, 0, 0, 0, 0, 1, 0, 0],
    }.items():
        scores = [float(score) for score in scores]
        calls = {"sub_calls": [5, 9, 2] * 3, "syntax_errors": [0, 1, 0] * 3} if method == "rlm" else {}
        spent = {} if method in ("oracle", "floor") else {"cost_usd": [0.01 * (i + 1) for i in range(9)], "wall_s": 5.0}
        length = [length for length in LENGTHS for _ in range(3)]
        limits = {"context_limit": 100_000} if method not in ("oracle", "floor") else {}
        tables.append(make_rows(method, scores, benchmark="sniah", length=length, **calls, **spent, **limits))
        tables.append(make_rows(method, scores, benchmark="codeqa", **calls, **spent))
    return pd.concat(tables, ignore_index=True)


def test_a_report_has_its_files_and_the_facts_of_the_run(make_run, make_calls, samples, tmp_path):
    run = make_run(
        "first", samples, make_calls(3), seed=7, config_hash="c0ffee" * 6,
        methods={"rlm": {"answer_protocol": "tags", "prompt": "recursive/default-v1", "prompt_sha256": "ab" * 32}},
        models={"root": {"name": "gpt-5", "context_window": 400_000}},
        judge={"model": "gpt-4.1", "prompt": "judge-v1", "prompt_sha256": "cd" * 32},
    )  # fmt: skip
    files = write_report([run], tmp_path / "out")
    assert all(path.exists() for path in files)
    text = files.markdown.read_text()
    for said in (
        "answer protocol tags", "sha256 abababababab", "root gpt-5 (window 400,000)", "gpt-4.1, prompt judge-v1",
        "commit: 0123abcd", "seed: 7", "configuration: c0ffeec0ffee",
    ):  # fmt: skip
        assert said in text
    assert "Warning" not in text
    table = pd.read_csv(files.csv)
    assert len(table) == 5 * (4 + 1)
    assert set(table.loc[table["all_lengths"], "benchmark"]) == {"sniah"}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (tmp_path / "out" / link).is_file()
    assert {path.name for path in (tmp_path / "out" / "tables").iterdir()} >= {
        "scores.csv", "pairs.csv", "cost.csv", "calls.csv", "lengths.csv", "effective_lengths.csv", "behaviour.csv",
    }  # fmt: skip


@pytest.mark.usefixtures("without_figures")
def test_a_report_names_the_frame_of_questions_and_the_form_of_answers(make_run, make_rows, tmp_path):
    data = {"oolong": {"source": "hub", "query_frame": "paper"}, "codeqa": {"source": "hub", "answer_form": "letters"}}
    run = make_run("run", make_rows("rlm", [1.0]), benchmarks={name: {"data": about} for name, about in data.items()})
    text = write_report([run], tmp_path / "out").markdown.read_text()
    assert re.search("benchmark oolong: .*source hub, query frame paper", text)
    assert re.search("benchmark codeqa: .*source hub, answers as letters", text)


@pytest.mark.usefixtures("without_figures")
def test_a_report_warns_of_unfinished_changed_and_unconfined_runs(make_run, make_rows, tmp_path):
    run = make_run(
        "odd", make_rows("rlm", [1.0, 0.0]), state="interrupted", samples_planned=10,
        config={"repl": {"confinement": "unsafe"}}, git={"commit": "abc", "dirty": True},
    )  # fmt: skip
    text = write_report([run], tmp_path / "out").markdown.read_text()
    assert "**Warning:** 8 of 10 samples are missing" in text
    assert "**Warning:** the checkout had uncommitted changes" in text
    assert "**Warning:** the REPL was not confined (repl=unsafe)" in text
    assert screen(load_runs([run])).endswith("odd: 8 samples are missing")


@pytest.mark.usefixtures("without_figures")
def test_a_run_that_was_killed_is_reported_from_its_journal(make_run, make_rows, tmp_path):
    table = make_rows("rlm", [1.0, 0.0, 1.0])
    run = make_run("killed", table, state="running", samples_planned=5)
    (run / "samples.parquet").unlink()
    (run / "journal").mkdir()
    records = [{"row": row, "calls": []} for row in json.loads(table.to_json(orient="records"))]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (run / "journal" / "host.jsonl").write_text(lines + '{"row": {"benchm')
    runs = load_runs([run])
    assert len(runs.samples) == 3
    assert runs.runs[0].missing == 2
    assert "66.7" in write_report([run], tmp_path / "out").markdown.read_text()


@pytest.mark.usefixtures("without_figures")
def test_the_model_is_a_column_only_where_there_are_several(make_run, make_rows, tmp_path):
    run = make_run("one", [make_rows("base", [1.0] * 3), make_rows("oracle", [1.0] * 3)])
    assert "| model" not in write_report([run], tmp_path / "out").markdown.read_text()
    other = make_run("two", [make_rows("base", [1.0] * 3), make_rows("base", [0.0] * 3, model="qwen3-8b")])
    assert "| model" in write_report([other], tmp_path / "out").markdown.read_text()


@pytest.mark.usefixtures("without_figures")
def test_runtime_includes_the_original_time_of_replayed_calls(make_run, make_rows, make_calls, tmp_path):
    samples = [make_rows("base", [1.0] * 2, wall_s=4.0), make_rows("compaction", [1.0] * 2, wall_s=0.001)]
    calls = make_calls(
        3, method=["base", "compaction", "compaction"], sample_id=["oolong-0000", "oolong-0000", "oolong-0001"],
        latency_s=[4.0, 4.0, 3.0], cache_hit=[False, True, True],
    )  # fmt: skip
    run = make_run("run", samples, calls)
    write_report([run], tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "tables" / "cost.csv").set_index(["method", "quantity"])["mean"]
    assert found["base", "runtime, s"] == 4.0
    assert found["compaction", "runtime, s"] == pytest.approx(3.501)


def test_a_report_without_samples_states_that_they_are_missing(make_run, make_rows, tmp_path):
    run = make_run("empty", make_rows("rlm", [1.0]).iloc[:0], samples_planned=4)
    files = write_report([run], tmp_path / "out")
    assert "4 of 4 samples are missing" in files.markdown.read_text()
    assert "(no samples)" in screen(load_runs([run]))


@pytest.mark.usefixtures("without_figures")
def test_methods_with_the_same_name_in_several_runs_are_renamed(make_run, make_rows, tmp_path):
    both = [make_rows("base", [0.0] * 20), make_rows("oracle", [1.0] * 20)]
    first = make_run("first", [*both, make_rows("rlm", [1.0] * 20)])
    second = make_run("second", [make_rows("rlm", [0.0] * 20), make_rows("compaction", [1.0] * 20), both[1]])
    samples = load_runs([first, second]).samples
    assert list(dict.fromkeys(samples["method"])) == ["base", "oracle", "rlm (first)", "rlm (second)", "compaction"]
    assert len(samples) == 100
    text = write_report([first, second], tmp_path / "out", baseline="base").markdown.read_text()
    assert "**first**" in text
    assert "**second**" in text
    table = pd.read_csv(tmp_path / "out" / "tables" / "pairs.csv").set_index("method")
    assert table.loc["rlm (first)", "verdict"] == "better"
    assert table.loc["compaction", "verdict"] == "better"


def test_methods_with_different_sub_models_are_renamed(make_run, make_rows):
    runs = [make_run(name, make_rows("rlm", [1.0, 0.0], sub_model=name)) for name in ("gpt-5-mini", "gpt-5-nano")]
    assert set(load_runs(runs).samples["method"]) == {"rlm (gpt-5-mini)", "rlm (gpt-5-nano)"}


def test_calls_are_named_as_their_samples_are(make_run, make_rows, make_calls):
    runs = [make_run(name, make_rows("rlm", [1.0]), make_calls(n)) for name, n in (("first", 2), ("second", 3))]
    loaded = load_runs(runs)
    counts = load_calls(loaded)["method"].value_counts()
    assert counts.to_dict() == {"rlm (second)": 3, "rlm (first)": 2}


def test_two_depths_have_their_own_published_figures(make_run, make_rows):
    runs = [
        make_run(
            f"depth{d}", make_rows("rlm", [1.0] * 20, benchmark="codeqa"), config={"method": {"rlm": {"max_depth": d}}}
        )
        for d in (1, 3)
    ]
    from benchmarks.report.tables.scores import scores_table

    table = scores_table(load_runs(runs).samples).set_index("method")
    assert table.loc["rlm (depth1)", "published"] == 62.0
    assert table.loc["rlm (depth3)", "published"] == 58.0


def test_an_unknown_baseline_and_a_folder_that_is_no_run_are_refused(make_run, make_rows, tmp_path):
    run = make_run("first", make_rows("rlm", [1.0]))
    with pytest.raises(ConfigError, match="baseline is 'bass'"):
        write_report([run], tmp_path / "out", baseline="bass")
    with pytest.raises(ConfigError, match="not a run folder"):
        write_report([tmp_path / "nowhere"], tmp_path / "out")
    (run / "samples.parquet").write_bytes(b"not a table")
    with pytest.raises(ConfigError, match=r"samples\.parquet cannot be read"):
        screen(load_runs([run]))


@pytest.mark.usefixtures("without_figures")
def test_the_baseline_of_the_configuration_is_taken(make_run, make_rows, tmp_path):
    rows = [make_rows("base", [1.0]), make_rows("rlm", [1.0])]
    run = make_run("first", rows, config={"report": {"baseline": "rlm"}})
    assert "Paired differences against rlm" in write_report([run], tmp_path / "out").markdown.read_text()


@pytest.mark.usefixtures("without_figures")
def test_texts_of_a_run_are_no_markup_in_the_report(make_run, make_rows, tmp_path):
    rows = make_rows("rlm", [0.0], task_group="<img src=x onerror=alert(1)>", error="<script>", status="error")
    name = "<script>alert(1)</script>"
    text = write_report([make_run("odd", rows, name=name)], tmp_path / "out").markdown.read_text()
    assert "<script" not in text
    assert "<img" not in text


def test_figures_are_drawn_where_there_are_data_with_the_table_behind_each(samples, tmp_path):
    written = write_figures(SharedTables.of(samples), tmp_path)
    names = {path.stem for path in written}
    assert names == {
        "score_by_cost", "lengths_reached",
        "score_by_length", "cost_by_length", "cost_quantiles", "runtime_quantiles", "cost_histograms", "solved_by",
        "subcalls_by_outcome",
    }  # fmt: skip
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()
        assert len(pd.read_csv(tmp_path / f"{name}.csv"))


def test_figures_of_samples_without_lengths_costs_or_calls(make_rows, tmp_path):
    rows = [make_rows(method, [1.0, 0.0], cost_usd=0.0, cost_state="free") for method in ("base", "map_reduce")]
    assert {path.stem for path in write_figures(SharedTables.of(pd.concat(rows)), tmp_path)} == {"solved_by"}
    free = [each.assign(length=[1024, 4096], wall_s=[1.5, 6.0]) for each in rows]
    assert "runtime_by_length" in {
        path.stem for path in write_figures(SharedTables.of(pd.concat(free)), tmp_path / "free")
    }
    table = pd.read_csv(tmp_path / "free" / "runtime_by_length.csv")
    assert list(table["runtime_mean_s"]) == [1.5, 6.0, 1.5, 6.0]
    over = [free[0].assign(status=["ok", "context_overflow"], context_limit=2048), *free[1:]]
    with drawing() as plt:
        figure, _ = runtime_by_length(plt, SharedTables.of(pd.concat(over)))
        drawn = {tuple(line.get_ydata()) for line in figure.axes[0].get_lines() if len(line.get_ydata()) < 3}
    assert (1.5, 6.0) in drawn and (1.5,) in drawn, "no call was made for the input that is too long"
    assert write_figures(SharedTables.of(make_rows("rlm", [1.0]).iloc[:0]), tmp_path) == []
    assert not (tmp_path / "solved_by.png").exists()


def test_a_free_method_is_a_line_that_beats_dearer_ones_and_the_note_says_so(make_rows, make_run, tmp_path):
    rows = [make_rows(name, [1.0] * n + [0.0] * (10 - n)) for name, n in (("base", 4), ("rlm", 8))]
    rows.append(make_rows("local", [1.0] * 5 + [0.0] * 5, cost_usd=0.0, cost_state="free"))
    rows.append(make_rows("floor", [0.0] * 10))
    files = write_report([make_run("run", rows)], tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "figures" / "score_by_cost.csv").set_index("method")
    assert table["on_front"].to_dict() == {"base": False, "rlm": True, "local": True, "floor": False}
    text = files.markdown.read_text()
    assert "A method that costs nothing" in text and "Reference rows are" in text
    with drawing() as plt:
        figure, _ = score_by_cost(plt, SharedTables.of(pd.concat(rows)))
        lines = [line for line in figure.axes[0].get_lines() if line.get_label() == "local, free"]
        assert [list(line.get_ydata()) for line in lines] == [[50.0, 50.0]]


def test_figures_over_the_number_of_documents(make_rows, tmp_path):
    groups = [f"documents_{size}" for size in (10, 100, 1000) for _ in range(4)]
    rows = [make_rows(m, [1.0, 0.0] * 6, benchmark="browsecomp_plus", task_group=groups) for m in ("base", "rlm")]
    names = {path.stem for path in write_figures(SharedTables.of(pd.concat(rows)), tmp_path)}
    assert "score_and_cost_by_documents" in names
    quantiles = pd.read_csv(tmp_path / "cost_quantiles.csv")
    assert list(zip(quantiles["benchmark"], quantiles["n"], strict=True)) == [("browsecomp_plus", 12)] * 2
    assert sorted(set(pd.read_csv(tmp_path / "score_and_cost_by_documents.csv")["documents"])) == [10, 100, 1000]


def test_the_same_run_gives_the_same_files(make_run, make_rows, tmp_path):
    run = make_run("first", [make_rows(method, [1.0, 0.0] * 8, length=[8192, 16384] * 8) for method in ("base", "rlm")])
    for out in ("a", "b"):
        write_report([run], tmp_path / out)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.suffix != ".html"]
    for name in files:
        if (tmp_path / "a" / name).is_file():
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert sum(name.suffix == ".svg" for name in files) >= 3


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("[]", "expected an object"),
        pytest.param("[" * 100_000, "cannot be read", id="nested"),
        ('{"config": 3}', "config is '3'"),
        ('{"git": "abc"}', "git is 'abc'"),
        ('{"methods": {"rlm": "v1"}}', "methods.rlm is 'v1'"),
        ('{"config": {"method": {"rlm": 1}}}', "config.method.rlm is '1'"),
        ('{"benchmarks": {"oolong": {"data": []}}}', "benchmarks.oolong.data is "),
        ('{"samples_planned": "many"}', "samples_planned is 'many'"),
        ('{"samples_planned": NaN}', "samples_planned is 'nan'"),
        ('{"started_at": 1e300}', "started_at is '1e.300'"),
    ],
)
def test_a_manifest_of_another_make_is_refused_in_words(make_run, make_rows, manifest, message):
    run = make_run("odd", make_rows("rlm", [1.0]))
    (run / "run.json").write_text(manifest)
    with pytest.raises(ConfigError, match=message):
        load_runs([run])


def test_a_table_without_scores_or_with_other_scores_is_refused(make_run, make_rows):
    lacking = make_run("lacking", make_rows("rlm", [1.0]).drop(columns=["score"]))
    with pytest.raises(ConfigError, match=r"samples\.parquet has no column score"):
        load_runs([lacking])
    percent = make_run("percent", make_rows("rlm", [1.0, 56.0]))
    with pytest.raises(ConfigError, match=r"the score of oolong-0001 is 56\.0: expected 0 to 1"):
        load_runs([percent])


def test_tables_of_other_versions_and_makers_are_reported(make_run, make_rows, make_calls, tmp_path):
    rows = make_rows("rlm", [1.0, 0.0]).assign(notes=[["a", "b"]] * 2, nested=[{"x": 1}] * 2)
    run = make_run("newer", rows, make_calls(2)[["call_id", "method", "role"]])
    assert "50.0" in write_report([run], tmp_path / "newer").markdown.read_text()
    few = make_rows("rlm", [1.0, 0.0])[["benchmark", "method", "sample_id", "epoch", "score"]]
    assert "50.0" in write_report([make_run("older", few)], tmp_path / "older").markdown.read_text()


def test_a_cost_that_is_no_amount_is_unknown(make_run, make_rows, tmp_path):
    rows = make_rows("rlm", [1.0] * 4, cost_usd=[float("inf"), float("nan"), -1.0, 0.5], length=[1024, 2048] * 2)
    write_report([make_run("odd", rows)], tmp_path / "out")
    cost = pd.read_csv(tmp_path / "out" / "tables" / "cost.csv").set_index("quantity").loc["cost, USD"]
    assert (cost["n"], cost["mean"], cost["unknown"]) == (1, 0.5, 75.0)


@pytest.mark.usefixtures("without_figures")
def test_two_runs_of_one_configuration_are_reported_against_the_first_ones_baseline(make_run, make_rows, tmp_path):
    rows, config = [make_rows("base", [1.0]), make_rows("rlm", [1.0])], {"report": {"baseline": "base"}}
    runs = [make_run(name, rows, config=config) for name in ("first", "second")]
    for baseline in (None, "base"):
        text = write_report(runs, tmp_path / "out", baseline=baseline).markdown.read_text()
        assert "Paired differences against base (first)" in text


@pytest.mark.usefixtures("without_figures")
def test_a_run_whose_baseline_has_no_sample_yet_is_reported(make_run, make_rows, tmp_path):
    config = {"report": {"baseline": "base"}}
    run = make_run("young", make_rows("rlm", [1.0]), config=config, samples_planned=2)
    assert "1 of 2 samples is missing" in write_report([run], tmp_path / "out").markdown.read_text()


@pytest.mark.usefixtures("without_figures")
def test_repeated_rows_count_once_and_are_reported(make_run, make_rows, tmp_path):
    rows = make_rows("rlm", [1.0, 0.0])
    run = make_run("twice", [rows, rows.iloc[:1].assign(score=0.0)])
    runs = load_runs([run])
    assert sorted(runs.samples["score"]) == [0.0, 0.0]
    assert "its table has 1 repeated row of a sample" in write_report([run], tmp_path / "out").markdown.read_text()


@pytest.mark.usefixtures("without_figures")
def test_a_report_keeps_other_files_in_its_folder(make_run, make_rows, tmp_path):
    run = make_run("first", [make_rows("base", [1.0]), make_rows("rlm", [1.0])])
    write_report([run], tmp_path)
    (tmp_path / "tables" / "mine.csv").write_text("a\n")
    write_report([make_run("second", make_rows("rlm", [1.0]))], tmp_path)
    assert (tmp_path / "tables" / "mine.csv").exists()
    assert not (tmp_path / "tables" / "pairs.csv").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--out .*file.* cannot be created"):
        write_report([run], tmp_path / "file" / "out")


def test_a_run_without_a_finished_sample_is_reported_as_such(make_run, make_rows, capsys):
    run = make_run("young", make_rows("rlm", [1.0]).iloc[:0], samples_planned=4, state="running")
    (run / "samples.parquet").unlink()
    (run / "journal").mkdir()
    assert main(["report", str(run)]) == 0
    assert "young: 4 samples are missing" in capsys.readouterr().out


def test_tables_are_brought_up_to_date_but_not_under_a_run_that_is_going_on(make_run, make_rows):
    rows = json.loads(make_rows("rlm", [1.0, 0.0]).to_json(orient="records"))
    run = make_run("killed", make_rows("rlm", [1.0]), methods={"rlm": {}})
    described = json.loads((run / "run.json").read_text())
    described["benchmarks"]["oolong"]["sample_ids"] = [row["sample_id"] for row in rows]
    (run / "run.json").write_text(json.dumps(described))
    (run / "journal").mkdir()
    lines = "".join(json.dumps({"row": row, "calls": []}) + "\n" for row in rows)
    (run / "journal" / "host.jsonl").write_text(lines)
    with (run / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refresh(run)
        assert len(pd.read_parquet(run / "samples.parquet")) == 1
        assert len(load_runs([run]).samples) == 2
    refresh(run)
    assert len(pd.read_parquet(run / "samples.parquet")) == 2


def test_half_a_surrogate_pair_of_a_model_ends_no_run_and_no_report(make_run, make_rows, make_calls, tmp_path):
    rows = json.loads(make_rows("rlm", [1.0, 0.0]).to_json(orient="records"))
    rows[0] |= {"prediction": "Zürich \ud83d", "error": "\udc00"}
    calls = json.loads(make_calls(1, error="?").to_json(orient="records"))
    records = [{"row": row, "calls": [calls[0] | {"error": "\ud800"}]} for row in rows]
    run = make_run("odd", make_rows("rlm", [1.0]))
    write_tables(run, [_record(record["row"], record["calls"]) for record in records])
    assert pd.read_parquet(run / "samples.parquet")["prediction"][0] == "Zürich \ufffd"
    (run / "journal").mkdir()
    (run / "journal" / "host.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert len(load_runs([run]).samples) == 2
    assert "50.0" in write_report([run], tmp_path / "out").markdown.read_text()


def test_calls_of_a_large_run_are_gathered_in_parts(make_rows, make_calls, monkeypatch):
    monkeypatch.setattr("benchmarks.running.tables._ROWS_AT_ONCE", 3)
    rows = json.loads(make_rows("rlm", [1.0] * 5).to_json(orient="records"))
    owner = ["benchmark", "method", "sample_id", "epoch"]
    calls = json.loads(make_calls(2).drop(columns=owner).to_json(orient="records"))
    table = calls_table([_record(row, calls) for row in rows])
    assert list(table["sample_id"]) == [row["sample_id"] for row in rows for _ in calls]
    assert list(table.index) == list(range(10))
    assert calls_table([]).columns.tolist() == table.columns.tolist()


@pytest.mark.usefixtures("without_figures")
def test_calls_that_several_providers_answered_are_reported(make_run, make_rows, make_calls, tmp_path):
    calls = make_calls(
        4, provider=["alpha", "beta", None, None], system_fingerprint=["fp_1", "fp_1", "fp_2", None],
        model="gpt-5-2025-08-07",
    )  # fmt: skip
    run = make_run("mixed", make_rows("rlm", [1.0, 0.0]), calls)
    lines = (
        "the root calls of rlm (gpt-5-2025-08-07) mix 2 providers: alpha, beta",
        "the root calls of rlm (gpt-5-2025-08-07) mix 2 system fingerprints: fp_1, fp_2",
    )
    text = write_report([run], tmp_path / "out").markdown.read_text()
    for line in lines:
        assert f"**Warning:** {line}." in text
        assert f"mixed: {line}" in screen(load_runs([run]))
    assert "model names" not in text
    renamed = make_run("renamed", make_rows("rlm", [1.0]), make_calls(2, model=["gpt-5", "gpt-5.1"]))
    assert "renamed: the root calls of rlm mix 2 model names: gpt-5, gpt-5.1" in screen(load_runs([renamed]))


@pytest.mark.usefixtures("without_figures")
def test_cut_prompts_and_answers_are_marked_and_counted(make_run, make_rows, tmp_path):
    cut = make_rows("base", [1.0] * 4, prompt_cut=[True, False, False, None], answer_cut=True, untagged=[True] * 4)
    run = make_run("cut", [cut, make_rows("rlm", [1.0] * 4)])
    shown = screen(load_runs([run]))
    assert "100.0‡ [" in shown and shown.count("‡ [") == 1
    assert "‡ a server cut prompts" in shown
    assert "1 prompt cut, 4 answer cut, 4 untagged" in shown
    files = write_report([run], tmp_path / "out")
    scores = pd.read_csv(files.csv).set_index("method")
    assert list(scores.loc["base", ["prompt_cut", "answer_cut", "untagged"]]) == [1, 4, 4]
    assert "100.0‡" in files.markdown.read_text()


@pytest.mark.usefixtures("without_figures")
def test_a_cell_with_too_many_errors_states_no_score_anywhere(make_run, make_rows, tmp_path):
    status, length = ["error"] * 3 + ["ok"] * 17, [8192, 16384] * 10
    failing = make_rows("rlm", [0.0] * 3 + [1.0] * 17, status=status, length=length, task_group=["a", "b"] * 10)
    healthy = make_rows("base", [1.0, 0.0] * 10, length=length, task_group=["a", "b"] * 10)
    oracle = make_rows("oracle", [0.0] * 20, status="error", length=length, task_group=["a", "b"] * 10)
    files = write_report([make_run("odd", [healthy, failing, oracle])], tmp_path / "out")
    assert "oolong 8K, rlm: 2 of 10 samples ended in errors" in files.table
    assert "oracle: 10 of 10 samples ended in errors (a reference row: the scorer or its judge failed)" in files.table
    tables = {path.stem: pd.read_csv(path) for path in (tmp_path / "out" / "tables").iterdir()}
    scores = tables["scores"].set_index(["method", "size"])
    assert scores.loc[("rlm", 8192), "not_stated"] == "2 of 10 samples ended in errors"
    assert pd.isna(scores.loc[("rlm", 8192), ["score", "low", "high"]]).all()
    assert scores.loc[("rlm", 16384), "score"] == 90.0
    verdicts = tables["pairs"].set_index("size")["verdict"]
    assert verdicts[8192] == "not comparable: rlm: 2 of 10 samples ended in errors"
    for name in ("lengths", "groups"):
        table = tables[name]
        assert (table["score"].isna() == table["not_stated"].notna()).all()
        assert table["not_stated"].notna().any()
    effective = tables["effective_lengths"].set_index("method")
    assert effective.loc["rlm", "effective_length"].isna().all()
    assert effective.loc["base", "effective_length"].notna().all()
    assert tables["crossover_lengths"]["crossover"].isna().all()
    assert "not stated: 2 of 10 samples ended in errors" in files.markdown.read_text()


@pytest.mark.usefixtures("without_figures")
def test_methods_with_the_same_calls_and_answers_are_not_tested(make_run, make_rows, tmp_path):
    spent = {"prompt_tokens": range(100, 120), "root_calls": 1, "prediction": [f"answer {i}" for i in range(20)]}
    rows = [make_rows(name, [1.0, 0.0] * 10, **spent) for name in ("base", "base_truncated")]
    rows.append(make_rows("rlm", [0.0, 1.0] * 10))
    write_report([make_run("run", rows)], tmp_path / "out")
    pairs = pd.read_csv(tmp_path / "out" / "tables" / "pairs.csv").set_index("method")
    assert pairs.loc["base_truncated", "verdict"] == "not tested: same calls and answers"
    assert pd.isna(pairs.loc["base_truncated", ["p", "p_holm", "difference"]]).all()
    assert pairs.loc["rlm", "p"] == pairs.loc["rlm", "p_holm"]
