"""Token counts: payloads of real providers, and payloads with impossible values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.models.chat import TokenUsage
from rlm.models.client.usage import provider_cost, token_usage

EXPECTED = {
    "openai gpt (o-series)": (7271, 1024, 2045, 1344, False),
    "openai gpt-5-mini via litellm": (55, 0, 1727, 1344, False),
    "vLLM v1 server": (222, 0, 269, 0, False),
    "vLLM, finish_reason length": (5, 0, 100, 0, False),
    "llama.cpp server": (63, 0, 381, 0, False),
    "fireworks dedicated": (2421, 2420, 82, 0, False),
    "deepseek native": (496, 0, 1783, 0, False),
    "openrouter": (43958, 128, 11105, 6649, False),
    "xAI style": (303, 128, 273, 220, False),
    "cached > prompt": (100, 100, 5, 0, True),
}


def usage_of(**usage):
    return token_usage({"usage": usage})


def test_real_payloads_of_every_provider(shared_data):
    rows = json.loads((shared_data / "usage" / "usage_payloads.json").read_text())
    seen = {}
    for row in rows:
        usage = row["usage"]
        body = {"usage": usage, "timings": usage.pop("_sibling_timings", None)}
        name = next(start for start in EXPECTED if row["what"].startswith(start))
        seen[name] = token_usage(body, usage.pop("_headers", {}))
    assert seen == {name: TokenUsage(*counts) for name, counts in EXPECTED.items()}


def test_llama_cpp_reports_cached_tokens_beside_usage():
    body = {"usage": {"prompt_tokens": 90, "completion_tokens": 4}, "timings": {"cache_n": 80, "prompt_n": 10}}
    assert token_usage(body) == TokenUsage(90, 80, 4, 0)


def test_deepseek_cache_hits():
    usage = usage_of(prompt_tokens=500, completion_tokens=9, prompt_cache_hit_tokens=448, prompt_cache_miss_tokens=52)
    assert usage == TokenUsage(500, 448, 9, 0)


def test_anthropic_counts_the_cache_beside_its_input():
    usage = usage_of(input_tokens=20, output_tokens=7, cache_read_input_tokens=1000, cache_creation_input_tokens=300)
    assert usage == TokenUsage(1320, 1000, 7, 0)


def test_a_gateway_that_sends_both_shapes_counts_the_cache_once():
    usage = usage_of(prompt_tokens=1320, completion_tokens=7, total_tokens=1327, cache_read_input_tokens=1000)
    assert usage == TokenUsage(1320, 1000, 7, 0)


def test_the_total_shows_that_cached_tokens_are_counted_beside_the_prompt():
    usage = usage_of(prompt_tokens=20, completion_tokens=7, total_tokens=1027, cache_read_input_tokens=1000)
    assert usage == TokenUsage(1020, 1000, 7, 0)


def test_reasoning_that_only_the_total_shows_is_counted_and_flagged():
    assert usage_of(prompt_tokens=11, completion_tokens=35, total_tokens=146) == TokenUsage(11, 0, 135, 100, True)


def test_responses_api_shape():
    usage = usage_of(
        input_tokens=50,
        output_tokens=30,
        total_tokens=80,
        input_tokens_details={"cached_tokens": 40},
        output_tokens_details={"reasoning_tokens": 20},
    )
    assert usage == TokenUsage(50, 40, 30, 20)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"prompt_tokens": -5, "completion_tokens": 3}, TokenUsage(0, 0, 3, 0, True)),
        ({"prompt_tokens": 12.0, "completion_tokens": "7"}, TokenUsage(12, 0, 7, 0)),
        ({"prompt_tokens": "many", "completion_tokens": 7}, TokenUsage(0, 0, 7, 0, True)),
        ({"prompt_tokens": 10**30, "completion_tokens": 7}, TokenUsage(0, 0, 7, 0, True)),
        ({"prompt_tokens": True, "completion_tokens": 7}, TokenUsage(0, 0, 7, 0, True)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 3}, TokenUsage(5, 0, 7, 0)),
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 70}},
            TokenUsage(5, 0, 7, 7, True),
        ),
    ],
)
def test_impossible_counts_are_corrected_and_flagged(sent, expected):
    assert token_usage({"usage": sent}) == expected


@pytest.mark.parametrize("body", [{}, {"usage": None}, {"usage": []}, {"usage": {}}, {"usage": {"total_tokens": 9}}])
def test_no_usage_is_none_and_not_zero(body):
    assert token_usage(body) is None


def test_cost_that_the_provider_sends():
    assert provider_cost({"usage": {"cost": 0.154354}}) == 0.154354
    byok = {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}
    assert provider_cost({"usage": byok}) == pytest.approx(0.21)
    assert provider_cost({"usage": {"cost": {"total_cost": 0.5}}}) == 0.5
    for nonsense in (1e308, -1, "free", None, True, float("nan"), [], 10**400):
        assert provider_cost({"usage": {"cost": nonsense}}) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
KEYS = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "reasoning_tokens"),
    *("cache_read_input_tokens", "prompt_cache_hit_tokens", "cost", "is_byok"),
)
DETAILS = st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens"]), ANYTHING)
USAGE = st.dictionaries(st.sampled_from(KEYS), ANYTHING) | st.fixed_dictionaries(
    {"prompt_tokens": st.integers(-9, 99), "completion_tokens": st.integers(-9, 99)},
    optional={
        "total_tokens": st.integers(-9, 300),
        "prompt_tokens_details": DETAILS | ANYTHING,
        "completion_tokens_details": DETAILS | ANYTHING,
    },
)


@given(USAGE | ANYTHING, ANYTHING)
def test_whatever_is_sent_the_parts_fit_their_wholes(usage, timings):
    body = {"usage": usage, "timings": timings}
    tokens = token_usage(body)
    cost = provider_cost(body)
    assert cost is None or cost >= 0
    if tokens is not None:
        assert 0 <= tokens.cached_tokens <= tokens.prompt_tokens
        assert 0 <= tokens.reasoning_tokens <= tokens.completion_tokens
