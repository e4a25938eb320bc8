"""Figures of samples solved by one method or both, and of sub-calls by correct and incorrect answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report.figures.style import INK, NAME_WIDTH, arm_names, grid, legend_below, wrapped
from benchmarks.report.runs import without_reference
from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.display import count_texts, settings
from benchmarks.report.tables.pairs import METHODS
from benchmarks.report.tables.shared import SharedTables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Shades and hatches that differ in greyscale.
_PARTS = (
    ("only_method", "solved by the method alone", "#0072B2", ""),
    ("both", "by both", "#56B4E9", "..."),
    ("only_baseline", "by the baseline alone", "#D55E00", "///"),
    ("neither", "by neither", "#eeeeee", ""),
)
_OUTCOMES = (("correct", "#0072B2", ""), ("incorrect", "#E69F00", "///"))


def solved_by(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw a bar for each benchmark and method: samples solved only by the method, by both, only by the baseline.

    Refused comparisons, such as of cells in which too many samples failed, have no bar.
    """
    table = shared.pairs
    if table.empty:
        return None
    refused = table["verdict"].str.startswith(("refused", "not comparable"))
    table = table[(table["family"] == METHODS) & (table["n"] > 0) & ~refused].assign(all_lengths=False)
    if table.empty:
        return None
    models = table["model"].nunique() > 1
    figure, axes = plt.subplots(figsize=(7.2, 1.5 + 0.32 * len(table)))
    for i, row in enumerate(table.to_dict("records")):
        start = 0.0
        for name, label, colour, hatch in _PARTS:
            share = 100 * row[name] / row["samples"]
            axes.barh(i, share, left=start, color=colour, hatch=hatch, edgecolor="white" if hatch else colour,
                      linewidth=0.5, height=0.72, label=label)  # fmt: skip
            if share >= 6:
                dark = colour in ("#0072B2", "#D55E00")
                axes.text(start + share / 2, i, f"{row[name]}", ha="center", va="center", fontsize=7.5,
                          color="white" if dark else INK if name == "neither" else "black",
                          bbox={"facecolor": colour, "edgecolor": "none", "pad": 1})  # fmt: skip
            start += share
    labels = [
        f"{setting}: {row['method']}{', ' + row['model'] if models else ''} (n={n})"
        for row, setting, n in zip(table.to_dict("records"), settings(table), count_texts(table), strict=True)
    ]
    axes.set_yticks(range(len(table)), [wrapped(label, NAME_WIDTH) for label in labels])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(wrapped(f"samples (%), against {shared.baseline}", NAME_WIDTH))
    legend_below(figure, [axes])
    parts = [name for name, *_ in _PARTS]
    columns = ["benchmark", "model", "method", "baseline", "n", "samples", "epochs", "unpaired", *parts, "verdict"]
    return figure, table[columns]


def subcalls_by_outcome(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw mean sub-calls by outcome, and, if there are any, the percentage of samples with a syntax error."""
    table = shared.behaviour
    if table.empty:
        return None
    table = arm_names(table)
    table = table[table.groupby(["benchmark", "arm"])["sub_calls"].transform("max") > 0]
    if table.empty:
        return None
    rows = [(arm, benchmark) for benchmark, arm in dict.fromkeys(zip(table["benchmark"], table["arm"], strict=True))]
    shown = [("sub_calls", "mean sub-calls of a sample"), ("syntax_error", "samples with a syntax error (%)")]
    shown = shown if (table["syntax_error"] > 0).any() else shown[:1]
    figure, panels = grid(plt, len(shown), width=3.9, height=1.1 + 0.4 * len(rows))
    for axes, (column, label) in zip(panels, shown, strict=True):
        for k, (outcome, colour, hatch) in enumerate(_OUTCOMES):
            values = table[table["outcome"] == outcome].set_index(["arm", "benchmark"])[column]
            heights = [float(values.get(row, 0.0)) for row in rows]
            places = [i + (k - 0.5) * 0.36 for i in range(len(rows))]
            axes.barh(places, heights, height=0.34, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5,
                      label=outcome)  # fmt: skip
            for place, height, row in zip(places, heights, rows, strict=True):
                text = f" {height:.3g}" if row in values.index else f" none {outcome}"
                axes.text(height, place, text, va="center", fontsize=7)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        # The numbers are next to the bars.
        axes.set_xlim(0, 1.25 * float(table[column].max()))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(label)
        axes.set_yticks(range(len(rows)), [""] * len(rows))
    every = arm_names(without_reference(shared.samples))
    names = [
        f"{benchmark}: {arm} (n={Counts.of(every[(every['arm'] == arm) & (every['benchmark'] == benchmark)])})"
        for arm, benchmark in rows
    ]
    panels[0].set_yticks(range(len(rows)), [wrapped(name, NAME_WIDTH) for name in names])
    legend_below(figure, panels)
    return figure, table.drop(columns=["arm"])
