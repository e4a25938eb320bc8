"""Draws all figures of a report, each as PNG, SVG and a CSV file with its values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.report.figures.curves import (
    cost_by_length,
    runtime_by_length,
    score_and_cost_by_documents,
    score_by_length,
)
from benchmarks.report.figures.distributions import cost_histograms, cost_quantiles, runtime_quantiles
from benchmarks.report.figures.outcomes import solved_by, subcalls_by_outcome
from benchmarks.report.figures.reach import lengths_reached
from benchmarks.report.figures.style import drawing, save
from benchmarks.report.figures.tradeoff import score_by_cost, score_by_runtime
from benchmarks.report.tables.formats import write_csv
from benchmarks.report.tables.shared import SharedTables

# Titles of the figures in the page and in report.md, by the name of the function.
TITLES = {
    "score_by_cost": "Score against cost",
    "score_by_runtime": "Score against runtime",
    "score_by_length": "Score against input length",
    "cost_by_length": "Cost against input length",
    "runtime_by_length": "Runtime against input length",
    "lengths_reached": "Effective context length and crossover length",
    "score_and_cost_by_documents": "Score and cost against the number of documents",
    "cost_quantiles": "Spread of the cost of a sample",
    "runtime_quantiles": "Spread of the runtime of a sample",
    "cost_histograms": "Distribution of the cost of a sample",
    "solved_by": "Samples solved by one method, by both and by neither",
    "subcalls_by_outcome": "Sub-calls of correct and incorrect answers",
}

# Functions of pyplot and the tables of a report that return a figure and its table, or None without data.
FIGURES: tuple[Callable[[Any, SharedTables], tuple[Any, Any] | None], ...] = (
    score_by_cost,
    score_by_runtime,
    score_by_length,
    cost_by_length,
    runtime_by_length,
    lengths_reached,
    score_and_cost_by_documents,
    cost_quantiles,
    runtime_quantiles,
    cost_histograms,
    solved_by,
    subcalls_by_outcome,
)


def write_figures(shared: SharedTables, folder: Path) -> list[Path]:
    """Draw every figure that has data, and return the PNG, SVG and CSV files in the order of the report.

    Files of figures without data, from an earlier report in the folder, are removed.
    """
    written: list[Path] = []
    for make in FIGURES:
        name = make.__name__
        with drawing() as plt:
            made = make(plt, shared)
            if made is None:
                for kind in ("png", "svg", "csv"):
                    (folder / f"{name}.{kind}").unlink(missing_ok=True)
                continue
            figure, table = made
            written += save(figure, folder, name)
            written.append(write_csv(table, folder / f"{name}.csv"))
    return written
