"""Lays out the scores for the terminal: methods by benchmarks on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report.runs import REFERENCE
from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.display import NO_LENGTH, missing
from benchmarks.report.tables.formats import markdown, money, tokens
from benchmarks.report.tables.scores import KINDS, NOT_STATED, marks

if TYPE_CHECKING:
    import pandas as pd

# A column: its heading and its cells.
Column = tuple[str, list[str]]
_LEGEND = {
    "*": "* hit the context limit",
    "†": "† one or two context windows: the interval holds for these only",
    "‡": "‡ a server cut prompts: the scores are of shorter inputs than those that were sent",
}


def compact(scores: pd.DataFrame, width: int = 100) -> str:
    """Methods by benchmarks: `score* [interval] cost`, with n in the heading, or in the cell if it differs.

    A benchmark with several lengths, or numbers of documents, has a separate block with a column for each. Columns
    that do not fit into `width` characters follow in further blocks. The closing lines explain marks and failures.
    """
    import pandas as pd

    if scores.empty:
        return "(no samples)\n"
    arms = list(dict.fromkeys(zip(scores["method"], scores["model"], strict=True)))
    models = {model for _, model in arms if model}
    labels = [f"{method}, {model}" if len(models) > 1 and model else method for method, model in arms]
    beside: list[Column] = []
    blocks: list[tuple[str, list[Column]]] = [("method", beside)]
    for benchmark, group in scores.groupby("benchmark", sort=False):
        if group["size"].isna().all():
            beside.append(_column(str(benchmark), group, arms))
        else:
            counts = sorted({_counts(row) for row in group.to_dict("records")})
            corner = f"{benchmark} (n={counts[0]} each)" if len(counts) == 1 else str(benchmark)
            by_size = group.groupby("size", dropna=False)
            blocks.append((corner, [_size_column(size, part, arms, len(counts) > 1) for size, part in by_size]))
    shown = [
        markdown(pd.DataFrame({corner: labels} | dict(part)))
        for corner, columns in blocks
        for part in _fitting(corner, labels, columns, width)
    ]
    return "\n".join(shown) + "\n".join(_notes(scores, models)) + "\n"


def _column(heading: str, group: pd.DataFrame, arms: Sequence[tuple[str, str]]) -> Column:
    rows = group.to_dict("records")
    counts = [_counts(row) for row in rows]
    cells = {}
    for row, n in zip(rows, counts, strict=True):
        cost = {"free": "", "unknown": " $?", "known": f" {money(row['cost_mean_usd'])}"}[row["cost_state"]]
        text = _score(row, 1) + cost + ("" if len(set(counts)) == 1 else f" n={n}")
        cells[row["method"], row["model"]] = text
    heading = f"{heading} (n={counts[0]})" if len(set(counts)) == 1 else heading
    return heading, [cells.get(arm, "") for arm in arms]


def _size_column(size: float, group: pd.DataFrame, arms: Sequence[tuple[str, str]], counted: bool) -> Column:
    rows = group.to_dict("records")
    counts = [_counts(row) for row in rows]
    same = len(set(counts)) == 1
    cells = {
        (row["method"], row["model"]): _score(row, 0) + ("" if same else f" n={n}")
        for row, n in zip(rows, counts, strict=True)
    }
    name = NO_LENGTH if missing(size) else tokens(size)
    return f"{name} (n={counts[0]})" if same and counted else name, [cells.get(arm, "") for arm in arms]


def _score(row: dict[str, Any], digits: int) -> str:
    if row["not_stated"]:
        return NOT_STATED
    comma = ", " if digits else ","
    return f"{row['score']:.{digits}f}{marks(row)} [{row['low']:.0f}{comma}{row['high']:.0f}]"


def _counts(row: dict[str, Any]) -> str:
    return str(Counts(row["n"], row["samples"], row["epochs"]))


def _fitting(corner: str, labels: Sequence[str], columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Return the columns in blocks that fit into the width."""
    parts: list[list[Column]] = []
    start = max(map(len, [*labels, corner])) + 4
    used = width + 1
    for heading, cells in columns:
        size = max(map(len, [heading, *cells])) + 3
        if used + size > width:
            parts.append([])
            used = start
        parts[-1].append((heading, cells))
        used += size
    return parts


def _notes(scores: pd.DataFrame, models: set[str]) -> list[str]:
    paid = (scores["cost_state"] == "known").any() and scores["size"].isna().any()
    notes = ["score in percent [95% interval]" + (", mean cost of a sample" if paid else "")]
    if len(models) == 1:
        notes.append(f"model: {next(iter(models))}")
    counts = {name: int(scores[kind].sum()) for kind, name in KINDS.items()}
    if any(counts.values()):
        found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        notes.append(f"all samples count in n; among them: {found}")
    texts = "".join(marks(row) for row in scores.to_dict("records") if not row["not_stated"])
    notes += [legend for mark, legend in _LEGEND.items() if mark in texts]
    failed = scores[scores["not_stated"] != ""]
    if len(failed):
        notes.append(f"{NOT_STATED}: more than a tenth of the samples of a cell ended in errors:")
        for row in failed.to_dict("records"):
            size = "" if missing(row["size"]) else f" {tokens(row['size'])}"
            notes.append(f"  {row['benchmark']}{size}, {row['method']}: {row['not_stated']}")
            if row["method"] in REFERENCE:
                notes[-1] += " (a reference row: the scorer or its judge failed)"
    return notes
