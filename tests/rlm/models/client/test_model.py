"""The client against a server that fails in every way: result, cost and number of attempts of each call."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from email.utils import formatdate

import pytest

from rlm.models.chat import ContextOverflow, CostState, FatalModelError, ModelError, Sampling, TokenUsage
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel
from rlm.models.prices import PriceTable

ASK = [{"role": "user", "content": "how many words"}]
KEY = "sk-very-secret-0123456789"
QUICK = {
    "backoff_s": 0.01,
    "max_backoff_s": 0.05,
    "connect_s": 2,
    "read_timeout_s": 1,
    "total_s": 2,
    "max_outage_wait_s": 3,
}
DOLLAR_A_TOKEN = PriceTable({"m": {"input": 1e6, "output": 1e6, "cached": 5e5}})


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)


def model_at(server, name="m", sampling=None, prices=DOLLAR_A_TOKEN, **settings):
    endpoint = Endpoint(server.base_url, "TEST_KEY", **{**QUICK, **settings})
    return OpenAIModel(name, endpoint, sampling=sampling, prices=prices)


@pytest.fixture
async def ask(fake_openai):
    """Ask a model once of a server with this script; gives the reply and the server."""

    async def once(*script, **settings):
        async with fake_openai.FakeOpenAI(script) as server:
            model = model_at(server, **settings)
            try:
                return await model.complete(ASK), server
            finally:
                await model.aclose()

    return once


async def test_a_plain_answer(ask):
    reply, server = await ask(None)
    assert reply.text.startswith("reply ")
    assert (reply.finish_reason, reply.model, reply.failures) == ("stop", "m", ())
    assert reply.usage == TokenUsage(3, 0, 2, 0)
    assert (reply.cost.usd, reply.cost.state) == (pytest.approx(5.0), CostState.KNOWN)
    assert server.log[0].headers["Authorization"] == f"Bearer {KEY}"


TRANSIENT = {
    "429": "rate_limit",
    "500": "server_error",
    "503": "server_error",
    "502_html": "server_error",
    "error_in_200": "server_error",
    "200_html": "bad_json",
    "bad_json": "bad_json",
    "json_list": "bad_json",
    "reset": "connection_reset",
    "half_body": "half_body",
    "hang": "timeout",
    "drip": "timeout",
    "no_choices": "no_choices",
    "null_content": "no_content",
}


@pytest.mark.parametrize(("fault", "kind"), TRANSIENT.items())
async def test_a_failure_that_may_pass_is_retried_and_recorded(ask, fault, kind):
    reply, server = await ask(fault, read_timeout_s=0.3, total_s=0.6)
    assert reply.text.startswith("reply ")
    assert [failure.kind for failure in reply.failures] == [kind]
    assert server.requests == 2


@pytest.mark.parametrize("fault", sorted(set(TRANSIENT) - {"429", "hang", "drip"}))
async def test_a_failure_that_does_not_pass_is_an_error_after_the_retries(ask, fault):
    with pytest.raises(ModelError) as caught:
        await ask(*[fault] * 9, max_retries=2)
    assert type(caught.value) is ModelError
    assert [failure.kind for failure in caught.value.failures] == [TRANSIENT[fault]] * 3
    assert "\n" not in str(caught.value)


async def test_endless_rate_limiting_is_an_error_after_the_longest_wait(ask):
    with pytest.raises(ModelError, match=r"rate.limit"):
        await ask(*["429"] * 500, max_outage_wait_s=0.3)


NEVER = {
    "bad_key": (FatalModelError, r"the API key is refused \(TEST_KEY\)"),
    "no_quota": (FatalModelError, r"no quota or credit left \(TEST_KEY\)"),
    "unknown_model": (FatalModelError, r"^m at http.* does not know this model"),
    "bad_request": (ModelError, "bad request: HTTP 400"),
    "context_length": (ContextOverflow, "the prompt does not fit"),
}


@pytest.mark.parametrize(("fault", "error", "message"), [(fault, *expected) for fault, expected in NEVER.items()])
async def test_a_request_that_cannot_succeed_is_sent_once_and_reported_in_one_line(fake_openai, fault, error, message):
    async with fake_openai.FakeOpenAI([fault] * 5) as server:
        model = model_at(server)
        with pytest.raises(error, match=message) as caught:
            await model.complete(ASK)
        await model.aclose()
        assert server.requests == 1
        assert "\n" not in str(caught.value)


OVERFLOWS = {
    "openai": (400, {"error": {"message": "Please shorten", "code": "context_length_exceeded"}}),
    "openai characters": (400, {"error": {"message": "string too long", "code": "string_above_max_length"}}),
    "vllm": (400, {"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400}),
    "llama.cpp": (400, {"error": {"code": 400, "message": "x", "type": "exceed_context_size_error"}}),
    "old llama.cpp": (
        500,
        {"error": {"message": "the request exceeds the available context size. try increasing it"}},
    ),
    "sglang": (400, {"message": "The input (9000 tokens) is longer than the model's context length (4096 tokens)."}),
    "tgi": (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000"}),
    "together": (422, {"error": {"message": "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000"}}),
    "anthropic": (400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 210 > 200"}}),
    "gemini": (
        400,
        [{"error": {"code": 400, "message": "The input token count (9) exceeds the maximum number of tokens allowed"}}],
    ),
    "mistral": (
        400,
        {"message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum"},
    ),
    "xai": (400, {"code": "x", "error": "This model's maximum prompt length is 131072 but the request contains 2."}),
    "groq": (400, {"error": {"message": "Please reduce the length of the messages or completion."}}),
    "cerebras": (400, {"message": "Current length is 10 while limit is 8"}),
    "bedrock": (400, {"message": "Input is too long for requested model."}),
    "openrouter": (
        400,
        {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "prompt is too long: 3"}}},
    ),
    "cohere": (400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4 - received 9"}),
    "vertex": (400, [{"error": {"message": "the input token count is 9000 but model only supports up to 8192."}}]),
    "qwen": (400, {"error": {"message": "<400> InvalidParameter: Range of input length should be [1, 30720]"}}),
    "moonshot": (400, {"error": {"message": "Your request exceeded model token limit: 8192 (requested: 9000)"}}),
    "zhipu": (400, {"error": {"message": "Prompt exceeds max length", "code": "1261"}}),
    "minimax": (400, {"error": {"message": "invalid params, context window exceeds limit (2013)"}}),
    "proxy": (413, "<html><body>413 Request Entity Too Large</body></html>"),
    "in a 200": (200, {"error": {"message": "maximum context length is 5", "code": 400}}),
}


@pytest.mark.parametrize(("status", "body"), OVERFLOWS.values(), ids=OVERFLOWS)
async def test_every_wording_of_a_prompt_that_is_too_long_is_an_overflow(ask, status, body):
    with pytest.raises(ContextOverflow):
        await ask({"status": status, "body": body})


NOT_OVERFLOWS = {
    "more tokens than a minute allows": (
        429,
        {"error": {"message": "Request too large for m: Limit 5, Requested 9", "code": "rate_limit_exceeded"}},
    ),
    "a cap on output too high": (400, {"error": {"message": "max_tokens is too large: 9. At most 8 output tokens"}}),
    "a list too long": (400, {"error": {"message": "messages array too long. Expected at most length 2048"}}),
    "a field too long": (400, {"error": {"message": "metadata value is longer than 512", "param": "metadata"}}),
    "the prompt in the error": (422, {"detail": [{"input": {"content": "prompt is too long"}, "type": "missing"}]}),
}


@pytest.mark.parametrize(("status", "body"), NOT_OVERFLOWS.values(), ids=NOT_OVERFLOWS)
async def test_an_error_that_resembles_an_overflow_is_an_error(ask, status, body):
    with pytest.raises(ModelError) as caught:
        await ask({"status": status, "body": body})
    assert type(caught.value) is ModelError


FATAL = {
    "no credit": (402, {"error": {"message": "Insufficient credits", "code": 402}}),
    "anthropic credit": (400, {"error": {"message": "Your credit balance is too low"}}),
    "gemini key": (400, [{"error": {"message": "API key not valid. Please pass a valid API key."}}]),
    "litellm model": (400, {"error": {"message": "Invalid model name passed in model=m"}}),
    "deepseek model": (400, {"error": {"message": "Model Not Exist", "code": "invalid_request_error"}}),
    "parameter": (400, {"error": {"message": "Unsupported value", "code": "unsupported_value", "param": "seed"}}),
    "country": (403, {"error": {"message": "Country not supported"}}),
    "redirect": (302, "moved"),
}


@pytest.mark.parametrize(("status", "body"), FATAL.values(), ids=FATAL)
async def test_an_error_of_every_later_call_is_fatal(ask, status, body):
    with pytest.raises(FatalModelError):
        await ask({"status": status, "body": body})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "filtered", "code": "content_filter"}}),
        (403, {"error": {"message": "flagged", "metadata": {"reasons": ["violence"], "flagged_input": "x"}}}),
    ],
)
async def test_a_filtered_prompt_is_a_refusal_and_no_failure(ask, status, body):
    reply, server = await ask({"status": status, "body": body})
    assert (reply.text, reply.finish_reason, server.requests) == ("", "content_filter", 1)


@pytest.mark.parametrize("status", [401, 200])
async def test_the_key_is_never_in_an_error(ask, status):
    step = {"status": status, "body": {"error": {"message": f"Incorrect API key provided: {KEY}", "code": 401}}}
    with pytest.raises(FatalModelError) as caught:
        await ask(step)
    assert KEY not in str(caught.value) + repr(caught.value.failures)


async def test_credentials_of_another_endpoint_are_not_sent(fake_openai, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-openai")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-openai")
    async with fake_openai.FakeOpenAI() as server:
        for endpoint in (Endpoint(server.base_url), Endpoint(server.base_url, "TEST_KEY", organization="ours")):
            model = OpenAIModel("m", endpoint)
            await model.complete(ASK)
            await model.aclose()
        bare, ours = ({name.lower(): value for name, value in entry.headers.items()} for entry in server.log)
    assert not {"authorization", "openai-organization", "openai-project"} & bare.keys()
    assert ours["openai-organization"] == "ours" and "openai-project" not in ours


async def test_a_missing_key_is_reported_before_any_request(fake_openai, monkeypatch):
    monkeypatch.delenv("TEST_KEY")
    async with fake_openai.FakeOpenAI() as server:
        with pytest.raises(FatalModelError, match="set the environment variable TEST_KEY"):
            await model_at(server).complete(ASK)
        assert server.requests == 0


@pytest.mark.parametrize("key", ["sk-clé", "sk-one\nsk-two", "sk-\u2026"])
async def test_a_key_that_no_header_can_carry_is_reported_but_not_shown(fake_openai, monkeypatch, key):
    monkeypatch.setenv("TEST_KEY", key)
    async with fake_openai.FakeOpenAI() as server:
        with pytest.raises(FatalModelError, match="TEST_KEY holds characters") as caught:
            await model_at(server).complete(ASK)
        assert server.requests == 0 and key not in str(caught.value)


async def test_an_address_where_nothing_listens_is_fatal():
    model = OpenAIModel("m", Endpoint("http://127.0.0.1:9/v1", **{**QUICK, "max_retries": 1}))
    with pytest.raises(FatalModelError, match=r"nothing answers at endpoint\.base_url"):
        await model.complete(ASK)
    await model.aclose()


RETRY_AFTER = {
    "seconds": {"retry-after": "0.4"},
    "milliseconds": {"retry-after-ms": "400", "retry-after": "60"},
    "date": {"date": formatdate(1000, usegmt=True), "retry-after": formatdate(1001, usegmt=True)},
}


@pytest.mark.parametrize("headers", RETRY_AFTER.values(), ids=RETRY_AFTER)
async def test_retry_after_is_waited_for(ask, headers):
    before = time.monotonic()
    reply, server = await ask({"status": 429, "body": {}, "headers": headers})
    assert reply.failures[0].wait_s in (0.4, 1.0)
    assert server.log[1].at - before >= reply.failures[0].wait_s


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "", "Sat, 99 Foo 2020", "1e999"])
async def test_a_nonsensical_retry_after_is_ignored(ask, value):
    reply, _ = await ask({"status": 429, "body": {}, "headers": {"retry-after": value}})
    assert reply.failures[0].wait_s <= QUICK["max_backoff_s"]


async def test_a_wait_longer_than_the_longest_wait_ends_the_call(ask):
    with pytest.raises(ModelError, match=r"rate.limit"):
        await ask({"status": 429, "body": {}, "headers": {"retry-after": "86400"}})


async def test_a_failed_attempt_that_was_billed_is_charged(ask):
    billed = {"choice": {"finish_reason": "error"}, "usage": {"prompt_tokens": 40, "completion_tokens": 2}}
    reply, _ = await ask(billed)
    assert [(failure.kind, failure.usage, failure.cost.usd) for failure in reply.failures] == [
        ("broken_off", TokenUsage(40, 0, 2, 0), pytest.approx(42.0))
    ]
    assert reply.usage == TokenUsage(3, 0, 2, 0)


async def test_without_usage_tokens_are_counted_and_the_cost_is_unknown(ask):
    reply, _ = await ask("no_usage")
    assert reply.usage.prompt_tokens == 3
    assert reply.cost.state == CostState.UNKNOWN
    assert reply.cost.usd == pytest.approx(reply.usage.total)


async def test_a_free_endpoint_costs_nothing_with_and_without_usage(ask):
    for step in (None, "no_usage"):
        reply, _ = await ask(step, free=True)
        assert (reply.cost.usd, reply.cost.state) == (0.0, CostState.FREE)


async def test_the_model_that_answered_is_recorded_and_the_one_asked_for_is_priced(ask):
    reply, _ = await ask("wrong_model")
    assert (reply.model, reply.cost.state) == ("another-model", CostState.KNOWN)


async def test_the_cost_that_the_provider_reports_counts(ask):
    reply, _ = await ask({"usage": {"prompt_tokens": 10, "completion_tokens": 0, "cost": 0.25}})
    assert (reply.cost.usd, reply.cost.uncached_usd) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("step", "text", "finish", "reasoning"),
    [
        ("null_fields", "reply ", "unknown", ""),
        ({"choice": {"finish_reason": "max_tokens"}}, "reply ", "length", ""),
        ({"choice": {"finish_reason": "end_turn"}}, "reply ", "stop", ""),
        ({"message": {"reasoning_content": "hmm"}}, "reply ", "stop", "hmm"),
        ({"message": {"reasoning": "hmm"}}, "reply ", "stop", "hmm"),
        ({"message": {"content": None, "refusal": "I will not"}}, "I will not", "content_filter", ""),
        ({"message": {"content": None}, "choice": {"finish_reason": "length"}}, "", "length", ""),
        ({"message": {"content": None}, "choice": {"finish_reason": "content_filter"}}, "", "content_filter", ""),
        ({"message": {"content": ""}}, "", "stop", ""),
        (
            {"message": {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}]}},
            "yes", "stop", "hm",
        ),
        ({"message": {"content": "lone \ud800"}}, "lone \ud800", "stop", ""),
    ],
)  # fmt: skip
async def test_the_shapes_of_a_reply(ask, step, text, finish, reasoning):
    reply, _ = await ask(step)
    assert reply.text.startswith(text) if text == "reply " else reply.text == text
    assert (reply.finish_reason, reply.reasoning) == (finish, reasoning)
    assert reply.failures == ()


async def test_a_reply_that_fills_the_cap_is_truncated_whatever_its_finish_reason(ask):
    step = {"choice": {"finish_reason": None}, "usage": {"prompt_tokens": 3, "completion_tokens": 16}}
    reply, _ = await ask(step, sampling=Sampling(max_output_tokens=16))
    assert reply.truncated


HOSTILE = [
    "null", "[]", "[[[]]]", '"text"', "{}", '{"choices": {}}', '{"choices": [null]}', '{"choices": [[]]}',
    '{"choices": [{"message": 5}]}', '{"choices": [{"message": {"content": {"a": 1}}}]}', '{"error": 5}', "\x00\xff",
    '{"choices": [{"message": {"content": [5, null, {"text": 7}]}}], "usage": "free"}', "[" * 100_000, "9" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_no_body_breaks_the_client(ask, status, body):
    try:
        reply, _ = await ask({"status": status, "body": body}, max_retries=1)
        assert isinstance(reply.text, str)
    except ModelError as error:
        assert "\n" not in str(error)


async def test_the_request_body(ask):
    sampling = Sampling(0.0, 0.9, 77, 5, "medium", {"top_k": 20})
    _, server = await ask(None, sampling=sampling)
    assert server.log[0].body == {
        "model": "m", "messages": ASK, "temperature": 0.0, "top_p": 0.9, "max_tokens": 77, "seed": 5,
        "reasoning_effort": "medium", "top_k": 20,
    }  # fmt: skip
    _, server = await ask(None, sampling=Sampling(max_output_tokens=7), max_tokens_key="max_completion_tokens")
    assert server.log[0].body == {"model": "m", "messages": ASK, "max_completion_tokens": 7}
    assert Endpoint("https://api.openai.com/v1").output_limit_key == "max_completion_tokens"


async def test_a_seed_differs_between_epochs_and_occurrences(fake_openai):
    async with fake_openai.FakeOpenAI() as server:
        model = model_at(server, sampling=Sampling(seed=7))
        for epoch, occurrence in ((0, 0), (0, 1), (1, 0), (0, 0)):
            await model.complete(ASK, epoch=epoch, occurrence=occurrence)
        await model.aclose()
        seeds = [entry.body["seed"] for entry in server.log]
    assert seeds[0] == seeds[3] == 7
    assert len(set(seeds)) == 3


async def test_text_without_a_utf8_form_is_still_sent(fake_openai):
    async with fake_openai.FakeOpenAI() as server:
        model = model_at(server)
        await model.complete([{"role": "user", "content": "a\ud800b ü \0"}])
        await model.aclose()
        assert server.log[0].body["messages"][0]["content"] == "a?b ü \0"


async def test_models_of_one_endpoint_share_its_limit_and_requests_wait_for_a_slot(fake_openai):
    async with fake_openai.FakeOpenAI(latency_s=0.02) as server:
        models = [model_at(server, name, max_concurrency=4) for name in ("root", "sub", "judge")]
        await asyncio.gather(*(model.complete(ASK) for model in models for _ in range(12)))
        for model in models:
            await model.aclose()
        assert (server.requests, server.most_open) == (36, 4)


async def test_a_cancelled_caller_gives_its_slot_back(fake_openai):
    async with fake_openai.FakeOpenAI(["hang"] * 3) as server:
        model = model_at(server, max_concurrency=3, read_timeout_s=60, total_s=60)
        hanging = [asyncio.create_task(model.complete(ASK)) for _ in range(3)]
        while server.requests < 3:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(model.complete(ASK)) for _ in range(3)]
        await asyncio.sleep(0.01)
        for task in (*hanging, waiting[0]):
            task.cancel()
        replies = await asyncio.gather(*waiting[1:])
        await model.aclose()
        assert [reply.text[:6] for reply in replies] == ["reply "] * 2
        assert all(task.cancelled() for task in (*hanging, waiting[0]))


def test_a_model_serves_one_event_loop_after_another_and_leaves_nothing_open(fake_openai, recwarn):
    model = None

    async def once():
        nonlocal model
        async with fake_openai.FakeOpenAI() as server:
            if model is None:
                model = model_at(server)
                port.append(server.port)
            return (await model.complete(ASK)).text

    async def again():
        async with fake_openai.FakeOpenAI(port=port[0]):
            return (await model.complete(ASK)).text

    port = []
    assert asyncio.run(once()) == asyncio.run(again()) == asyncio.run(again())
    assert not [warning for warning in recwarn if "nclosed" in str(warning.message)]


PROGRAM = """
import sys
from rlm.blocking import run_blocking
from rlm.models.build import Endpoint, OpenAIModel
model = OpenAIModel("m", Endpoint(sys.argv[1], free=True))
print(run_blocking(model.complete([{"role": "user", "content": "?"}])).text[:6])
"""


async def test_a_program_that_closes_nothing_ends_without_warnings(fake_openai):
    async with fake_openai.FakeOpenAI() as server:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, server.base_url, stdout=PIPE, stderr=PIPE
        )
        assert await program.communicate() == (b"reply \n", b"")


async def test_an_endless_response_is_cut_off(ask, monkeypatch):
    monkeypatch.setattr("rlm.models.client.bounded.MAX_BODY_BYTES", 1000)
    reply, _ = await ask({"text": "x" * 2000})
    assert [failure.kind for failure in reply.failures] == ["oversized"]


async def test_a_prompt_of_many_megabytes_arrives_whole(fake_openai):
    text = "äöü" * 1_000_000
    async with fake_openai.FakeOpenAI() as server:
        model = model_at(server, total_s=60, read_timeout_s=60)
        await model.complete([{"role": "user", "content": text}])
        await model.aclose()
        assert server.log[0].body["messages"][0]["content"] == text


async def test_a_model_connects_again_after_aclose(fake_openai):
    async with fake_openai.FakeOpenAI() as server:
        model, other = model_at(server), model_at(server, "other")
        await asyncio.gather(model.complete(ASK), other.complete(ASK))
        await model.aclose()
        assert (await other.complete(ASK)).text == (await model.complete(ASK)).text
        await model.aclose()
        await other.aclose()
