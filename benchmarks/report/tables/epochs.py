"""Spread of scores between the epochs of a sample and between samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.report.runs import prepare, without_reference
from benchmarks.report.tables.cells import cells

if TYPE_CHECKING:
    import pandas as pd


def epoch_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make a table of standard deviations in percentage points, for cells with samples in several epochs.

    repeated: samples with several epochs. sd_epochs: that of one sample between its epochs. sd_samples: that of the
    samples' true means, without the part that sd_epochs explains (one-way analysis of variance, random effects). lowest
    and highest: the lowest and highest mean score of an epoch.
    """
    import pandas as pd

    rows = []
    for cell in cells(without_reference(prepare(samples))):
        wide = cell.rows.pivot_table(index="sample_id", columns="epoch", values="score")
        repeated = wide[wide.count(axis=1) > 1]
        if repeated.empty:
            continue
        within = float(repeated.var(axis=1, ddof=1).mean())
        between = float(repeated.mean(axis=1).var(ddof=1)) - within / float(repeated.count(axis=1).mean())
        by_epoch = 100 * wide.mean()
        spread = {
            "score": 100 * float(cell.rows["score"].mean()), "lowest": by_epoch.min(), "highest": by_epoch.max(),
            "sd_epochs": 100 * math.sqrt(within),
            "sd_samples": 100 * math.sqrt(max(between, 0.0)) if len(repeated) > 1 else math.nan,
        }  # fmt: skip
        stated = dict.fromkeys(spread, math.nan) if cell.not_stated else spread
        rows.append(cell.names | cell.counts | {"repeated": len(repeated)} | stated | {"not_stated": cell.not_stated})
    return pd.DataFrame(rows)
