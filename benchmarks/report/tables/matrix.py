"""The matrix on the first screen of a report: methods by benchmarks, for the terminal, Markdown, LaTeX and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.report.published import TOO_FEW
from benchmarks.report.runs import REFERENCE, without_reference
from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.display import ALL_LENGTHS, missing
from benchmarks.report.tables.formats import latex_text, money, printable, seconds, tokens
from benchmarks.report.tables.scores import KINDS, NOT_STATED, marks

if TYPE_CHECKING:
    import pandas as pd


_LEGEND = {
    "*": "* hit the context limit",
    "†": "† one or two context windows: the interval holds for these only",
    "‡": "‡ a server cut prompts: the scores are of shorter inputs than those that were sent",
}
_BEST = "bold: better than every other method of the model (all paired 95% intervals above zero)"
_NUMBERS = {"point": "score", "low": "low", "high": "high"}


@dataclass(frozen=True)
class Entry:
    """A cell of the matrix, as texts, with its score and interval in percent as numbers.

    why: the reason of a cell without a score. verdict: the comparison with the paper's figure.
    """

    score: str
    mark: str
    interval: str
    best: bool
    cost: str
    seconds: str
    paper: str
    verdict: str
    n: str
    why: str
    point: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    """A row of the matrix: a method and its cells, None where it has no samples."""

    method: str
    model: str
    entries: tuple[Entry | None, ...]


@dataclass(frozen=True)
class Matrix:
    """Methods by benchmarks.

    lengths: `all lengths` for a benchmark with several, else empty. counts: n of each benchmark, or an empty text if
    its methods differ. notes: what the figures and marks mean.
    """

    benchmarks: tuple[str, ...]
    lengths: tuple[str, ...]
    counts: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def several_models(self) -> bool:
        return len({line.model for line in self.lines if line.model}) > 1

    def labels(self) -> list[str]:
        """Return the name of each row: the method, and its model if there are several."""
        named = self.several_models
        return [f"{line.method}, {line.model}" if named and line.model else line.method for line in self.lines]

    def column(self, number: int) -> list[Entry | None]:
        """Return the cells of a benchmark."""
        return [line.entries[number] for line in self.lines]

    def for_page(self) -> dict[str, Any]:
        """Return the matrix as values of JSON."""
        return asdict(self) | {"several_models": self.several_models}


def matrix_of(scores: pd.DataFrame) -> Matrix:
    """Make the matrix from the table of scores: each benchmark with all its lengths together, the methods by model."""
    rows = [row for row in scores.to_dict("records") if not missing(row["best"])]
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in rows))
    arms = list(dict.fromkeys((row["method"], row["model"]) for row in rows))
    models = list(dict.fromkeys(model for _, model in arms))
    arms.sort(key=lambda arm: (arm[0] in REFERENCE, models.index(arm[1])))
    found = {(row["method"], row["model"], row["benchmark"]): _entry(row) for row in rows}
    counts = [{entry.n for key, entry in found.items() if key[2] == name} for name in benchmarks]
    sized = {row["benchmark"] for row in rows if row["all_lengths"]}
    return Matrix(
        tuple(benchmarks),
        tuple(ALL_LENGTHS if name in sized else "" for name in benchmarks),
        tuple(n.pop() if len(n) == 1 else "" for n in counts),
        tuple(Line(*arm, tuple(found.get((*arm, name)) for name in benchmarks)) for arm in arms),
        tuple(notes_on(scores[scores["best"].notna()]) if rows else ()),
    )


def heading(benchmark: str, n: str) -> str:
    """Return the heading of a benchmark: `oolong (n=50)`."""
    return f"{benchmark} (n={n})" if n else benchmark


def plain(entry: Entry, n: str) -> str:
    """Format a cell as one line of text; n: the number in the heading, if all cells share it. `**` marks the best."""
    score = f"**{entry.score}**" if entry.best else entry.score
    own = "" if n else f"n={entry.n}"
    return " ".join(filter(None, [score + entry.mark, entry.interval, entry.cost, entry.seconds, own]))


def paper_line(entry: Entry | None) -> str:
    """Return the paper's figure with the verdict, or an empty text."""
    return f"paper {entry.paper}: {entry.verdict}" if entry and entry.paper else ""


def latex_matrix(matrix: Matrix) -> str:
    """Format the matrix as a LaTeX tabular with booktabs rules, ready for a table environment of a paper.

    Below each score are dollars and seconds of a sample and the paper's figure, in a smaller size.
    """
    if not matrix.lines:
        return "% (no rows)\n"
    width = len(matrix.benchmarks)
    lines = [
        r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs}",
        "% Score in percent with its 95% interval; bold: shown to be better than every other method of the same model.",
        "% Below: dollars and seconds of a sample, and the figure of the paper (arXiv:2512.24601) with our verdict.",
        rf"\begin{{tabular}}{{l{'l' * width}}}",
        r"\toprule",
        _latex_row([latex_text("method"), *map(latex_text, matrix.benchmarks)]),
    ]
    if any(matrix.counts):
        lines.append(_latex_row(["", *(_small(f"n={n}" if n else "") for n in matrix.counts)]))
    before = None
    for line in matrix.lines:
        if line.model != before and matrix.several_models:
            title = latex_text(line.model or "reference")
            lines += [r"\midrule", rf"\multicolumn{{{width + 1}}}{{l}}{{\textit{{{title}}}}} \\"]
        elif before is None or (not line.model and before):
            lines.append(r"\midrule")
        before = line.model
        lines += _latex_lines(line, matrix.counts)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_lines(line: Line, counts: Sequence[str]) -> list[str]:
    scores, spent, papers = [latex_text(line.method)], [""], [""]
    for entry, n in zip(line.entries, counts, strict=True):
        if entry is None:
            scores.append("")
            spent.append("")
            papers.append("")
            continue
        score = rf"\textbf{{{latex_text(entry.score)}}}" if entry.best else latex_text(entry.score)
        scores.append(" ".join(filter(None, [score + latex_text(entry.mark), _small(entry.interval)])))
        own = "" if n else f"n={entry.n}"
        spent.append(_small(", ".join(filter(None, [entry.cost, entry.seconds, own]))))
        papers.append(_small(paper_line(entry)))
    return [_latex_row(row) for row in (scores, spent, papers) if any(row)]


def _latex_row(cells: Sequence[str]) -> str:
    # LaTeX would read a leading bracket or asterisk as an argument of the line break before it.
    first = f"{{}}{cells[0]}" if cells[0][:1] in ("[", "*") else cells[0]
    return " & ".join([first, *cells[1:]]) + r" \\"


def _small(text: str) -> str:
    return rf"{{\scriptsize {latex_text(text)}}}" if text else ""


def _entry(row: dict[str, Any]) -> Entry:
    stated = not row["not_stated"]
    paper = "" if missing(row["published"]) else f"{row['published']:.1f}"
    paper += "*" if paper and row["published_hit_context_limit"] is True else ""
    return Entry(
        score=f"{row['score']:.1f}" if stated else NOT_STATED,
        mark=marks(row) if stated else "",
        interval=f"[{row['low']:.0f}, {row['high']:.0f}]" if stated else "",
        best=bool(row["best"]),
        cost=cost_text(row),
        seconds=seconds(row["runtime_mean_s"]),
        paper=paper,
        verdict="too few samples" if row["verdict"] == TOO_FEW else row["verdict"],
        n=str(Counts(row["n"], row["samples"], row["epochs"])),
        why=row["not_stated"],
        **{name: float(row[key]) if stated else None for name, key in _NUMBERS.items()},
    )


def cost_text(row: dict[str, Any]) -> str:
    """Return the mean cost of a sample: `$0.12`, `$?` where a price is unknown, empty where nothing is paid."""
    if row["cost_state"] == "free":
        return ""
    return "$?" if row["cost_state"] == "unknown" else money(row["cost_mean_usd"])


def notes_on(scores: pd.DataFrame) -> list[str]:
    """Return what the figures and marks of these rows of the table of scores mean; with `best`, those of the matrix."""
    if scores.empty:
        return []
    once = scores[scores["best"].notna()]
    rows = once.to_dict("records")
    spent = [("cost", any(map(cost_text, rows))), ("seconds", bool(once["runtime_mean_s"].notna().any()))]
    means = " and ".join(name for name, shown in spent if shown)
    notes = ["score in percent [95% interval]" + (f", mean {means} of a sample" if means else "")]
    models = set(scores["model"]) - {""}
    if len(models) == 1:
        notes.append(f"model: {printable(next(iter(models)))}")
    if once["best"].any():
        notes.append(_BEST)
    of_methods = without_reference(once)
    counts = {name: int(of_methods[kind].sum()) for kind, name in KINDS.items()}
    if any(counts.values()):
        found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        them = "them" if len(of_methods) == len(once) else "those of methods"
        notes.append(f"all samples count in n; among {them}: {found}")
    texts = "".join(marks(row) for row in scores.to_dict("records") if not row["not_stated"])
    notes += [legend for mark, legend in _LEGEND.items() if mark in texts]
    failed = scores[scores["not_stated"] != ""]
    if len(failed):
        notes.append(f"{NOT_STATED}: more than a tenth of the samples of a cell ended in errors:")
        for row in failed.to_dict("records"):
            size = "" if missing(row["size"]) else f" {tokens(row['size'])}"
            where = printable(f"{row['benchmark']}{size}, {row['method']}: {row['not_stated']}")
            notes.append(f"  {where}")
            if row["method"] in REFERENCE:
                notes[-1] += " (a reference row: the scorer or its judge failed)"
    return notes
