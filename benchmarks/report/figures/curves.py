"""Figures of scores and costs over the length of the input and the number of documents."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmarks.report.figures.style import (
    arm_names,
    dollar_axis,
    grid,
    legend_below,
    length_axis,
    looks,
    values_axis,
    wrapped,
)
from benchmarks.report.runs import REFERENCE, without_reference
from benchmarks.report.tables.length import length_table
from benchmarks.report.tables.scores import cells, interval_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


# Bands of more methods would hide each other.
MAX_BANDS = 3


def score_by_length(plt: Any, samples: pd.DataFrame, baseline: str | None) -> tuple[Figure, pd.DataFrame] | None:
    """Score against input length, a panel a benchmark, with 95% bands; past the model's window is shaded."""
    table = _several(length_table(samples), "length")
    if table is None:
        return None
    figure, panels = grid(plt, table["benchmark"].nunique())
    for axes, (benchmark, group) in zip(panels, table.groupby("benchmark", sort=False), strict=True):
        _lines(axes, group, table, "length", "score")
        _bands(axes, group, table, "length")
        length_axis(axes, list(group["length"]))
        _score_axis(axes, benchmark)
        _shade_window(axes, group)
    legend_below(figure, panels)
    return figure, table


def cost_by_length(plt: Any, samples: pd.DataFrame, baseline: str | None) -> tuple[Figure, pd.DataFrame] | None:
    """Mean cost of a sample against input length, both axes logarithmic."""
    table = length_table(without_reference(samples))
    table = _several(table[table["cost_mean_usd"] > 0] if len(table) else table, "length")
    if table is None:
        return None
    figure, panels = grid(plt, table["benchmark"].nunique())
    for axes, (benchmark, group) in zip(panels, table.groupby("benchmark", sort=False), strict=True):
        _lines(axes, group, table, "length", "cost_mean_usd")
        length_axis(axes, list(group["length"]))
        axes.set_title(wrapped(benchmark, 36))
        dollar_axis(axes, "y")
        axes.set_ylabel("mean cost of a sample")
        _shade_window(axes, group)
    legend_below(figure, panels)
    return figure, table


def score_and_cost_by_documents(
    plt: Any, samples: pd.DataFrame, baseline: str | None
) -> tuple[Figure, pd.DataFrame] | None:
    """Score with 95% bands and mean cost against the number of documents in the context."""
    table = _several(_by_documents(samples), "documents")
    if table is None:
        return None
    figure, panels = grid(plt, 2 * table["benchmark"].nunique(), columns=2)
    for i, (benchmark, group) in enumerate(table.groupby("benchmark", sort=False)):
        score, cost = panels[2 * i : 2 * i + 2]
        for axes in (score, cost):
            values_axis(axes, list(group["documents"]), "documents")
        _lines(score, group, table, "documents", "score")
        _bands(score, group, table, "documents")
        _score_axis(score, benchmark)
        paid = group[group["cost_mean_usd"] > 0]
        _lines(cost, paid, table, "documents", "cost_mean_usd")
        cost.set_title(wrapped(benchmark, 36))
        cost.set_ylabel("mean cost of a sample")
        if len(paid):
            dollar_axis(cost, "y")
    legend_below(figure, panels)
    return figure, table


def _by_documents(samples: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for group in cells(samples[samples["documents"].notna()], "documents"):
        interval, first = interval_of(group), group.iloc[0]
        paid = group.loc[group["cost_state"] != "unknown", "cost_usd"]
        rows.append({
            "benchmark": first["benchmark"], "method": first["method"], "model": first["model"],
            "documents": int(first["documents"]), "n": len(group), "score": 100 * interval.estimate,
            "low": 100 * interval.low, "high": 100 * interval.high,
            "cost_mean_usd": paid.mean() if len(paid) else math.nan,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _several(table: pd.DataFrame, column: str) -> pd.DataFrame | None:
    """The benchmarks with more than one value on the axis, None if there is none."""
    if table.empty:
        return None
    table = table[table.groupby("benchmark")[column].transform("nunique") > 1]
    return arm_names(table) if len(table) else None


def _lines(axes: Any, group: pd.DataFrame, table: pd.DataFrame, x: str, y: str) -> None:
    styles = looks(list(dict.fromkeys(table["arm"])))
    for arm, rows in group.groupby("arm", sort=False):
        look, rows = styles[arm], rows.sort_values(x)
        places = rows[x] * _beside(group, arm)
        axes.plot(places, rows[y], label=arm, color=look.colour, marker=look.marker, linestyle=look.line, zorder=3)


def _bands(axes: Any, group: pd.DataFrame, table: pd.DataFrame, x: str) -> None:
    """95% intervals: bands of up to three methods, of more, which bands would hide, bars through their points."""
    styles = looks(list(dict.fromkeys(table["arm"])))
    arms = list(group[~group["method"].isin(REFERENCE)].groupby("arm", sort=False))
    for arm, rows in arms:
        rows, colour = rows.sort_values(x), styles[arm].colour
        if len(arms) <= MAX_BANDS:
            axes.fill_between(rows[x], rows["low"], rows["high"], color=colour, alpha=0.13, linewidth=0)
        else:
            axes.vlines(rows[x] * _beside(group, arm), rows["low"], rows["high"], color=colour, linewidth=1, alpha=0.6)


def _beside(group: pd.DataFrame, arm: Any) -> float:
    """By what the points of one of more than MAX_BANDS methods are moved, so that equal ones do not hide each other."""
    arms = list(dict.fromkeys(group.loc[~group["method"].isin(REFERENCE), "arm"]))
    if len(arms) <= MAX_BANDS or arm not in arms:
        return 1.0
    return float(1.035 ** (arms.index(arm) - (len(arms) - 1) / 2))


def _score_axis(axes: Any, title: str) -> None:
    axes.set_title(wrapped(title, 36))
    axes.set_ylim(-4, 104)
    axes.set_ylabel("score (%)")


def _shade_window(axes: Any, group: pd.DataFrame) -> None:
    limits = group["context_limit"].dropna()
    left, right = axes.get_xlim()
    if limits.empty or limits.min() >= right:
        return
    window = max(float(limits.min()), left)
    axes.axvspan(window, right, color="#000000", alpha=0.07, linewidth=0, label="past the model's window", zorder=0)
    axes.set_xlim(left, right)
