"""Reports of runs: a table in the terminal, and a folder with report.md, table.csv, table.tex, figures and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report. Iteration yields those that a reader opens first. table: the text for the terminal."""

    markdown: Path
    csv: Path
    tex: Path
    figures: tuple[Path, ...] = field(default=())
    page: Path | None = None
    table: str = ""

    def __iter__(self) -> Iterator[Path]:
        yield from (path for path in (self.page, self.markdown, self.csv, self.tex) if path)
        if self.figures:
            yield self.figures[0].parent


def write_report(
    run_folders: Sequence[Path],
    out: Path,
    *,
    baseline: str | None = None,
    reveal: frozenset[str] = frozenset(),
    tell: Callable[[str], None] = lambda step: None,
) -> ReportFiles:
    """Write the report of one or several runs, finished or not, into the folder `out`, without network access.

    Writes report.html, report.md, table.csv and table.tex (the scores), tables/*.csv (every table) and figures/*.
    baseline: the method with which others are compared; by default that of the first run, else its first method.
    reveal: protected benchmarks whose texts the page shows. tell: called with each step when it begins.
    Raises ConfigError for a folder that is not a run and for a baseline without samples.
    """
    from benchmarks.report.build import build

    return build(list(run_folders), Path(out), baseline, reveal, tell)
