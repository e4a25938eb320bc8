"""Table 5, what input length does: scores and losses by length, effective context length, crossover length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report.runs import REFERENCE, methods_in_order, pooled, prepare, without_reference
from benchmarks.report.tables.scores import cells, interval_of
from benchmarks.statistics import MIN_CLUSTERS, bootstrap_means, paired_difference

if TYPE_CHECKING:
    import pandas as pd

# RULER's threshold: the score of Llama2-7B at 4K tokens (Hsieh et al. 2024, arXiv:2404.06654).
RULER_THRESHOLD = 0.856
# Share of its own score at the shortest length that a method has to keep.
OWN_FRACTION = 0.85
NEVER = math.inf
# Samples of a length below which the bootstrap is not believed alone: it never draws a score that was not seen.
FEW = 10


def length_table(samples: pd.DataFrame) -> pd.DataFrame:
    """A row a benchmark, method and length: score with interval, cost, and where the points were lost, all in percent.

    score + over_window + limit + error + answered_wrong = 100. over_window: the input did not fit. answered_wrong: the
    method answered and lost points. context_rot: the part of answered_wrong that is above what the method loses of its
    answers at its shortest length, below 0 where it answers better; NaN where it answered nothing there.
    truncated: share of cut inputs or answers.
    """
    import pandas as pd

    rows = []
    wrong_at_shortest: dict[tuple[str, ...], float] = {}
    for group in cells(_with_length(samples), "length"):
        interval, first = interval_of(group), group.iloc[0]
        share = group["status"].value_counts(normalize=True)
        answered = group["status"] == "ok"
        # A limit or an error can still have earned points: only what is missing to 1 was lost.
        lost = {
            name: 100 * float((1 - group.loc[group["status"] == status, "score"]).sum()) / len(group)
            for name, status in (("over_window", "context_overflow"), ("limit", "limit"), ("error", "error"))
        }
        wrong, replied = float((1 - group.loc[answered, "score"]).sum()), int(answered.sum())
        arm = (first["benchmark"], first["method"], first["model"])
        usual = wrong_at_shortest.setdefault(arm, wrong / replied if replied else math.nan)
        paid = group[group["cost_state"] != "unknown"]["cost_usd"]
        rows.append({
            "benchmark": first["benchmark"], "method": first["method"], "model": first["model"],
            "length": int(first["length"]), "n": len(group),
            "score": 100 * interval.estimate, "low": 100 * interval.low, "high": 100 * interval.high,
            "scope": interval.scope,
            **lost,
            "answered_wrong": 100 * wrong / len(group),
            "context_rot": 100 * (wrong - usual * replied) / len(group),
            "overflow_share": 100 * float(share.get("context_overflow", 0.0)),
            "truncated": 100 * float(group["truncated"].mean()),
            "input_tokens": float(group["input_tokens"].mean()),
            "context_limit": first["context_limit"],
            "cost_mean_usd": paid.mean() if len(paid) else math.nan,
            "cost_unknown": 100 * float((group["cost_state"] == "unknown").mean()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def effective_lengths(samples: pd.DataFrame) -> pd.DataFrame:
    """The largest tested length up to which the score stays at or above a bar, with a 95% interval.

    Two rows a method: `threshold` (RULER's bar, the same for all) and `own` (OWN_FRACTION of the method's score at the
    shortest length). 0 means below the bar at the shortest length already; `longest` is the longest that was tested.
    A method that scores 0 there has no bar of its own. The interval is of draws of all scores by the Bayesian bootstrap
    and, of lengths with fewer than FEW samples, at least what the intervals of their means leave possible.
    """
    import pandas as pd

    rows = []
    for group in cells(pooled(_with_length(samples))):
        if group["method"].iloc[0] in REFERENCE or group["length"].nunique() < 2:
            continue
        lengths = sorted(group["length"].unique())
        parts = [group[group["length"] == length] for length in lengths]
        means = np.array([part["score"].mean() for part in parts])
        draws = np.column_stack([_draws(part[["score"]], part, i)[:, 0] for i, part in enumerate(parts)])
        ends = np.array([(found.low, found.high) for found in map(interval_of, parts)]).T
        ends = np.where(_few(parts), ends, means)
        bars = {"threshold": np.full(2, RULER_THRESHOLD), "own": np.maximum(OWN_FRACTION * ends[:, 0], 1e-9)}
        for bar, limit, limits in (
            ("threshold", np.full(1, RULER_THRESHOLD), np.full(len(draws), RULER_THRESHOLD)),
            ("own", OWN_FRACTION * means[:1], OWN_FRACTION * draws[:, 0]),
        ):
            if not limit[0]:
                continue
            found = _stays_above(means[None, :], limit, lengths)[0]
            low, high = _quantiles(_stays_above(draws, limits, lengths), found)
            # Of a few samples the bootstrap knows too little: where theirs reach further, the intervals of the means.
            lowest = ends[:1].copy()
            if bar == "own":
                lowest[0, 0] = 1.0  # at the shortest length a method is at its own score, whatever that is
            low = min(low, _stays_above(lowest, bars[bar][1:], lengths)[0])
            high = max(high, _stays_above(ends[1:], bars[bar][:1], lengths)[0])
            rows.append({
                "benchmark": group["benchmark"].iloc[0], "method": group["method"].iloc[0],
                "model": group["model"].iloc[0], "bar": bar, "bar_score": 100 * float(limit[0]),
                "effective_length": found, "low": low, "high": high,
                "shortest": lengths[0], "longest": lengths[-1], "n": len(group),
            })  # fmt: skip
    return pd.DataFrame(rows)


def crossover_lengths(samples: pd.DataFrame, *, baseline: str = "base") -> pd.DataFrame:
    """The smallest tested length from which on a method stays ahead of the baseline, on the samples both have.

    Infinite where it is not ahead at the longest length. ahead_at_shortest: it overtakes at or below the shortest
    length, so that the crossover itself lies outside what was tested. Interval as in `effective_lengths`, both methods
    drawn together.
    """
    import pandas as pd

    table = _with_length(without_reference(prepare(samples)))
    rows = []
    for (benchmark, model), group in table.groupby(["benchmark", "model"], sort=False):
        wide = group.pivot_table(index=["length", "cluster", "sample_id"], columns="method", values="score")
        if baseline not in wide:
            continue
        for method in methods_in_order(group):
            if method == baseline:
                continue
            pairs = wide[[method, baseline]].dropna().reset_index()
            lengths = sorted(pairs["length"].unique())
            if len(lengths) < 2:
                continue
            parts = [pairs[pairs["length"] == length] for length in lengths]
            gaps = np.array([(part[method] - part[baseline]).mean() for part in parts])
            draws = np.column_stack(
                [_draws(part[[method, baseline]], part, i) @ [1.0, -1.0] for i, part in enumerate(parts)]
            )
            found = _ahead_from(gaps[None, :], lengths)[0]
            low, high = _quantiles(_ahead_from(draws, lengths), found)
            tests = [paired_difference(part[method], part[baseline], part["cluster"]) for part in parts]
            ends = np.where(_few(parts), np.array([(test.low, test.high) for test in tests]).T, gaps)
            low = min(low, _ahead_from(ends[1:], lengths)[0])
            high = max(high, _ahead_from(ends[:1], lengths)[0])
            rows.append({
                "benchmark": benchmark, "method": method, "model": model, "baseline": baseline,
                "crossover": found, "low": low, "high": high, "ahead_at_shortest": bool(found == lengths[0]),
                "shortest": lengths[0], "longest": lengths[-1], "n": len(pairs),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _with_length(samples: pd.DataFrame) -> pd.DataFrame:
    table = prepare(samples)
    return table[table["length"].notna()]


def _draws(columns: pd.DataFrame, part: pd.DataFrame, seed: int) -> np.ndarray:
    clusters = part["cluster"] if part["cluster"].nunique() >= MIN_CLUSTERS else part["sample_id"]
    return bootstrap_means(columns.to_numpy(float), clusters.to_numpy(), seed=seed)


def _stays_above(scores: np.ndarray, bars: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
    """Largest length up to which each row of scores (rows, lengths) stays at or above its bar; 0 where none.

    A bar of 0, the share of a score of 0, is met by nothing.
    """
    above = (scores >= bars[:, None] - 1e-12) & (bars[:, None] > 0)
    count = np.where(above.all(axis=1), above.shape[1], np.argmin(above, axis=1))
    return np.array([0.0, *lengths])[count]


def _ahead_from(gaps: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
    """Smallest length from which each row of gaps (rows, lengths) is above 0 to the end; infinite where none."""
    behind = gaps[:, ::-1] <= 1e-12
    ahead = np.where(behind.any(axis=1), np.argmax(behind, axis=1), gaps.shape[1])
    return np.array([*lengths, NEVER])[gaps.shape[1] - ahead]


def _few(parts: Sequence[pd.DataFrame]) -> np.ndarray:
    """Which parts are of fewer samples than draws of them tell anything about."""
    return np.array([part["sample_id"].nunique() < FEW for part in parts])


def _quantiles(draws: np.ndarray, found: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
    return min(float(low), float(found)), max(float(high), float(found))
