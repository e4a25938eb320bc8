"""Pairs the samples of two methods, and finds what keeps two methods from being compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report.tables.cells import Counts
from benchmarks.statistics.failed import failed_words, too_many_failed

if TYPE_CHECKING:
    import pandas as pd

# A sample with at least this score counts as solved.
SOLVED = 0.5
# Columns that are equal in both rows of a sample if the methods made the same calls and gave the same answers.
_CALLS = ("completion_tokens", "prompt_tokens", "root_calls", "sub_calls", "status", "prediction")


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


def refusal(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """Return the reason why two arms cannot be compared, or an empty text. A cap belongs to its model."""
    alike = {"scorer": "scorers"}
    if "model" not in ours or set(ours["model"]) == set(theirs["model"]):
        alike = {"max_output_tokens": "output caps"} | alike
    for column, what in alike.items():
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


def same_calls(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """True if the methods are equal by construction: the same calls with the same answers for every sample.

    A short prompt makes `base_truncated` the same as `base`, for example.
    """
    if "prediction" not in ours or not (ours["prompt_tokens"] > 0).all():
        return False
    # Most methods differ in their tokens, and texts are slower to pair.
    return all(_all_equal(_joined(ours, theirs, (name,)), name) for name in _CALLS)


def _all_equal(both: pd.DataFrame, column: str) -> bool:
    first, second = (both[name].astype(object).fillna("").astype(str) for name in (column, f"{column}_second"))
    return bool((first == second).all())


def solved(pairs: pd.DataFrame) -> dict[str, int]:
    """Count the pairs that one method alone, both or neither solved."""
    first, second = pairs["first"] >= SOLVED, pairs["second"] >= SOLVED
    return {
        "only_method": int((first & ~second).sum()),
        "only_baseline": int((~first & second).sum()),
        "both": int((first & second).sum()),
        "neither": int((~first & ~second).sum()),
    }
