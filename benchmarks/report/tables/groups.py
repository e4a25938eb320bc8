"""Table 4: scores by task group and complexity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report.runs import prepare
from benchmarks.report.tables.cells import cells

if TYPE_CHECKING:
    import pandas as pd


def group_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make one row of scores in percent for each benchmark, method and value of task group or complexity.

    A benchmark has no rows if all its samples belong to one group, or each to a separate group.
    """
    import pandas as pd

    table, rows = prepare(samples), []
    for dimension in ("task_group", "complexity"):
        by_benchmark = table.groupby("benchmark")
        groups, ids = (by_benchmark[name].transform("nunique") for name in (dimension, "sample_id"))
        several = (groups > 1) & (groups < ids)
        for cell in cells(table[several], dimension):
            group = {"dimension": dimension.replace("_", " "), "group": cell.first[dimension]}
            rows.append(cell.names | group | cell.counts | {"windows": cell.rows["cluster"].nunique()} | cell.score())
    return pd.DataFrame(rows)
