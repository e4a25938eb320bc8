"""Forms of faults and replies that real servers use: what a call makes of each, asked for a stream or not."""

import json

import pytest

from rlm.models.chat import ContextOverflow, FatalModelError, ModelError, Sampling
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel
from rlm.models.prices import PriceTable
from tests.endpoints.cases import refusal

ASK = [{"role": "user", "content": "how many words"}]
PRICES = PriceTable({"m": {"input": 1.0, "output": 1.0}})
USED = {"prompt_tokens": 12, "completion_tokens": 5}


@pytest.fixture
async def ask(fake_openai):
    """Ask once of a server with these steps; gives the reply or the error, and the number of requests."""

    async def once(*steps, stream=False, **settings):
        async with fake_openai.FakeOpenAI(steps) as server:
            quick = {"backoff_s": 0.001, "max_backoff_s": 0.01, "max_retries": 2, "max_outage_wait_s": 0.3}
            endpoint = Endpoint(server.base_url, stream=stream, **quick | settings)
            model = OpenAIModel("m", endpoint, sampling=Sampling(max_output_tokens=65_535), prices=PRICES)
            try:
                return await model.complete(ASK), server.requests
            except ModelError as error:
                return error, server.requests
            finally:
                await model.aclose()

    return once


def answer(body, status=200):
    return {"status": status, "body": body}


def message(finish="stop", **fields):
    return answer({"choices": [{"index": 0, "message": fields, "finish_reason": finish}], "usage": USED})


def stream(*chunks, end="data: [DONE]\n\n"):
    return answer("".join(one if isinstance(one, str) else f"data: {json.dumps(one)}\n\n" for one in chunks) + end)


def delta(finish=None, **fields):
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


TEXT, STOP = delta(content="yes"), delta("stop")

# A step, and values of the reply after one request.
REPLIES = {
    "content is a mapping": (message(content={"type": "text", "text": "yes"}), {"text": "yes"}),
    "thinking blocks": (message(thinking_blocks=[{"type": "thinking", "thinking": "hm"}]), {"reasoning": "hm"}),
    "provider fields": (message(provider_specific_fields={"reasoning_content": "hm"}), {"reasoning": "hm"}),
    "thought": (message(thought="hm", content=""), {"reasoning": "hm"}),
    "a delta in a complete body": (
        answer({"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop"}], "usage": USED}), {"text": "yes"},
    ),
    "the second choice first": (
        answer({"choices": [{"index": 1, "message": {"content": "no"}}, {"index": 0, "message": {"content": "yes"}}]}),
        {"text": "yes"},
    ),
    "a raw newline": (answer('{"choices": [{"message": {"content": "a\nb"}}]}'), {"text": "a\nb"}),
    "comments before a body": (
        answer(': PROCESSING\n\n: PROCESSING\n\n{"choices": [{"message": {"content": "yes"}}]}'), {"text": "yes"},
    ),
    "COMPLETE": (message("COMPLETE", content="yes"), {"finish_reason": "stop"}),
    "window exceeded": (message("model_context_window_exceeded", content="yes"), {"finish_reason": "length"}),
    "a mapping": (message({"type": "length", "length": 16}, content="yes"), {"finish_reason": "length"}),
    "an enumeration": (message("FinishReason.MAX_TOKENS", content="yes"), {"finish_reason": "length"}),
    "a category": (message("content_filter: SAFETY", content=None), {"refused": True}),
    "toxic": (message("ERROR_TOXIC", content=None), {"refused": True}),
    "stop_reason": (
        answer({"choices": [{"message": {"content": "yes"}, "stop_reason": "max_tokens"}], "usage": USED}),
        {"finish_reason": "length"},
    ),
    "details in a stream": (
        stream(delta(reasoning_details=[{"type": "reasoning.text", "text": "h"}]),
               delta(reasoning_details=[{"type": "reasoning.text", "text": "m"}]), TEXT, STOP),
        {"text": "yes", "reasoning": "hm"},
    ),
    "thinking parts in a stream": (
        stream(delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]), TEXT, STOP),
        {"text": "yes", "reasoning": "hm"},
    ),
    "reasoning_text in a stream": (stream(delta(reasoning_text="hm"), TEXT, STOP), {"reasoning": "hm"}),
    "empty data": (stream("data:\n\n", TEXT, "data: \n\n", STOP), {"text": "yes"}),
    "usage ends a stream": (stream(TEXT, {"choices": [], "usage": USED}, end=""), {"text": "yes"}),
    "tool calls without index": (
        stream(delta(tool_calls=[{"id": "a", "function": {"name": "search", "arguments": "{}"}}]),
               delta(tool_calls=[{"id": "b", "function": {"name": "python", "arguments": '{"code": "1"}'}}]), STOP),
        {"tool_code": "1"},
    ),
    "a blocked prompt": (answer({"choices": None, "promptFeedback": {"blockReason": "SAFETY"}}), {"refused": True}),
    "content exists risk": (refusal(400, "Content Exists Risk", "invalid_request_error"), {"refused": True}),
    "safety system": (refusal(400, "Your request was rejected as a result of our safety system."), {"refused": True}),
    "a guardrail": (refusal(400, "Violated guardrail policy", "400"), {"refused": True}),
    "litellm": (refusal(400, "litellm.ContentPolicyViolationError: Azure", "400"), {"refused": True}),
}  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("step", "values"), REPLIES.values(), ids=REPLIES)
async def test_a_reply_is_understood_at_the_first_request(ask, step, values, streamed):
    reply, requests = await ask(step, stream=streamed)
    assert ({name: getattr(reply, name) for name in values}, requests) == (values, 1)


USAGES = {
    "in the choice": answer({"choices": [{"message": {"content": "yes"}, "usage": USED}]}),
    "in the choice of a stream": stream(TEXT, {"choices": [{"delta": {}, "finish_reason": "stop", "usage": USED}]}),
    "behind x_groq": stream(TEXT, STOP | {"x_groq": {"usage": USED}}),
    "zeros at the end": stream(TEXT, STOP | {"usage": USED}, {"usage": dict.fromkeys(USED, 0)}),
    "in two parts": stream({"usage": {"prompt_tokens": 12}}, TEXT, STOP, {"usage": {"completion_tokens": 5}}),
    "strings": answer({"choices": [{"message": {"content": "yes"}}], "usage": dict.fromkeys(USED) | {
        "prompt_tokens": "12", "completion_tokens": "5"}}),
}  # fmt: skip


@pytest.mark.parametrize("step", USAGES.values(), ids=USAGES)
async def test_usage_is_found_wherever_it_is_reported(ask, step):
    reply, _ = await ask(step)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.cost.state) == (12, 5, "known")


# A refusal of the cap, and the cap of the second request.
CAPS = {
    "pydantic": (answer({"detail": [{"loc": ["body", "max_tokens"], "msg": "less than or equal to 4096"}]}, 422),
                 4096),
    "dashscope": (refusal(400, "<400> InvalidParameter: Range of max_tokens should be [1, 8192]"), 8192),
    "in json in a message": (answer({"message": json.dumps({"message": "max_tokens is too large: at most 8192"})}, 400),
                             8192),
    "mistral": (refusal(400, "Prompt contains 1200 tokens and 65535 max_tokens, too large, model with 32768 maximum"),
                31_568),
    "a text": (answer({"error": "max_tokens should be at most 4096"}, 400), 4096),
}  # fmt: skip


@pytest.mark.parametrize(("step", "cap"), CAPS.values(), ids=CAPS)
async def test_a_cap_that_fits_is_found_in_every_wording(ask, step, cap):
    reply, requests = await ask(step)
    assert (reply.output_cap, requests) == (cap, 2)


# A step, the error that it ends with after one request, and a part of its message.
ERRORS = {
    "lm studio": (
        answer({"error": "The number of tokens to keep is greater than the context length (n_ctx: 4)"}, 400),
        ContextOverflow, "n_ctx",
    ),
    "llama.cpp, while it writes": (refusal(500, "Context size has been exceeded."), ContextOverflow, "exceeded"),
    "litellm overflow": (refusal(400, "litellm.ContextWindowExceededError: boom"), ContextOverflow, "boom"),
    "a mapping in detail": (
        answer({"detail": {"error": "Requested input length 12 exceeds maximum input length 8"}}, 400),
        ContextOverflow, "input length 12",
    ),
    "minimax": (answer({"base_resp": {"status_code": 1, "status_msg": "context window exceeds limit"}}),
                ContextOverflow, "window"),
    "a suspended account": (refusal(429, "suspended", type="exceeded_current_quota_error"), FatalModelError, "quota"),
    "a key refused in a 200": (answer({"error": {"type": "authentication_error", "message": "x"}}), FatalModelError,
                               "API key"),
    "a retired model": (refusal(400, "x", "model_decommissioned"), FatalModelError, "does not know this model"),
    "the other cap": (
        refusal(400, "Use 'max_completion_tokens' instead.", "unsupported_parameter", param="max_tokens"),
        FatalModelError, "set model.endpoint.max_tokens_key=max_completion_tokens",
    ),
    "a redirect": ({"status": 307, "body": "", "headers": {"Location": "http://elsewhere/v1"}}, FatalModelError,
                   "redirected to http://elsewhere/v1"),
    "only with a stream": (refusal(400, "Requests with max_tokens > 4096 must have stream=true"), ModelError,
                           "set model.endpoint.stream=true"),
    "a bad request in a 200": (answer({"error": {"type": "invalid_request_error", "message": "no text"}}), ModelError,
                               "no text"),
    "messages of fields": (answer({"title": "Invalid", "errors": {"seed": ["odd"]}}, 400), ModelError, "seed: odd"),
}  # fmt: skip


@pytest.mark.parametrize(("step", "kind", "part"), ERRORS.values(), ids=ERRORS)
async def test_an_error_is_of_its_kind_after_one_request(ask, step, kind, part):
    error, requests = await ask(*[step] * 5)
    assert (type(error), requests) == (kind, 1) and part in str(error)


# A refusal that passes, and its kind.
PASSING = {
    "tgi": (answer({"error": "Request failed during generation", "error_type": "generation"}, 424), "server_error"),
    "bedrock": (
        answer({"__type": "ThrottlingException", "message": "Too many tokens, please wait"}, 400),
        "rate_limit",
    ),
    "403": (refusal(403, "slow down", type="rate_limit_error"), "rate_limit"),
    "in a 200": (answer({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}), "rate_limit"),
    "in a stream": (stream(TEXT, {"error": {"code": "rate_limit_exceeded"}}), "rate_limit"),
    "loading": (refusal(503, "Loading model"), "server_error"),
    "null is no end": (stream(delta("null", content="y"), end=""), "half_body"),
}


@pytest.mark.parametrize(("step", "kind"), PASSING.values(), ids=PASSING)
async def test_a_failure_that_passes_is_retried_once(ask, step, kind):
    reply, requests = await ask(step)
    assert ([failure.kind for failure in reply.failures], requests) == ([kind], 2)


# Headers of a 429, and the wait that they ask for.
WAITS = {
    "a duration": {"retry-after": "20ms"},
    "twice": {"retry-after": "0.02, 0.02"},
    "azure": {"x-ms-retry-after-ms": "20"},
    "reset-after": {"x-ratelimit-reset-after": "0.02"},
    "a daily limit of which something remains": {
        "x-ratelimit-remaining-requests": "9000", "x-ratelimit-reset-requests": "8h24m",
        "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms",
    },
}  # fmt: skip


@pytest.mark.parametrize("headers", WAITS.values(), ids=WAITS)
async def test_a_wait_is_read_from_every_header(ask, headers):
    reply, _ = await ask(refusal(429, "slow down") | {"headers": headers})
    assert reply.failures[0].wait_s == pytest.approx(0.02)


@pytest.mark.parametrize("headers", [{"retry-after": "0"}, {"retry-after-ms": "1"}])
async def test_a_wait_of_nothing_is_no_stream_of_requests(ask, headers):
    error, requests = await ask(*[refusal(429, "slow") | {"headers": headers}] * 999, backoff_s=0.05, max_backoff_s=9.0)
    assert isinstance(error, ModelError) and requests < 10
