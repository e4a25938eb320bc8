"""The figure of effective context lengths and crossover lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report.figures.style import INK, arm_names, grid, legend_below, length_axis, looks, wrapped
from benchmarks.report.tables.length import with_length
from benchmarks.report.tables.reach import OWN_FRACTION, RULER_THRESHOLD
from benchmarks.report.tables.shared import SharedTables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# The distance of the places for "below the shortest length" and "not reached" from the tested lengths, as a ratio.
_APART = 2.0
_MEASURES = {
    "threshold": (f"effective, {100 * RULER_THRESHOLD:.1f} or more", "o", -0.2),
    "own": (f"effective, {100 * OWN_FRACTION:.0f}% of its own", "s", 0.0),
    "crossover": ("ahead of the baseline from here on", ">", 0.2),
}


def lengths_reached(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw effective and crossover lengths of each method with their 95% intervals, one panel per benchmark.

    Left of the tested lengths stands a method that is below its bar at the shortest one, right of them one that is not
    ahead of the baseline at the longest one.
    """
    table = _table(shared)
    if table is None:
        return None
    by_length = with_length(shared.samples)
    benchmarks = list(dict.fromkeys(table["benchmark"]))
    most = int(table.groupby("benchmark")["arm"].nunique().max())
    figure, panels = grid(plt, len(benchmarks), width=3.9, height=1.5 + 0.42 * most)
    styles = looks(list(dict.fromkeys(table["arm"])))
    for axes, benchmark in zip(panels, benchmarks, strict=True):
        group = table[table["benchmark"] == benchmark]
        arms = list(dict.fromkeys(group["arm"]))
        lengths = sorted(by_length.loc[by_length["benchmark"] == benchmark, "length"].dropna().astype(float).unique())
        length_axis(axes, lengths, ticks=4)
        ends = lengths[0] / _APART, lengths[-1] * _APART
        for row in group.to_dict("records"):
            label, marker, shift = _MEASURES[row["measure"]]
            low, value, high = (min(max(row[name], ends[0]), ends[1]) for name in ("low", "value", "high"))
            y, colour = arms.index(row["arm"]) + shift, styles[row["arm"]].colour
            axes.plot([low, high], [y, y], color=colour, linewidth=1.4, alpha=0.6, zorder=2)
            axes.plot(value, y, marker=marker, color=colour, linestyle="none", zorder=3)
        for edge, text in ((ends[0], "below"), (ends[1], "never")):
            axes.axvspan(edge / _APART**0.5, edge * _APART**0.5, color=INK, alpha=0.05, linewidth=0, zorder=0)
            axes.text(edge, len(arms) - 0.52, text, ha="center", va="bottom", fontsize=7)
        axes.set_xlim(ends[0] / _APART**0.5, ends[1] * _APART**0.5)
        axes.set_yticks(range(len(arms)), [wrapped(arm, 22) for arm in arms])
        axes.set_ylim(len(arms) - 0.5, -0.5)
        axes.set_title(wrapped(str(benchmark), 36), fontsize=9)
    for label, marker, _ in _MEASURES.values():
        panels[0].plot([], [], marker=marker, color="#444444", linestyle="none", label=label)
    legend_below(figure, panels)
    return figure, table


def _table(shared: SharedTables) -> pd.DataFrame | None:
    """Return one row for each length that is stated: measure, value and interval in tokens."""
    import pandas as pd

    effective = shared.effective.rename(columns={"bar": "measure", "effective_length": "value"})
    crossover = shared.crossover.rename(columns={"crossover": "value"})
    crossover = crossover.assign(measure="crossover") if len(crossover) else crossover
    found = pd.concat([table for table in (effective, crossover) if len(table)] or [pd.DataFrame()], ignore_index=True)
    if found.empty or not (stated := found["value"].notna()).any():
        return None
    columns = ["benchmark", "method", "model", "measure", "value", "low", "high", "n", "samples", "epochs"]
    return arm_names(found.loc[stated, columns].reset_index(drop=True))
