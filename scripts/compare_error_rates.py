#!/usr/bin/env python3
"""Simulate how often the rules of `rlm-eval compare` fail for runs with a known drop of the score.

Prints a Markdown table: percent of comparisons that fail, for each number of samples and each true drop. A failure at a
drop of 0 is a false alarm; a pass at a drop above the allowed one is a miss. Scores are binary; a tenth or a third of
the answers differ between the runs, besides those that the drop makes wrong.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from benchmarks.report.tables.formats import markdown
from benchmarks.statistics import paired_difference

MAX_DROP, ALPHA = 0.05, 0.05


def scores(n: int, drop: float, changed: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores of two runs with means 0.6 and 0.6 - drop; a share of the answers is drawn again."""
    shared = rng.random(n)
    again = np.where(rng.random(n) < changed, rng.random(n), shared)
    return (shared < 0.6).astype(float), (again < 0.6 - drop).astype(float)


def failures(n: int, drop: float, changed: float, runs: int, rng: np.random.Generator) -> dict[str, float]:
    """Percent of simulated comparisons that fail, by rule."""
    failed = {"--max-drop 0.05": 0, "--max-drop 0.05 --strict": 0, "no --max-drop": 0}
    for _ in range(runs):
        base, new = scores(n, drop, changed, rng)
        found = paired_difference(new, base)
        failed["--max-drop 0.05"] += found.difference < -MAX_DROP - 1e-9
        failed["--max-drop 0.05 --strict"] += not found.lower(ALPHA) > -MAX_DROP
        failed["no --max-drop"] += found.difference < 0 and found.p / 2 < ALPHA
    return {rule: 100 * count / runs for rule, count in failed.items()}


def main() -> int:
    """Run all scenarios and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulated comparisons for each row")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    rng = np.random.default_rng(words.seed)
    rows = [
        {"answers drawn again": f"{100 * changed:.0f}%", "n": n, "true drop": f"{100 * drop:.0f} points"}
        | failures(n, drop, changed, words.runs, rng)
        for changed in (0.1, 0.3)
        for n in (50, 200, 800)
        for drop in (0.0, 0.05, 0.1, 0.2)
    ]
    print(markdown(pd.DataFrame(rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
