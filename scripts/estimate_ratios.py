#!/usr/bin/env python3
"""Compare the estimated costs with the published ones of Table 1, as Markdown tables, and test the fit.

estimate_ratios.py [--fit]: the ratio of each cell for GPT-5 and Qwen3-Coder. --fit also fits the parameters that
`benchmarks.running.estimate_habits.FITTED` names again, predicts each cell from all others, and predicts Qwen3-Coder's
costs with the turns of GPT-5, which takes 20 seconds. No call is made. Without access to the hub, sizes are assumed.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.config.compose import compose
from benchmarks.config.identity import model_name
from benchmarks.config.models import ModelSection
from benchmarks.config.schema import CacheSettings
from benchmarks.report.published import SETTINGS, find_published
from benchmarks.running.estimate import Cell, cells, dollars, replayed_models
from benchmarks.running.estimate_calls import expected_calls
from benchmarks.running.estimate_habits import FITTED, PLAIN, REASONING, Habits
from rlm.models.prices import PriceTable

EXPERIMENTS = {
    "paper_table1_gpt5": (REASONING, FITTED["reasoning"]),
    "paper_table1_qwen3_coder": (PLAIN, FITTED["plain"]),
}
FACTORS = (2, 3, 5, 10)


@dataclass(frozen=True)
class Known:
    """A cell whose cost the paper states, in dollars a sample."""

    cell: Cell
    section: ModelSection
    prices: PriceTable
    paper: float

    def ratio(self, habits: Habits | None = None) -> float:
        """Return the estimate over the paper's cost."""
        total = 0.0
        for sample, count in Counter(self.cell.samples).items():
            calls = expected_calls(self.cell.method, sample, habits) or []
            total += count * dollars(calls, self.cell.method, self.section, self.prices)
        return total / len(self.cell.samples) / self.paper


def known_cells(experiment: str) -> list[Known]:
    """Return the cells of an experiment whose cost the paper states."""
    config = replace(compose([f"+experiment={experiment}"]), cache=CacheSettings(mode="replay"))
    prices, found = PriceTable(config.prices), []
    for cell in cells(config, replayed_models(config)):
        published = find_published(
            cell.benchmark, cell.name, model_name(config.plain),
            length=SETTINGS.get(cell.benchmark, ("", None))[1], documents=1000,
        )  # fmt: skip
        if published and published.cost_mean_usd:
            found.append(Known(cell, config.models[cell.model], prices, published.cost_mean_usd))
    return found


def fitted(known: Iterable[Known], start: Habits, names: tuple[str, ...]) -> Habits:
    """Return the habits with the named parameters fitted: ratios beyond a factor of two count most."""
    from scipy.optimize import minimize

    known = list(known)

    def with_values(values: Iterable[float]) -> Habits:
        return replace(start, **dict(zip(names, map(math.exp, values), strict=True)))

    def loss(values: Iterable[float]) -> float:
        errors = [abs(math.log(max(one.ratio(with_values(values)), 1e-9))) for one in known]
        return sum(min(max(0.0, error - math.log(2)), math.log(5)) + error / 10 for error in errors)

    first = [math.log(getattr(start, name)) for name in names]
    found = minimize(loss, first, method="Nelder-Mead", options={"maxiter": 200, "xatol": 0.01, "fatol": 0.01})
    return with_values(found.x)


def counted(ratios: Iterable[float]) -> str:
    ratios = list(ratios)
    within = {factor: sum(1 / factor <= ratio <= factor for ratio in ratios) for factor in FACTORS}
    return f"of {len(ratios)} cells " + ", ".join(
        f"{count} within a factor of {factor}" for factor, count in within.items()
    )


def show(experiment: str, known: list[Known]) -> None:
    found = {(one.cell.benchmark, one.cell.name): (one.ratio(), one.paper) for one in known}
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in found))
    print(f"| {experiment} | {' | '.join(benchmarks)} |\n|{'---|' * (len(benchmarks) + 1)}")
    for method in dict.fromkeys(method for _, method in found):
        print(f"| {method} | {' | '.join(_cell(found.get((benchmark, method))) for benchmark in benchmarks)} |")
    print(f"\n{counted(ratio for ratio, _ in found.values())}\n")


def _cell(found: tuple[float, float] | None) -> str:
    return f"{found[0]:.2f} ({found[0] * found[1]:.2f} / {found[1]:.2f})" if found else ""


def check_fit(tables: dict[str, list[Known]], tell: Callable[[str], None] = print) -> None:
    for experiment, known in tables.items():
        habits, names = EXPERIMENTS[experiment]
        again = fitted(known, habits, names)
        values = ", ".join(f"{name} {getattr(again, name):.2f}" for name in names)
        tell(f"{experiment}, fitted again ({values}): {counted(one.ratio(again) for one in known)}")
        rest = [(one, [other for other in known if other is not one]) for one in known]
        left_out = [one.ratio(fitted(others, again, names)) for one, others in rest]
        tell(f"{experiment}, each cell predicted from the others: {counted(left_out)}")
    turns = {name: getattr(REASONING, name) for name in FITTED["reasoning"]}
    other = tables["paper_table1_qwen3_coder"]
    tell(f"Qwen3-Coder with the turns of GPT-5: {counted(one.ratio(replace(PLAIN, **turns)) for one in other)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fit", action="store_true", help="fit again, and predict each cell from the others")
    tables = {experiment: known_cells(experiment) for experiment in EXPERIMENTS}
    fit = parser.parse_args().fit
    for experiment, known in tables.items():
        show(experiment, known)
    if fit:
        check_fit(tables)


if __name__ == "__main__":
    main()
