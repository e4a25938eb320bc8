"""Prices: tables, overrides, discounts, and models that no table knows."""

import shlex

import pytest

from rlm.models.chat import CostState, TokenUsage
from rlm.models.prices import Price, PriceTable, Rate, default_prices
from rlm.validation import SettingError

OPENAI = "https://api.openai.com/v1"
USAGE = TokenUsage(prompt_tokens=1_000_000, cached_tokens=400_000, completion_tokens=100_000)


def test_a_known_model_costs_less_with_cached_input():
    cost = PriceTable().cost("gpt-5", USAGE, OPENAI)
    assert cost.state == CostState.KNOWN
    assert cost.usd == pytest.approx(0.6 * 1.25 + 0.4 * 0.125 + 0.1 * 10)
    assert cost.uncached_usd == pytest.approx(1.25 + 0.1 * 10)


def test_a_custom_gateway_is_priced_by_the_model_name():
    assert PriceTable().cost("gpt-5", USAGE, "http://127.0.0.1:4000/v1") == PriceTable().cost("gpt-5", USAGE, OPENAI)


def test_an_unknown_model_has_an_unknown_cost():
    cost = PriceTable().cost("a-model-of-my-own", USAGE, OPENAI)
    assert (cost.usd, cost.state) == (0.0, CostState.UNKNOWN)


def test_an_override_wins_whatever_the_case_of_the_name():
    table = PriceTable({"GPT-5": {"input": 1, "output": 2, "cached": 0.5}})
    assert table.cost("gpt-5", USAGE, OPENAI).usd == pytest.approx(0.6 + 0.2 + 0.2)


def test_without_a_cached_price_cached_input_costs_the_same():
    cost = PriceTable({"m": {"input": 1, "output": 2}}).cost("m", USAGE)
    assert cost.usd == cost.uncached_usd == pytest.approx(1.2)


def test_the_models_of_the_paper_have_prices():
    fireworks = default_prices().price(
        "accounts/fireworks/models/qwen3-coder-480b-a35b-instruct", "https://api.fireworks.ai/inference/v1"
    )
    assert (fireworks.input.base, fireworks.output.base) == (0.45, 1.80)
    assert fireworks.source == "rlm"
    for model in ("gpt-5", "gpt-5-mini", "gpt-5-nano"):
        assert default_prices().price(model, OPENAI) is not None


def test_a_shipped_price_gives_way_to_an_override():
    name = "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8"
    assert PriceTable({}).price(name).input.base == 2.0
    overridden = PriceTable({name: {"input": 1, "output": 1}}).price(name)
    assert (overridden.input.base, overridden.source) == (1.0, "conf")


@pytest.mark.parametrize("name", ["acme-1", "acme/model-4.1:free", "accounts/a b/{x}"])
def test_the_line_about_a_missing_price_is_an_override_that_gives_one(name):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    line = PriceTable().missing(name)
    assert name in line and "prices.NAME.input" in line.replace("prices.acme-1", "prices.NAME")
    words = shlex.split(line.partition(" with ")[2].partition(" (")[0].replace("...", "1.5"))
    given = {}
    for override in OverridesParser.create().parse_overrides(words):
        value, path = override.value(), override.key_or_group.split(".")[1:]
        for key in reversed(path):
            value = {key: value}
        for model, price in value.items():
            given.setdefault(str(model), {}).update(price)
    assert PriceTable(given).missing(name) is None


def test_above_a_tier_all_tokens_cost_the_tiers_price():
    price = Price(Rate(1.0, ((200, 2.0),)), Rate(10.0, ((200, 20.0),)))
    assert price.cost(TokenUsage(200, 0, 10)).usd == pytest.approx((200 + 100) * 1e-6)
    assert price.cost(TokenUsage(201, 0, 10)).usd == pytest.approx((402 + 200) * 1e-6)


def test_the_charge_of_the_provider_wins_and_the_discount_is_kept():
    table = PriceTable({"m": {"input": 2, "output": 2, "cached": 1}})
    cost = table.cost("m", USAGE, charged_usd=5.0)
    assert (cost.usd, cost.uncached_usd, cost.state) == (5.0, pytest.approx(5.4), CostState.KNOWN)
    assert PriceTable().cost("nobody", USAGE, charged_usd=5.0).uncached_usd == 5.0


def test_the_snapshot_has_the_version_of_the_tables_and_the_prices_used():
    table = PriceTable({"m": {"input": 2, "output": 3}})
    table.cost("m", USAGE)
    table.cost("nobody", USAGE)
    snapshot = table.snapshot()
    assert snapshot["genai_prices"]
    assert snapshot["usd_per_million_tokens"] == {
        "m": {"source": "conf", "input": 2.0, "cached": 2.0, "output": 3.0},
        "nobody": None,
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"input": 1}, r"prices\.m\.output is missing"),
        ({"input": 1, "output": 2, "ouput": 3}, r"there is no key 'prices.m.ouput'; did you mean 'prices.m.output'\?"),
        ({"input": -1, "output": 2}, "prices.m.input is -1: expected a number of at least 0"),
        ({"input": "cheap", "output": 2}, "prices.m.input is 'cheap': expected a number"),
        (3, "prices.m is 3: expected a section"),
    ],
)
def test_an_invalid_override_is_refused_by_name(override, message):
    with pytest.raises(SettingError, match=message):
        PriceTable({"m": override})
