"""Table 6: behaviour on the way to correct and incorrect answers, first decompositions, and stop reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report.runs import prepare, without_reference
from benchmarks.report.tables.cells import cells
from benchmarks.report.tables.pairing import SOLVED

if TYPE_CHECKING:
    import pandas as pd


def behaviour_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each benchmark, method and outcome: correct (a score of at least SOLVED), incorrect or error.

    Turns, cells and sub-calls are means; cost and runtime are medians. syntax_error: percent of samples with a syntax
    error. contradicts_variable: percent of samples whose literal answer differs from the answer variable, where known.
    """
    import pandas as pd

    table = without_reference(prepare(samples))
    outcome = table["score"].ge(SOLVED).map({True: "correct", False: "incorrect"}).mask(table["failed"], "error")
    rows = []
    for cell in cells(table.assign(outcome=outcome), "outcome"):
        group = cell.rows
        rows.append(cell.names | {"outcome": cell.first["outcome"]} | cell.counts | {
            "turns": float(group["turns"].mean()), "cells": float(group["cells"].mean()),
            "sub_calls": float(group["sub_calls"].mean()), "max_sub_calls": int(group["sub_calls"].max()),
            "syntax_error": 100 * float((group["syntax_errors"] > 0).mean()),
            "contradicts_variable": 100 * float(group["contradicts_variable"].dropna().astype(float).mean()),
            "median_cost_usd": float(cell.costs.median()),
            "median_runtime_s": float(group["wall_s"].median()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def decomposition_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each benchmark, method and kind of first decomposition, with its share and mean score.

    Kinds are those of rlm.methods.rlm.strategy.Decomposition; `none` is a root that did not read the context.
    """
    import pandas as pd

    table = without_reference(prepare(samples))
    if "decomposition" not in table:
        return pd.DataFrame()
    known = table.groupby("method")["decomposition"].transform("count") > 0
    table = table[known]
    table = table.assign(decomposition=table["decomposition"].astype(object).fillna("none"))
    return pd.DataFrame(_shares(table, "decomposition"))


def stops_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each benchmark, method and stop reason except an answer, with its share and mean score."""
    import pandas as pd

    rows = _shares(without_reference(prepare(samples)), "stop_reason")
    return pd.DataFrame([row for row in rows if row["stop_reason"] not in ("answer", "")])


def _shares(table: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Make one row for each cell and value of the column: counts, share of the cell in percent, mean score."""
    whole = {tuple(map(str, cell.names.values())): cell for cell in cells(table)}
    rows = []
    for cell in cells(table, column):
        of = whole[tuple(map(str, cell.names.values()))]
        rows.append(cell.names | {column: cell.first[column]} | cell.counts | {
            "share": 100 * len(cell.rows) / len(of.rows), "score": of.mean(cell.rows["score"]),
        })  # fmt: skip
    return rows
