"""A leaderboard over run folders: methods ranked within a benchmark, on the same samples only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import Runs, load_runs, pooled, without_reference
from benchmarks.report.tables.cells import Cell, cells
from benchmarks.report.tables.display import count_texts, missing
from benchmarks.report.tables.formats import dagger, markdown, printable, seconds, with_interval
from benchmarks.report.tables.matrix import cost_text
from benchmarks.report.tables.pairing import refusal
from benchmarks.running.manifest import find_manifest
from benchmarks.statistics import PairedDifference, paired_difference

if TYPE_CHECKING:
    import pandas as pd


def leaderboard(paths: Sequence[Path]) -> pd.DataFrame:
    """Rank the methods of run folders; a path may also be a folder of run folders.

    There is one row for each benchmark, method and model, with all lengths together. Only the methods of the largest
    group with the same samples, targets and scorer are ranked, regardless of the others' scores. rank: 1 + the number
    of methods that are shown to be better (paired 95% interval above zero). difference: percentage points behind the
    ranked method with the highest score, with its interval. reason: the reason why a row has no rank.
    Raises ConfigError for a path that is not a run, and if no two of several methods have the same samples.
    """
    import pandas as pd

    runs = load_runs([run for path in paths for run in _run_folders(Path(path))])
    rows: list[dict[str, Any]] = []
    for _, group in without_reference(pooled(runs.samples)).groupby("benchmark", sort=False):
        rows += _ranked(list(cells(group)), runs)
    if len(rows) > 1 and not any(row["rank"] and row["rivals"] for row in rows):
        raise ConfigError("no two methods have the same samples of a benchmark: there is nothing to rank")
    return pd.DataFrame([{name: value for name, value in row.items() if name != "rivals"} for row in rows])


def leaderboard_text(board: pd.DataFrame) -> str:
    """Format the leaderboard as one Markdown table for each benchmark."""
    import pandas as pd

    parts = []
    for benchmark, group in board.groupby("benchmark", sort=False):
        shown = [
            {
                "rank": "–" if missing(row["rank"]) else f"{row['rank']:.0f}",
                "method": row["method"],
                "model": row["model"],
                "run": row["run"],
                "score [95% interval]": with_interval(row["score"], row["low"], row["high"], dagger(row["scope"])),
                "behind the first": with_interval(row["difference"], row["difference_low"], row["difference_high"]),
                "cost": cost_text(row),
                "runtime": seconds(row["runtime_mean_s"]),
                "n": n,
                "not ranked": row["reason"],
            }
            for row, n in zip(group.to_dict("records"), count_texts(group), strict=True)
        ]
        table = pd.DataFrame(shown)
        empty = [name for name in ("model", "behind the first", "cost", "not ranked") if not table[name].any()]
        parts.append(f"{printable(str(benchmark))}\n\n{markdown(table.drop(columns=empty))}")
    parts.append("rank: 1 + the number of methods that are shown to be better (paired 95% interval above zero)\n")
    return "\n".join(parts)


def _run_folders(path: Path) -> list[Path]:
    if find_manifest(path) is not None or not path.is_dir():
        return [path]
    return sorted(file.parent for file in path.glob("*/run.json")) or [path]


def _ranked(arms: list[Cell], runs: Runs) -> list[dict[str, Any]]:
    """Return the rows of a benchmark, ranked ones first."""
    groups = [(_samples_of(arm), _scorers_of(arm)) for arm in arms]
    same, scorers = max(groups, key=lambda one: (groups.count(one), len(one[0]), -groups.index(one)))
    candidates, others = [], []
    for arm, (has, scored_by) in zip(arms, groups, strict=True):
        if arm.not_stated:
            others.append((arm, arm.not_stated))
        elif has != same:
            others.append((arm, f"other samples: {len(has & same)} of {len(same)} in common"))
        elif scored_by != scorers:
            others.append((arm, f"another scorer: {_listed(scored_by)} instead of {_listed(scorers)}"))
        else:
            candidates.append(arm)
    candidates.sort(key=lambda arm: -float(arm.rows["score"].mean()))
    ranked: list[Cell] = []
    for arm in candidates:
        # Rows of one model can have different output caps, which no scorer states.
        refused = next(((why, other) for other in ranked if (why := refusal(arm.rows, other.rows))), None)
        if refused:
            others.append((arm, f"{refused[0].removeprefix('refused: ')} than {refused[1].arm['method']}"))
        else:
            ranked.append(arm)
    rows = []
    difference = _differences(ranked)
    for place, arm in enumerate(ranked):
        # Only a method with a higher score can be shown to be better.
        rank = 1 + sum(difference(place, other).high < 0 for other in range(place))
        behind = difference(place, 0) if place else None
        rows.append(_row(arm, runs) | _behind(behind) | {"rank": rank, "reason": "", "rivals": len(ranked) - 1})
    rows.sort(key=lambda row: (row["rank"], -row["score"]))
    return rows + [_row(arm, runs) | _behind(None) | {"rank": None, "reason": why, "rivals": 0} for arm, why in others]


def _samples_of(arm: Cell) -> frozenset[tuple[str, str]]:
    return frozenset(zip(arm.rows["sample_id"], arm.rows["target_sha256"], strict=True))


def _scorers_of(arm: Cell) -> frozenset[str]:
    return frozenset(map(str, arm.rows["scorer"].dropna()))


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "an unknown scorer"


def _differences(arms: Sequence[Cell]) -> Callable[[int, int], PairedDifference]:
    """Return a function of two places in `arms`, which have the same samples, that compares their scores.

    A sample's score is the mean over the epochs that both have.
    """
    import pandas as pd

    key = ["sample_id", "epoch"]
    scores = [arm.rows.set_index(key)["score"] for arm in arms]
    table = pd.concat(scores, axis=1, keys=range(len(arms))).sort_index() if arms else pd.DataFrame()
    clusters = arms[0].rows.drop_duplicates("sample_id").set_index("sample_id")["cluster"] if arms else pd.Series()
    several = len(table) > len(clusters)

    def difference(first: int, second: int) -> PairedDifference:
        pairs = table[[first, second]].dropna()
        pairs = pairs.groupby(level="sample_id").mean() if several else pairs.droplevel("epoch")
        return paired_difference(pairs[first], pairs[second], clusters.loc[pairs.index])

    return difference


def _behind(found: PairedDifference | None) -> dict[str, float]:
    values = (math.nan,) * 3 if found is None else (found.difference, found.low, found.high)
    names = ("difference", "difference_low", "difference_high")
    return {name: 100 * value for name, value in zip(names, values, strict=True)}


def _row(arm: Cell, runs: Runs) -> dict[str, Any]:
    states = set(arm.rows["cost_state"])
    score = {name: value for name, value in arm.score().items() if name != "not_stated"}
    return arm.arm | {
        "rank": None,
        "run": ", ".join(runs.runs[int(number)].name for number in sorted(set(arm.rows["run"]))),
        **score,
        **arm.counts,
        "cost_mean_usd": arm.costs.mean(),
        "cost_state": "unknown" if "unknown" in states else "known" if "known" in states else "free",
        "runtime_mean_s": float(arm.rows["wall_s"].mean()),
    }
