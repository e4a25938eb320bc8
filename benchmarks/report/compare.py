"""Paired comparison of two runs of the same samples: no regression, regression, or not comparable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import Run, Runs, load_runs, methods_in_order, without_reference
from benchmarks.report.tables.cells import Counts
from benchmarks.running.rows import COMPARED_COLUMNS
from benchmarks.statistics import MIN_CLUSTERS, PairedDifference, cluster_ratio_bootstrap, holm, paired_difference
from benchmarks.statistics.failed import failed_words, too_many_failed
from rlm.terminal import counted

if TYPE_CHECKING:
    import pandas as pd

NO_REGRESSION, REGRESSION = 0, 1
# Differences that --allow accepts: samples or targets, missing samples, output caps, scorers and judges.
ALLOWANCES = frozenset({"data", "missing", "caps", "scorer"})
KEY = ["sample_id", "epoch"]


class NotComparable(ConfigError):
    """The runs cannot be compared; the message is one line."""


@dataclass(frozen=True)
class ArmComparison:
    """One benchmark and method in both runs.

    base_score and new_score: 0 to 1. score: new - base with its two-sided interval. drop_limit: the one-sided lower
    limit of new - base at confidence 1 - alpha. cost_ratio: mean cost new / base with its one-sided limits, NaN for
    free runs. identical: the answers and scores are the same. needed: for a failure of the strict rule, the number of
    pairs that equal runs need to pass it with 80% power.
    """

    benchmark: str
    method: str
    base_score: float
    new_score: float
    score: PairedDifference
    counts: Counts
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
class Rule:
    """The limits that an arm has to keep, see `compare`."""

    max_drop: float | None
    max_cost_rise: float | None
    alpha: float
    strict: bool


@dataclass(frozen=True)
class RunComparison:
    """The comparisons of all arms.

    code: 0 no regression, 1 regression. changes: lines on the differences between the two configurations. notes: lines
    on parts of the runs that were not compared.
    """

    code: int
    arms: tuple[ArmComparison, ...]
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    rule: Rule


def compare(
    base: Path,
    new: Path,
    *,
    max_drop: float | None = None,
    max_cost_rise: float | None = None,
    alpha: float = 0.05,
    strict: bool = False,
    allow: frozenset[str] = frozenset(),
) -> RunComparison:
    """Compare each benchmark and method that both runs have, or, if each run has one method, these two.

    With max_drop (0 to 1), a method fails if its score dropped by more. With `strict` as well, a method fails unless a
    one-sided test at `alpha` shows that it is not worse by max_drop (non-inferiority): a run that is worse by max_drop
    passes with a probability of at most alpha. Runs with the same answers pass.
    Without max_drop, a method fails if a one-sided test at `alpha` shows a drop, corrected for the number of methods
    and benchmarks (Holm).
    max_cost_rise (0.2 is 20%): a method fails if its mean cost rose by more, unless chance can explain the rise.

    Raises NotComparable for runs with different data, output caps or scorers and for unfinished runs, unless `allow`
    names the difference, and for runs in which too many samples failed; ConfigError for a folder that is not a run and
    for invalid settings.
    """
    rule = Rule(max_drop, max_cost_rise, alpha, strict)
    _check(rule, allow)
    old_runs, new_runs = load_runs([base]), load_runs([new])
    for which, run in (("first", old_runs.runs[0]), ("second", new_runs.runs[0])):
        _refuse_unfinished(which, run, allow)
    old, young = _rows(old_runs), _rows(new_runs)
    if any(rows["model"].nunique() > 1 for rows in (old, young)):
        # A run of several models is compared model by model.
        old, young = (rows.assign(method=rows["method"] + ", " + rows["model"]) for rows in (old, young))
    notes: list[str] = []
    matched = _matched(old, young, notes)
    for (benchmark, method), (ours, theirs) in matched.items():
        _refuse_missing(benchmark, method, ours, theirs, allow)
        _refuse_failed(benchmark, method, ours, theirs)
        cut = sum(int(rows["prompt_cut"].sum()) for rows in (ours, theirs))
        notes += [f"{benchmark}, {method}: a server cut the prompts of {counted(cut, 'sample')}"] if cut else []
    _refuse_other_judge(old_runs.runs[0], new_runs.runs[0], allow)
    both = {names: old.merge(young, on=KEY, suffixes=("_old", "_new")) for names, (old, young) in matched.items()}
    for names, pairs in both.items():
        _refuse_other(*names, pairs, allow)
    arms = [_compared(*names, pairs, rule) for names, pairs in both.items()]
    if max_drop is None:
        arms = _worse(arms, alpha)
    failed = any(arm.score_failure or arm.cost_failure for arm in arms)
    changes = what_changed(old_runs.runs[0], new_runs.runs[0])
    code = REGRESSION if failed else NO_REGRESSION
    return RunComparison(code, tuple(arms), tuple(changes), tuple(notes), rule)


def _rows(runs: Runs) -> pd.DataFrame:
    """Return rows of methods with the columns that a comparison reads; columns missing in an older table are empty."""
    return without_reference(runs.samples).reindex(columns=[*COMPARED_COLUMNS, "model", "failed", "prompt_cut"])


def what_changed(base: Run, new: Run) -> list[str]:
    """Return lines `key: before -> after` for configuration, commit, packages, prompts, data and judge."""
    from benchmarks.config.identity import differences

    before, after = base.manifest, new.manifest
    lines = differences(before.get("config") or {}, after.get("config") or {})
    for name in ("git", "packages", "methods", "benchmarks", "judge"):
        old, young = _facts(before.get(name)), _facts(after.get(name))
        lines += [
            f"{name}.{key}: {old.get(key, '(absent)')} -> {young.get(key, '(absent)')}"
            for key in sorted(old.keys() | young.keys())
            # The configuration already has the class of a method, whose module may have moved.
            if old.get(key) != young.get(key) and not key.endswith(".class")
        ]
    return lines


def _facts(about: Any, prefix: str = "") -> dict[str, str]:
    """Flatten a part of a manifest into keys. Lists are omitted, because the manifest also has their hashes."""
    facts: dict[str, str] = {}
    for key, value in (about or {}).items():
        if isinstance(value, Mapping):
            facts |= _facts(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            facts[f"{prefix}{key}"] = str(value)
    return facts


def _check(rule: Rule, allow: frozenset[str]) -> None:
    max_drop, max_cost_rise, alpha = rule.max_drop, rule.max_cost_rise, rule.alpha
    if max_drop is not None and not 0 <= max_drop <= 1:
        raise ConfigError(f"--max-drop is {max_drop:g}: expected a fraction of the score, such as 0.05 for 5 points")
    if max_cost_rise is not None and not 0 <= max_cost_rise < math.inf:
        raise ConfigError(f"--max-cost-rise is {max_cost_rise:g}: expected a fraction, such as 0.2 for 20%")
    if not 0 < alpha < 0.5:
        raise ConfigError(f"--alpha is {alpha:g}: expected a probability above 0 and below 0.5")
    if rule.strict and max_drop is None:
        raise ConfigError("--strict is set without --max-drop: expected both, such as --max-drop 0.05 --strict")
    if unknown := allow - ALLOWANCES:
        raise ConfigError(f"--allow is {', '.join(sorted(unknown))}: expected one of {', '.join(sorted(ALLOWANCES))}")


def _matched(
    old: pd.DataFrame, young: pd.DataFrame, notes: list[str]
) -> dict[tuple[str, str], tuple[pd.DataFrame, pd.DataFrame]]:
    """Return rows of both runs for each (benchmark, method). Notes name those that only one run has."""
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
        notes += [f"{what} {name} is only in one run and is omitted" for name in [*left, *right] if name not in matched]
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
            f"{counted(int(run.manifest.get('samples_planned') or run.missing), 'sample')} "
            f"{'is' if run.missing == 1 else 'are'} missing (--allow missing compares the finished ones)"
        )
    if run.repeated and "data" not in allow:
        raise NotComparable(
            f"not comparable: the {which} run has {counted(run.repeated, 'repeated row')} of a sample (--allow data "
            "uses the last row of each sample)"
        )


def _refuse_missing(benchmark: str, method: str, old: pd.DataFrame, young: pd.DataFrame, allow: frozenset[str]) -> None:
    before, after = (set(zip(frame["sample_id"], frame["epoch"], strict=True)) for frame in (old, young))
    if not before & after:
        raise NotComparable(f"not comparable: {benchmark}, {method}: no sample is in both runs")
    if before != after and not allow & {"data", "missing"}:
        raise NotComparable(
            f"not comparable: {benchmark}, {method}: the first run has {counted(len(before - after), 'sample')} that "
            f"the second lacks, the second {len(after - before)} that the first lacks (--allow missing compares the "
            f"{len(before & after)} of both)"
        )


def _refuse_failed(benchmark: str, method: str, old: pd.DataFrame, young: pd.DataFrame) -> None:
    for which, rows in (("first", old), ("second", young)):
        if too_many_failed(failed := int(rows["failed"].sum()), len(rows)):
            words = failed_words(failed, len(rows))
            raise NotComparable(f"not comparable: {benchmark}, {method}: {words} in the {which} run")


def _refuse_other(benchmark: str, method: str, both: pd.DataFrame, allow: frozenset[str]) -> None:
    where = f"not comparable: {benchmark}, {method}"
    for column, what in (("target_sha256", "targets"), ("input_tokens", "inputs")):
        other = both[_texts(both, f"{column}_old") != _texts(both, f"{column}_new")]
        if len(other) and "data" not in allow:
            raise NotComparable(
                f"{where}: different {what} in {len(other)} of {counted(len(both), 'sample')}, such as "
                f"{other['sample_id'].iloc[0]} (--allow data compares them nevertheless)"
            )
    for column, what, name in (("max_output_tokens", "output caps", "caps"), ("scorer", "scorers", "scorer")):
        before, after = (sorted(set(_texts(both, f"{column}_{run}"))) for run in ("old", "new"))
        if before != after and name not in allow:
            names = f"{', '.join(before)} and {', '.join(after)}"
            raise NotComparable(f"{where}: different {what}, {names} (--allow {name})")


def _texts(both: pd.DataFrame, column: str) -> pd.Series:
    return both[column].astype(object).fillna("none").astype(str)


def _refuse_other_judge(base: Run, new: Run, allow: frozenset[str]) -> None:
    before, after = _facts(base.manifest.get("judge")), _facts(new.manifest.get("judge"))
    if before != after and "scorer" not in allow:
        names = [f"{about.get('model', 'none')} {about.get('prompt', '')}".strip() for about in (before, after)]
        raise NotComparable(f"not comparable: different judges, {names[0]} and {names[1]} (--allow scorer)")


def _compared(benchmark: str, method: str, both: pd.DataFrame, rule: Rule) -> ArmComparison:
    samples = both.groupby("sample_id", sort=True).agg(
        old=("score_old", "mean"), new=("score_new", "mean"), cluster=("cluster_old", "first"),
        cost_old=("cost_usd_old", "sum"), cost_new=("cost_usd_new", "sum"),
    )  # fmt: skip
    found, identical = paired_difference(samples["new"], samples["old"], samples["cluster"]), _same_answers(both)
    drop_limit = 0.0 if identical else found.lower(rule.alpha)
    failure, needed = _drop_failure(found, rule, drop_limit, identical)
    unknown = int((both["cost_state_old"].eq("unknown") | both["cost_state_new"].eq("unknown")).sum())
    if rule.max_cost_rise is not None and unknown:
        raise NotComparable(
            f"not comparable: {benchmark}, {method}: the cost of {counted(unknown, 'sample')} is unknown"
        )
    # One or two clusters would give too little variation when resampled.
    clusters = samples["cluster"] if samples["cluster"].nunique() >= MIN_CLUSTERS else None
    level = 1 - 2 * rule.alpha
    ratio, low, high = cluster_ratio_bootstrap(samples["cost_new"], samples["cost_old"], clusters, level=level)
    cost_failure = _cost_failure(ratio, low, rule.max_cost_rise)
    if unknown:
        ratio = low = high = math.nan
    old, new = float(samples["old"].mean()), float(samples["new"].mean())
    epochs = int(both.groupby("sample_id").size().max())
    return ArmComparison(
        benchmark, method, old, new, found, Counts(len(both), len(samples), epochs), drop_limit, failure, ratio, low,
        high, cost_failure, identical, _one_sided(found), needed,
    )  # fmt: skip


def _drop_failure(found: PairedDifference, rule: Rule, drop_limit: float, identical: bool) -> tuple[str, int | None]:
    """Return the failure of max_drop as one line, and for the strict rule the number of pairs that it needs."""
    if rule.max_drop is None:
        return "", None
    allowed, drop = f"{100 * rule.max_drop:.1f} points", -found.difference
    # Because of rounding, means of epochs can differ from the allowed drop in the last digit.
    if drop > rule.max_drop + 1e-9:
        certain = "shown" if found.upper(rule.alpha) < -rule.max_drop else "within the sampling error"
        return f"worse by {100 * drop:.1f} points: expected at most {allowed} ({certain})", None
    if not rule.strict or drop_limit > -rule.max_drop or (identical and rule.max_drop == 0):
        return "", None
    from scipy.special import ndtri

    needed = None
    if rule.max_drop > 0 and found.n:
        needed = math.ceil(found.n * ((ndtri(1 - rule.alpha) + ndtri(0.8)) * found.se / rule.max_drop) ** 2)
    more = f"; about {needed:,} pairs are needed" if needed and needed > found.n else ""
    return f"a drop of {allowed} is not ruled out (it may be {-100 * drop_limit:.1f}){more}", needed


def _cost_failure(ratio: float, low: float, max_rise: float | None) -> str:
    if max_rise is None or not (ratio > 1 + max_rise and low > 1):
        return ""
    rose = f"rose by {100 * (ratio - 1):.0f}%" if math.isfinite(ratio) else "rose from nothing"
    return f"mean cost {rose}: expected at most {100 * max_rise:.0f}%"


def _worse(arms: list[ArmComparison], alpha: float) -> list[ArmComparison]:
    """Return the arms, with a failure for those that are shown to be worse, corrected for their number."""
    adjusted = holm([arm.p for arm in arms])
    return [
        replace(arm, score_failure=f"worse by {-100 * arm.score.difference:.1f} points (p = {p:.3g}, one-sided)")
        if p < alpha
        else arm
        for arm, p in zip(arms, adjusted, strict=True)
    ]


def _one_sided(found: PairedDifference) -> float:
    """Return the one-sided p value of the hypothesis of no drop, from the two-sided value of a symmetric test."""
    return found.p / 2 if found.difference < 0 else 1 - found.p / 2


def _same_answers(both: pd.DataFrame) -> bool:
    """True if both runs gave the same answers and scores, like two replays of one recording."""
    equal = both["prediction_old"].fillna("") == both["prediction_new"].fillna("")
    # Tables of older runs have no answers. Stopped samples have no answer in any run.
    unanswered = both["status_old"].isin(["limit", "context_overflow"]) & (both["status_old"] == both["status_new"])
    known = (both["prediction_old"].notna() | unanswered).any()
    return bool(known and equal.all() and (both["score_old"] == both["score_new"]).all())
