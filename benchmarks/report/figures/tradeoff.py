"""The figure of score against cost: methods of a benchmark with their intervals and the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report.figures.style import (
    Look,
    arm_names,
    dollar_axis,
    grid,
    legend_below,
    looks,
    score_axis,
    second_axis,
    wrapped,
)
from benchmarks.report.runs import REFERENCE
from benchmarks.report.tables.cells import Cell, cells
from benchmarks.report.tables.display import count_texts
from benchmarks.report.tables.shared import SharedTables
from benchmarks.statistics import cluster_ratio_bootstrap

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Enough for the ends of an interval on a logarithmic axis.
_DRAWS = 999


def score_by_cost(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw score against the mean cost of a sample, one panel per benchmark, all lengths together.

    Both have 95% intervals. A line joins the methods of the Pareto front: no other method costs less and scores as
    much. Reference rows, and methods that cost nothing, are horizontal lines. Methods without a known cost are in the
    table only.
    """
    if not _paid(shared.samples):
        return None
    names = {"spent": "cost_mean_usd", "spent_low": "cost_low_usd", "spent_high": "cost_high_usd"}
    return _tradeoff(plt, shared.pooled, "cost_usd", names, dollar_axis, "mean cost of a sample")


def score_by_runtime(plt: Any, shared: SharedTables) -> tuple[Figure, pd.DataFrame] | None:
    """Draw the figure of `score_by_cost` with the mean runtime of a sample, if no method costs anything."""
    if _paid(shared.samples):
        return None
    names = {"spent": "runtime_mean_s", "spent_low": "runtime_low_s", "spent_high": "runtime_high_s"}
    return _tradeoff(plt, shared.pooled, "wall_s", names, second_axis, "mean runtime of a sample")


def _paid(samples: pd.DataFrame) -> bool:
    return bool(((samples["cost_state"] == "known") & (samples["cost_usd"] > 0)).any())


def _tradeoff(
    plt: Any, samples: pd.DataFrame, column: str, names: dict[str, str], axis: Any, label: str
) -> tuple[Figure, pd.DataFrame] | None:
    import pandas as pd

    table = pd.DataFrame([_point(cell, column) for cell in cells(samples)])
    if table.empty:
        return None
    table = arm_names(table)
    table["on_front"] = _on_front(table)
    placed = table[(table["spent"] > 0) & table["score"].notna()]
    if placed.empty:
        return None
    shown = list(dict.fromkeys(placed["benchmark"]))
    table = table[table["benchmark"].isin(shown)]
    styles = looks(list(dict.fromkeys(table["arm"])))
    figure, panels = grid(plt, len(shown), width=3.9)
    for axes, benchmark in zip(panels, shown, strict=True):
        group = table[table["benchmark"] == benchmark]
        _draw(axes, group, styles)
        score_axis(axes)
        axis(axes, "x")
        axes.set_xlabel(label)
        texts = sorted(set(map(str, count_texts(group))))
        n = texts[0] if len(texts) == 1 else f"{group['n'].min()} to {group['n'].max()}"
        axes.set_title(f"{wrapped(str(benchmark), 36)}\nn={n}", fontsize=9)
    legend_below(figure, panels)
    return figure, table.rename(columns=names)


def _draw(axes: Any, group: pd.DataFrame, styles: dict[str, Look]) -> None:
    front = group[group["on_front"] & (group["spent"] > 0)].sort_values("spent")
    if len(front) > 1:
        axes.step(front["spent"], front["score"], where="post", color="#777777", linewidth=4, alpha=0.35,
                  label="Pareto front", zorder=2)  # fmt: skip
    for row in group.to_dict("records"):
        look = styles[row["arm"]]
        if row["method"] in REFERENCE:
            line = {"color": look.colour, "linestyle": look.line, "linewidth": 1}
            axes.axhline(row["score"], label=row["arm"], zorder=1, **line)
        elif row["spent"] == 0 and row["score"] >= 0:
            axes.axhline(row["score"], label=f"{row['arm']}, free", color=look.colour, linestyle=look.line, zorder=1)
        elif row["spent"] > 0:
            at = [[row["spent"] - row["spent_low"]], [row["spent_high"] - row["spent"]]]
            of = [[row["score"] - row["low"]], [row["high"] - row["score"]]]
            axes.errorbar(row["spent"], row["score"], xerr=at, yerr=of, color=look.colour, marker=look.marker,
                          markersize=7, linestyle="none", elinewidth=1.1, label=row["arm"], zorder=3)  # fmt: skip


def _point(cell: Cell, column: str) -> dict[str, Any]:
    rows = cell.rows
    known = rows[column].notna() & ((rows["cost_state"] != "unknown") | (column != "cost_usd"))
    # Reference rows spend nothing.
    spent = rows.loc[known & ~rows["method"].isin(REFERENCE), column].astype(float)
    mean, low, high = cluster_ratio_bootstrap(spent, spent * 0 + 1, rows.loc[spent.index, "cluster"], draws=_DRAWS)
    return cell.arm | cell.counts | cell.score() | {"spent": mean, "spent_low": low, "spent_high": high}


def _on_front(table: pd.DataFrame) -> list[bool]:
    """True for methods that no other method of the benchmark dominates, by the means of score and cost."""
    rows = table.to_dict("records")
    rivals = [row for row in rows if row["method"] not in REFERENCE and row["spent"] >= 0 and row["score"] >= 0]

    def beaten(row: dict[str, Any]) -> bool:
        return any(
            other["benchmark"] == row["benchmark"]
            and other["score"] >= row["score"]
            and other["spent"] <= row["spent"]
            and (other["score"] > row["score"] or other["spent"] < row["spent"])
            for other in rivals
        )

    return [row in rivals and not beaten(row) for row in rows]
