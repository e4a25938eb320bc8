"""Table 1: scores of methods by benchmarks, next to the figures of the paper."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmarks.report.published import compare_with_published, find_published
from benchmarks.report.runs import MARKS, REFERENCE, pooled, prepare
from benchmarks.report.tables.best import best_arms
from benchmarks.report.tables.cells import Cell, cells
from benchmarks.report.tables.display import count_texts, missing, settings
from benchmarks.report.tables.formats import dagger, money, money_with_spread, with_interval

if TYPE_CHECKING:
    import pandas as pd

# Columns that count rows with a failure or a mark, and their names for reading.
KINDS = {
    "context_overflow": "over window", "limit": "limit", "error": "error", "unscored": "unscored",
    "no_answer": "no answer", "truncated": "truncated", "wrong_format": "wrong format", "prompt_cut": "prompt cut",
    "answer_cut": "answer cut", "untagged": "untagged",
}  # fmt: skip
NOT_STATED = "not stated"
_PUBLISHED = ("published", "published_n", "published_hit_context_limit", "published_cost_usd", "difference")


def scores_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each benchmark, size and method; before them, rows over all sizes of a benchmark with several.

    all_lengths: the row is over all sizes, and its size is NaN. best: the method is shown to be better than every other
    method of its model (see `best_arms`); null for one of several sizes. runtime_mean_s: mean seconds of a sample.
    Scores and intervals are in percent over all n rows. limit, context_overflow, error and unscored count rows by
    status; all except limit score 0. no_answer and wrong_format count answered rows; truncated, prompt_cut, answer_cut
    and untagged count all rows. hit_context_limit is the asterisk of the paper. Costs are those of rows with a known
    cost. not_stated: the reason why a cell has no score.
    """
    import pandas as pd

    samples = prepare(samples)
    together = pooled(samples)
    best = best_arms(together)
    sized = set(samples.loc[samples["bucket"] > 0, "benchmark"])
    by_benchmark: dict[str, list[dict[str, Any]]] = {}
    for cell in cells(together):
        benchmark = cell.arm["benchmark"]
        about = {"all_lengths": benchmark in sized, "best": tuple(cell.arm.values()) in best}
        by_benchmark.setdefault(benchmark, []).append(_row(cell) | about)
    for cell in cells(samples[samples["benchmark"].isin(sized)]):
        by_benchmark[cell.arm["benchmark"]].append(_row(cell) | {"all_lengths": False, "best": None})
    return pd.DataFrame([row for rows in by_benchmark.values() for row in rows])


def scores_display(scores: pd.DataFrame) -> pd.DataFrame:
    """Format the table for reading."""
    import pandas as pd

    rows = []
    for row, setting, n in zip(scores.to_dict("records"), settings(scores), count_texts(scores), strict=True):
        verdict = row["verdict"]
        if not missing(row["samples_to_tell"]):
            verdict += f" ({row['samples_to_tell']:.0f} needed)"
        rows.append({
            "benchmark": setting,
            "method": row["method"],
            "model": row["model"],
            "score [95% interval]": _score_text(row),
            "n": n,
            "windows": row["windows"],
            "failures": ", ".join(f"{row[kind]} {name}" for kind, name in KINDS.items() if row[kind]),
            "cost mean ± sd": _cost_text(row),
            "paper": paper_text(row),
            "verdict": verdict,
        })  # fmt: skip
    table = pd.DataFrame(rows)
    return table if table.empty or table["paper"].any() else table.drop(columns=["paper", "verdict"])


def marks(row: dict[str, Any]) -> str:
    """Return the marks after a score: over the window, too few context windows, prompts cut by a server."""
    return ("*" if row["hit_context_limit"] else "") + dagger(row["scope"]) + ("‡" if row["prompt_cut"] else "")


def _row(cell: Cell) -> dict[str, Any]:
    first, group = cell.first, cell.rows
    status = group["status"].value_counts()
    answered = group[group["status"] == "ok"]
    states = set(group["cost_state"])
    score = cell.score()
    return cell.names | {"metric": first["metric"]} | cell.counts | {
        "windows": group["cluster"].nunique(),
        **{name: score[name] for name in ("score", "low", "high")},
        "interval": cell.interval.kind,
        "scope": score["scope"],
        "not_stated": score["not_stated"],
        "hit_context_limit": bool((group["status"] == "context_overflow").any()),
        **{kind: int(status.get(kind, 0)) for kind in ("limit", "context_overflow", "error")},
        "unscored": int(group["unscored"].sum()),
        "no_answer": int((answered["stop_reason"] == "no_answer").sum()),
        "truncated": int(group["truncated"].sum()),
        "wrong_format": int((~answered["format_ok"]).sum()),
        **{name: int(group[name].sum()) for name in MARKS},
        "cost_mean_usd": cell.costs.mean(),
        "cost_sd_usd": cell.costs.std(),
        "cost_state": "unknown" if "unknown" in states else "known" if "known" in states else "free",
        "runtime_mean_s": math.nan if first["method"] in REFERENCE else float(group["wall_s"].mean()),
        **_published(cell),
    }  # fmt: skip


def _published(cell: Cell) -> dict[str, Any]:
    first, group = cell.first, cell.rows
    by_match = "judged_by" in group and (group["judged_by"] == "match").any()
    row = None
    if group["as_published"].all() and not by_match and not cell.not_stated:
        row = find_published(
            first["benchmark"], first["method"].split(" (")[0], first["model"], max_depth=_integer(first["max_depth"]),
            sub_model=first["sub_model"], length=_only(group["length"]), documents=_only(group["documents"]),
        )  # fmt: skip
    if row is None:
        return dict.fromkeys((*_PUBLISHED, "samples_to_tell")) | {"verdict": ""}
    found = compare_with_published(cell.interval, row)
    return {
        "published": row.score,
        "published_n": row.n,
        "published_hit_context_limit": row.hit_context_limit,
        "published_cost_usd": row.cost_mean_usd,
        "difference": found.difference,
        "samples_to_tell": found.samples_to_tell,
        "verdict": found.verdict,
    }


def _score_text(row: dict[str, Any]) -> str:
    if row["not_stated"]:
        return f"{NOT_STATED}: {row['not_stated']}"
    return with_interval(row["score"], row["low"], row["high"], marks(row))


def _cost_text(row: dict[str, Any]) -> str:
    if row["cost_state"] == "free":
        return "" if row["method"] in REFERENCE else "free"
    if missing(row["cost_mean_usd"]):
        return "unknown"
    amount = money_with_spread(row["cost_mean_usd"], row["cost_sd_usd"])
    return amount + (" (part unknown)" if row["cost_state"] == "unknown" else "")


def paper_text(row: dict[str, Any]) -> str:
    """Format the paper's figure with its asterisk, its n and its mean cost: `24.0* (n=50, $0.13)`."""
    if missing(row["published"]):
        return ""
    cost = "" if missing(row["published_cost_usd"]) else f", {money(row['published_cost_usd'])}"
    asterisk = "*" if row["published_hit_context_limit"] is True else ""
    return f"{row['published']:.1f}{asterisk} (n={row['published_n']:.0f}{cost})"


def _only(values: pd.Series) -> int | None:
    """Return the value that all rows share, None if there is none."""
    return _integer(values.iloc[0]) if values.nunique(dropna=False) == 1 else None


def _integer(value: float) -> int | None:
    return None if math.isnan(value) else int(value)
