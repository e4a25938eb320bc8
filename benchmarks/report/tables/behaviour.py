"""Table 6: what methods did on the way to right and wrong answers, which limits they met, and what was called."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmarks.report.runs import methods_in_order, prepare, without_reference
from benchmarks.report.tables.pairs import SOLVED
from benchmarks.report.tables.scores import cell_of, cells

if TYPE_CHECKING:
    import pandas as pd


def behaviour_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Table 6: a row a benchmark, method and outcome (correct is a score of at least SOLVED).

    Means of turns, cells and sub-calls; syntax_error: share in percent of samples with at least one;
    contradicts_variable: of those where it is known, the share whose answer is another than the one that stood ready in
    a variable; cost and runtime at the median.
    """
    import pandas as pd

    table = without_reference(prepare(samples))
    table = table.assign(outcome=table["score"].ge(SOLVED).map({True: "correct", False: "incorrect"}))
    rows = []
    for group in cells(table, "outcome"):
        paid = group.loc[group["cost_state"] != "unknown", "cost_usd"]
        rows.append(cell_of(group) | {
            "outcome": group["outcome"].iloc[0], "n": len(group), "turns": float(group["turns"].mean()),
            "cells": float(group["cells"].mean()), "sub_calls": float(group["sub_calls"].mean()),
            "max_sub_calls": int(group["sub_calls"].max()),
            "syntax_error": 100 * float((group["syntax_errors"] > 0).mean()),
            "contradicts_variable": _share(group["contradicts_variable"]),
            "median_cost_usd": float(paid.median()) if len(paid) else math.nan,
            "median_runtime_s": float(group["wall_s"].median()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def decomposition_table(samples: pd.DataFrame) -> pd.DataFrame:
    """How roots took the context apart first: a row a benchmark, method and kind, with its share and mean score.

    Kinds are those of rlm.methods.rlm.strategy.Decomposition; `none` is a root that did not touch the context.
    """
    import pandas as pd

    table = without_reference(prepare(samples))
    if "decomposition" not in table:
        return pd.DataFrame()
    told = table.groupby("method")["decomposition"].transform("count") > 0
    table = table[told].assign(decomposition=table["decomposition"].astype(object).fillna("none"))
    return pd.DataFrame(_shares(table, "decomposition"))


def stops_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Why samples ended other than with an answer: a row a benchmark, method and stop reason, with its mean score."""
    import pandas as pd

    table = without_reference(prepare(samples))
    rows = _shares(table, "stop_reason")
    return pd.DataFrame([row for row in rows if row["stop_reason"] not in ("answer", "")])


def _shares(table: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """A row a cell and value of the column: how many samples, their share of the cell in percent, their mean score."""
    totals = table.groupby(["benchmark", "bucket", "method", "model"]).size()
    rows = []
    for group in cells(table, column):
        first = group.iloc[0]
        total = totals[first["benchmark"], first["bucket"], first["method"], first["model"]]
        rows.append(cell_of(group) | {
            column: first[column], "n": len(group), "share": 100 * len(group) / total,
            "score": 100 * float(group["score"].mean()),
        })  # fmt: skip
    return rows


def calls_table(samples: pd.DataFrame, calls: pd.DataFrame) -> pd.DataFrame:
    """Model calls by method, role and model: how many, their tokens and dollars, replayed, retried and cut ones.

    cost is the original cost of replayed calls too; replayed, cut (by the output limit) and failed are in percent.
    """
    import pandas as pd

    if calls.empty:
        return pd.DataFrame()
    counts = without_reference(prepare(samples)).groupby("method").size()
    order = methods_in_order(prepare(samples))
    made = calls.assign(
        unknown=calls["cost_state"] == "unknown",
        cut=calls["finish_reason"] == "length",
        failed=calls["finish_reason"] == "error",
    )
    table = made.groupby(["method", "role", "model"], observed=True, dropna=False).agg(
        calls=("call_id", "size"), prompt_tokens=("prompt_tokens", "sum"), cached_tokens=("cached_tokens", "sum"),
        completion_tokens=("completion_tokens", "sum"), cost_usd=("cost_usd", "sum"), cost_unknown=("unknown", "mean"),
        replayed=("cache_hit", "mean"), retries=("retries", "sum"), cut=("cut", "mean"), failed=("failed", "mean"),
        median_latency_s=("latency_s", "median"),
    ).reset_index()  # fmt: skip
    for column in ("cost_unknown", "replayed", "cut", "failed"):
        table[column] = 100 * table[column].astype(float)
    table["method"] = table["method"].astype(str)
    per_sample = table["calls"] / table["method"].map(counts).astype(float)
    table.insert(4, "calls_per_sample", per_sample)
    return table.sort_values("method", key=lambda names: names.map({m: i for i, m in enumerate(order)}), kind="stable")


def _share(flags: pd.Series) -> float:
    """Percent of the flags that are known and set; NaN where none is known."""
    known = flags.dropna().astype(bool)
    return 100 * float(known.mean()) if len(known) else math.nan
