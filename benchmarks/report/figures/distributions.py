"""Figures of the cost and runtime of samples: quantiles by method, and histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report.figures.style import (
    arm_names,
    dollar_axis,
    grid,
    legend_below,
    looks,
    second_axis,
    wrapped,
)
from benchmarks.report.runs import methods_in_order, without_reference
from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.cost import QUANTILES
from benchmarks.report.tables.display import count_texts
from benchmarks.report.tables.shared import SharedTables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MARKS = {"p25": ("|", 9), "p50": ("o", 6), "p75": ("|", 9), "p95": ("D", 4)}


def cost_quantiles(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw the cost of a sample at p25, p50, p75 and p95 by method, one panel per benchmark, all lengths together."""
    return _quantile_figure(plt, shared.samples, "cost_usd", "cost of a sample", dollar_axis)


def runtime_quantiles(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw the figure of `cost_quantiles` with the runtime of a sample."""
    return _quantile_figure(plt, shared.samples, "wall_s", "runtime of a sample", second_axis)


def cost_histograms(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw histograms of cost, one row per method and one column per benchmark, with equal logarithmic bins.

    In the table, n counts the rows of a panel and left_out those without a positive, known cost.
    """
    import pandas as pd

    table = arm_names(without_reference(shared.samples))
    shown = _positive(table, "cost_usd")
    if not shown.any():
        return None
    benchmarks, arms = list(dict.fromkeys(table["benchmark"])), list(dict.fromkeys(table.loc[shown, "arm"]))
    low, high = np.log10(table.loc[shown, "cost_usd"].min()), np.log10(table.loc[shown, "cost_usd"].max())
    edges = np.logspace(low - 0.05, high + 0.05, 21)
    styles, rows = looks(arms), []
    figure, panels = grid(plt, len(benchmarks) * len(arms), columns=len(benchmarks), width=2.4, height=1.7)
    cells = [(arm, benchmark) for arm in arms for benchmark in benchmarks]
    for axes, (arm, benchmark) in zip(panels, cells, strict=True):
        cell = (table["benchmark"] == benchmark) & (table["arm"] == arm)
        values = table.loc[cell & shown, "cost_usd"]
        counts, _ = np.histogram(values, bins=edges)
        axes.stairs(counts, edges, fill=True, facecolor=styles[arm].colour, alpha=0.85)
        if len(values):
            axes.axvline(values.median(), color="white", linewidth=2)
            axes.axvline(values.median(), color="black", linewidth=1, linestyle=":")
        dollar_axis(axes, "x")
        n = Counts.of(table[cell & shown])
        axes.set_title(f"{wrapped(benchmark, 32)}\n{wrapped(f'{arm} (n={n})', 32)}", fontsize=8)
        if benchmark == benchmarks[0]:
            axes.set_ylabel("samples")
        about = {"benchmark": benchmark, "method": arm} | n.columns() | {"left_out": int((cell & ~shown).sum())}
        rows += [
            about | {"from_usd": low, "to_usd": high, "count": int(count)}
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    figure.supxlabel("cost of a sample (dotted: median)", fontsize=9)
    return figure, pd.DataFrame(rows)


def _positive(table: pd.DataFrame, column: str) -> pd.Series:
    """True for rows with a positive, known value, which a logarithmic axis needs."""
    known = table["cost_state"] != "unknown" if column.startswith("cost") else True
    return (table[column].astype(float) > 0) & known


def _quantiles(samples: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return one row per benchmark and method: quantiles over n rows; left_out counts the others."""
    import pandas as pd

    table = arm_names(without_reference(samples))
    shown = _positive(table, column)
    rows = []
    for benchmark in dict.fromkeys(table["benchmark"]):
        for arm in _arms(table):
            of = (table["arm"] == arm) & (table["benchmark"] == benchmark)
            values = table.loc[of & shown, column].astype(float)
            if len(values):
                quantiles = {name: values.quantile(share) for name, share in QUANTILES.items()}
                about = {"benchmark": benchmark, "method": arm} | quantiles | Counts.of(table[of & shown]).columns()
                rows.append(about | {"left_out": int(of.sum()) - len(values)})
    return pd.DataFrame(rows)


def _arms(table: pd.DataFrame) -> list[str]:
    in_order = {method: i for i, method in enumerate(methods_in_order(table))}
    arms = table.drop_duplicates("arm")
    return sorted(arms["arm"], key=dict(zip(arms["arm"], arms["method"].map(in_order), strict=True)).__getitem__)


def _quantile_figure(
    plt: Any, samples: pd.DataFrame, column: str, label: str, axis: Any
) -> tuple[Figure, pd.DataFrame] | None:
    found = _quantiles(samples, column)
    if found.empty:
        return None
    styles = looks(list(dict.fromkeys(found["method"])))
    panels_of = list(found.groupby("benchmark", sort=False))
    most = max(len(group) for _, group in panels_of)
    figure, panels = grid(plt, len(panels_of), width=3.9, height=1.2 + 0.3 * most)
    for axes, (benchmark, group) in zip(panels, panels_of, strict=True):
        for i, row in enumerate(group.to_dict("records")):
            colour = styles[row["method"]].colour
            axes.plot([row["p25"], row["p75"]], [i, i], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt")
            axes.plot([row["p75"], row["p95"]], [i, i], color=colour, linewidth=1.2, linestyle="--")
            for name, (marker, size) in _MARKS.items():
                axes.plot(row[name], i, marker=marker, markersize=size, color=colour, linestyle="none", zorder=3)
        methods = zip(group["method"], count_texts(group), strict=True)
        axes.set_yticks(range(len(group)), [wrapped(f"{method} (n={n})", 24) for method, n in methods])
        axes.set_ylim(len(group) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axis(axes, "x")
        axes.set_xlabel(label)
        axes.set_title(wrapped(str(benchmark), 36), fontsize=9)
    for name, (marker, size) in _MARKS.items():
        if name != "p75":
            panels[0].plot([], [], marker=marker, markersize=size, color="#444444", linestyle="none",
                           label={"p25": "p25, p75", "p50": "median"}.get(name, name))  # fmt: skip
    legend_below(figure, panels)
    return figure, found
