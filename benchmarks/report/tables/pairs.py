"""Table 3: every method against one other on the samples both have, with what such a comparison can tell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmarks.config.compose import ConfigError
from benchmarks.report.runs import methods_in_order, prepare, without_reference
from benchmarks.statistics import holm, paired_difference

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
# A sample counts as solved from this score on: one right answer, or most of a graded one.
SOLVED = 0.5
BETTER, WORSE, NOT_SHOWN = "better", "worse", "no difference shown"


def choose_baseline(samples: pd.DataFrame, wanted: str | None = None) -> str | None:
    """The method that others are compared with: `wanted`, else `base`, else the first; None without methods.

    Raises ConfigError for one that no sample has.
    """
    methods = methods_in_order(without_reference(prepare(samples)))
    if wanted is None:
        return "base" if "base" in methods else next(iter(methods), None)
    if wanted not in methods:
        raise ConfigError(f"baseline is {wanted!r}: there are the methods {', '.join(methods) or '(none)'}")
    return wanted


def paired_table(samples: pd.DataFrame, *, baseline: str | None = None) -> pd.DataFrame:
    """Table 3: a row a benchmark, size, model and method, method minus baseline, in percent points.

    Each sample counts once, as the mean of its epochs. p_holm is corrected for all rows of the table, and a method is
    better or worse only if p_holm is below 5% and the 95% interval excludes zero. detectable is the smallest true
    difference that would have been found with 80% power at the corrected level. unpaired counts samples that only one
    of the two has and that are left out. Methods run with other output caps or judged by another scorer are refused.
    """
    import pandas as pd

    table = without_reference(prepare(samples))
    baseline = choose_baseline(table, baseline)
    rows = []
    for (benchmark, bucket, model), group in table.groupby(["benchmark", "bucket", "model"], sort=False):
        for method in methods_in_order(group):
            if method == baseline or baseline not in set(group["method"]):
                continue
            cell = {"benchmark": benchmark, "size": bucket or math.nan, "model": model, "method": method}
            rows.append(cell | {"baseline": baseline} | _compare(group, method, str(baseline)))
    adjusted = holm([row["p"] for row in rows])
    alpha = ALPHA / max(1, sum(not math.isnan(p) for p in adjusted))
    for row, p in zip(rows, adjusted, strict=True):
        found = row.pop("found")
        row["p_holm"] = p
        row["detectable"] = 100 * found.detectable(alpha=alpha) if found else math.nan
        row["verdict"] = row["verdict"] or _verdict(row)
    return pd.DataFrame(rows)


def _compare(group: pd.DataFrame, method: str, baseline: str) -> dict[str, Any]:
    ours, theirs = (group[group["method"] == name] for name in (method, baseline))
    refused = _refusal(ours, theirs)
    pairs = paired_scores(ours, theirs)
    unpaired = ours["sample_id"].nunique() + theirs["sample_id"].nunique() - 2 * len(pairs)
    row: dict[str, Any] = {"n": len(pairs), "unpaired": unpaired, "windows": pairs["cluster"].nunique()}
    names = ("score", "baseline_score", "difference", "low", "high", "p", "p_holm", "detectable")
    if refused or pairs.empty:
        return row | dict.fromkeys(names, math.nan) | _solved(pairs) | {
            "test": "", "scope": "", "found": None, "verdict": refused or "no samples in common",
        }  # fmt: skip
    found = paired_difference(pairs["first"], pairs["second"], pairs["cluster"])
    return row | {
        "score": 100 * pairs["first"].mean(), "baseline_score": 100 * pairs["second"].mean(),
        "difference": 100 * found.difference, "low": 100 * found.low, "high": 100 * found.high,
        "p": found.p, "p_holm": math.nan, "detectable": math.nan,
        **_solved(pairs), "test": found.test, "scope": found.scope, "found": found, "verdict": "",
    }  # fmt: skip


def paired_scores(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Columns first, second, cluster: the mean score of each sample that both have, over the epochs that both have."""
    key = ["sample_id", "epoch"]
    both = first[[*key, "cluster", "score"]].merge(second[[*key, "score"]], on=key, suffixes=("", "_second"))
    return both.groupby("sample_id", sort=True).agg(
        first=("score", "mean"), second=("score_second", "mean"), cluster=("cluster", "first")
    )


def _refusal(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """Why two methods cannot be compared, or nothing."""
    for column, what in (("max_output_tokens", "output caps"), ("scorer", "scorers")):
        if column in ours and set(ours[column].dropna()) != set(theirs[column].dropna()):
            return f"refused: other {what}"
    if "target_sha256" in ours:
        targets = ours[["sample_id", "target_sha256"]].merge(theirs[["sample_id", "target_sha256"]], on="sample_id")
        if (targets["target_sha256_x"] != targets["target_sha256_y"]).any():
            return "refused: other targets"
    return ""


def _solved(pairs: pd.DataFrame) -> dict[str, int]:
    first, second = pairs["first"] >= SOLVED, pairs["second"] >= SOLVED
    return {
        "only_method": int((first & ~second).sum()),
        "only_baseline": int((~first & second).sum()),
        "both": int((first & second).sum()),
        "neither": int((~first & ~second).sum()),
    }


def _verdict(row: dict[str, Any]) -> str:
    if row["p_holm"] < ALPHA and row["low"] > 0:
        return BETTER
    if row["p_holm"] < ALPHA and row["high"] < 0:
        return WORSE
    return NOT_SHOWN
