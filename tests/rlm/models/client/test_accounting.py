"""Caps, cut prompts, unreported usage and what failed calls cost: nothing of it may pass unseen."""

import pytest

from rlm.models.chat import ContextOverflow, CostState, FatalModelError, ModelError, Sampling
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel
from rlm.models.client.usage import is_prompt_cut
from rlm.models.prices import PriceTable
from rlm.models.tokens import count_tokens

PROSE = "The quick brown fox jumps over the lazy dog, then sleeps in the warm grass until the evening. "
PRICES = PriceTable({"m": {"input": 1.0, "output": 1.0}})


async def ask(server, text="how many words", *, cap=None, window=None, **settings):
    """The reply of one call."""
    quick = {"backoff_s": 0.01, "max_backoff_s": 0.02, "max_retries": 1}
    sampling = Sampling(max_output_tokens=cap)
    endpoint = Endpoint(server.base_url, **quick | settings)
    model = OpenAIModel("m", endpoint, sampling=sampling, context_window=window, prices=PRICES)
    try:
        return await model.complete([{"role": "user", "content": text}])
    finally:
        await model.aclose()


def refusal(message):
    return {"status": 400, "body": {"error": {"message": message, "code": None}}}


TOO_LARGE = refusal(
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (3000 in the messages, "
    "2000 in the completion). Please reduce the length of the messages or completion."
)


async def test_a_cap_larger_than_the_room_is_replaced_once_and_recorded(fake_openai):
    async with fake_openai.FakeOpenAI([TOO_LARGE]) as server:
        reply = await ask(server, cap=2000)
        assert [entry.body["max_tokens"] for entry in server.log] == [2000, 1096]
    assert (reply.output_cap, [failure.kind for failure in reply.failures]) == (1096, ["output_cap"])


async def test_a_reply_that_fills_the_lowered_cap_is_truncated(fake_openai):
    full = {"choice": {"finish_reason": None}, "usage": {"prompt_tokens": 3000, "completion_tokens": 1096}}
    async with fake_openai.FakeOpenAI([TOO_LARGE, full]) as server:
        assert (await ask(server, cap=2000)).truncated


async def test_a_prompt_that_does_not_fit_with_a_smaller_cap_either_overflows(fake_openai):
    async with fake_openai.FakeOpenAI([TOO_LARGE] * 3) as server:
        with pytest.raises(ContextOverflow):
            await ask(server, cap=2000)
        assert server.requests == 2


async def test_an_overflow_without_numbers_is_repeated_with_a_smaller_cap_if_our_count_says_that_the_prompt_fits(
    fake_openai,
):
    step = {"status": 400, "body": {"error": {"message": "Too long.", "code": "context_length_exceeded"}}}
    async with fake_openai.FakeOpenAI([step] * 2) as server:
        with pytest.raises(ContextOverflow):
            await ask(server, PROSE * 100, cap=2000, window=100_000)
        assert server.requests == 1
        reply = await ask(server, PROSE * 10, cap=2000, window=2100)
        assert reply.output_cap == 2100 - 64 - round(1.15 * count_tokens(PROSE * 10) + 0.5)


async def test_a_cap_in_the_further_request_fields_is_replaced_too(fake_openai):
    async with fake_openai.FakeOpenAI([TOO_LARGE]) as server:
        sampling = Sampling(extra={"max_tokens": 2000, "top_k": 5})
        model = OpenAIModel("m", Endpoint(server.base_url, free=True), sampling=sampling)
        await model.complete([{"role": "user", "content": "?"}])
        await model.aclose()
        assert [(entry.body["max_tokens"], entry.body["top_k"]) for entry in server.log] == [(2000, 5), (1096, 5)]


async def test_a_cap_above_the_models_own_limit_without_a_number_names_the_setting(fake_openai):
    async with fake_openai.FakeOpenAI([refusal("max_tokens is too large")] * 3) as server:
        with pytest.raises(ModelError, match="set a smaller max_output_tokens") as caught:
            await ask(server, cap=2000)
        assert not isinstance(caught.value, ContextOverflow) and server.requests == 1


async def test_a_prompt_cut_silently_is_flagged(fake_openai):
    text = PROSE * 200
    sent = count_tokens(text)
    for reported, cut in ((sent // 4, True), (sent // 2, True), (int(sent * 0.75), False), (sent + 40, False)):
        async with fake_openai.FakeOpenAI([{"usage": {"prompt_tokens": reported, "completion_tokens": 6}}]) as server:
            assert (await ask(server, text)).prompt_cut is cut


async def test_cached_tokens_that_are_reported_beside_the_prompt_are_no_cut(fake_openai):
    text = PROSE * 200
    sent = count_tokens(text)
    usage = {"input_tokens": 20, "cache_read_input_tokens": sent - 20, "output_tokens": 5}
    beside = {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": sent - 20}}
    for shape in (usage, beside):
        async with fake_openai.FakeOpenAI([{"usage": shape}]) as server:
            assert not (await ask(server, text)).prompt_cut


@pytest.mark.parametrize(
    ("part", "text", "cut"),
    [
        (0.7, PROSE * 100, False),
        (0.5, PROSE * 100, True),
        (0.5, "\u5bf9\u8bdd\u7684\u4e0a\u4e0b\u6587\u5f88\u957f\u3002" * 300, False),
        (0.3, "\u5bf9\u8bdd\u7684\u4e0a\u4e0b\u6587\u5f88\u957f\u3002" * 300, True),
        (0.1, PROSE, False),
    ],
)
def test_ordinary_differences_of_tokenizers_are_no_cut(part, text, cut):
    counted = count_tokens(text)
    assert is_prompt_cut(int(counted * part), counted, text) is cut


ZEROS = {
    "zeros": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "zeros and a cost of zero": {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0},
    "negative": {"prompt_tokens": -1, "completion_tokens": -1},
    "no completion": {"prompt_tokens": 3, "completion_tokens": 0},
    "no prompt": {"prompt_tokens": 0, "completion_tokens": 5},
    "nothing": None,
}


@pytest.mark.parametrize("usage", ZEROS.values(), ids=ZEROS)
async def test_usage_that_cannot_be_is_counted_here_with_unknown_cost(fake_openai, usage):
    async with fake_openai.FakeOpenAI([{"text": "The number is 42.", "usage": usage}]) as server:
        reply = await ask(server)
    assert reply.usage.prompt_tokens == 3 and reply.usage.completion_tokens >= 5
    assert reply.cost.state is CostState.UNKNOWN and reply.cost.usd > 0


async def test_a_call_that_fails_for_good_has_an_unknown_cost_unless_it_was_refused(fake_openai):
    async with fake_openai.FakeOpenAI(["500"] * 9) as server:
        with pytest.raises(ModelError) as caught:
            await ask(server)
    assert caught.value.failures[-1].cost.state is CostState.UNKNOWN
    async with fake_openai.FakeOpenAI(["bad_request"]) as server:
        with pytest.raises(ModelError) as caught:
            await ask(server)
    assert caught.value.failures[-1].cost.state is CostState.FREE


async def test_a_failure_that_passes_leaves_the_cost_of_the_reply_known(fake_openai):
    async with fake_openai.FakeOpenAI(["500"]) as server:
        reply = await ask(server)
    assert sum((failure.cost for failure in reply.failures), reply.cost).state is CostState.KNOWN


@pytest.mark.parametrize(
    ("body", "when"),
    [
        ({"error": {"message": "tokens per day (TPD): Limit 100000. Please try again in 3h20m."}}, "in 3 h 20 min"),
        ({"error": {"message": "You have reached your daily request limit"}}, "the endpoint gives no time"),
    ],
)
async def test_a_quota_of_the_day_stops_the_run_with_when_to_go_on(fake_openai, body, when):
    async with fake_openai.FakeOpenAI([{"status": 429, "body": body}] * 3) as server:
        with pytest.raises(FatalModelError, match=when):
            await ask(server)
        assert server.requests == 1


async def test_a_wait_in_the_body_alone_is_obeyed(fake_openai):
    body = {"error": {"message": "Rate limit reached. Please try again in 30ms."}}
    async with fake_openai.FakeOpenAI([{"status": 429, "body": body}]) as server:
        reply = await ask(server)
    assert reply.failures[0].wait_s == pytest.approx(0.03)
