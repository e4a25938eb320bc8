"""Table 2: cost, tokens and runtime of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report.runs import prepare, without_reference
from benchmarks.report.tables.cells import cells

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = {"p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
_QUANTITIES = {
    "cost_usd": "cost, USD", "cost_uncached_usd": "cost without cache discount, USD", "prompt_tokens": "prompt tokens",
    "cached_tokens": "cached prompt tokens", "completion_tokens": "completion tokens", "wall_s": "runtime, s",
}  # fmt: skip


def cost_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each benchmark, method and quantity: quantiles, maximum and mean over samples.

    Rows of cost exist only for methods that cost something. left_out counts the rows with an unknown value, which are
    not in n; `unknown` is the share in percent of rows without a known cost. Cost without cache discount is the cost
    if no input had been cached.
    """
    import pandas as pd

    rows = []
    for cell in cells(without_reference(prepare(samples))):
        group = cell.rows
        unknown = group["cost_state"] == "unknown"
        for column, title in _QUANTITIES.items():
            if "cost" in column and (group["cost_state"] == "free").all():
                continue
            values = group.loc[~unknown, column] if "cost" in column else group[column]
            values = pd.to_numeric(values, errors="coerce").dropna()
            counted = {"n": len(values), "left_out": len(group) - len(values)}
            row = cell.names | {"quantity": title} | cell.counts | counted
            row |= {name: values.quantile(q) for name, q in QUANTILES.items()}
            row |= {"max": values.max(), "mean": values.mean(), "unknown": 100 * unknown.mean()}
            rows.append(row)
    return pd.DataFrame(rows)
