"""Builds a report: loads the runs, makes the tables and figures, writes all files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config.errors import ConfigError
from benchmarks.report import ReportFiles
from benchmarks.report.about import NOTES, about, figure_note
from benchmarks.report.figures.all import TITLES, write_figures
from benchmarks.report.page.html import write_page
from benchmarks.report.runs import Runs, load_calls, load_runs, with_replayed_time
from benchmarks.report.tables.behaviour import decomposition_table, stops_table
from benchmarks.report.tables.calls import calls_table
from benchmarks.report.tables.cost import cost_table
from benchmarks.report.tables.details import details_display, details_table, judge_table
from benchmarks.report.tables.display import tidy, without_common_model
from benchmarks.report.tables.epochs import epoch_table
from benchmarks.report.tables.formats import markdown, markdown_cell, write_csv
from benchmarks.report.tables.groups import group_table
from benchmarks.report.tables.length import with_all_lengths
from benchmarks.report.tables.matrix import latex_matrix, matrix_of
from benchmarks.report.tables.pairs import BY_LENGTH, pairs_display
from benchmarks.report.tables.reach import crossover_display, effective_display
from benchmarks.report.tables.scores import scores_display, scores_table
from benchmarks.report.tables.second_judge import load_verdicts, second_judge_display, second_judge_table
from benchmarks.report.tables.shared import SharedTables
from benchmarks.report.tables.terminal import compact, matrix_text
from benchmarks.running.run_files import check_folder, write_whole
from benchmarks.running.totals import missing_words
from rlm.terminal import counted

if TYPE_CHECKING:
    import pandas as pd

# Tables with more rows are folded in report.md.
FOLDED_ROWS = 30


@dataclass(frozen=True)
class Table:
    """A table of the report: file name, title, values, and the table formatted for reading."""

    name: str
    title: str
    values: pd.DataFrame
    shown: pd.DataFrame


def build(
    run_folders: Sequence[Path], out: Path, baseline: str | None, reveal: frozenset[str], tell: Callable[[str], None]
) -> ReportFiles:
    """See `benchmarks.report.write_report`."""
    tell("report: reading the runs")
    runs = load_runs(run_folders)
    calls = load_calls(runs)
    runs = replace(runs, samples=with_replayed_time(runs.samples, calls))
    shared = SharedTables.of(runs.samples, runs.called(baseline) or runs.baseline)
    check_folder(out)
    try:
        (out / "tables").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be created: {error.strerror or error}") from error
    tell(f"report: making the tables of {counted(len(runs.samples), 'sample')}")
    tables = tables_of(shared, calls, load_verdicts(runs))
    tell("report: drawing the figures")
    figures = write_figures(shared, out / "figures")
    tell("report: writing the page")
    scores = tables[0]
    for table in tables:
        file = out / "tables" / f"{table.name}.csv"
        if len(table.values) or table is scores:
            write_csv(table.values, file)
        else:
            file.unlink(missing_ok=True)
    tables = [table for table in tables if len(table.values) or table is scores]
    write_csv(scores.values, out / "table.csv")
    matrix = matrix_of(scores.values)
    write_whole(out / "table.tex", latex_matrix(matrix))
    write_whole(out / "report.md", _markdown(runs, tables, figures, out))
    page, *_ = write_page(
        runs,
        out,
        {table.title: table.shown for table in tables},
        figures,
        notes={table.title: NOTES.get(table.name, "") for table in tables},
        matrix=matrix.for_page(),
        reveal=reveal,
    )
    text = screen(runs, scores.values)
    return ReportFiles(out / "report.md", out / "table.csv", out / "table.tex", tuple(figures), page, text)


def screen(runs: Runs, scores: pd.DataFrame | None = None) -> str:
    """Return the scores for the terminal, and a line for each run with missing samples or mixed endpoints."""
    scores = scores_table(runs.samples) if scores is None else scores
    lines = [compact(scores, shutil.get_terminal_size((100, 40)).columns).rstrip("\n")]
    for run in runs.runs:
        lines += [f"{run.name}: {warning}" for warning in run.mixed]
        lines += [f"{run.name}: {missing_words(run.missing)}"] if run.missing else []
    return "\n".join(lines)


def make_tables(
    samples: pd.DataFrame, calls: pd.DataFrame, baseline: str | None, verdicts: pd.DataFrame | None = None
) -> list[Table]:
    """Return all tables of samples, see `tables_of`."""
    return tables_of(SharedTables.of(samples, baseline), calls, verdicts)


def tables_of(shared: SharedTables, calls: pd.DataFrame, verdicts: pd.DataFrame | None = None) -> list[Table]:
    """Return all tables, including those without rows; the scores come first. verdicts: those of further judges."""
    import pandas as pd

    samples, together, pairs = shared.samples, shared.pooled, shared.pairs
    single = pd.Series([str(row).endswith(BY_LENGTH) for row in pairs.get("family", ())], index=pairs.index, dtype=bool)
    effective, crossover = shared.effective, shared.crossover
    lengths = with_all_lengths(samples, shared.lengths)
    scores, details = scores_table(samples), details_table(together)
    second = second_judge_table(together, verdicts)
    made = [
        Table("scores", "Scores", scores, scores_display(scores)),
        Table("pairs", f"Paired differences against {shared.baseline}", pairs, pairs_display(pairs[~single])),
        Table("pairs_by_length", "Paired differences by length", pairs[single], pairs_display(pairs[single])),
        _plain("cost", "Cost, tokens and runtime of a sample", cost_table(together)),
        _plain("calls", "Model calls", calls_table(samples, calls)),
        _plain("lengths", "Scores by input length, and where points were lost", lengths),
        Table("effective_lengths", "Effective context length", effective, effective_display(effective)),
        Table("crossover_lengths", "Crossover length", crossover, crossover_display(crossover)),
        _plain("groups", "Scores by task group and complexity", group_table(together)),
        _plain("epochs", "Epochs: spread, pass@k and majority", epoch_table(samples)),
        Table("details", "Details of the score", details, details_display(details)),
        _plain("judge", "Judge against match", judge_table(samples)),
        Table("second_judge", "Two judges on the same answers", second, second_judge_display(second)),
        _plain("behaviour", "Behaviour by outcome", shared.behaviour),
        _plain("decomposition", "First decomposition of the context", decomposition_table(together)),
        _plain("stops", "Stop reasons other than an answer", stops_table(together)),
    ]
    return [replace(table, shown=without_common_model(table.shown)) for table in made]


def _plain(name: str, title: str, values: pd.DataFrame) -> Table:
    return Table(name, title, values, tidy(values))


def _markdown(runs: Runs, tables: Sequence[Table], figures: Sequence[Path], out: Path) -> str:
    scores = next(table.values for table in tables if table.name == "scores")
    parts = ["# Report\n", matrix_text(scores), about(runs)]
    for table in tables:
        text = markdown(table.shown)
        if len(table.shown) > FOLDED_ROWS:
            text = f"<details><summary>{counted(len(table.shown), 'row')}</summary>\n\n{text}\n</details>\n"
        parts.append(f"## {markdown_cell(table.title)}\n\n{NOTES.get(table.name, '')}{text}")
    pictures = [path for path in figures if path.suffix == ".png"]
    if pictures:
        parts.append("## Figures\n")
        for path in pictures:
            title, file = TITLES[path.stem], path.relative_to(out)
            values = f"Values: [{path.stem}.csv]({file.with_suffix('.csv')})"
            parts.append(
                "\n\n".join(filter(None, [f"### {title}", f"![{title}]({file})", figure_note(path), values])) + "\n"
            )
    return "\n".join(parts)
