"""Two judges on the same answers: their agreement, kappa, and how far the score of each method moves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.report.runs import Runs, methods_in_order, prepare, without_reference
from benchmarks.report.tables.cells import Counts
from benchmarks.report.tables.display import count_texts
from benchmarks.report.tables.formats import dagger, with_interval
from benchmarks.report.tables.pairing import paired_scores
from benchmarks.running.second_judge import ANSWER, read_verdicts
from benchmarks.statistics import paired_difference
from benchmarks.statistics.agreement import cohen_kappa

if TYPE_CHECKING:
    import pandas as pd

ALL_METHODS = "all methods"


def load_verdicts(runs: Runs) -> pd.DataFrame:
    """Load the verdicts of further judges on these runs, with the number of their run."""
    import pandas as pd

    tables = [read_verdicts(run.path).assign(run=number) for number, run in enumerate(runs.runs)]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def second_judge_table(samples: pd.DataFrame, verdicts: pd.DataFrame | None) -> pd.DataFrame:
    """Make one row for each further judge, benchmark and method, and one for all methods of a benchmark.

    score is that of the run's judge and second_score that of the other one, over the same n rows. difference: second
    minus first, in percentage points, over samples as the means of their epochs. agreement (in percent) and kappa are
    over the `judged` rows, without empty answers, which no judge reads; a reply without a verdict counts as not correct
    and is counted in unparsed and second_unparsed. left_out: rows of the run's judge without a verdict of the other,
    such as those of later samples.
    """
    import pandas as pd

    table = without_reference(prepare(samples))
    if verdicts is None or verdicts.empty or not {"judged_by", "judge_verdict"} <= set(table.columns):
        return pd.DataFrame()
    table = table[(table["judged_by"] == "judge") & ~table["failed"]]
    own = table["own_method"].where(table["own_method"].notna(), table["method"]) if len(table) else table["method"]
    keys = [*ANSWER, "run"]
    left = table.assign(shown_method=table["method"], method=own.astype(str))
    given = verdicts.assign(**{name: verdicts[name].astype(left[name].dtype) for name in keys})
    rows = []
    for judge, theirs in given.groupby("second_judge", sort=False):
        both = left.merge(theirs, on=keys)
        both = both.assign(method=both["shown_method"])
        for benchmark, group in both.groupby("benchmark", sort=False):
            planned = table[table["benchmark"] == benchmark]
            arms = list(_arms(group))
            for names, part in arms:
                same = (planned["method"] == names["method"]) & (planned["model"] == names["model"])
                rows.append({"benchmark": benchmark, "second_judge": judge} | names | _row(part, planned[same]))
            if len(arms) > 1:
                every = {"benchmark": benchmark, "second_judge": judge, "method": ALL_METHODS, "model": ""}
                rows.append(every | _row(group, planned) | dict.fromkeys(_MOVES, math.nan))
    return pd.DataFrame(rows)


_MOVES = ("score", "second_score", "difference", "low", "high", "p")


def second_judge_display(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table for reading."""
    import pandas as pd

    rows = []
    for row, n in zip(table.to_dict("records"), count_texts(table), strict=True):
        mark = dagger(row["scope"])
        kappa = "not defined" if math.isnan(row["kappa"]) else f"{row['kappa']:.2f}{mark} [{row['kappa_low']:.2f}, "
        rows.append({
            "benchmark": row["benchmark"], "method": row["method"], "model": row["model"],
            "second judge": row["second_judge"], "n": n,
            "score": _number(row["score"]), "second score": _number(row["second_score"]),
            "difference [95% interval]": with_interval(
                row["difference"], row["low"], row["high"], dagger(row["moves_scope"])
            ),
            "judged": row["judged"],
            "agreement % [95% interval]": with_interval(
                row["agreement"], row["agreement_low"], row["agreement_high"], mark
            ),
            "kappa [95% interval]": kappa + ("" if math.isnan(row["kappa"]) else f"{row['kappa_high']:.2f}]"),
            "unparsed": f"{row['unparsed']}, {row['second_unparsed']}",
            "left out": row["left_out"],
        })  # fmt: skip
    shown = pd.DataFrame(rows)
    for name, empty in (("unparsed", "0, 0"), ("left out", 0)):
        if len(shown) and (shown[name] == empty).all():
            shown = shown.drop(columns=[name])
    return shown


def _arms(rows: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    for method in methods_in_order(rows):
        for model, part in rows[rows["method"] == method].groupby("model", sort=False):
            yield {"method": method, "model": str(model)}, part


def _row(both: pd.DataFrame, planned: pd.DataFrame) -> dict[str, Any]:
    judged = both[both["judge_verdict"].notna() & both["second_verdict"].notna()]
    first, second = judged["judge_verdict"] == "yes", judged["second_verdict"] == "yes"
    found = cohen_kappa(first, second, judged["cluster"], units=judged["sample_id"])
    pairs = paired_scores(both.assign(score=both["second_score"].astype(float)), both)
    moves = paired_difference(pairs["first"], pairs["second"], pairs["cluster"])
    return Counts.of(both).columns() | {
        "score": 100 * pairs["second"].mean(), "second_score": 100 * pairs["first"].mean(),
        "difference": 100 * moves.difference, "low": 100 * moves.low, "high": 100 * moves.high, "p": moves.p,
        "moves_scope": moves.scope, "judged": len(judged), "agreement": 100 * found.share.estimate,
        "agreement_low": 100 * found.share.low, "agreement_high": 100 * found.share.high,
        "kappa": found.kappa, "kappa_low": found.low, "kappa_high": found.high, "scope": found.share.scope,
        "unparsed": int((judged["judge_verdict"] == "unparsed").sum()),
        "second_unparsed": int((judged["second_verdict"] == "unparsed").sum()),
        "left_out": len(planned) - len(both),
    }  # fmt: skip


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"
