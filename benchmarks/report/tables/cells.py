"""Cells of the tables: the rows of one benchmark, size, method and model, with their counts and their score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmarks.report.runs import methods_in_order
from benchmarks.statistics import mean_interval
from benchmarks.statistics.failed import failed_words, too_many_failed

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.statistics import Interval


@dataclass(frozen=True)
class Counts:
    """The rows behind a figure: n rows of samples.parquet, from `samples` different samples in `epochs` epochs."""

    n: int
    samples: int
    epochs: int

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Counts:
        """Count the rows of a table of samples."""
        return cls(len(rows), rows["sample_id"].nunique(), max(1, rows["epoch"].nunique()))

    def columns(self) -> dict[str, int]:
        """Return the columns of a table."""
        return asdict(self)

    def __str__(self) -> str:
        """`50`; with epochs `50 samples x 3 epochs`, or `140 of 50 samples x 3 epochs` if some are missing."""
        if self.epochs == 1:
            return str(self.n)
        planned = f"{self.samples} sample{'' if self.samples == 1 else 's'} x {self.epochs} epochs"
        return planned if self.n == self.samples * self.epochs else f"{self.n} of {planned}"


@dataclass(frozen=True)
class Cell:
    """The rows of a cell.

    A cell in which too many samples failed has no score: `interval` is NaN and `not_stated` gives the reason.
    """

    rows: pd.DataFrame

    @cached_property
    def first(self) -> pd.Series:
        """One row, from which to read the columns that all rows of the cell share."""
        return self.rows.iloc[0]

    @cached_property
    def arm(self) -> dict[str, str]:
        """Benchmark, method and model."""
        return {name: self.first[name] for name in ("benchmark", "method", "model")}

    @cached_property
    def names(self) -> dict[str, Any]:
        """The columns that identify the cell.

        size: tokens, or documents, if the benchmark was run at several sizes, else NaN.
        """
        first = self.first
        return {
            "benchmark": first["benchmark"],
            "size": float(first["bucket"]) or math.nan,
            "method": first["method"],
            "model": first["model"],
        }

    @cached_property
    def counts(self) -> dict[str, int]:
        """n, samples and epochs."""
        return Counts.of(self.rows).columns()

    @cached_property
    def costs(self) -> pd.Series:
        """The costs of the rows with a known cost; their mean is NaN if there are none."""
        return self.rows.loc[self.rows["cost_state"] != "unknown", "cost_usd"]

    @cached_property
    def not_stated(self) -> str:
        """The reason why the cell has no score, or an empty text."""
        failed, n = int(self.rows["failed"].sum()), len(self.rows)
        return failed_words(failed, n) if too_many_failed(failed, n) else ""

    @cached_property
    def interval(self) -> Interval:
        """The interval of the mean score, clustered by context window, or by sample if it has at most two."""
        scores = self.rows["score"].to_numpy(float)
        if self.not_stated:
            scores = scores[:0]
        clusters, units = (self.rows[name].to_numpy()[: len(scores)] for name in ("cluster", "sample_id"))
        return mean_interval(scores, clusters, units=units)

    def score(self) -> dict[str, Any]:
        """The mean score in percent with its interval."""
        found = self.interval
        percent = {"score": found.estimate, "low": found.low, "high": found.high}
        values = {name: 100 * value for name, value in percent.items()}
        return values | {"scope": found.scope, "not_stated": self.not_stated}

    def mean(self, values: pd.Series) -> float:
        """Return the mean of a column that depends on the score, in percent; NaN for a cell without a score."""
        return math.nan if self.not_stated or not len(values) else 100 * float(values.mean())


def cells(samples: pd.DataFrame, *keys: str) -> Iterator[Cell]:
    """Split prepared samples into cells in the order of a table, and further by `keys`. Every row is in one cell."""
    if samples.empty:
        return iter(())
    order = {name: i for i, name in enumerate(methods_in_order(samples))}
    benchmarks = {name: i for i, name in enumerate(dict.fromkeys(samples["benchmark"]))}
    names = ["benchmark", "bucket", "method", "model", *keys]
    groups = samples.groupby(names, observed=True, dropna=False)
    # groupby has sorted the names, but benchmarks and methods keep the order of the table.
    found = sorted(groups, key=lambda group: (benchmarks[group[0][0]], group[0][1], order[group[0][2]]))
    return (Cell(rows) for _, rows in found)
