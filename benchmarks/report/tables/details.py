"""Values that scorers report besides the score, and the judge compared with normalised match."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report.runs import prepare
from benchmarks.report.tables.cells import cells
from benchmarks.report.tables.display import count_texts
from benchmarks.running.rows import REPORT_COLUMNS, SAMPLE_COLUMNS
from benchmarks.statistics.calibration import calibration_error

if TYPE_CHECKING:
    import pandas as pd

# Columns of prepared samples that are not details of a score.
OWN_COLUMNS = {*SAMPLE_COLUMNS, *REPORT_COLUMNS}
# Details whose names would be misleading in a table of all benchmarks.
DETAIL_NAMES = {"wrong_format": "pairs in another form"}


def details_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each benchmark, method and detail.

    Details are the further columns of samples.parquet with numbers or booleans: precision, recall and floor of
    OOLONG-Pairs, label accuracy of OOLONG, match beside the judge of BrowseComp-Plus. A detail that lies between 0 and
    1 for all methods of a benchmark is in percent. mean is over the n rows that have the detail. A cell in which too
    many samples failed has no mean.
    """
    import pandas as pd

    rows = []
    for cell in cells(prepare(samples)):
        for name, values in _details(cell.rows).items():
            if len(values):
                counts = cell.counts | {"n": len(values)}
                mean = math.nan if cell.not_stated else float(values.mean())
                share = bool(values.between(0, 1).all())
                rows.append(cell.names | {"detail": name} | counts | {"mean": mean, "share": share})
    found = pd.DataFrame(rows)
    if found.empty:
        return found
    # A count that is 0 or 1 for one method is not a percentage.
    share = found.groupby(["benchmark", "detail"])["share"].transform("all")
    found["mean"] = found["mean"].where(~share, 100 * found["mean"])
    return found.drop(columns=["share"]).assign(unit=share.map({True: "%", False: ""}))


def details_display(details: pd.DataFrame) -> pd.DataFrame:
    """Make one row for each benchmark and method, one column for each detail.

    If a value is over fewer rows than the n of its table row, it states its n.
    """
    import pandas as pd

    if details.empty:
        return details
    rows = []
    for names, group in details.groupby(["benchmark", "method", "model"], sort=False):
        most = group.loc[group["n"].idxmax()]
        row = dict(zip(("benchmark", "method", "model"), names, strict=True))
        row["n"] = count_texts(details.loc[[most.name]])[0]
        for one in group.to_dict("records"):
            heading = one["detail"] + (" %" if one["unit"] == "%" else "")
            mean = "" if math.isnan(one["mean"]) else f"{one['mean']:.1f}"
            row[heading] = mean + ("" if one["n"] == most["n"] or not mean else f" (n={one['n']})")
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def judge_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Compare judge and normalised match: one row of counts for each benchmark and method with both.

    unparsed: replies of the judge without a verdict. agreement: percent of the judged rows. calibration_error: of the
    stated confidence, in percentage points, over the n_confidence answers that state one.
    """
    import pandas as pd

    table = prepare(samples)
    if not {"judge_verdict", "match"} <= set(table.columns):
        return pd.DataFrame()
    rows = []
    for cell in cells(table[table["judge_verdict"].notna() & table["match"].notna()]):
        group = cell.rows
        judge, match = group["judge_verdict"] == "yes", group["match"].astype(float) >= 0.5
        rows.append(cell.names | cell.counts | {
            "both": int((judge & match).sum()), "judge_only": int((judge & ~match).sum()),
            "match_only": int((~judge & match).sum()), "neither": int((~judge & ~match).sum()),
            "unparsed": int((group["judge_verdict"] == "unparsed").sum()),
            "agreement": 100 * float((judge == match).mean()), **_calibration(group, judge),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _details(group: pd.DataFrame) -> dict[str, pd.Series]:
    import pandas as pd

    lenient = _numbers(group["lenient_score"]) if "lenient_score" in group else pd.Series(dtype=float)
    shares = {
        "lenient score": lenient,
        "truncated": group["truncated"].astype(float),
        "wrong format": (~group["format_ok"]).astype(float)[group["status"] == "ok"],
    }
    own = [name for name in group.columns if name not in OWN_COLUMNS]
    return shares | {DETAIL_NAMES.get(name, name.replace("_", " ")): _numbers(group[name]) for name in own}


def _calibration(group: pd.DataFrame, correct: pd.Series) -> dict[str, float]:
    import pandas as pd

    if "stated_confidence" not in group:
        return {"calibration_error": math.nan, "n_confidence": 0}
    stated = pd.to_numeric(group["stated_confidence"], errors="coerce").dropna().clip(0, 100) / 100
    error = calibration_error(list(stated), [bool(value) for value in correct[stated.index]])
    return {"calibration_error": math.nan if error is None else 100 * error, "n_confidence": len(stated)}


def _numbers(column: pd.Series) -> pd.Series:
    """Return the column as numbers, with booleans as 1 and 0; empty for a column of texts."""
    import pandas as pd

    there = column.dropna()
    if there.map(lambda value: isinstance(value, bool | int | float | np.generic) and not isinstance(value, str)).all():
        return pd.to_numeric(there.astype(float), errors="coerce").dropna()
    return pd.Series(dtype=float)
