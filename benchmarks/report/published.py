"""The paper's Table 1: the published row for a measured cell, and the comparison of the two."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.statistics import Interval, difference_of_intervals, samples_for_width

# The settings of the paper: its name for a benchmark, and the length in tokens if the benchmark has several.
SETTINGS = {
    "codeqa": ("codeqa", None),
    "browsecomp_plus": ("browsecomp_plus_1k", None),
    "oolong": ("oolong_trec_coarse", 131_072),
    "oolong_pairs": ("oolong_pairs", 32_768),
}

# The paper's form of questions, as the provenance of data states it, for benchmarks that have several.
QUESTION_FORMS = {
    "codeqa": {"answer_form": "numbers"},
    "oolong": {"query_frame": "paper"},
    "oolong_pairs": {"query_frame": "paper"},
}

CONSISTENT, HIGHER, LOWER, TOO_FEW = "consistent", "higher", "lower", "too few samples to tell"


@dataclass(frozen=True)
class PublishedRow:
    """A row of the paper's table. score: in percent. cost: in dollars a query, None if the paper gives none."""

    source: str
    model: str
    sub_model: str
    method: str
    max_depth: int | None
    benchmark: str
    n: int
    score: float
    cost_mean_usd: float | None
    cost_sd_usd: float | None
    hit_context_limit: bool


@dataclass(frozen=True)
class PaperComparison:
    """The comparison of a measured score with the paper's.

    verdict: consistent, higher, lower, or too few samples to tell. difference: in percentage points, with its 95%
    interval. samples_to_tell: the number of samples that is needed to measure as precisely as the paper, None if the
    measured score is as precise.
    """

    verdict: str
    difference: float
    low: float
    high: float
    samples_to_tell: int | None


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Read all rows, from the installed package or the checkout."""
    here = Path(__file__).parent.parent
    installed = here / "_published"
    folder = installed if installed.is_dir() else here.parent / "results" / "published"
    with (folder / "rlm_paper_table1.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(
            PublishedRow(
                row["source"], row["model"], row["sub_model"], row["method"],
                int(row["max_depth"]) if row["max_depth"] else None, row["benchmark"], int(row["n"]),
                float(row["score"]), _dollars(row["cost_mean_usd"]),
                _dollars(row["cost_sd_usd"]), row["hit_context_limit"] == "1",
            )
            for row in csv.DictReader(lines)
        )  # fmt: skip


def find_published(
    benchmark: str,
    method: str,
    model: str,
    *,
    max_depth: int | None = None,
    sub_model: str | None = None,
    length: int | None = None,
    documents: int | None = None,
) -> PublishedRow | None:
    """Find the comparable row of the paper, or None.

    A benchmark must have the paper's length (tokens) or number of documents. An RLM must have the same depth (1 if
    max_depth is not given) and, if sub_model is given, the same model for sub-calls.
    """
    name, its_length = SETTINGS.get(_plain(benchmark), (None, None))
    if name is None or (its_length is not None and length != its_length):
        return None
    if name == "browsecomp_plus_1k" and documents != 1000:
        return None
    kind, depth = _plain(method), max_depth
    if match := re.fullmatch(r"rlm_?(?:depth|d)_?(\d+)", kind):
        kind, depth = "rlm", int(match.group(1))
    if kind == "rlm" and depth is None:
        depth = 1
    for row in published_rows():
        same_depth = row.method != "rlm" or row.max_depth == depth
        same_sub = not sub_model or not row.sub_model or model_name(sub_model) == row.sub_model
        if (row.benchmark, row.method, row.model) == (name, kind, model_name(model)) and same_depth and same_sub:
            return row
    return None


def compare_with_published(ours: Interval, row: PublishedRow) -> PaperComparison:
    """Compare a measured mean score (0 to 1) with the paper's percentage, an estimate from row.n samples.

    Higher or lower: the 95% interval of the difference, with both sampling errors, excludes zero (Newcombe 1998). The
    paper states no spread of scores, so its interval is Wilson's at its n, adjusted if the measured scores vary less
    than binary ones. Otherwise consistent if the measured interval is at most as wide as the paper's, else too few
    samples to tell.
    """
    if ours.n == 0 or math.isnan(ours.estimate):
        return PaperComparison(TOO_FEW, math.nan, math.nan, math.nan, row.n)
    paper = _paper_interval(row, ours)
    low, high = difference_of_intervals(ours, paper)
    difference, low, high = 100 * (ours.estimate - paper.estimate), 100 * low, 100 * high
    if low > 0 or high < 0:
        return PaperComparison(HIGHER if low > 0 else LOWER, difference, low, high, None)
    # Intervals near 0 and 100% are narrow, so the widths are compared at the same score.
    needed = samples_for_width(ours.n_effective**-0.5, ours.n, paper.n_effective**-0.5)
    if needed is not None and needed > ours.n:
        return PaperComparison(TOO_FEW, difference, low, high, needed)
    return PaperComparison(CONSISTENT, difference, low, high, None)


def model_name(name: str) -> str:
    """Return the name of a model without provider, date, quantisation and kind.

    `openai/gpt-5-2025-08-07` is gpt-5; `Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8` is qwen3-coder-480b-a35b.
    """
    name = name.strip().lower().rsplit("/", 1)[-1].split(":")[0].split("@")[0]
    name = re.sub(r"-(?:20\d{6}|20\d\d-\d\d-\d\d|\d{4}|latest)$", "", name)
    name = re.sub(r"(?:-(?:instruct|fp8|awq|int4|bf16))+$", "", name)
    return re.sub(r"claude-opus-4-1$", "claude-opus-4.1", name)


def _paper_interval(row: PublishedRow, ours: Interval) -> Interval:
    from benchmarks.statistics.intervals import wilson

    share = row.score / 100
    spread = ours.n_effective / ours.n if ours.kind == "wilson, effective n" and ours.se > 0 else 1.0
    effective = row.n * max(spread, 1.0)
    low, high = wilson(share, effective)
    return Interval(share, low, high, row.n, row.n, math.nan, effective, "wilson")


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _dollars(text: str) -> float | None:
    return float(text) if text else None
