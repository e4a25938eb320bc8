"""Table 1, scores of methods by benchmarks beside the paper's, and table 2, what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.report.published import compare_with_published, find_published
from benchmarks.report.runs import methods_in_order, prepare, without_reference
from benchmarks.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.statistics import Interval

FAILURES = ("limit", "context_overflow", "error")
QUANTILES = {"p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def scores_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Table 1: a row a benchmark, size and method.

    Scores and their intervals are in percent over all n rows. limit, context_overflow, error and unscored count the
    rows that ended so; all but those stopped by a limit, which can have earned points, score 0. no_answer and
    wrong_format count answered rows, truncated all. hit_context_limit is the paper's asterisk. Costs are of the rows
    whose cost is known.
    """
    import pandas as pd

    return pd.DataFrame([_score_row(group) for group in cells(prepare(samples))])


def cost_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Table 2: cost, tokens and runtime of a sample at p25, p50, p75, p95, maximum and mean.

    A row a benchmark, method and quantity, those of cost only where something is paid; `unknown` is the share of
    samples whose cost is not known, which are left out of the rows of cost. Cost without discount is what it would be
    if no input had been cached.
    """
    import pandas as pd

    quantities = {
        "cost_usd": "cost, USD", "cost_uncached_usd": "cost without cache discount, USD",
        "prompt_tokens": "prompt tokens", "cached_tokens": "cached prompt tokens",
        "completion_tokens": "completion tokens", "wall_s": "runtime, s",
    }  # fmt: skip
    rows = []
    for group in cells(without_reference(prepare(samples))):
        unknown = group["cost_state"] == "unknown"
        for column, title in quantities.items():
            if "cost" in column and (group["cost_state"] == "free").all():
                continue
            values = group.loc[~unknown, column] if "cost" in column else group[column]
            values = pd.to_numeric(values, errors="coerce").dropna()
            row = cell_of(group) | {"quantity": title, "n": len(values)}
            row |= {name: values.quantile(q) if len(values) else math.nan for name, q in QUANTILES.items()}
            row |= {"max": values.max(), "mean": values.mean(), "unknown": 100 * unknown.mean()}
            rows.append(row)
    return pd.DataFrame(rows)


def cells(samples: pd.DataFrame, *keys: str) -> Iterator[pd.DataFrame]:
    """The rows of each benchmark, size, method and model (and further keys) in the order of a table."""
    order = {name: i for i, name in enumerate(methods_in_order(samples))}
    benchmarks = {name: i for i, name in enumerate(dict.fromkeys(samples["benchmark"]))}
    groups = samples.groupby(["benchmark", "bucket", "method", "model", *keys], observed=True)
    # Sorted by groupby already, so that only the names that have an order of their own are put into it.
    found = sorted(groups, key=lambda g: (benchmarks[g[0][0]], g[0][1], order[g[0][2]]))
    return (group for _, group in found)


def interval_of(group: pd.DataFrame) -> Interval:
    """Interval of the mean score, clustered by context window or, of one or two windows, by sample."""
    clusters, units = group["cluster"].to_numpy(), group["sample_id"].to_numpy()
    return mean_interval(group["score"].to_numpy(float), clusters, units=units)


def _score_row(group: pd.DataFrame) -> dict[str, Any]:
    interval = interval_of(group)
    status = group["status"].value_counts()
    answered = group[group["status"] == "ok"]
    paid = group[group["cost_state"] != "unknown"]["cost_usd"]
    states = set(group["cost_state"])
    row = cell_of(group) | {
        "metric": group["metric"].iloc[0],
        "n": len(group),
        "windows": group["cluster"].nunique(),
        "score": 100 * interval.estimate,
        "low": 100 * interval.low,
        "high": 100 * interval.high,
        "interval": interval.kind,
        "scope": interval.scope,
        "hit_context_limit": bool((group["status"] == "context_overflow").any()),
        **{kind: int(status.get(kind, 0)) for kind in FAILURES},
        "unscored": int(group["unscored"].sum()),
        "no_answer": int((answered["stop_reason"] == "no_answer").sum()),
        "truncated": int(group["truncated"].sum()),
        "wrong_format": int((~answered["format_ok"]).sum()),
        "cost_mean_usd": paid.mean() if len(paid) else math.nan,
        "cost_sd_usd": paid.std(ddof=1) if len(paid) > 1 else math.nan,
        "cost_state": "unknown" if "unknown" in states else "known" if "known" in states else "free",
    }
    return row | _published_columns(group, interval)


def _published_columns(group: pd.DataFrame, interval: Interval) -> dict[str, Any]:
    first = group.iloc[0]
    row = None
    by_match = "judged_by" in group and (group["judged_by"] == "match").any()
    if group["as_published"].all() and not by_match:
        row = find_published(
            first["benchmark"], first["method"].split(" (")[0], first["model"], max_depth=_whole(first["max_depth"]),
            sub_model=first["sub_model"], length=_whole(first["length"]), documents=_whole(first["documents"]),
        )  # fmt: skip
    if row is None:
        columns = ("published", "published_n", "published_hit_context_limit", "published_cost_usd", "difference")
        return dict.fromkeys((*columns, "samples_to_tell")) | {"verdict": ""}
    found = compare_with_published(interval, row)
    return {
        "published": row.score,
        "published_n": row.n,
        "published_hit_context_limit": row.hit_context_limit,
        "published_cost_usd": row.cost_mean_usd,
        "difference": found.difference,
        "samples_to_tell": found.samples_to_tell,
        "verdict": found.verdict,
    }


def cell_of(group: pd.DataFrame) -> dict[str, Any]:
    """The columns that say which cell the rows are of.

    size: tokens, or documents, where the benchmark was run at several of them, else missing.
    """
    first = group.iloc[0]
    size = float(first["bucket"]) or math.nan
    return {"benchmark": first["benchmark"], "size": size, "method": first["method"], "model": first["model"]}


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)
