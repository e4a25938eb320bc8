#!/usr/bin/env python3
"""Print the ratio of the estimated and the published cost of each cell of Table 1, as Markdown tables.

estimate_ratios.py [EXPERIMENT ...]: paper_table1_gpt5 and paper_table1_qwen3_coder by default. No call is made. Without
access to the hub, samples of the declared lengths are assumed.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.config.compose import compose
from benchmarks.config.identity import model_name
from benchmarks.config.schema import CacheSettings
from benchmarks.report.published import SETTINGS, find_published
from benchmarks.running.estimate import estimate

EXPERIMENTS = ("paper_table1_gpt5", "paper_table1_qwen3_coder")


def cells(experiment: str) -> Iterator[tuple[str, str, float, float]]:
    """Yield benchmark, method, the estimated and the published dollars of a sample, where the paper states a cost."""
    config = replace(compose([f"+experiment={experiment}"]), cache=CacheSettings(mode="replay"))
    for row in estimate(config).to_dict("records"):
        found = find_published(
            row["benchmark"], row["method"], model_name(config.plain),
            length=SETTINGS.get(row["benchmark"], ("", None))[1], documents=1000,
        )  # fmt: skip
        if found and found.cost_mean_usd and row["usd"] == row["usd"]:
            yield row["benchmark"], row["method"], row["usd"] / row["samples"], found.cost_mean_usd


def main() -> None:
    for experiment in sys.argv[1:] or EXPERIMENTS:
        found = {(benchmark, method): (ours, paper) for benchmark, method, ours, paper in cells(experiment)}
        benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in found))
        print(f"| {experiment} | {' | '.join(benchmarks)} |\n|{'---|' * (len(benchmarks) + 1)}")
        for method in dict.fromkeys(method for _, method in found):
            row = [_cell(*found.get((benchmark, method), (0.0, 0.0))) for benchmark in benchmarks]
            print(f"| {method} | {' | '.join(row)} |")
        ratios = [ours / paper for ours, paper in found.values()]
        within = {factor: sum(1 / factor <= ratio <= factor for ratio in ratios) for factor in (2, 5, 10)}
        counts = ", ".join(f"{count} within a factor of {factor}" for factor, count in within.items())
        print(f"\nOf {len(ratios)} cells: {counts}.\n")


def _cell(ours: float, paper: float) -> str:
    return f"{ours / paper:.2f} ({ours:.2f} / {paper:.2f})" if paper else ""


if __name__ == "__main__":
    main()
