"""The matrix of methods by benchmarks: what it holds, which method is bold, and its forms."""

import shutil
import subprocess

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.report.tables.best import best_arms
from benchmarks.report.tables.matrix import latex_matrix, matrix_of
from benchmarks.report.tables.scores import scores_table
from benchmarks.report.tables.terminal import compact, matrix_text
from tests.benchmarks.conftest import rows as make_rows


def entries_of(samples):
    """The cells of the matrix by benchmark and method."""
    matrix = matrix_of(scores_table(samples))
    return {
        (benchmark, line.method): entry
        for line in matrix.lines
        for benchmark, entry in zip(matrix.benchmarks, line.entries, strict=True)
    }


def test_only_a_method_that_is_shown_to_beat_every_other_one_is_the_best():
    clear = [make_rows(name, [float(i < right) for i in range(60)]) for name, right in (("rlm", 55), ("base", 20))]
    assert best_arms(pd.concat(clear)) == {("oolong", "rlm", "gpt-5")}
    close = make_rows("compaction", [float(i < 52) for i in range(60)])
    assert best_arms(pd.concat([*clear, close])) == set()
    assert best_arms(clear[0]) == set()


def test_counts_leave_out_reference_rows():
    rows = [make_rows("rlm", [1.0] * 4, format_ok=[False] + [True] * 3), make_rows("floor", [0.0] * 4, format_ok=False)]
    notes = matrix_of(scores_table(pd.concat(rows))).notes
    assert "all samples count in n; among those of methods: 1 wrong format" in notes
    assert "all samples count in n; among them: 1 wrong format" in matrix_of(scores_table(rows[0])).notes


def test_one_sample_is_singular():
    rows = pd.concat([make_rows("rlm", [1.0]).assign(epoch=epoch) for epoch in range(3)])
    assert entries_of(rows)["oolong", "rlm"].n == "1 sample x 3 epochs"


def test_a_method_equal_to_the_best_by_construction_is_the_best_too():
    spent = {"prompt_tokens": range(100, 140), "prediction": [f"answer {i}" for i in range(40)]}
    rows = [make_rows(name, [1.0] * 38 + [0.0] * 2, **spent) for name in ("base", "base_truncated")]
    rows.append(make_rows("rlm", [0.0] * 40))
    assert {method for _, method, _ in best_arms(pd.concat(rows))} == {"base", "base_truncated"}


@pytest.mark.parametrize(
    "change", [{"scorer": "other"}, {"max_output_tokens": 9}, {"status": "error"}, {"sample_id": "x"}]
)
def test_no_method_is_the_best_where_a_comparison_is_refused(change):
    rows = [make_rows("rlm", [1.0] * 40, max_output_tokens=8), make_rows("base", [0.0] * 40, max_output_tokens=8)]
    assert best_arms(pd.concat(rows))
    assert not best_arms(pd.concat([rows[0], rows[1].assign(**change)]))


def test_each_model_has_its_own_best_method():
    rows = [
        make_rows(method, [float(i < right) for i in range(60)], model=model)
        for model, base, rlm in (("gpt-5", 10, 55), ("qwen3-8b", 55, 10))
        for method, right in (("base", base), ("rlm", rlm))
    ]
    assert best_arms(pd.concat(rows)) == {("oolong", "rlm", "gpt-5"), ("oolong", "base", "qwen3-8b")}


def test_methods_are_grouped_by_model():
    rows = [make_rows(method, [1.0, 0.0], model=model) for method in ("base", "rlm") for model in ("gpt-5", "qwen3-8b")]
    matrix = matrix_of(scores_table(pd.concat([make_rows("oracle", [1.0, 1.0], model=""), *rows])))
    arms = [(line.method, line.model) for line in matrix.lines]
    assert arms == [
        ("base", "gpt-5"), ("rlm", "gpt-5"), ("base", "qwen3-8b"), ("rlm", "qwen3-8b"), ("oracle", "")
    ]  # fmt: skip
    assert [latex_matrix(matrix).count(rf"\textit{{{title}}}") for title in ("gpt-5", "qwen3-8b", "reference")] == [
        1
    ] * 3


def test_notes_of_the_matrix_explain_only_its_own_marks_and_those_of_the_terminal_also_the_lengths():
    length = [8192] * 10 + [16384] * 10
    rows = make_rows("rlm", [1.0, 0.0] * 10, length=length, cluster=[f"w{i // 5}" for i in range(20)])
    failed = make_rows("base", [1.0] * 20, length=length, status=["error"] * 2 + ["ok"] * 18)
    scores = scores_table(pd.concat([rows, failed]))
    notes = "\n".join(matrix_of(scores).notes)
    assert "†" not in notes
    assert "not stated" not in notes
    assert "† one or two context windows" in compact(scores)
    assert "oolong 8K, base: 2 of 10 samples ended in errors" in compact(scores)
    reference = matrix_of(scores_table(make_rows("oracle", [1.0, 1.0])))
    assert reference.notes[0] == "score in percent [95% interval]"


def test_a_cell_has_score_interval_mark_cost_and_seconds_over_all_lengths():
    length, status = [8192] * 10 + [16384] * 10, ["ok"] * 15 + ["context_overflow"] * 5
    rows = [
        make_rows("base", [1.0] * 15 + [0.0] * 5, length=length, status=status, wall_s=12.0),
        make_rows("rlm", [1.0] * 20, length=length, cost_usd=0.0123, wall_s=3.04),
        make_rows("oracle", [1.0] * 20, length=length),
        make_rows("base", [1.0, 0.0], benchmark="codeqa"),
    ]
    entries = entries_of(pd.concat(rows))
    base, rlm, oracle = (entries["oolong", name] for name in ("base", "rlm", "oracle"))
    assert (base.score, base.mark, base.cost, base.seconds, base.n) == ("75.0", "*", "$0.10", "12 s", "20")
    assert (rlm.score, rlm.mark, rlm.cost, rlm.seconds, rlm.best) == ("100.0", "", "$0.012", "3.0 s", True)
    assert rlm.interval == f"[{rlm.low:.0f}, {rlm.high:.0f}]"
    assert (oracle.cost, oracle.seconds) == ("", "")
    assert entries["codeqa", "rlm"] is None
    text = compact(scores_table(pd.concat(rows)))
    assert "oolong, all lengths (n=20)" in text
    assert f"**100.0** {rlm.interval} $0.012 3.0 s" in text


def test_the_papers_figure_stands_below_ours_only_at_the_papers_length():
    at = {"benchmark": "oolong", "length": 131_072}
    samples = make_rows("base", [1.0, 0.0] * 25, **at)
    entry = entries_of(samples)["oolong", "base"]
    assert (entry.paper, entry.verdict) == ("44.0", "consistent")
    assert "paper 44.0: consistent" in matrix_text(scores_table(samples))
    both = pd.concat([samples, make_rows("base", [1.0] * 4, sample_id=list("abcd"), benchmark="oolong", length=8192)])
    assert entries_of(both)["oolong", "base"].paper == ""
    assert scores_table(both).set_index("size").loc[131_072, "published"] == 44.0


def test_a_cell_without_a_score_states_so_with_its_reason():
    samples = pd.concat([make_rows("rlm", [0.0] * 10, status="error"), make_rows("base", [1.0] * 10)])
    entry = entries_of(samples)["oolong", "rlm"]
    assert (entry.score, entry.interval, entry.point) == ("not stated", "", None)
    assert entry.why == "10 of 10 samples ended in errors"


NASTY = ["50%_#$ & {\\cmd} ~^", '[a] * <b> | "q" `x`', "naïve ñ ß Ł 中 𝄞", "line\nbreak \x1b[31m"]


def nasty_rows():
    """A matrix of two models, with names of methods that LaTeX would read as commands, and every mark."""
    marked = {"status": ["context_overflow", "ok"] * 10, "per_window": 20, "prompt_cut": True}
    rows = [
        make_rows(method, [float((i + k) % 3 > 0) for i in range(20)], benchmark=benchmark, model=model, **marked)
        for k, method in enumerate(NASTY)
        for benchmark in ("oolong", "a_b & c")
        for model in ("gpt-5", "qwen_3%")
    ]
    rows.append(make_rows("oracle", [1.0] * 20))
    return pd.concat(rows, ignore_index=True)


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4, unique=True))
@settings(max_examples=15, deadline=None)
def test_latex_of_any_names_keeps_its_columns(names):
    samples = pd.concat([make_rows(name, [1.0, 0.0]) for name in names if name not in ("oracle", "floor")] or
                        [make_rows("base", [1.0])])  # fmt: skip
    lines = latex_matrix(matrix_of(scores_table(samples))).splitlines()
    rows = [line for line in lines if line.endswith("\\\\")]
    assert len(rows) == 2 + 2 * samples["method"].nunique()
    assert all(row.replace("\\&", "").count("&") == 1 for row in rows)
    assert all(line.isascii() or max(line) >= "À" for line in lines)


def test_the_table_goes_into_a_paper_as_it_is(tmp_path):
    program = shutil.which("pdflatex")
    if not program:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-base and texlive-latex-recommended)")
    table = latex_matrix(matrix_of(scores_table(nasty_rows())))
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs}\n\\begin{document}\n"
        f"\\begin{{table}}\n{table}\\end{{table}}\n\\end{{document}}\n"
    )
    words = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    made = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stdout[-2000:]
    assert "! " not in made.stdout
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
