"""The budget of a run, and the check that models have the prices that a limit in dollars needs."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.config.errors import ConfigError
from benchmarks.config.models import ModelSection
from benchmarks.config.schema import RunConfig
from rlm.limits import Budget
from rlm.models.prices import PriceTable


def run_budget(config: RunConfig) -> Budget:
    """Return the budget that all samples of a run share."""
    return Budget(config.budget.max_cost_usd, config.budget.max_tokens)


def check_prices(config: RunConfig) -> None:
    """Raise ConfigError if a limit in dollars is set and a model or the judge has no price.

    With `budget.unpriced=allow`, the limit counts only priced calls. A replay is not checked, because it pays nothing.
    """
    _check(config, config.model_sections, {"limits.max_cost_usd": config.limits.max_cost_usd})


def check_judge_prices(config: RunConfig) -> None:
    """Like check_prices, for a command that calls only the judge."""
    _check(config, [config.judge.models] if config.judge else [], {})


def _check(config: RunConfig, sections: Iterable[ModelSection], limits: dict[str, float | None]) -> None:
    judged = config.judge.limits.max_cost_usd if config.judge and config.judge.limits else None
    limits = {"budget.max_cost_usd": config.budget.max_cost_usd} | limits | {"judge.limits.max_cost_usd": judged}
    limit = next((key for key, value in limits.items() if value is not None), None)
    if limit is None or config.budget.unpriced == "allow" or config.cache.mode == "replay":
        return
    table = PriceTable(config.prices)
    for section in sections:
        for role, model in section.paid.items():
            if missing := table.missing(model.name, model.endpoint.base_url):
                raise ConfigError(
                    f"{limit} cannot be enforced: {section.where}.{role}.name is {model.name}, and {missing}, or set "
                    "budget.unpriced=allow to count only priced calls"
                )
