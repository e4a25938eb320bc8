"""Published figures: the measured cells that they are compared with, and the verdicts."""

import pytest

from benchmarks.report.published import (
    SETTINGS,
    compare_with_published,
    find_published,
    model_name,
    published_rows,
)
from benchmarks.report.runs import load_runs
from benchmarks.report.tables.scores import scores_display, scores_table
from benchmarks.statistics import mean_interval


def test_the_table_of_the_paper_is_complete():
    rows = published_rows()
    assert len(rows) == 100
    assert all(0 <= row.score <= 100 and row.n in (20, 50, 150) for row in rows)
    assert len({(row.model, row.method, row.max_depth, row.benchmark) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("gpt-5", "gpt-5"),
        ("openai/gpt-5-2025-08-07", "gpt-5"),
        ("openai/gpt-5-mini", "gpt-5-mini"),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", "qwen3-coder-480b-a35b"),
        ("accounts/fireworks/models/qwen3-coder-480b-a35b-instruct", "qwen3-coder-480b-a35b"),
        ("qwen/qwen3-8b:free", "qwen3-8b"),
        ("claude-opus-4-1-20250805", "claude-opus-4.1"),
        ("anthropic/claude-opus-4.1", "claude-opus-4.1"),
        ("gpt-5.1", "gpt-5.1"),
        ("gpt-4.1", "gpt-4.1"),
    ],
)
def test_names_of_a_model_at_several_providers(given, name):
    assert model_name(given) == name


def test_a_row_is_found_only_in_the_settings_of_the_paper():
    found = find_published("oolong", "rlm", "openai/gpt-5-2025-08-07", max_depth=1, length=131_072)
    assert (found.score, found.n, found.cost_mean_usd) == (56.0, 50, 0.43)
    assert find_published("oolong", "rlm", "gpt-5", length=131_072) == found
    assert find_published("oolong", "rlm", "gpt-5", max_depth=3, length=131_072).score == 58.0
    assert find_published("oolong", "rlm", "gpt-5", length=8192) is None
    assert find_published("oolong", "rlm", "gpt-5.1", length=131_072) is None
    assert find_published("oolong", "rlm", "gpt-5", sub_model="gpt-5", length=131_072) is None
    assert find_published("oolong", "rlm", "gpt-5", sub_model="openai/gpt-5-mini", length=131_072) == found
    assert find_published("sniah", "rlm", "gpt-5", length=131_072) is None
    assert find_published("oolong", "map_reduce", "gpt-5", length=131_072) is None
    assert find_published("browsecomp_plus", "base", "gpt-5", documents=100) is None
    assert find_published("browsecomp_plus", "base", "gpt-5", documents=1000).score == 0.0
    assert find_published("codeqa", "base", "gpt-5").hit_context_limit


def verdict_of(scores, benchmark="codeqa", method="rlm", **settings):
    row = find_published(benchmark, method, "gpt-5", **settings)
    return compare_with_published(mean_interval(scores), row)


def test_verdicts():
    # The paper: 62.0 of 50.
    assert verdict_of([1.0] * 31 + [0.0] * 19).verdict == "consistent"
    assert verdict_of([1.0] * 24 + [0.0] * 26).verdict == "consistent"
    assert verdict_of([1.0] * 46 + [0.0] * 4).verdict == "higher"
    assert verdict_of([1.0] * 15 + [0.0] * 35).verdict == "lower"
    few = verdict_of([1.0] * 6 + [0.0] * 4)
    assert (few.verdict, few.samples_to_tell) == ("too few samples to tell", 50)
    assert verdict_of([0.0] * 10).verdict == "lower"
    assert verdict_of([]).verdict == "too few samples to tell"


def test_a_figure_of_0_is_no_certainty_either():
    found = verdict_of([0.0] * 150, "browsecomp_plus", "base", documents=1000)
    assert found.verdict == "consistent"
    assert found.low < 0 < found.high


def test_graded_scores_are_compared_with_their_own_spread():
    close = [0.55, 0.6, 0.58, 0.62, 0.56] * 4
    found = verdict_of(close, "oolong_pairs", length=32_768)
    assert found.verdict == "consistent"
    assert found.high - found.low < 20


def test_the_table_leaves_generated_data_and_matches_without_a_judge_alone(make_rows):
    codeqa = make_rows("rlm", [1.0, 0.0] * 25, benchmark="codeqa")
    assert scores_table(codeqa)["published"].iloc[0] == 62.0
    assert scores_table(codeqa.assign(as_published=False))["published"].isna().all()
    browse = make_rows("rlm", [1.0, 0.0], benchmark="browsecomp_plus", task_group="documents_1000")
    assert scores_table(browse.assign(judged_by="judge"))["published"].iloc[0] == 91.3
    assert scores_table(browse.assign(judged_by="match"))["published"].isna().all()


@pytest.mark.parametrize(
    ("manifest", "published"),
    [
        ({}, True),
        ({"methods": {"rlm": {"answer_protocol": "final_tags"}}}, True),
        ({"methods": {"rlm": {"answer_protocol": "answer_variable"}}}, False),
        ({"config": {"model": {"root": {"reasoning_effort": "medium"}}}}, True),
        ({"config": {"model": {"root": {"reasoning_effort": "high"}}}}, False),
        ({"config": {"method": {"rlm": {"max_depth": 5}}}}, False),
        ({"benchmarks": {"codeqa": {"data": {"source": "generated", "answer_form": "numbers"}}}}, False),
        ({"benchmarks": {"codeqa": {"data": {"source": "hub", "answer_form": "numbers"}}}}, True),
        ({"benchmarks": {"codeqa": {"data": {"source": "hub", "answer_form": "letters"}}}}, False),
        ({"benchmarks": {"codeqa": {"data": {"source": "hub"}}}}, False),
        ({"benchmarks": {"oolong": {"data": {"source": "hub", "query_frame": "paper"}}}}, True),
        ({"benchmarks": {"oolong": {"data": {"source": "hub", "query_frame": "none"}}}}, False),
        ({"benchmarks": {"oolong": {"data": {"source": "hub"}}}}, False),
        ({"benchmarks": {"oolong_pairs": {"data": {"source": "hub", "query_frame": "paper"}}}}, True),
        ({"benchmarks": {"oolong_pairs": {"data": {"source": "hub", "query_frame": "none"}}}}, False),
    ],
)
def test_a_published_figure_is_shown_only_for_the_settings_of_the_paper(make_run, make_rows, manifest, published):
    benchmark = next(iter(manifest.get("benchmarks", ["codeqa"])))
    length = SETTINGS[benchmark][1]
    run = make_run("run", make_rows("rlm", [1.0, 0.0] * 25, benchmark=benchmark, length=length), **manifest)
    assert scores_table(load_runs([run]).samples)["published"].notna().all() == published


def test_the_papers_cell_has_its_asterisk_n_and_cost(make_rows):
    shown = scores_display(scores_table(make_rows("base", [1.0, 0.0] * 25, benchmark="codeqa"))).iloc[0]
    assert shown["paper"] == "24.0* (n=50, $0.13)"
    assert shown["verdict"] == "higher"
    few = scores_display(scores_table(make_rows("base", [1.0, 0.0, 0.0], benchmark="codeqa"))).iloc[0]
    assert few["verdict"] == "too few samples to tell (50 needed)"
