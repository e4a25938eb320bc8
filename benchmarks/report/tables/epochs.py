"""Scores over the epochs of a sample: spread within and between samples, pass@k and the majority's answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.report.runs import prepare, without_reference
from benchmarks.report.tables.cells import cells
from benchmarks.report.tables.pairing import SOLVED
from benchmarks.sources.protect import unseal
from benchmarks.statistics.passes import majority_score, pass_at_k

if TYPE_CHECKING:
    import pandas as pd

_PASS = "pass@"
_LAST = ("majority", "not_stated")


def epoch_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make a table in percent for cells with samples in several epochs; standard deviations are in percentage points.

    repeated: samples with several epochs. sd_epochs: that of one sample between its epochs. sd_samples: that of the
    samples' true means, without the part that sd_epochs explains (one-way analysis of variance, random effects). lowest
    and highest: the lowest and highest mean score of an epoch. pass@k: the chance that at least one of k epochs is
    correct (a score of at least SOLVED), for powers of two up to the fewest epochs of a repeated sample, and for that
    number. majority: the score of the answer that most epochs give. Both are means over the repeated samples.
    """
    import pandas as pd

    rows = []
    for cell in cells(without_reference(prepare(samples))):
        if cell.counts["epochs"] < 2:
            continue
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
        spread |= _passes(cell.rows[cell.rows["sample_id"].isin(repeated.index)])
        stated = dict.fromkeys(spread, math.nan) if cell.not_stated else spread
        rows.append(cell.names | cell.counts | {"repeated": len(repeated)} | stated | {"not_stated": cell.not_stated})
    # A cell with fewer epochs than another lacks the pass@k of the largest k, and k ascends over all cells.
    passes = sorted({name for row in rows for name in row if name.startswith(_PASS)}, key=lambda name: int(name[5:]))
    table = pd.DataFrame(rows)
    return table[[*(name for name in table if name not in (*passes, *_LAST)), *passes, *_LAST]] if rows else table


def _passes(rows: pd.DataFrame) -> dict[str, float]:
    """Return pass@k and the majority's score in percent, over samples that all have several epochs."""
    groups = [group for _, group in rows.groupby("sample_id", sort=True)]
    fewest = min(map(len, groups))
    steps = [2**power for power in range(fewest.bit_length()) if 2**power < fewest]
    counts = [(len(group), int((group["score"] >= SOLVED).sum())) for group in groups]
    found = {f"{_PASS}{k}": [pass_at_k(n, correct, k) for n, correct in counts] for k in (*steps, fewest)}
    found["majority"] = [majority_score(_answers(group), group["score"].tolist()) for group in groups]
    return {name: 100 * math.fsum(values) / len(values) for name, values in found.items()}


def _answers(rows: pd.DataFrame) -> list[str | None]:
    return [_unsealed(answer) if isinstance(answer, str) else None for answer in rows["prediction"]]


def _unsealed(answer: str) -> str:
    try:
        return unseal(answer)
    except ValueError:
        # An answer of a model may begin like a sealed text.
        return answer
