"""Tables as Markdown, LaTeX and CSV, with texts that try to break out of their cells."""

import csv
import json
import math
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from benchmarks.cli import main
from benchmarks.report.figures.style import wrapped
from benchmarks.report.tables.formats import latex_text, markdown, money, money_with_spread, number, seconds, write_csv

NASTY = [
    "a|b",
    "x & y",
    "50%_#$",
    "{\\cmd}",
    "line\nbreak",
    "<script>alert(1)</script>",
    "=1+1",
    "\x00\x1b[31m",
    "𝄞 ü †",
]


def cells(line):
    """The cells of a Markdown line; an escaped bar is part of a cell."""
    return [cell.strip() for cell in line.replace("\\\\", "\x00").replace("\\|", "\x01").strip("|").split("|")]


def test_markdown_keeps_every_cell_in_its_column():
    lines = markdown(pd.DataFrame({"name": NASTY, "n": range(len(NASTY))})).splitlines()
    assert len(lines) == len(NASTY) + 2
    assert {len(cells(line)) for line in lines} == {2}
    assert {len(line) for line in lines} == {len(lines[0])}
    assert "<script" not in "\n".join(lines)
    assert markdown(pd.DataFrame()) == "(no rows)\n"


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_markdown_of_any_text_keeps_its_shape(texts):
    table = pd.DataFrame({"text": texts, "n": range(len(texts))})
    lines = markdown(table).splitlines()
    assert len(lines) == len(texts) + 2
    assert all(len(cells(line)) == 2 for line in lines)


def test_latex_shows_special_characters_as_themselves():
    assert latex_text("a_b 50% of $5 & #1 {x}") == "a\\_b 50\\% of \\$5 \\& \\#1 \\{x\\}"
    assert latex_text("<b> | ± † ‡ ∞") == (
        "\\textless{}b\\textgreater{} \\textbar{} $\\pm$ \\textdagger{} \\textdaggerdbl{} $\\infty$"
    )
    assert latex_text("\\cmd") == "\\textbackslash{}cmd"
    assert latex_text("naïve 中") == "naïve (U+4E2D)"


def test_csv_has_the_values_and_no_formula(tmp_path):
    path = write_csv(
        pd.DataFrame({"name": ["=cmd()", "-1", "ok"], "score": [-0.5, math.nan, 12.25]}), tmp_path / "t.csv"
    )
    with path.open(newline="") as lines:
        assert list(csv.reader(lines)) == [["name", "score"], ["'=cmd()", "-0.5"], ["'-1", ""], ["ok", "12.25"]]


@pytest.mark.parametrize(
    ("value", "column", "said"),
    [
        (56.04, "score", "56.0"), (0.0, "score", "0.0"), (0.0123456, "x", "0.0123"), (1234.6, "tokens", "1,235"),
        (12, "n", "12"), (True, "x", "yes"), (None, "x", ""), (math.nan, "x", ""), (pd.NA, "x", ""),
        (math.inf, "x", "∞"),
        (0.0004, "p", "<0.001"), (0.04567, "p", "0.046"), (0.5, "cost_mean_usd", "$0.50"), ("text", "x", "text"),
    ],
)  # fmt: skip
def test_numbers_are_formatted_by_type_and_column(value, column, said):
    assert number(value, column) == said


@pytest.mark.parametrize(
    ("dollars", "said"),
    [
        (0, "$0"),
        (1234.5, "$1,234.50"),
        (0.43, "$0.43"),
        (0.00123, "$0.0012"),
        (0.0000456, "$0.000046"),
        (0.001, "$0.0010"),
        (0.0123, "$0.012"),
    ],
)
def test_small_sums_are_not_rounded_to_nothing(dollars, said):
    assert money(dollars) == said


UNSAFE = "\x1b]0;x\x07\u202e[link](javascript:alert(1))"


def test_markdown_has_no_link_of_foreign_text_and_aligns_wide_characters():
    text = markdown(pd.DataFrame({"name": [UNSAFE, "漢字", "ab"], "[h](javascript:x)": [1, 2, 3]}))
    assert "](" not in text and "\x1b" not in text and "\u202e" not in text
    assert {cell_len(line) for line in text.splitlines()} == {cell_len(text.splitlines()[0])}


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_a_csv_of_any_text_has_no_control_characters_and_no_formula(texts):
    with tempfile.TemporaryDirectory() as folder:
        path = write_csv(pd.DataFrame({"=name": texts, "n": range(len(texts))}), Path(folder) / "table.csv")
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(texts) + 1 and rows[0] == ["'=name", "n"]
    for name, _ in rows:
        assert name.isprintable() and not name.lstrip().startswith(("=", "+", "-", "@", "＝"))


def test_a_run_folder_of_somebody_else_cannot_reach_the_terminal(tmp_path, make_run, make_rows, capsys):
    name = f"rlm{UNSAFE}"
    arms = [make_rows(method, [1.0, 0.0], model=UNSAFE) for method in (name, "base")]
    run = make_run("theirs", pd.concat(arms, ignore_index=True))
    manifest = json.loads((run / "run.json").read_text()) | {"name": UNSAFE, "state": UNSAFE, "message": UNSAFE}
    manifest["methods"] = {UNSAFE: {"prompt": UNSAFE}}
    (run / "run.json").write_text(json.dumps(manifest))
    assert main(["report", str(run)]) == 0
    printed = capsys.readouterr()
    written = {
        path: path.read_text() for path in (run / "report").rglob("*.*") if path.suffix in (".md", ".csv", ".tex")
    }
    assert len(written) > 5 and "x1b" in printed.out
    for text in (printed.out, printed.err, *written.values()):
        assert all(c.isprintable() or c in "\n\t" for c in text)
    assert not any("](javascript" in text for path, text in written.items() if path.suffix == ".md")


def test_texts_of_figures_have_no_control_characters():
    assert wrapped("rlm\x1b[31m\u202e $x$", 40) == "rlm\\x1b[31m\\u202e \\$x\\$"


def test_a_spread_has_the_decimals_of_its_mean():
    assert money_with_spread(0.0123, 0.0456) == "$0.012 ± $0.046"
    assert money_with_spread(1.5, 0.001) == "$1.50 ± $0.00"
    assert money_with_spread(0.43, math.nan) == "$0.43"


@pytest.mark.parametrize(("value", "said"), [(0.04, "0.0 s"), (4.4567, "4.5 s"), (31.4, "31 s"), (1234.5, "1,234 s")])
def test_seconds_have_a_tenth_below_ten(value, said):
    assert seconds(value) == said
    assert seconds(math.nan) == ""
