"""Table 3: paired differences of methods, of models and of runs, with tests, detectable differences and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import methods_in_order, prepare, without_reference
from benchmarks.report.tables.display import count_texts, settings
from benchmarks.report.tables.formats import dagger, with_interval
from benchmarks.report.tables.pairing import paired_counts, paired_scores, refusal, same_calls, solved
from benchmarks.statistics import holm, paired_difference
from rlm.terminal import counted

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
BETTER, WORSE, NOT_SHOWN = "better", "worse", "no difference shown"
SAME_CALLS = "not tested: same calls and answers"
# Families of comparisons; those of single lengths are families of their own, with this ending.
METHODS, MODELS, RUNS, BY_LENGTH = "methods", "models", "runs", " by length"
_NUMBERS = ("score", "baseline_score", "difference", "low", "high", "p", "p_holm", "detectable")


class Arm(NamedTuple):
    """A method and its model; own is the method's name in its run, run the number of a run that renamed it, or None."""

    method: str
    model: str
    own: str
    run: int | None


def choose_baseline(samples: pd.DataFrame, requested: str | None = None) -> str | None:
    """Return the method with which others are compared: `requested`, else `base`, else the first; None without methods.

    Raises ConfigError for a method without samples.
    """
    methods = methods_in_order(without_reference(prepare(samples)))
    if requested is None:
        return "base" if "base" in methods else next(iter(methods), None)
    if requested not in methods:
        raise ConfigError(f"baseline is {requested!r}: expected one of the methods {', '.join(methods) or '(none)'}")
    return requested


def paired_table(samples: pd.DataFrame, *, baseline: str | None = None) -> pd.DataFrame:
    """Make one row for each comparison and benchmark: a method minus its baseline, in percentage points.

    Families of comparisons: `methods` with the baseline of the same model (and run, if several runs have it), every two
    `models` of a method, and the `runs` of a method with the first run that has it. Benchmarks with several lengths
    have a row over all lengths, and one for each length in a further family, `methods by length`.
    Each sample counts once, as the mean of the epochs that both have; n counts the paired rows. unpaired counts the
    rows of samples and epochs that only one has. p_holm is corrected for the tested rows of the family, whose number is
    family_size. A method is better or worse only if p_holm is below 5% and the 95% interval excludes zero. detectable
    is the smallest true difference that is found with 80% power at the corrected level. sentence: the row in words.
    Not tested, with the reason as verdict: different output caps, scorers or targets, cells in which too many samples
    failed, and methods that made the same calls and gave the same answers, which are equal by construction.
    """
    import pandas as pd

    table = without_reference(prepare(samples))
    baseline = choose_baseline(table, baseline)
    arms = arms_of(table)
    cells = dict(iter(table.groupby(["benchmark", "bucket", "method", "model"], sort=False)))
    whole = dict(iter(table.groupby(["benchmark", "method", "model"], sort=False)))
    sizes = {name: sorted(rows["bucket"].unique()) for name, rows in table.groupby("benchmark", sort=False)}
    rows = []
    for benchmark, buckets in sizes.items():
        several = any(buckets)
        for family, ours, theirs in comparisons(arms, baseline):
            names = {
                "benchmark": benchmark, "size": math.nan, "model": ours.model, "method": ours.method,
                "baseline": theirs.method, "baseline_model": theirs.model, "all_lengths": several,
            }  # fmt: skip
            both = [whole.get((benchmark, arm.method, arm.model)) for arm in (ours, theirs)]
            if any(part is None for part in both):
                continue
            rows.append(names | {"family": family} | _compare(*both))
            for bucket in buckets if several else ():
                parts = [cells.get((benchmark, bucket, arm.method, arm.model)) for arm in (ours, theirs)]
                if all(part is not None for part in parts):
                    size = {"size": bucket or math.nan, "all_lengths": False, "family": family + BY_LENGTH}
                    rows.append(names | size | _compare(*parts))
    return pd.DataFrame(_corrected(rows))


def pairs_display(pairs: pd.DataFrame) -> pd.DataFrame:
    """Format the table for reading; the verdict is the third column."""
    import pandas as pd

    rows = []
    several = len(set(pairs["model"]) | set(pairs["baseline_model"])) > 1 if len(pairs) else False
    for row, setting, n in zip(pairs.to_dict("records"), settings(pairs), count_texts(pairs), strict=True):
        rows.append({
            "benchmark": setting,
            "comparison": " − ".join(_sides(row, several)),
            "verdict": row["verdict"],
            "difference [95% interval]": with_interval(
                row["difference"], row["low"], row["high"], dagger(row["scope"])
            ),
            "p (Holm)": row["p_holm"],
            "detectable": ">100" if row["detectable"] > 100 else row["detectable"],
            "n": n,
            "unpaired": row["unpaired"],
            "in words": row["sentence"],
        })  # fmt: skip
    shown = pd.DataFrame(rows)
    return shown if shown.empty or shown["unpaired"].any() else shown.drop(columns=["unpaired"])


def arms_of(table: pd.DataFrame) -> list[Arm]:
    """Return the arms of prepared samples in the order of the tables."""
    order = {method: i for i, method in enumerate(methods_in_order(table))}
    found = table[["method", "model", "own_method", "run"]].drop_duplicates(["method", "model"])
    own = found["own_method"].where(found["own_method"].notna(), found["method"])
    arms = [
        Arm(method, model, name, int(run) if name != method else None)
        for method, model, name, run in zip(found["method"], found["model"], own, found["run"], strict=True)
    ]
    return sorted(arms, key=lambda arm: order[arm.method])


def comparisons(arms: list[Arm], baseline: str | None) -> Iterator[tuple[str, Arm, Arm]]:
    """Yield family, arm, and the arm that it is compared with: of several baselines that of its own run."""
    known = next((arm.own for arm in arms if arm.method == baseline), baseline)
    for arm in arms:
        bases = [other for other in arms if other.model == arm.model and other.own == known]
        same_run = [other for other in bases if other.run == arm.run]
        named = [other for other in bases if other.method == baseline]
        theirs = next(iter([*same_run, *named]), None)
        if theirs is not None and arm.own != known:
            yield METHODS, arm, theirs
    for own in dict.fromkeys(arm.own for arm in arms):
        # Of several runs of a model, the first is compared with other models.
        by_model = {arm.model: arm for arm in reversed(arms) if arm.own == own}
        for theirs, ours in combinations([arm for arm in arms if arm in by_model.values()], 2):
            yield MODELS, ours, theirs
    for own, model in dict.fromkeys((arm.own, arm.model) for arm in arms):
        first, *later = [arm for arm in arms if (arm.own, arm.model) == (own, model)]
        for ours in later:
            yield RUNS, ours, first


def _compare(ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, Any]:
    pairs = paired_scores(ours, theirs)
    counts = paired_counts(pairs)
    row: dict[str, Any] = counts | {
        "unpaired": len(ours) + len(theirs) - 2 * counts["n"], "windows": pairs["cluster"].nunique(),
    }  # fmt: skip
    refused = refusal(ours, theirs) or ("no samples in common" if pairs.empty else "")
    refused = refused or (SAME_CALLS if same_calls(ours, theirs) else "")
    if refused:
        return row | dict.fromkeys(_NUMBERS, math.nan) | solved(pairs) | {
            "test": "", "scope": "", "found": None, "verdict": refused,
        }  # fmt: skip
    found = paired_difference(pairs["first"], pairs["second"], pairs["cluster"])
    return row | {
        "score": 100 * pairs["first"].mean(), "baseline_score": 100 * pairs["second"].mean(),
        "difference": 100 * found.difference, "low": 100 * found.low, "high": 100 * found.high,
        "p": found.p, "p_holm": math.nan, "detectable": math.nan,
        **solved(pairs), "test": found.test, "scope": found.scope, "found": found, "verdict": "",
    }  # fmt: skip


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows in the order of their families, with corrected p values, verdicts and sentences."""
    families: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(row["family"], []).append(row)
    several = len({row[name] for row in rows for name in ("model", "baseline_model")}) > 1
    for family in families.values():
        adjusted = holm([row["p"] for row in family])
        tested = sum(not math.isnan(p) for p in adjusted)
        for row, p in zip(family, adjusted, strict=True):
            found = row.pop("found")
            row |= {"p_holm": p, "family_size": tested}
            row["detectable"] = 100 * found.detectable(alpha=ALPHA / max(1, tested)) if found else math.nan
            row["verdict"] = row["verdict"] or _verdict(row)
    done = [row for family in families.values() for row in family]
    import pandas as pd

    where = settings(pd.DataFrame(done)) if done else []
    for row, setting in zip(done, where, strict=True):
        row["sentence"] = _sentence(row, setting, several)
    return done


def _verdict(row: dict[str, Any]) -> str:
    if row["p_holm"] < ALPHA and row["low"] > 0:
        return BETTER
    if row["p_holm"] < ALPHA and row["high"] < 0:
        return WORSE
    return NOT_SHOWN


def _sides(row: dict[str, Any], several_models: bool) -> tuple[str, str]:
    """Return the names of both arms, with their models if there are several; a common model is named once."""
    if not several_models:
        return row["method"], row["baseline"]
    if row["model"] == row["baseline_model"]:
        return row["method"], f"{row['baseline']} ({row['model']})"
    return f"{row['method']} ({row['model']})", f"{row['baseline']} ({row['baseline_model']})"


def _sentence(row: dict[str, Any], setting: str, several_models: bool) -> str:
    """Return a sentence that a reader can quote."""
    ours, theirs = _sides(row, several_models)
    if math.isnan(row["difference"]):
        return f"On {setting}, {ours} and {theirs} are not compared: {row['verdict'].split(': ', 1)[-1]}."
    p = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.3f}"
    after = f" after Holm's correction for {row['family_size']} comparisons" if row["family_size"] > 1 else ""
    about = f"95% interval {row['low']:.1f} to {row['high']:.1f}, {p}{after}, {counted(row['samples'], 'sample')}"
    if row["verdict"] == NOT_SHOWN:
        found = f"{row['difference']:+.1f} points ({about})"
        return f"On {setting}, no difference between {ours} and {theirs} is shown: {found}."
    direction = "higher" if row["difference"] > 0 else "lower"
    return f"On {setting}, {ours} scores {abs(row['difference']):.1f} points {direction} than {theirs} ({about})."
