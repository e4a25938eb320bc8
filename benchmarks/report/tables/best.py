"""Finds the methods that are shown to be the best of a benchmark, by paired comparison with every other method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report.runs import prepare, without_reference
from benchmarks.report.tables.pairing import paired_scores, refusal, same_calls
from benchmarks.statistics import paired_difference

if TYPE_CHECKING:
    import pandas as pd


def best_arms(samples: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Return the benchmarks, methods and models whose method is better than every other method of its model.

    The method with the highest mean is compared with each other one on the samples of both. It is the best if all 95%
    intervals lie above zero. No correction is needed, because every one of the comparisons has to succeed. Methods with
    the same calls and answers as the best are equal to it. If a comparison is refused, there is no best method.
    """
    found: set[tuple[str, str, str]] = set()
    for (benchmark, model), group in without_reference(prepare(samples)).groupby(["benchmark", "model"], sort=False):
        arms = {str(method): rows for method, rows in group.groupby("method", sort=False)}
        leader = max(arms, key=lambda method: float(arms[method]["score"].mean()))
        equal = {name for name, rows in arms.items() if name == leader or same_calls(arms[leader], rows)}
        others = [rows for name, rows in arms.items() if name not in equal]
        if others and all(_is_better(arms[leader], rows) for rows in others):
            found |= {(str(benchmark), name, str(model)) for name in equal}
    return found


def _is_better(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    if refusal(ours, theirs):
        return False
    pairs = paired_scores(ours, theirs)
    return bool(len(pairs)) and paired_difference(pairs["first"], pairs["second"], pairs["cluster"]).low > 0
