"""The budget of a run, and the prices without which a limit in dollars cannot be kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.config.compose import Config, ConfigError
from rlm.limits import Budget
from rlm.models.build import ROLES
from rlm.models.prices import PriceTable


def run_budget(config: Config) -> Budget:
    """The budget that all samples of a run share."""
    budget = config["budget"]
    return Budget(budget["max_cost_usd"], budget.get("max_tokens"))


def check_prices(config: Config) -> None:
    """Raise ConfigError if a limit in dollars is set and a model or the judge has no price.

    `budget.unpriced=allow` accepts the limit, which then counts priced calls only. A replay pays nothing.
    """
    limit = next(_dollar_limits(config), None)
    if limit is None or config["budget"].get("unpriced") == "allow" or config["cache"]["mode"] == "replay":
        return
    table = PriceTable(config.get("prices"))
    for section in ("model", "judge"):
        settings = config[section]
        endpoint = settings.get("endpoint") or {}
        if not endpoint or endpoint.get("free"):
            continue
        for role in ROLES:
            name = (settings.get(role) or {}).get("name")
            if name and (missing := table.missing(str(name), endpoint.get("base_url") or "")):
                raise ConfigError(
                    f"{limit} cannot be kept: {section}.{role}.name is {name}, and {missing}, or run without the limit "
                    "on its dollars with budget.unpriced=allow"
                )


def _dollar_limits(config: Config) -> Iterator[str]:
    judge_limits: Mapping[str, Any] = config["judge"].get("limits") or {}
    for key, section in (("budget", config["budget"]), ("limits", config["limits"]), ("judge.limits", judge_limits)):
        if section.get("max_cost_usd") is not None:
            yield f"{key}.max_cost_usd"
