"""Figures of the cost and runtime of samples: quantiles by method, and histograms."""

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
from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.cost import QUANTILES
from benchmarks.report.tables.display import count_texts

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Its inputs, and therefore its costs, are a hundred times larger. The paper also omits it from its quantiles.
OUTSIZED = "browsecomp_plus"
_MARKS = {"p25": ("|", 9), "p50": ("o", 6), "p75": ("|", 9), "p95": ("D", 4)}


def cost_quantiles(plt: Any, samples: pd.DataFrame, baseline: str | None) -> tuple[Figure, pd.DataFrame] | None:
    """Draw the cost of a sample at p25, p50, p75 and p95 by method, over all benchmarks except BrowseComp-Plus."""
    found = _quantiles(samples[samples["benchmark"] != OUTSIZED], "cost_usd")
    if found is None:
        return None
    apart = f", {OUTSIZED} left out" if (samples["benchmark"] == OUTSIZED).any() else ""
    return _quantile_figure(plt, found, f"cost of a sample{apart}", dollar_axis), found


def runtime_quantiles(plt: Any, samples: pd.DataFrame, baseline: str | None) -> tuple[Figure, pd.DataFrame] | None:
    """Draw the runtime of a sample at p25, p50, p75 and p95 by method, over all benchmarks."""
    found = _quantiles(samples, "wall_s")
    if found is None:
        return None
    return _quantile_figure(plt, found, "runtime of a sample", second_axis), found


def cost_histograms(plt: Any, samples: pd.DataFrame, baseline: str | None) -> tuple[Figure, pd.DataFrame] | None:
    """Draw histograms of cost, one row per method and one column per benchmark, with equal logarithmic bins.

    In the table, n counts the rows of a panel and left_out those without a positive, known cost.
    """
    import pandas as pd

    table = arm_names(without_reference(samples))
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


def _quantiles(samples: pd.DataFrame, column: str) -> pd.DataFrame | None:
    """Return one row per method: quantiles over n rows; left_out counts the others."""
    import pandas as pd

    table = arm_names(without_reference(samples))
    shown = _positive(table, column)
    rows = []
    for method in methods_in_order(table):
        for arm in dict.fromkeys(table.loc[table["method"] == method, "arm"]):
            of = table["arm"] == arm
            values = table.loc[of & shown, column].astype(float)
            if len(values):
                quantiles = {name: values.quantile(share) for name, share in QUANTILES.items()}
                counts = Counts.of(_one_id(table[of & shown])).columns()
                rows.append({"method": arm} | quantiles | counts | {"left_out": int(of.sum()) - len(values)})
    return pd.DataFrame(rows) if rows else None


def _one_id(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with ids that differ between benchmarks."""
    return rows.assign(sample_id=rows["benchmark"] + "/" + rows["sample_id"])


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
    methods = zip(found["method"], count_texts(found), strict=True)
    names = [wrapped(f"{method} (n={n})", NAME_WIDTH) for method, n in methods]
    axes.set_yticks(range(len(found)), names)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axis(axes, "x")
    axes.set_xlabel(label)
    legend_below(figure, [axes])
    return figure
