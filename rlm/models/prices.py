"""Prices of model calls: the user's overrides, then prices.toml beside this module, then genai-prices (offline)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from rlm.models.chat import Cost, CostState, TokenUsage
from rlm.validation import SettingError, make

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

PER_MILLION = 1e-6


@dataclass(frozen=True, kw_only=True)
class PriceSettings:
    """The configuration of one price, in dollars per million tokens.

    If `cached` is None, cached input costs the same as other input.
    """

    input: Annotated[float, Ge(0)]
    output: Annotated[float, Ge(0)]
    cached: Annotated[float, Ge(0)] | None = None


@dataclass(frozen=True)
class Rate:
    """Dollars per million tokens.

    tiers: pairs (prompt tokens, price); a longer prompt pays that price for all tokens.
    """

    base: float
    tiers: tuple[tuple[int, float], ...] = ()

    def at(self, prompt_tokens: int) -> float:
        price = self.base
        for start, tier_price in self.tiers:
            if prompt_tokens > start:
                price = tier_price
        return price


@dataclass(frozen=True)
class Price:
    """The three rates of a model. If `cached` is None, cached input costs `input`. `source` names the table."""

    input: Rate
    output: Rate
    cached: Rate | None = None
    source: str = "conf"

    def cost(self, usage: TokenUsage) -> Cost:
        """Return the cost, with the discount for cached input and without it."""
        prompt = usage.prompt_tokens
        full, output = self.input.at(prompt), usage.completion_tokens * self.output.at(prompt)
        discounted = full if self.cached is None else self.cached.at(prompt)
        usd = (prompt - usage.cached_tokens) * full + usage.cached_tokens * discounted + output
        return Cost(usd * PER_MILLION, (prompt * full + output) * PER_MILLION, CostState.KNOWN)


class PriceTable:
    """Prices by model and endpoint.

    overrides: {model: {input, output, cached}} in dollars per million tokens; they take precedence over every table.
    An endpoint that genai-prices does not know, such as a custom gateway, is priced by the model's name alone.
    Raises SettingError for an invalid override.
    """

    def __init__(self, overrides: Mapping[str, Any] | None = None) -> None:
        self._own = _shipped() | _prices(overrides or {}, "conf")
        self._found: dict[tuple[str, str], Price | ModelInfo | None] = {}
        self._used: dict[str, Price | None] = {}

    def price(self, model: str, base_url: str = "") -> Price | None:
        """Return the price that applies now; None if no table has one."""
        key = model, base_url
        if key not in self._found:
            self._found[key] = self._own.get(model.lower()) or _lookup(model, base_url)
        found = self._found[key]
        # Some prices depend on the hour or the date, so they are resolved at each call.
        price = found if found is None or isinstance(found, Price) else _resolve(found)
        self._used[model] = price
        return price

    def missing(self, model: str, base_url: str = "") -> str | None:
        """Return None if the model has a price, else one line that names the model and the setting for its price."""
        if self.price(model, base_url) is not None:
            return None
        return f"no price is known for {model}: set one in dollars per million tokens with {_override_words(model)}"

    def cost(
        self,
        model: str,
        usage: TokenUsage,
        base_url: str = "",
        charged_usd: float | None = None,
        *,
        share: float = 1.0,
    ) -> Cost:
        """Return the cost of `usage`.

        charged_usd, the amount reported by the provider, takes precedence over the table. share: the part of the
        table's price that is charged, such as 0.5 in a batch.
        """
        price = self.price(model, base_url)
        computed = Cost(state=CostState.UNKNOWN) if price is None else price.cost(usage)
        computed = Cost(computed.usd * share, computed.uncached_usd * share, computed.state)
        if charged_usd is None:
            return computed
        return Cost(charged_usd, charged_usd + computed.uncached_usd - computed.usd, CostState.KNOWN)

    def snapshot(self) -> dict[str, Any]:
        """Return the version of genai-prices and the prices looked up so far, for the manifest of a run."""
        from importlib.metadata import version

        used = {model: None if price is None else _plain(price) for model, price in sorted(self._used.items())}
        return {"genai_prices": version("genai-prices"), "usd_per_million_tokens": used}


@cache
def default_prices() -> PriceTable:
    """Return the price table without overrides."""
    return PriceTable()


@cache
def _shipped() -> dict[str, Price]:
    text = Path(__file__).with_name("prices.toml").read_text(encoding="utf-8")
    return _prices(tomllib.loads(text), "rlm")


def _prices(given: object, source: str) -> dict[str, Price]:
    if not isinstance(given, Mapping):
        raise SettingError(f"prices is {given!r}: expected a section with a price for each model")
    prices = {}
    for name, values in given.items():
        one: PriceSettings = make(PriceSettings, values, f"prices.{name}")
        cached = None if one.cached is None else Rate(one.cached)
        prices[str(name).lower()] = Price(Rate(one.input), Rate(one.output), cached, source)
    return prices


def _override_words(model: str) -> str:
    if re.fullmatch(r"[A-Za-z_][\w-]*", model):
        return f"+prices.{model}.input=... +prices.{model}.output=..."
    escaped = re.sub(r"([:,{}()\[\]=' ])", r"\\\1", model)
    return f"'+prices={{{escaped}:{{input: ..., output: ...}}}}' (the same as prices.NAME.input and prices.NAME.output)"


def _lookup(model: str, base_url: str) -> Price | ModelInfo | None:
    from genai_prices.data_snapshot import get_snapshot

    tables = get_snapshot()
    try:
        provider = tables.find_provider(None, None, base_url or None) if base_url else None
    except LookupError:
        provider = None
    try:
        _, info = tables.find_provider_model(model, provider, None, None)
    except LookupError:
        return None
    return info if isinstance(info.prices, list) else _resolve(info)


def _resolve(info: ModelInfo) -> Price | None:
    prices = info.get_prices(datetime.now(UTC))
    if prices.input_mtok is None or prices.output_mtok is None:
        return None
    cached = None if prices.cache_read_mtok is None else _rate(prices.cache_read_mtok)
    return Price(_rate(prices.input_mtok), _rate(prices.output_mtok), cached, "genai-prices")


def _rate(price: Any) -> Rate:
    if hasattr(price, "tiers"):
        return Rate(float(price.base), tuple((tier.start, float(tier.price)) for tier in price.tiers))
    return Rate(float(price))


def _plain(price: Price) -> dict[str, Any]:
    rates = {"input": price.input, "cached": price.cached or price.input, "output": price.output}
    plain: dict[str, Any] = {"source": price.source}
    for name, rate in rates.items():
        plain[name] = rate.base
        if rate.tiers:
            plain[f"{name}_above"] = {str(start): tier for start, tier in rate.tiers}
    return plain
