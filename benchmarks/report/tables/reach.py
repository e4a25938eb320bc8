"""Effective context length and crossover length, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report.runs import REFERENCE, without_reference
from benchmarks.report.tables.cells import Cell, cells
from benchmarks.report.tables.display import count_texts
from benchmarks.report.tables.formats import tokens
from benchmarks.report.tables.length import with_length
from benchmarks.report.tables.pairing import paired_counts, paired_scores, refusal
from benchmarks.report.tables.pairs import METHODS, arms_of, comparisons
from benchmarks.statistics import MIN_CLUSTERS, bootstrap_means, paired_difference

if TYPE_CHECKING:
    import pandas as pd

# RULER's threshold: the score of Llama2-7B at 4K tokens (Hsieh et al. 2024, arXiv:2404.06654).
RULER_THRESHOLD = 0.856
# The fraction of its score at the shortest length that a method must keep.
OWN_FRACTION = 0.85
NEVER = math.inf
# With fewer samples at a length, the bootstrap alone is too narrow: it cannot draw a score that did not occur.
FEW = 10


def effective_lengths(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the largest tested length up to which the score stays at or above a bar, with a 95% interval.

    Two rows a method: `threshold` (RULER's bar, the same for all) and `own` (OWN_FRACTION of the method's score at the
    shortest length). 0 means below the bar at the shortest length; `longest` is the longest tested length. A method
    that scores 0 at the shortest length has no `own` bar. The interval comes from draws of all scores by the Bayesian
    bootstrap. For lengths with fewer than FEW samples it is at least as wide as the intervals of their means allow.
    no_length counts rows without a length, which are omitted. not_stated: the reason why no length is stated.
    """
    import pandas as pd

    rows = []
    for cell in cells(with_length(samples)):
        known = cell.rows[cell.rows["length"].notna()]
        lengths = sorted(known["length"].unique())
        if cell.arm["method"] in REFERENCE or len(lengths) < 2:
            continue
        parts = [Cell(known[known["length"] == length]) for length in lengths]
        about = cell.arm | Cell(known).counts | {
            "no_length": len(cell.rows) - len(known), "shortest": lengths[0], "longest": lengths[-1],
            "not_stated": next((part.not_stated for part in parts if part.not_stated), ""),
        }  # fmt: skip
        rows += [about | found for found in _effective(parts, lengths, bool(about["not_stated"]))]
    return pd.DataFrame(rows)


def _effective(parts: Sequence[Cell], lengths: Sequence[float], failed: bool) -> list[dict[str, Any]]:
    means = np.array([part.rows["score"].mean() for part in parts])
    bars = {"threshold": RULER_THRESHOLD, "own": OWN_FRACTION * means[0]}
    if failed:
        blank = dict.fromkeys(("bar_score", "effective_length", "low", "high"), math.nan)
        return [{"bar": bar} | blank for bar in bars]
    draws = np.column_stack([_draws(part.rows[["score"]], part.rows, i)[:, 0] for i, part in enumerate(parts)])
    few = _few([part.rows for part in parts])
    # Only the intervals of short parts are computed, because they are slow.
    ends = np.array([
        (part.interval.low, part.interval.high) if short else (mean, mean)
        for part, short, mean in zip(parts, few, means, strict=True)
    ]).T  # fmt: skip
    drawn = {"threshold": np.full(len(draws), RULER_THRESHOLD), "own": OWN_FRACTION * draws[:, 0]}
    limits = {"threshold": np.full(2, RULER_THRESHOLD), "own": np.maximum(OWN_FRACTION * ends[:, 0], 1e-9)}
    rows = []
    for bar, level in bars.items():
        if not level:
            continue
        found = _stays_above(means[None, :], np.full(1, level), lengths)[0]
        low, high = _quantiles(_stays_above(draws, drawn[bar], lengths), found)
        lowest = ends[:1].copy()
        if bar == "own":
            lowest[0, 0] = 1.0  # at the shortest length a method is always at its own score
        low = min(low, _stays_above(lowest, limits[bar][1:], lengths)[0])
        high = max(high, _stays_above(ends[1:], limits[bar][:1], lengths)[0])
        rows.append({"bar": bar, "bar_score": 100 * level, "effective_length": found, "low": low, "high": high})
    return rows


def crossover_lengths(samples: pd.DataFrame, *, baseline: str = "base") -> pd.DataFrame:
    """Return the smallest tested length from which on a method stays ahead of the baseline, on common samples.

    The comparisons are those of the family `methods` of `paired_table`, with the same refusals.
    Infinite if it is not ahead at the longest length. ahead_at_shortest: it is ahead at every tested length, so the
    crossover may lie below the shortest. The interval is that of `effective_lengths`, with both methods drawn together.
    unpaired counts rows that only one method has, no_length rows without a length.
    """
    import pandas as pd

    table = without_reference(with_length(samples))
    asked = [both for family, *both in comparisons(arms_of(table), baseline) if family == METHODS]
    rows = []
    for benchmark, group in table.groupby("benchmark", sort=False):
        parts = dict(iter(group.groupby(["method", "model"], sort=False)))
        for ours, theirs in asked:
            both = [parts.get((arm.method, arm.model)) for arm in (ours, theirs)]
            found = None if any(part is None for part in both) else _crossover(*both)
            row = {"benchmark": benchmark, "method": ours.method, "model": ours.model, "baseline": theirs.method}
            rows += [row | found] if found else []
    return pd.DataFrame(rows)


def _crossover(ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, Any] | None:
    import pandas as pd

    known = [rows[rows["length"].notna()] for rows in (ours, theirs)]
    pairs = paired_scores(*known)
    own, other = (
        rows.drop_duplicates("sample_id").set_index("sample_id")["length"].reindex(pairs.index) for rows in known
    )
    by_length = dict(iter(pairs.groupby(own.where(own == other))))
    lengths, parts = list(by_length), list(by_length.values())
    if len(lengths) < 2:
        return None
    counts = paired_counts(pd.concat(parts))
    cells_of_both = [Cell(rows[rows["length"] == length]) for rows in known for length in lengths]
    about = counts | {
        "unpaired": sum(map(len, known)) - 2 * counts["n"],
        "no_length": len(ours) + len(theirs) - sum(map(len, known)),
        "shortest": lengths[0], "longest": lengths[-1],
        "not_stated": next((cell.not_stated for cell in cells_of_both if cell.not_stated), refusal(*known)),
    }  # fmt: skip
    if about["not_stated"]:
        return about | dict.fromkeys(("crossover", "low", "high"), math.nan) | {"ahead_at_shortest": False}
    gaps = np.array([(part["first"] - part["second"]).mean() for part in parts])
    draws = np.column_stack(
        [_draws(part[["first", "second"]], part.reset_index(), i) @ [1.0, -1.0] for i, part in enumerate(parts)]
    )
    found = _ahead_from(gaps[None, :], lengths)[0]
    low, high = _quantiles(_ahead_from(draws, lengths), found)
    few = _few([part.reset_index() for part in parts])
    ends = np.array([
        _ends(part) if short else (gap, gap) for part, short, gap in zip(parts, few, gaps, strict=True)
    ]).T  # fmt: skip
    low = min(low, _ahead_from(ends[1:], lengths)[0])
    high = max(high, _ahead_from(ends[:1], lengths)[0])
    return about | {"crossover": found, "low": low, "high": high, "ahead_at_shortest": bool(found == lengths[0])}


def _ends(pairs: pd.DataFrame) -> tuple[float, float]:
    found = paired_difference(pairs["first"], pairs["second"], pairs["cluster"])
    return found.low, found.high


def effective_display(lengths: pd.DataFrame) -> pd.DataFrame:
    """Format effective context lengths for reading."""
    import pandas as pd

    rows = []
    for row, n in zip(lengths.to_dict("records"), count_texts(lengths), strict=True):
        bars = {"threshold": f"{row['bar_score']:.1f}", "own": f"{row['bar_score']:.1f} (share of its own)"}
        said = _length_text(row, "effective_length")
        rows.append({
            "benchmark": row["benchmark"], "method": row["method"], "model": row["model"],
            "bar": "" if row["not_stated"] else bars[row["bar"]], "effective length [95% interval]": said, "n": n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def crossover_display(lengths: pd.DataFrame) -> pd.DataFrame:
    """Format crossover lengths for reading."""
    import pandas as pd

    rows = []
    one = len(lengths) and lengths["baseline"].nunique() == 1
    for row, n in zip(lengths.to_dict("records"), count_texts(lengths), strict=True):
        cell = {name: row[name] for name in ("benchmark", "method", "model", *(() if one else ("baseline",)))}
        column = f"overtakes {row['baseline'] if one else 'the baseline'} at [95% interval]"
        rows.append(cell | {column: _length_text(row, "crossover"), "n": n})
    return pd.DataFrame(rows)


def _length_text(row: dict[str, Any], column: str) -> str:
    """Format a length with its interval: `16K [8K, 32K]`, `below 8K`, `1M or more`, `not reached`."""
    if row["not_stated"]:
        return f"not stated: {row['not_stated']}"

    def text(value: float) -> str:
        if value == 0:
            return f"below {tokens(row['shortest'])}"
        if math.isinf(value):
            return "not reached"
        if column == "effective_length" and value == row["longest"]:
            return f"{tokens(value)} or more"
        if column == "crossover" and value == row["shortest"]:
            return f"{tokens(value)} or less"
        return tokens(value)

    return f"{text(row[column])} [{text(row['low'])}, {text(row['high'])}]"


def _draws(columns: pd.DataFrame, part: pd.DataFrame, seed: int) -> np.ndarray:
    clusters = part["cluster"] if part["cluster"].nunique() >= MIN_CLUSTERS else part["sample_id"]
    return bootstrap_means(columns.to_numpy(float), clusters.to_numpy(), seed=seed)


def _stays_above(scores: np.ndarray, bars: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
    """Return the largest length up to which each row of scores (rows, lengths) stays at or above its bar; 0 if none.

    A bar of 0, from a score of 0, counts as never reached.
    """
    above = (scores >= bars[:, None] - 1e-12) & (bars[:, None] > 0)
    count = np.where(above.all(axis=1), above.shape[1], np.argmin(above, axis=1))
    return np.array([0.0, *lengths])[count]


def _ahead_from(gaps: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
    """Return the smallest length from which on each row of gaps (rows, lengths) is above 0; infinite if none."""
    behind = gaps[:, ::-1] <= 1e-12
    ahead = np.where(behind.any(axis=1), np.argmax(behind, axis=1), gaps.shape[1])
    return np.array([*lengths, NEVER])[gaps.shape[1] - ahead]


def _few(parts: Sequence[pd.DataFrame]) -> np.ndarray:
    """True for the parts with fewer than FEW samples."""
    return np.array([part["sample_id"].nunique() < FEW for part in parts])


def _quantiles(draws: np.ndarray, found: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
    return min(float(low), float(found)), max(float(high), float(found))
