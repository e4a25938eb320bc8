"""Two runs of the same samples compared in pairs, as a gate: no regression, regression, or not comparable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.compose import ConfigError
from benchmarks.report.runs import Run, Runs, load_runs, methods_in_order, without_reference
from benchmarks.running.rows import COMPARED_COLUMNS
from benchmarks.statistics import MIN_CLUSTERS, PairedDifference, cluster_ratio_bootstrap, holm, paired_difference

if TYPE_CHECKING:
    import pandas as pd

NO_REGRESSION, REGRESSION, NOT_COMPARABLE = 0, 1, 2
# What can be let pass: other samples or targets, samples that a run lacks, other output caps, another scorer.
ALLOWANCES = frozenset({"data", "missing", "caps", "scorer"})
KEY = ["sample_id", "epoch"]


class NotComparable(ConfigError):
    """Two runs that say nothing about each other; the message is one line."""


@dataclass(frozen=True)
class Arm:
    """One benchmark and method in both runs.

    scores are 0 to 1, score is new - base with its two-sided interval; drop_limit is the one-sided lower limit of the
    difference at 1 - alpha. cost_ratio: mean cost new / base with its one-sided limits, NaN where nothing was paid.
    needed: pairs with which equal runs would pass the test of max_drop with 80% power, None where it was not failed.
    """

    benchmark: str
    method: str
    base_score: float
    new_score: float
    score: PairedDifference
    drop_limit: float
    score_failure: str
    cost_ratio: float
    cost_low: float
    cost_high: float
    cost_failure: str
    identical: bool
    p: float
    needed: int | None = None


@dataclass(frozen=True)
class Verdict:
    """code: 0 no regression, 1 regression. changes: lines on what differs between the two configurations."""

    code: int
    arms: tuple[Arm, ...]
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    max_drop: float | None
    max_cost_rise: float | None
    alpha: float


def compare(
    base: Path,
    new: Path,
    *,
    max_drop: float | None = None,
    max_cost_rise: float | None = None,
    alpha: float = 0.05,
    allow: frozenset[str] = frozenset(),
) -> Verdict:
    """Compare each benchmark and method that both runs have, or the only method of each.

    With max_drop (0 to 1): every method must be shown not to be worse by as much, a non-inferiority test at `alpha`; a
    run that is that much worse passes with a probability of at most alpha. Runs with the same answers throughout pass.
    Without it: a method fails if it is worse by a one-sided test at `alpha`, corrected for their number (Holm).
    max_cost_rise (0.2 is 20%): the mean cost must not have risen by more, unless the rise can be chance.

    Raises NotComparable for runs over other data, with other output caps or scorers, or unfinished, unless `allow`
    names it; ConfigError for a folder that is no run and for settings that cannot be.
    """
    _check(max_drop, max_cost_rise, alpha, allow)
    old_runs, new_runs = load_runs([base]), load_runs([new])
    for which, run in (("first", old_runs.runs[0]), ("second", new_runs.runs[0])):
        _refuse_unfinished(which, run, allow)
    old, young = _rows(old_runs), _rows(new_runs)
    notes: list[str] = []
    matched = _matched(old, young, notes)
    for (benchmark, method), (ours, theirs) in matched.items():
        _refuse_missing(benchmark, method, ours, theirs, allow)
    _refuse_other_judge(old_runs.runs[0], new_runs.runs[0], allow)
    both = {names: old.merge(young, on=KEY, suffixes=("_old", "_new")) for names, (old, young) in matched.items()}
    for names, pairs in both.items():
        _refuse_other(*names, pairs, allow)
    arms = [_arm(*names, pairs, max_drop, max_cost_rise, alpha) for names, pairs in both.items()]
    if max_drop is None:
        arms = _worse(arms, alpha)
    failed = any(arm.score_failure or arm.cost_failure for arm in arms)
    changes = what_changed(old_runs.runs[0], new_runs.runs[0])
    code = REGRESSION if failed else NO_REGRESSION
    return Verdict(code, tuple(arms), tuple(changes), tuple(notes), max_drop, max_cost_rise, alpha)


def _rows(runs: Runs) -> pd.DataFrame:
    """Rows of methods with the columns that a comparison reads; those of an older table that lacks one are empty."""
    return without_reference(runs.samples).reindex(columns=list(COMPARED_COLUMNS))


def what_changed(base: Run, new: Run) -> list[str]:
    """Lines `key: before -> after` on what determined the results: configuration, commit, prompts, data, packages."""
    from benchmarks.config.compose import differences

    before, after = base.manifest, new.manifest
    lines = differences(before.get("config") or {}, after.get("config") or {})
    for name in ("git", "packages", "methods", "benchmarks", "judge"):
        old, young = _facts(before.get(name)), _facts(after.get(name))
        lines += [
            f"{name}.{key}: {old.get(key, '(absent)')} -> {young.get(key, '(absent)')}"
            for key in sorted(old.keys() | young.keys())
            # The configuration has the class of a method, and its module may have moved.
            if old.get(key) != young.get(key) and not key.endswith(".class")
        ]
    return lines


def _facts(about: Any, prefix: str = "") -> dict[str, str]:
    """A part of a manifest as flat keys; lists, which are long, only by their hash that stands beside them."""
    facts: dict[str, str] = {}
    for key, value in (about or {}).items():
        if isinstance(value, Mapping):
            facts |= _facts(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            facts[f"{prefix}{key}"] = str(value)
    return facts


def _check(max_drop: float | None, max_cost_rise: float | None, alpha: float, allow: frozenset[str]) -> None:
    if max_drop is not None and not 0 <= max_drop <= 1:
        raise ConfigError(f"--max-drop is {max_drop:g}: wanted a fraction of the score, such as 0.05 for 5 points")
    if max_cost_rise is not None and not 0 <= max_cost_rise < math.inf:
        raise ConfigError(f"--max-cost-rise is {max_cost_rise:g}: wanted a fraction, such as 0.2 for 20%")
    if not 0 < alpha < 0.5:
        raise ConfigError(f"--alpha is {alpha:g}: wanted a probability above 0 and below 0.5")
    if unknown := allow - ALLOWANCES:
        raise ConfigError(f"--allow is {', '.join(sorted(unknown))}: wanted some of {', '.join(sorted(ALLOWANCES))}")


def _matched(
    old: pd.DataFrame, young: pd.DataFrame, notes: list[str]
) -> dict[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]]:
    """Rows of both runs for each (benchmark, method); notes name what only one of them has."""
    before, after = methods_in_order(old), methods_in_order(young)
    pairs = [(method, method) for method in before if method in after]
    if not pairs and len(before) == len(after) == 1:
        pairs = [(before[0], after[0])]
    benchmarks = [name for name in dict.fromkeys(old["benchmark"]) if name in set(young["benchmark"])]
    for what, left, right in (
        ("method", before, after),
        ("benchmark", list(dict.fromkeys(old["benchmark"])), list(dict.fromkeys(young["benchmark"]))),
    ):
        if (what == "method" and not pairs) or (what == "benchmark" and not benchmarks):
            raise NotComparable(
                f"not comparable: the runs have no {what} in common: {', '.join(left) or '(none)'} in the first, "
                f"{', '.join(right) or '(none)'} in the second"
            )
        matched = {name for pair in pairs for name in pair} if what == "method" else set(benchmarks)
        notes += [
            f"{what} {name} is in one run only and is left out" for name in [*left, *right] if name not in matched
        ]
    found = {}
    for benchmark in benchmarks:
        for first, second in pairs:
            ours = old[(old["benchmark"] == benchmark) & (old["method"] == first)]
            theirs = young[(young["benchmark"] == benchmark) & (young["method"] == second)]
            if len(ours) or len(theirs):
                found[benchmark, first if first == second else f"{first} -> {second}"] = ours, theirs
    return found


def _refuse_unfinished(which: str, run: Run, allow: frozenset[str]) -> None:
    if run.missing and not allow & {"data", "missing"}:
        raise NotComparable(
            f"not comparable: the {which} run is not finished, {run.missing} of its "
            f"{run.manifest.get('samples_planned')} samples are missing (--allow missing compares what is there)"
        )
    if run.repeated and "data" not in allow:
        raise NotComparable(
            f"not comparable: {run.repeated} samples stand more than once in the {which} run (--allow data takes the "
            "last of each)"
        )


def _refuse_missing(benchmark: str, method: str, old: pd.DataFrame, young: pd.DataFrame, allow: frozenset[str]) -> None:
    if old.duplicated(KEY).any() or young.duplicated(KEY).any():
        raise NotComparable(f"not comparable: {benchmark}, {method}: a run has its samples from several models")
    before, after = (set(zip(frame["sample_id"], frame["epoch"], strict=True)) for frame in (old, young))
    if not before & after:
        raise NotComparable(f"not comparable: {benchmark}, {method}: no sample is in both runs")
    if before != after and not allow & {"data", "missing"}:
        raise NotComparable(
            f"not comparable: {benchmark}, {method}: the first run has {len(before - after)} samples that the second "
            f"lacks, the second {len(after - before)} that the first lacks (--allow missing compares the "
            f"{len(before & after)} of both)"
        )


def _refuse_other(benchmark: str, method: str, both: pd.DataFrame, allow: frozenset[str]) -> None:
    where = f"not comparable: {benchmark}, {method}"
    for column, what in (("target_sha256", "targets"), ("input_tokens", "inputs")):
        other = both[_texts(both, f"{column}_old") != _texts(both, f"{column}_new")]
        if len(other) and "data" not in allow:
            raise NotComparable(
                f"{where}: other {what}, in {len(other)} of {len(both)} samples, {other['sample_id'].iloc[0]} for one "
                "(--allow data compares them all the same)"
            )
    for column, what, name in (("max_output_tokens", "output caps", "caps"), ("scorer", "scorers", "scorer")):
        before, after = (sorted(set(_texts(both, f"{column}_{run}"))) for run in ("old", "new"))
        if before != after and name not in allow:
            raise NotComparable(f"{where}: other {what}, {', '.join(before)} and {', '.join(after)} (--allow {name})")


def _texts(both: pd.DataFrame, column: str) -> pd.Series:
    return both[column].astype(object).fillna("none").astype(str)


def _refuse_other_judge(base: Run, new: Run, allow: frozenset[str]) -> None:
    before, after = _facts(base.manifest.get("judge")), _facts(new.manifest.get("judge"))
    if before != after and "scorer" not in allow:
        said = [f"{about.get('model', 'none')} {about.get('prompt', '')}".strip() for about in (before, after)]
        raise NotComparable(f"not comparable: other judges, {said[0]} and {said[1]} (--allow scorer)")


def _arm(
    benchmark: str,
    method: str,
    both: pd.DataFrame,
    max_drop: float | None,
    max_cost_rise: float | None,
    alpha: float,
) -> Arm:
    samples = both.groupby("sample_id", sort=True).agg(
        old=("score_old", "mean"), new=("score_new", "mean"), cluster=("cluster_old", "first"),
        cost_old=("cost_usd_old", "sum"), cost_new=("cost_usd_new", "sum"),
    )  # fmt: skip
    found = paired_difference(samples["new"], samples["old"], samples["cluster"])
    identical = _same_answers(both)
    drop_limit = 0.0 if identical else found.lower(alpha)
    failure, needed = "", None
    if max_drop is not None and not drop_limit > -max_drop and not (identical and max_drop == 0):
        failure, needed = _drop_failure(found, drop_limit, max_drop, alpha)
    # Redrawing one or two windows would not vary anything.
    windows = samples["cluster"] if samples["cluster"].nunique() >= MIN_CLUSTERS else None
    ratio, low, high = cluster_ratio_bootstrap(samples["cost_new"], samples["cost_old"], windows, level=1 - 2 * alpha)
    unknown = int((both["cost_state_old"].eq("unknown") | both["cost_state_new"].eq("unknown")).sum())
    cost_failure = ""
    if max_cost_rise is not None and unknown:
        raise NotComparable(f"not comparable: {benchmark}, {method}: the cost of {unknown} samples is not known")
    if max_cost_rise is not None and ratio > 1 + max_cost_rise and low > 1:
        rose = f"rose by {100 * (ratio - 1):.0f}%" if math.isfinite(ratio) else "rose from nothing"
        cost_failure = f"mean cost {rose}, allowed are {100 * max_cost_rise:.0f}%"
    if unknown:
        ratio = low = high = math.nan
    return Arm(
        benchmark, method, float(samples["old"].mean()), float(samples["new"].mean()), found, drop_limit, failure,
        ratio, low, high, cost_failure, identical, _one_sided(found), needed,
    )  # fmt: skip


def _drop_failure(found: PairedDifference, drop_limit: float, max_drop: float, alpha: float) -> tuple[str, int | None]:
    allowed = f"a drop of {100 * max_drop:.1f} points"
    if found.upper(alpha) < -max_drop:
        return f"worse by {-100 * found.difference:.1f} points: shown to be more than {allowed}", None
    from scipy.special import ndtri

    needed = None
    if max_drop > 0 and found.n:
        needed = math.ceil(found.n * ((ndtri(1 - alpha) + ndtri(0.8)) * found.se / max_drop) ** 2)
    said = f"; about {needed} pairs would tell" if needed and needed > found.n else ""
    return f"{allowed} is not ruled out (it may be {-100 * drop_limit:.1f}){said}", needed


def _worse(arms: list[Arm], alpha: float) -> list[Arm]:
    """The plain regression test: which arms are worse, corrected for their number."""
    from dataclasses import replace

    adjusted = holm([arm.p for arm in arms], alpha)
    return [
        replace(arm, score_failure=f"worse by {-100 * arm.score.difference:.1f} points (p = {p:.3g}, one-sided)")
        if p < alpha
        else arm
        for arm, p in zip(arms, adjusted, strict=True)
    ]


def _one_sided(found: PairedDifference) -> float:
    """p of no drop, from the two-sided one of a symmetric test."""
    return found.p / 2 if found.difference < 0 else 1 - found.p / 2


def _same_answers(both: pd.DataFrame) -> bool:
    """Whether the runs gave the same answers throughout, as two replays of one recording do."""
    said = both["prediction_old"].fillna("") == both["prediction_new"].fillna("")
    # A sample that was stopped, or whose prompt did not fit, has no answer; old tables lack them all.
    unanswered = both["status_old"].isin(["limit", "context_overflow"]) & (both["status_old"] == both["status_new"])
    told = (both["prediction_old"].notna() | unanswered).any()
    return bool(told and said.all() and (both["score_old"] == both["score_new"]).all())
