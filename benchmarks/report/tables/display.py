"""Formats tables for reading: one column for a score and its interval, one for the counts of samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.formats import dagger, tokens, with_interval

if TYPE_CHECKING:
    import pandas as pd

NO_LENGTH, ALL_LENGTHS = "no length", "all lengths"


def missing(value: Any) -> bool:
    """True for None and NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def count_texts(table: pd.DataFrame) -> list[Any]:
    """Return the column n: numbers, or texts such as `50 samples x 3 epochs` if a row has several epochs."""
    if not len(table) or (table["epochs"] <= 1).all():
        return list(table["n"]) if len(table) else []
    return [str(Counts(*row)) for row in table[["n", "samples", "epochs"]].itertuples(index=False)]


def settings(table: pd.DataFrame) -> list[str]:
    """Return benchmark and size of each row, such as `oolong 8K`; rows without a size are `oolong (no length)`."""
    if not len(table):
        return []
    several = set(table.loc[table["size"].notna(), "benchmark"])
    together = table["all_lengths"] if "all_lengths" in table else [False] * len(table)

    def setting(benchmark: str, size: float, all_of_them: bool) -> str:
        if missing(size):
            if all_of_them:
                return f"{benchmark} ({ALL_LENGTHS})"
            return f"{benchmark} ({NO_LENGTH})" if benchmark in several else benchmark
        return f"{benchmark} {tokens(size)}"

    rows = zip(table["benchmark"].astype(str), table["size"], together, strict=True)
    return [setting(*row) for row in rows]


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Format a table for reading: formatted lengths, scores with intervals, counts with epochs, no empty columns."""
    import pandas as pd

    shown = table.copy(deep=False)
    for name in ("length", "size", "context_limit"):
        if name in shown:
            shown[name] = ["" if pd.isna(value) else tokens(value) for value in shown[name]]
    if "length" in shown:
        shown["length"] = shown["length"].replace("", NO_LENGTH)
    if "all_lengths" in shown:
        shown["length"] = shown["length"].mask(shown["all_lengths"].astype(bool), ALL_LENGTHS)
        shown = shown.drop(columns=["all_lengths"])
    if {"score", "low", "high", "scope"} <= set(shown.columns):
        parts = (shown["score"], shown["low"], shown["high"], shown["scope"].map(dagger))
        texts = [with_interval(*values) for values in zip(*parts, strict=True)]
        shown.insert(shown.columns.get_loc("score"), "score [95% interval]", texts)
        shown = shown.drop(columns=["score", "low", "high", "scope"])
    if {"n", "samples", "epochs"} <= set(shown.columns):
        shown["n"] = count_texts(shown)
        shown = shown.drop(columns=["samples", "epochs"])
    if "left_out" in shown and not shown["left_out"].any():
        shown = shown.drop(columns=["left_out"])
    shown = shown.drop(columns=[name for name in shown.columns if _is_empty(shown[name])])
    return shown.rename(columns={name: str(name).replace("_", " ").replace(" usd", ", USD") for name in shown.columns})


def without_common_model(table: pd.DataFrame) -> pd.DataFrame:
    """Remove the column of models if there is only one, which the head of the report names."""
    if "model" not in table or len(set(table["model"]) - {""}) > 1:
        return table
    return table.drop(columns=["model"])


def _is_empty(column: pd.Series) -> bool:
    """True for a column without values, and for costs that are all 0 and known."""
    if column.isna().all() or (column == "").all():
        return True
    return any(word in str(column.name) for word in ("cost", "unknown")) and bool((column.fillna(0) == 0).all())
