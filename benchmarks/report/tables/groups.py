"""Table 4: scores by task group and complexity, variance between epochs, and what the scorers tell beside the score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report.runs import prepare, without_reference
from benchmarks.report.tables.scores import cell_of, cells, interval_of
from benchmarks.running.rows import SAMPLE_COLUMNS
from benchmarks.statistics.calibration import calibration_error

if TYPE_CHECKING:
    import pandas as pd

# Columns of a prepared table that are no details of a score.
OWN_COLUMNS = {*SAMPLE_COLUMNS, "unscored", "bucket", "run", "max_depth", "documents", "as_published"}
# A detail whose own name says something else beside the shares of all benchmarks.
DETAIL_NAMES = {"wrong_format": "pairs in another form"}


def group_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Scores in percent with intervals, a row a benchmark, method and value of task group or complexity.

    A benchmark whose samples are all of one group, or each of a group of its own, has no rows.
    """
    import pandas as pd

    table, rows = prepare(samples), []
    for dimension in ("task_group", "complexity"):
        by_benchmark = table.groupby("benchmark")
        groups, ids = (by_benchmark[name].transform("nunique") for name in (dimension, "sample_id"))
        several = (groups > 1) & (groups < ids)
        for group in cells(table[several], dimension):
            interval = interval_of(group)
            rows.append(cell_of(group) | {
                "dimension": dimension.replace("_", " "), "group": group[dimension].iloc[0], "n": len(group),
                "windows": group["cluster"].nunique(), "scope": interval.scope, "score": 100 * interval.estimate,
                "low": 100 * interval.low, "high": 100 * interval.high,
            })  # fmt: skip
    return pd.DataFrame(rows)


def epoch_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Spread of scores between epochs and between samples, in percent points; only of samples run more than once.

    sd_epochs: of one sample when it is run again; sd_samples: of the samples' own means, the first taken out (one-way
    analysis of variance, random effects). lowest and highest: mean score of an epoch.
    """
    import pandas as pd

    rows = []
    for group in cells(without_reference(prepare(samples))):
        wide = group.pivot_table(index="sample_id", columns="epoch", values="score")
        repeated = wide[wide.count(axis=1) > 1]
        if repeated.empty:
            continue
        within = float(repeated.var(axis=1, ddof=1).mean())
        between = float(repeated.mean(axis=1).var(ddof=1)) - within / float(repeated.count(axis=1).mean())
        by_epoch = 100 * wide.mean()
        rows.append(cell_of(group) | {
            "samples": len(repeated), "epochs": wide.shape[1], "score": 100 * float(group["score"].mean()),
            "lowest": by_epoch.min(), "highest": by_epoch.max(), "sd_epochs": 100 * math.sqrt(within),
            "sd_samples": 100 * math.sqrt(max(between, 0.0)) if len(repeated) > 1 else math.nan,
        })  # fmt: skip
    return pd.DataFrame(rows)


def details_table(samples: pd.DataFrame) -> pd.DataFrame:
    """What scorers report beside the score, a row a benchmark, method and detail.

    Details are the further columns of samples.parquet that hold numbers or yes and no: precision, recall and floor of
    OOLONG-Pairs, label accuracy of OOLONG, match beside the judge of BrowseComp-Plus. Those within 0 and 1 are given in
    percent, by what all methods of a benchmark have. mean is over the n samples that have the detail.
    """
    import pandas as pd

    rows = []
    for group in cells(prepare(samples)):
        shares = {
            "lenient score": _numbers(group["lenient_score"]) if "lenient_score" in group else pd.Series(dtype=float),
            "truncated": group["truncated"].astype(float),
            "wrong format": (~group["format_ok"]).astype(float)[group["status"] == "ok"],
        }
        own = [name for name in group.columns if name not in OWN_COLUMNS]
        details = {DETAIL_NAMES.get(name, name.replace("_", " ")): _numbers(group[name]) for name in own}
        for name, values in (shares | details).items():
            if len(values):
                row = {"detail": name, "n": len(values), "mean": float(values.mean())}
                rows.append(cell_of(group) | row | {"share": bool(values.between(0, 1).all())})
    found = pd.DataFrame(rows)
    if found.empty:
        return found
    # A count that happens to be 0 or 1 with one method is still none of percent.
    share = found.groupby(["benchmark", "detail"])["share"].transform("all")
    found["mean"] = found["mean"].where(~share, 100 * found["mean"])
    return found.drop(columns=["share"]).assign(unit=share.map({True: "%", False: ""}))


def judge_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Judge against normalised match, a row a benchmark and method that has both: how often which said yes.

    unparsed: replies of the judge without a verdict, which count as wrong. agreement is in percent of the judged.
    calibration_error: of the confidence that answers state, in percent points, over the n_confidence that do.
    """
    import pandas as pd

    table = prepare(samples)
    if not {"judge_verdict", "match"} <= set(table.columns):
        return pd.DataFrame()
    rows = []
    for group in cells(table[table["judge_verdict"].notna() & table["match"].notna()]):
        judge, match = group["judge_verdict"] == "yes", group["match"].astype(float) >= 0.5
        rows.append(cell_of(group) | {
            "n": len(group), "both": int((judge & match).sum()), "judge_only": int((judge & ~match).sum()),
            "match_only": int((~judge & match).sum()), "neither": int((~judge & ~match).sum()),
            "unparsed": int((group["judge_verdict"] == "unparsed").sum()),
            "agreement": 100 * float((judge == match).mean()), **_calibration(group, judge),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _calibration(group: pd.DataFrame, correct: pd.Series) -> dict[str, float]:
    import pandas as pd

    if "stated_confidence" not in group:
        return {"calibration_error": math.nan, "n_confidence": 0}
    stated = pd.to_numeric(group["stated_confidence"], errors="coerce").dropna().clip(0, 100) / 100
    error = calibration_error(list(stated), [bool(value) for value in correct[stated.index]])
    return {"calibration_error": math.nan if error is None else 100 * error, "n_confidence": len(stated)}


def _numbers(column: pd.Series) -> pd.Series:
    """The column as numbers, yes and no as 1 and 0; empty for a column of texts."""
    import pandas as pd

    there = column.dropna()
    if there.map(lambda value: isinstance(value, bool | int | float | np.generic) and not isinstance(value, str)).all():
        return pd.to_numeric(there.astype(float), errors="coerce").dropna()
    return pd.Series(dtype=float)
