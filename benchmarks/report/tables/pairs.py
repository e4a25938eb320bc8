"""Table 3: paired differences of every method against the baseline, with tests and detectable differences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import methods_in_order, prepare, without_reference
from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.display import count_texts, settings
from benchmarks.report.tables.formats import dagger, with_interval
from benchmarks.statistics import holm, paired_difference
from benchmarks.statistics.failed import failed_words, too_many_failed

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
# A sample with at least this score counts as solved.
SOLVED = 0.5
BETTER, WORSE, NOT_SHOWN = "better", "worse", "no difference shown"
SAME_CALLS = "not tested: same calls and answers"
# Columns that are equal in both rows of a sample if the methods made the same calls and gave the same answers.
_CALLS = ("prediction", "status", "prompt_tokens", "completion_tokens", "root_calls", "sub_calls")
_NUMBERS = ("score", "baseline_score", "difference", "low", "high", "p", "p_holm", "detectable")


def choose_baseline(samples: pd.DataFrame, requested: str | None = None) -> str | None:
    """Return the method with which others are compared: `requested`, else `base`, else the first; None without methods.

    Raises ConfigError for a method without samples.
    """
    methods = methods_in_order(without_reference(prepare(samples)))
    if requested is None:
        return "base" if "base" in methods else next(iter(methods), None)
    if requested not in methods:
        raise ConfigError(f"baseline is {requested!r}: expected one of the methods {', '.join(methods) or '(none)'}")
    return requested


def paired_table(samples: pd.DataFrame, *, baseline: str | None = None) -> pd.DataFrame:
    """Make one row for each benchmark, size, model and method: method minus baseline, in percentage points.

    Each sample counts once, as the mean of the epochs that both methods have; n counts the paired rows. unpaired counts
    the rows of samples and epochs that only one method has. p_holm is corrected for all tested rows of the table. A
    method is better or worse only if p_holm is below 5% and the 95% interval excludes zero. detectable is the smallest
    true difference that is found with 80% power at the corrected level.
    Not tested, with the reason as verdict: methods with different output caps, scorers or targets, cells in which too
    many samples failed, and methods that made the same calls and gave the same answers.
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


def pairs_display(pairs: pd.DataFrame) -> pd.DataFrame:
    """Format the table for reading."""
    import pandas as pd

    rows = []
    for row, setting, n in zip(pairs.to_dict("records"), settings(pairs), count_texts(pairs), strict=True):
        rows.append({
            "benchmark": setting,
            "method": row["method"],
            "model": row["model"],
            "difference [95% interval]": with_interval(
                row["difference"], row["low"], row["high"], dagger(row["scope"])
            ),
            "p": row["p"],
            "p (Holm)": row["p_holm"],
            "detectable": ">100" if row["detectable"] > 100 else row["detectable"],
            "n": n,
            "unpaired": row["unpaired"],
            "solved alone": row["only_method"],
            "by baseline alone": row["only_baseline"],
            "by both": row["both"],
            "by neither": row["neither"],
            "verdict": row["verdict"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def paired_scores(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return columns first, second, cluster and epochs, with one row for each sample that both have.

    Scores are means over the epochs that both have, whose number is `epochs`.
    """
    both = _joined(first, second, ("cluster", "score"))
    return both.groupby("sample_id", sort=True).agg(
        first=("score", "mean"), second=("score_second", "mean"), cluster=("cluster", "first"), epochs=("epoch", "size")
    )


def paired_counts(pairs: pd.DataFrame) -> dict[str, int]:
    """Return n, samples and epochs of `paired_scores`."""
    epochs = pairs["epochs"]
    return Counts(int(epochs.sum()), len(pairs), max(1, int(epochs.max())) if len(pairs) else 1).columns()


def _joined(first: pd.DataFrame, second: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    names = ["sample_id", "epoch", *columns]
    return first[names].merge(second[names], on=["sample_id", "epoch"], suffixes=("", "_second"))


def _compare(group: pd.DataFrame, method: str, baseline: str) -> dict[str, Any]:
    ours, theirs = (group[group["method"] == name] for name in (method, baseline))
    pairs = paired_scores(ours, theirs)
    counts = paired_counts(pairs)
    row: dict[str, Any] = counts | {
        "unpaired": len(ours) + len(theirs) - 2 * counts["n"], "windows": pairs["cluster"].nunique(),
    }  # fmt: skip
    refused = _refusal(ours, theirs) or ("no samples in common" if pairs.empty else "")
    refused = refused or (SAME_CALLS if _same_calls(ours, theirs) else "")
    if refused:
        return row | dict.fromkeys(_NUMBERS, math.nan) | _solved(pairs) | {
            "test": "", "scope": "", "found": None, "verdict": refused,
        }  # fmt: skip
    found = paired_difference(pairs["first"], pairs["second"], pairs["cluster"])
    return row | {
        "score": 100 * pairs["first"].mean(), "baseline_score": 100 * pairs["second"].mean(),
        "difference": 100 * found.difference, "low": 100 * found.low, "high": 100 * found.high,
        "p": found.p, "p_holm": math.nan, "detectable": math.nan,
        **_solved(pairs), "test": found.test, "scope": found.scope, "found": found, "verdict": "",
    }  # fmt: skip


def _refusal(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """Return the reason why two methods cannot be compared, or an empty text."""
    for column, what in (("max_output_tokens", "output caps"), ("scorer", "scorers")):
        if column in ours and set(ours[column].dropna()) != set(theirs[column].dropna()):
            return f"refused: different {what}"
    if "target_sha256" in ours:
        targets = ours[["sample_id", "target_sha256"]].merge(theirs[["sample_id", "target_sha256"]], on="sample_id")
        if (targets["target_sha256_x"] != targets["target_sha256_y"]).any():
            return "refused: different targets"
    for rows in (ours, theirs):
        if too_many_failed(failed := int(rows["failed"].sum()), len(rows)):
            return f"not comparable: {rows['method'].iloc[0]}: {failed_words(failed, len(rows))}"
    return ""


def _same_calls(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """True if the methods are equal by construction: the same calls with the same answers for every sample.

    A short prompt makes `base_truncated` the same as `base`, for example.
    """
    if "prediction" not in ours or not (ours["prompt_tokens"] > 0).all():
        return False
    both = _joined(ours, theirs, _CALLS)
    texts = {name: both[name].astype(object).fillna("").astype(str) for name in both.columns}
    return all((texts[name] == texts[f"{name}_second"]).all() for name in _CALLS)


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
