"""Reports of runs: the table in the terminal, and report.md, table.csv, table.tex, figures and page in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ReportFiles:
    """What was written; iterates over what a reader opens first: page, report, scores, folder of figures."""

    markdown: Path
    csv: Path
    tex: Path
    figures: tuple[Path, ...] = field(default=())
    page: Path | None = None

    def __iter__(self) -> Iterator[Path]:
        yield from (path for path in (self.page, self.markdown, self.csv, self.tex) if path)
        if self.figures:
            yield self.figures[0].parent


def terminal_table(run_folders: Sequence[Path], width: int | None = None) -> str:
    """Methods by benchmarks on one screen, for the terminal. Raises ConfigError for a folder that is not a run."""
    import shutil

    from benchmarks.report.runs import load_runs
    from benchmarks.report.tables.scores import scores_table
    from benchmarks.report.tables.terminal import compact

    runs = load_runs(run_folders)
    lines = [f"{run.name}: {run.missing} samples are missing" for run in runs.runs if run.missing]
    text = compact(scores_table(runs.samples), width or shutil.get_terminal_size((100, 40)).columns)
    return "\n".join([text.rstrip("\n"), *lines])


def write_report(
    run_folders: Sequence[Path],
    out: Path,
    *,
    baseline: str | None = None,
    reveal: frozenset[str] = frozenset(),
) -> ReportFiles:
    """Build the report of one or several runs, finished or not, in the folder `out`, from what is on disk alone.

    Writes report.html, report.md, table.csv and table.tex (the scores), tables/*.csv (every table) and figures/*.
    baseline: the method that others are compared with; the first run's own choice, else its first method.
    reveal: protected benchmarks whose texts the page shows.
    Raises ConfigError for a folder that is not a run and for a baseline that no run has.
    """
    from benchmarks.report.build import build

    return build(list(run_folders), Path(out), baseline, reveal)
