"""Model calls by method, role and model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.report.runs import methods_in_order, prepare, without_reference

if TYPE_CHECKING:
    import pandas as pd

_PERCENT = ("cost_unknown", "replayed", "cut", "failed")


def calls_table(samples: pd.DataFrame, calls: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each method, role and model: calls, tokens and dollars; with several models for each of them.

    Replayed calls count with their original cost. replayed, cut (by the output cap) and failed are in percent.
    """
    import pandas as pd

    if calls.empty:
        return pd.DataFrame()
    rows = without_reference(prepare(samples))
    arm = ["method", "sample_model"] if rows["model"].nunique() > 1 else ["method"]
    counts = rows.rename(columns={"model": "sample_model"}).groupby(arm).size()
    order = {method: place for place, method in enumerate(methods_in_order(prepare(samples)))}
    made = calls.assign(
        unknown=calls["cost_state"] == "unknown",
        cut=calls["finish_reason"] == "length",
        failed=calls["finish_reason"] == "error",
    )
    table = made.groupby([*arm, "role", "model"], observed=True, dropna=False).agg(
        calls=("call_id", "size"), prompt_tokens=("prompt_tokens", "sum"), cached_tokens=("cached_tokens", "sum"),
        completion_tokens=("completion_tokens", "sum"), cost_usd=("cost_usd", "sum"), cost_unknown=("unknown", "mean"),
        replayed=("cache_hit", "mean"), retries=("retries", "sum"), cut=("cut", "mean"), failed=("failed", "mean"),
        median_latency_s=("latency_s", "median"),
    ).reset_index()  # fmt: skip
    for column in _PERCENT:
        table[column] = 100 * table[column].astype(float)
    table["method"] = table["method"].astype(str)
    samples_of = counts.to_dict()
    arms = table[arm].astype(str).itertuples(index=False, name=None)
    per_sample = [
        n / samples_of.get(names if len(arm) > 1 else names[0], math.nan)
        for n, names in zip(table["calls"], arms, strict=True)
    ]
    table.insert(table.columns.get_loc("calls") + 1, "calls_per_sample", per_sample)
    return table.sort_values("method", key=lambda names: names.map(order), kind="stable")
