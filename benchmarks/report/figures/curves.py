"""Figures of scores and costs over the length of the input and the number of documents."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.report.figures.style import (
    INK,
    arm_names,
    dollar_axis,
    grid,
    legend_below,
    length_axis,
    looks,
    score_axis,
    second_axis,
    values_axis,
    wrapped,
)
from benchmarks.report.runs import REFERENCE, without_reference
from benchmarks.report.tables.cells import cells
from benchmarks.report.tables.shared import SharedTables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


# The least ratio between the edge of a shade and a length beside it.
_CLEAR = 1.15
# Bands of more methods would cover each other.
MAX_BANDS = 3


def score_by_length(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw score against input length, one panel per benchmark, with 95% bands. Inputs beyond the window are shaded."""
    table = _several(shared.lengths, "length")
    if table is None:
        return None
    figure, panels = grid(plt, table["benchmark"].nunique())
    for axes, (benchmark, group) in zip(panels, table.groupby("benchmark", sort=False), strict=True):
        _lines(axes, group, table, "length", "score")
        _bands(axes, group, table, "length")
        length_axis(axes, list(group["length"].dropna()), _counts(group))
        score_axis(axes)
        _title(axes, benchmark, group, "length")
        _shade_window(axes, group)
    legend_below(figure, panels)
    return figure, table


def cost_by_length(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw the mean cost of a sample against input length, with both axes logarithmic."""
    return _spent_by_length(plt, shared.lengths, "cost_mean_usd", dollar_axis, "mean cost of a sample")


def runtime_by_length(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw the mean runtime of a sample against input length, with both axes logarithmic, if no sample has a cost."""
    if (shared.samples["cost_usd"] > 0).any():
        return None
    return _spent_by_length(plt, shared.lengths, "runtime_mean_s", second_axis, "mean runtime of a sample")


def _spent_by_length(
    plt: Any, lengths: pd.DataFrame, column: str, spent_axis: Callable[[Any, str], None], label: str
) -> tuple[Figure, pd.DataFrame] | None:
    table = _several(lengths if lengths.empty else without_reference(lengths), "length")
    # A method whose inputs are all too long makes no call.
    spent = None if table is None else _several(table[(table[column] > 0) & (table["overflow_share"] < 100)], "length")
    if table is None or spent is None:
        return None
    table = table[table["benchmark"].isin(set(spent["benchmark"]))]
    figure, panels = grid(plt, spent["benchmark"].nunique())
    for axes, (benchmark, group) in zip(panels, spent.groupby("benchmark", sort=False), strict=True):
        _lines(axes, group, spent, "length", column)
        length_axis(axes, list(group["length"].dropna()), _counts(group))
        _title(axes, benchmark, group, "length")
        spent_axis(axes, "y")
        axes.set_ylabel(label)
        _shade_window(axes, group)
    legend_below(figure, panels)
    return figure, table


def score_and_cost_by_documents(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw score with 95% bands and mean cost against the number of documents in the context."""
    table = _several(_by_documents(shared.pooled), "documents")
    if table is None:
        return None
    figure, panels = grid(plt, 2 * table["benchmark"].nunique(), columns=2)
    for i, (benchmark, group) in enumerate(table.groupby("benchmark", sort=False)):
        score, cost = panels[2 * i : 2 * i + 2]
        for axes in (score, cost):
            values_axis(axes, list(group["documents"].dropna()), "documents")
            _title(axes, benchmark, group, "documents")
        _lines(score, group, table, "documents", "score")
        _bands(score, group, table, "documents")
        score_axis(score)
        paid = group[group["cost_mean_usd"] > 0]
        _lines(cost, paid, table, "documents", "cost_mean_usd")
        cost.set_ylabel("mean cost of a sample")
        if len(paid):
            dollar_axis(cost, "y")
    legend_below(figure, panels)
    return figure, table


def _by_documents(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    table = table[table["documents"].notna().groupby(table["benchmark"]).transform("any").astype(bool)]
    rows = []
    for cell in cells(table, "documents"):
        place, cost = {"documents": cell.first["documents"]}, {"cost_mean_usd": cell.costs.mean()}
        rows.append(cell.arm | place | cell.counts | cell.score() | cost)
    found = pd.DataFrame(rows)
    return found.astype({"documents": "Int64"}) if len(found) else found


def _several(table: pd.DataFrame, column: str) -> pd.DataFrame | None:
    """Return the benchmarks with several values on the axis, None if there is none."""
    if table.empty:
        return None
    table = table[table.groupby("benchmark")[column].transform("nunique") > 1]
    return arm_names(table) if len(table) else None


def _counts(group: pd.DataFrame) -> dict[float, str]:
    """Return the n of the points at each length: `n=20`, or `n=18–20` if methods differ."""
    by_length = group[group["length"].notna()].groupby("length")["n"].agg(["min", "max"])
    return {
        float(length): f"n={low}" if low == high else f"n={low}–{high}"
        for length, low, high in zip(by_length.index, by_length["min"], by_length["max"], strict=True)
    }


def _title(axes: Any, benchmark: str, group: pd.DataFrame, column: str) -> None:
    """Set the benchmark's name, and the number of samples without a place on the axis, as the title."""
    left_out = int(group.loc[group[column].isna(), "n"].sum())
    lines = [wrapped(benchmark, 36)] + ([f"{left_out} without {column} not shown"] if left_out else [])
    axes.set_title("\n".join(lines), fontsize=9)


def _lines(axes: Any, group: pd.DataFrame, table: pd.DataFrame, x: str, y: str) -> None:
    styles = looks(list(dict.fromkeys(table["arm"])))
    for arm, rows in group[group[x].notna()].groupby("arm", sort=False):
        look, rows = styles[arm], rows.sort_values(x)
        places = rows[x].astype(float) * _beside(group, arm)
        axes.plot(places, rows[y], label=arm, color=look.colour, marker=look.marker, linestyle=look.line, zorder=3)


def _bands(axes: Any, group: pd.DataFrame, table: pd.DataFrame, x: str) -> None:
    """Draw 95% intervals: bands for up to MAX_BANDS methods, bars through the points for more."""
    styles = looks(list(dict.fromkeys(table["arm"])))
    shown = group[group[x].notna() & ~group["method"].isin(REFERENCE)]
    arms = list(shown.groupby("arm", sort=False))
    for arm, rows in arms:
        rows, colour = rows.sort_values(x), styles[arm].colour
        places = rows[x].astype(float) * _beside(group, arm)
        if len(arms) <= MAX_BANDS:
            axes.fill_between(places, rows["low"], rows["high"], color=colour, alpha=0.13, linewidth=0)
        else:
            axes.vlines(places, rows["low"], rows["high"], color=colour, linewidth=1, alpha=0.6)


def _beside(group: pd.DataFrame, arm: Any) -> float:
    """Return the factor that shifts a method's points if there are more than MAX_BANDS, so that none is hidden."""
    arms = list(dict.fromkeys(group.loc[~group["method"].isin(REFERENCE), "arm"]))
    if len(arms) <= MAX_BANDS or arm not in arms:
        return 1.0
    return float(1.035 ** (arms.index(arm) - (len(arms) - 1) / 2))


def _shade_window(axes: Any, group: pd.DataFrame) -> None:
    """Shade the lengths past the smallest window; a length at which inputs did not fit lies inside the shade."""
    limits = group["context_limit"].dropna()
    left, right = axes.get_xlim()
    if limits.empty:
        return
    window = float(limits.min())
    past = group[(group["overflow_share"] > 0) | (group["length"].astype(float) > window)]["length"].dropna()
    if past.empty and window >= right:
        return
    if len(past):
        first = float(past.min())
        before = max((float(length) for length in group["length"].dropna() if length < first), default=left)
        # Methods that share a length stand beside each other, see `_beside`.
        window = window if before * _CLEAR <= window <= first / _CLEAR else math.sqrt(before * first)
    axes.axvspan(
        max(window, left), right, color=INK, alpha=0.07, linewidth=0, label="past the model's window", zorder=0
    )
    axes.set_xlim(left, right)
