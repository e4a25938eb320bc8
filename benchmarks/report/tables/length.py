"""Table 5: scores and lost points by input length."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from benchmarks.report.runs import pooled
from benchmarks.report.tables.cells import Cell, cells

if TYPE_CHECKING:
    import pandas as pd

_LOST = {"over_window": "context_overflow", "limit": "limit", "error": "error"}


def length_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each benchmark, method and length: score with interval, cost, runtime and lost
    points, in percent.

    score + over_window + limit + error + answered_wrong = 100. over_window: the input did not fit. answered_wrong: the
    method answered and lost points. context_rot: the part of answered_wrong above what the method loses of its answers
    at its shortest length, negative if it answers better; NaN without answers there. truncated: percent of samples with
    a cut input or answer. Samples without a length have a separate row, with an empty length.
    """
    import pandas as pd

    by_length = list(cells(with_length(samples), "length"))
    usual = _usual(by_length)
    found = pd.DataFrame(
        [_row(cell, usual[tuple(cell.arm.values())]) | {"length": cell.first["length"]} for cell in by_length]
    )
    return found.astype({"length": "Int64"}) if len(found) else found


def with_all_lengths(samples: pd.DataFrame, by_length: pd.DataFrame) -> pd.DataFrame:
    """Return `length_table`, and a row over all lengths before the rows of a method with several (all_lengths).

    by_length: the `length_table` of these samples.
    """
    import pandas as pd

    if by_length.empty:
        return by_length
    by_length = by_length.assign(all_lengths=False)
    usual = _usual(cells(with_length(samples), "length"))
    parts = dict(iter(by_length.groupby(["benchmark", "method", "model"], sort=False)))
    tables = []
    for cell in cells(with_length(samples)):
        part = parts[tuple(cell.arm.values())]
        if len(part) > 1:
            together = _row(cell, usual[tuple(cell.arm.values())]) | {"length": None, "all_lengths": True}
            tables.append(pd.DataFrame([together]).astype({"length": "Int64"})[list(by_length.columns)])
        tables.append(part)
    return pd.concat(tables, ignore_index=True)


def _row(cell: Cell, usual: float) -> dict[str, Any]:
    return cell.arm | {"length": None} | cell.counts | cell.score() | {
        **_lost(cell, usual),
        "overflow_share": 100 * float((cell.rows["status"] == "context_overflow").mean()),
        "truncated": 100 * float(cell.rows["truncated"].mean()),
        "input_tokens": float(cell.rows["input_tokens"].mean()),
        "context_limit": cell.first["context_limit"],
        "cost_mean_usd": cell.costs.mean(),
        "cost_unknown": 100 * float((cell.rows["cost_state"] == "unknown").mean()),
        "runtime_mean_s": float(cell.rows["wall_s"].mean()),
    }  # fmt: skip


def _usual(by_length: Iterable[Cell]) -> dict[tuple[str, ...], float]:
    """Return the share of points that the answers of each arm lose at its shortest length, the first of its cells."""
    usual: dict[tuple[str, ...], float] = {}
    for cell in by_length:
        arm = tuple(cell.arm.values())
        if arm not in usual:
            usual[arm] = math.nan if cell.not_stated else _wrong_share(cell)
    return usual


def with_length(samples: pd.DataFrame) -> pd.DataFrame:
    """Return prepared samples of benchmarks that state lengths, all lengths in one cell; some may have no length."""
    table = pooled(samples)
    return table[table["length"].notna().groupby(table["benchmark"]).transform("any").astype(bool)]


def _lost(cell: Cell, usual: float) -> dict[str, float]:
    """Return points lost by cause, in percent.

    usual: the share that the method's answers lose at its shortest length.
    """
    if cell.not_stated:
        return dict.fromkeys((*_LOST, "answered_wrong", "context_rot"), math.nan)
    group, answered = cell.rows, cell.rows["status"] == "ok"
    # A sample stopped by a limit or an error may have earned points; only the rest was lost.
    lost = {name: 100 * float((1 - group.loc[group["status"] == status, "score"]).sum()) / len(group)
            for name, status in _LOST.items()}  # fmt: skip
    wrong, answers = float((1 - group.loc[answered, "score"]).sum()), int(answered.sum())
    return lost | {
        "answered_wrong": 100 * wrong / len(group),
        "context_rot": 100 * (wrong - usual * answers) / len(group),
    }


def _wrong_share(cell: Cell) -> float:
    """Return the share of points that the method's answers lose; NaN without answers."""
    return float((1 - cell.rows.loc[cell.rows["status"] == "ok", "score"]).mean())
