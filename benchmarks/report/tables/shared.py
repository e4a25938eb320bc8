"""Tables that several parts of a report read, each computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from benchmarks.report.runs import pooled, prepare
from benchmarks.report.tables.behaviour import behaviour_table
from benchmarks.report.tables.length import length_table
from benchmarks.report.tables.pairs import choose_baseline, paired_table
from benchmarks.report.tables.reach import crossover_lengths, effective_lengths

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SharedTables:
    """Prepared samples, their baseline, and the tables that both the text and the figures of a report are made of.

    A table is computed when it is first read. Callers must not change it.
    """

    samples: pd.DataFrame
    baseline: str | None

    @classmethod
    def of(cls, samples: pd.DataFrame, baseline: str | None = None) -> SharedTables:
        """Prepare samples and choose the baseline, see `choose_baseline`, which raises ConfigError."""
        return cls(prepare(samples), choose_baseline(samples, baseline))

    @cached_property
    def pooled(self) -> pd.DataFrame:
        """The samples with all lengths of a benchmark in one cell."""
        return pooled(self.samples)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        return paired_table(self.samples, baseline=self.baseline)

    @cached_property
    def lengths(self) -> pd.DataFrame:
        return length_table(self.samples)

    @cached_property
    def effective(self) -> pd.DataFrame:
        return effective_lengths(self.samples)

    @cached_property
    def crossover(self) -> pd.DataFrame:
        return crossover_lengths(self.samples, baseline=self.baseline or "")

    @cached_property
    def behaviour(self) -> pd.DataFrame:
        return behaviour_table(self.pooled)
