"""Figures of what samples cost and how long they took: quantiles by method, and histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report.figures.style import (
    NAME_WIDTH,
    arm_names,
    dollar_axis,
    grid,
    legend_below,
    looks,
    second_axis,
    wrapped,
)
from benchmarks.report.runs import methods_in_order, without_reference
from benchmarks.report.tables.scores import QUANTILES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Its costs are those of inputs a hundred times the others', so that the paper leaves it out of its quantiles.
OUTSIZED = "browsecomp_plus"
# Opaque to transparent: from the middle of the distribution out to its tail.
_MARKS = {"p25": ("|", 9), "p50": ("o", 6), "p75": ("|", 9), "p95": ("D", 4)}


def cost_quantiles(plt: Any, samples: pd.DataFrame, baseline: str | None) -> tuple[Figure, pd.DataFrame] | None:
    """Cost of a sample at p25, p50, p75 and p95 by method, over all benchmarks but BrowseComp-Plus."""
    table = samples[(samples["cost_state"] != "unknown") & (samples["benchmark"] != OUTSIZED)]
    found = _quantiles(table, "cost_usd")
    if found is None:
        return None
    apart = f", {OUTSIZED} left out" if (samples["benchmark"] == OUTSIZED).any() else ""
    return _quantile_figure(plt, found, f"cost of a sample{apart}", dollar_axis), found


def runtime_quantiles(plt: Any, samples: pd.DataFrame, baseline: str | None) -> tuple[Figure, pd.DataFrame] | None:
    """Runtime of a sample at p25, p50, p75 and p95 by method, over all benchmarks."""
    found = _quantiles(samples, "wall_s")
    if found is None:
        return None
    return _quantile_figure(plt, found, "runtime of a sample", second_axis), found


def cost_histograms(plt: Any, samples: pd.DataFrame, baseline: str | None) -> tuple[Figure, pd.DataFrame] | None:
    """Histogram of cost, a row of panels a method and a column a benchmark, all over the same logarithmic bins."""
    import pandas as pd

    table = arm_names(_costs(samples, "cost_usd"))
    if table.empty:
        return None
    benchmarks, arms = list(dict.fromkeys(table["benchmark"])), list(dict.fromkeys(table["arm"]))
    low, high = np.log10(table["value"].min()), np.log10(table["value"].max())
    edges = np.logspace(low - 0.05, high + 0.05, 21)
    styles, rows = looks(arms), []
    figure, panels = grid(plt, len(benchmarks) * len(arms), columns=len(benchmarks), width=2.4, height=1.7)
    cells = [(arm, benchmark) for arm in arms for benchmark in benchmarks]
    for axes, (arm, benchmark) in zip(panels, cells, strict=True):
        values = table.loc[(table["benchmark"] == benchmark) & (table["arm"] == arm), "value"]
        counts, _ = np.histogram(values, bins=edges)
        axes.stairs(counts, edges, fill=True, facecolor=styles[arm].colour, alpha=0.85)
        if len(values):
            axes.axvline(values.median(), color="white", linewidth=2)
            axes.axvline(values.median(), color="black", linewidth=1, linestyle=":")
        dollar_axis(axes, "x")
        axes.set_title(f"{wrapped(benchmark, 32)}\n{wrapped(arm, 32)}", fontsize=8)
        if benchmark == benchmarks[0]:
            axes.set_ylabel("samples")
        rows += [
            {"benchmark": benchmark, "method": arm, "from_usd": low, "to_usd": high, "samples": int(count)}
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    figure.supxlabel("cost of a sample (dotted: median)", fontsize=9)
    return figure, pd.DataFrame(rows)


def _costs(samples: pd.DataFrame, column: str) -> pd.DataFrame:
    """Samples of methods with a positive value, since the axes are logarithmic."""
    table = without_reference(samples)
    table = table[table["cost_state"] != "unknown"] if column.startswith("cost") else table
    return table.assign(value=table[column].astype(float))[lambda rows: rows["value"] > 0]


def _quantiles(samples: pd.DataFrame, column: str) -> pd.DataFrame | None:
    import pandas as pd

    table = arm_names(_costs(samples, column))
    if table.empty:
        return None
    found = table.groupby("arm")["value"].quantile(list(QUANTILES.values())).unstack()
    found.columns = list(QUANTILES)
    order = list(dict.fromkeys(_in_order(table)["arm"]))
    rows = found.loc[order].reset_index(names="method")
    counts = table.groupby("arm").size()
    return pd.DataFrame(rows.assign(n=rows["method"].map(counts)))


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    order = {method: i for i, method in enumerate(methods_in_order(table))}
    return table.sort_values("method", key=lambda names: names.map(order), kind="stable")


def _quantile_figure(plt: Any, found: pd.DataFrame, label: str, axis: Any) -> Figure:
    figure, axes = plt.subplots(figsize=(6.2, 1.3 + 0.38 * len(found)))
    styles = looks(list(found["method"]))
    for i, row in enumerate(found.to_dict("records")):
        colour = styles[row["method"]].colour
        axes.plot([row["p25"], row["p75"]], [i, i], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt")
        axes.plot([row["p75"], row["p95"]], [i, i], color=colour, linewidth=1.2, linestyle="--")
        for name, (marker, size) in _MARKS.items():
            axes.plot(row[name], i, marker=marker, markersize=size, color=colour, linestyle="none", zorder=3)
    for name, (marker, size) in _MARKS.items():
        if name != "p75":
            axes.plot([], [], marker=marker, markersize=size, color="#444444", linestyle="none",
                      label="p25, p75" if name == "p25" else name)  # fmt: skip
    names = [wrapped(f"{row['method']} (n={row['n']})", NAME_WIDTH) for row in found.to_dict("records")]
    axes.set_yticks(range(len(found)), names)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axis(axes, "x")
    axes.set_xlabel(label)
    legend_below(figure, [axes])
    return figure
