#!/usr/bin/env python3
"""Simulate how often the 95% intervals of benchmarks.statistics cover the true mean of scores like a benchmark's.

Prints Markdown tables: coverage in percent and mean width in percentage points, for kappa as a number. For clustered
scores there is also the coverage of an interval that treats the samples as independent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from benchmarks.report.tables.formats import markdown
from benchmarks.statistics import mean_interval, paired_difference
from benchmarks.statistics.agreement import cohen_kappa

Rng = np.random.Generator
Draw = Callable[[Rng], tuple[np.ndarray, np.ndarray | None]]


def scenarios() -> Iterator[tuple[str, int, float, Draw]]:
    """Name, samples, true mean, and a function that draws scores and their clusters."""
    for n in (10, 20, 50, 150):
        for share in (0.02, 0.1, 0.5, 0.9):
            yield f"binary, {share:g}", n, share, lambda rng, n=n, p=share: ((rng.random(n) < p).astype(float), None)
        for a, b in ((2, 2), (0.5, 0.5), (0.1, 0.3), (1, 9)):
            yield f"graded, Beta({a}, {b})", n, a / (a + b), lambda rng, n=n, a=a, b=b: (rng.beta(a, b, n), None)
        for share in (0.02, 0.1, 0.4):
            yield f"OOLONG, {share:g} right", n, share + (1 - share) * FAR_OFF.mean(), oolong(n, share)
    for clusters in (3, 5, 10, 40):
        for correlation in (0.02, 0.1, 0.3):
            for share in (0.1, 0.5):
                name = f"{clusters} windows of 25, correlation {correlation}, {share:g}"
                yield name, clusters * 25, share, clustered(clusters, 25, share, correlation)


# OOLONG's score of a count that is off by 1 to 60.
FAR_OFF = 0.75 ** np.arange(1, 61)


def oolong(n: int, share: float) -> Draw:
    """Draw scores: a share of them is 1, and the others are those of wrong counts."""
    return lambda rng: (np.where(rng.random(n) < share, 1.0, rng.choice(FAR_OFF, n)), None)


def clustered(clusters: int, size: int, share: float, correlation: float) -> Draw:
    """Binary scores whose windows differ so that two scores of a window have this correlation (beta-binomial)."""
    spread, labels = 1 / correlation - 1, np.repeat(np.arange(clusters), size)

    def draw(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        windows = rng.beta(share * spread, (1 - share) * spread, clusters)
        return (rng.random(len(labels)) < windows[labels]).astype(float), labels

    return draw


def mean_row(name: str, n: int, truth: float, draw: Draw, runs: int, rng: Rng) -> dict[str, object]:
    """Coverage and width of mean_interval in one scenario."""
    held, naive, width = 0, 0, 0.0
    for _ in range(runs):
        scores, labels = draw(rng)
        found = mean_interval(scores, labels)
        held += found.low <= truth <= found.high
        width += found.high - found.low
        if labels is not None:
            plain = mean_interval(scores)
            naive += plain.low <= truth <= plain.high
    unclustered = 100 * naive / runs if "windows" in name else None
    return {
        "scores": name,
        "n": n,
        "coverage": 100 * held / runs,
        "width": 100 * width / runs,
        "as independent": unclustered,
    }


def pair_rows(runs: int, rng: Rng) -> Iterator[dict[str, object]]:
    """Coverage of paired_difference, and how often p is below 5% for methods that are equal."""
    for n in (10, 20, 50, 150):
        for name, graded in (("paired, binary", False), ("paired, graded", True)):
            held, alarms, width = 0, 0, 0.0
            for _ in range(runs):
                shared = rng.random(n)
                first, second = (np.where(rng.random(n) < 0.6, shared, rng.random(n)) for _ in range(2))
                if not graded:
                    first, second = (first < 0.6).astype(float), (second < 0.6).astype(float)
                found = paired_difference(first, second)
                held += found.low <= 0 <= found.high
                alarms += found.p < 0.05
                width += found.high - found.low
            row = {"scores": name, "n": n, "coverage": 100 * held / runs, "width": 100 * width / runs}
            yield row | {"false alarms": 100 * alarms / runs}


# Shares of both yes, first only, second only and both no, of two judges.
JUDGES = (
    (0.45, 0.05, 0.05, 0.45), (0.48, 0.02, 0.02, 0.48), (0.75, 0.05, 0.05, 0.15), (0.8, 0.02, 0.06, 0.12),
    (0.4, 0.15, 0.1, 0.35), (0.88, 0.02, 0.02, 0.08),
)  # fmt: skip


def kappa_rows(runs: int, rng: Rng) -> Iterator[dict[str, object]]:
    """Coverage of the interval of cohen_kappa, over the samples for which kappa is defined."""
    first, second = np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0])
    for n in (20, 50, 150):
        for shares in JUDGES:
            yes, other_yes = shares[0] + shares[1], shares[0] + shares[2]
            chance = yes * other_yes + (1 - yes) * (1 - other_yes)
            truth = (shares[0] + shares[3] - chance) / (1 - chance)
            drawn = [rng.choice(4, n, p=shares) for _ in range(runs)]
            found = [one for cells in drawn if (one := cohen_kappa(first[cells], second[cells])).kappa == one.kappa]
            held = np.mean([one.low <= truth <= one.high for one in found])
            width = np.mean([one.high - one.low for one in found])
            yield {
                "kappa": round(truth, 2),
                "n": n,
                "coverage": 100 * held,
                "width": width,
                "undefined": runs - len(found),
            }


def main() -> int:
    """Run all scenarios and print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulated samples for each row")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    rng = np.random.default_rng(words.seed)
    rows = [mean_row(*scenario, words.runs, rng) for scenario in scenarios()]
    print(markdown(pd.DataFrame(rows)))
    print(markdown(pd.DataFrame(list(pair_rows(words.runs, rng)))))
    print(markdown(pd.DataFrame(list(kappa_rows(words.runs, rng)))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
