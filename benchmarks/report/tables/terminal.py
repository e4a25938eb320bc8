"""Lays out the scores as text: the matrix of methods by benchmarks, and a block for each benchmark with lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.display import NO_LENGTH, missing
from benchmarks.report.tables.formats import markdown, markdown_cell, tokens
from benchmarks.report.tables.matrix import Matrix, cost_text, heading, matrix_of, notes_on, paper_line, plain
from benchmarks.report.tables.scores import NOT_STATED, marks

if TYPE_CHECKING:
    import pandas as pd

# A column: its heading and its cells.
Column = tuple[str, list[str]]


def compact(scores: pd.DataFrame, width: int = 100) -> str:
    """Return the matrix, then a block with a column a length for each benchmark with several lengths, then notes.

    A cell is `score* [interval] cost seconds`, with n in the heading, or in the cell if it differs. Columns that do not
    fit into `width` characters follow in further blocks. The closing lines explain marks and failures.
    """
    if scores.empty:
        return "(no samples)\n"
    matrix = matrix_of(scores)
    labels = matrix.labels()
    blocks = _matrix_blocks(matrix, width)
    by_size = scores[scores["best"].isna()]
    arms = [(line.method, line.model) for line in matrix.lines]
    for benchmark, group in by_size.groupby("benchmark", sort=False):
        counts = sorted({_counts(row) for row in group.to_dict("records")})
        corner = f"{benchmark} (n={counts[0]} each)" if len(counts) == 1 else str(benchmark)
        sizes = group.groupby("size", dropna=False)
        columns = [_size_column(size, part, arms, len(counts) > 1) for size, part in sizes]
        blocks += _blocks(corner, labels, columns, width)
    return "\n".join(blocks) + "\n".join(notes_on(scores)) + "\n"


def matrix_text(scores: pd.DataFrame) -> str:
    """Return the matrix as one Markdown table of any width, with its notes."""
    if scores.empty:
        return "(no samples)\n"
    matrix = matrix_of(scores)
    notes = "".join(f"- {markdown_cell(line)}\n" for line in matrix.notes).replace("- *", "- \\*")
    return "\n".join(_matrix_blocks(matrix, 10_000)) + "\n" + notes


def _matrix_blocks(matrix: Matrix, width: int) -> list[str]:
    """Return the matrix in blocks; a method with a figure of the paper has a second row for it."""
    with_paper = [any(paper_line(entry) for entry in line.entries) for line in matrix.lines]
    labels = _with_second_rows(matrix.labels(), [""] * len(with_paper), with_paper)
    columns = []
    for number, (benchmark, n) in enumerate(zip(matrix.benchmarks, matrix.counts, strict=True)):
        entries = matrix.column(number)
        texts = [plain(entry, n) if entry else "" for entry in entries]
        name = ", ".join(filter(None, (benchmark, matrix.lengths[number])))
        columns.append((heading(name, n), _with_second_rows(texts, list(map(paper_line, entries)), with_paper)))
    return _blocks("method", labels, columns, width)


def _with_second_rows(first: Sequence[str], second: Sequence[str], wanted: Sequence[bool]) -> list[str]:
    rows = zip(first, second, wanted, strict=True)
    return [text for one, two, both in rows for text in ((one, two) if both else (one,))]


def _blocks(corner: str, labels: Sequence[str], columns: Sequence[Column], width: int) -> list[str]:
    """Return Markdown tables of the columns that fit into the width."""
    import pandas as pd

    parts: list[list[Column]] = []
    start = max(map(len, [*labels, corner])) + 4
    used = width + 1
    for title, cells in columns:
        size = max(map(len, [title, *cells])) + 3
        if used + size > width:
            parts.append([])
            used = start
        parts[-1].append((title, cells))
        used += size
    return [markdown(pd.DataFrame({corner: labels} | dict(part))) for part in parts]


def _size_column(size: float, group: pd.DataFrame, arms: Sequence[tuple[str, str]], counted: bool) -> Column:
    rows = group.to_dict("records")
    counts = [_counts(row) for row in rows]
    same = len(set(counts)) == 1
    cells = {
        (row["method"], row["model"]): _size_text(row) + ("" if same else f" n={n}")
        for row, n in zip(rows, counts, strict=True)
    }
    name = NO_LENGTH if missing(size) else tokens(size)
    return f"{name} (n={counts[0]})" if same and counted else name, [cells.get(arm, "") for arm in arms]


def _size_text(row: dict[str, Any]) -> str:
    cost = f" {cost_text(row)}".rstrip()
    if row["not_stated"]:
        return NOT_STATED + cost
    return f"{row['score']:.0f}{marks(row)} [{row['low']:.0f},{row['high']:.0f}]{cost}"


def _counts(row: dict[str, Any]) -> str:
    return str(Counts(row["n"], row["samples"], row["epochs"]))
