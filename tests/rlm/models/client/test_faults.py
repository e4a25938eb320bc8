"""Error responses of many providers: what follows each, the message that people see, and the wait that is obeyed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.models.client.error_body import read_error
from rlm.models.client.faults import Action, error_fault, status_fault
from rlm.models.client.output_cap import read_room
from rlm.models.client.waits import daily_quota, wait_s


def error(message, code=None, **fields):
    return {"error": {"message": message, "code": code, **fields}}


def judged(status, body, **headers):
    fault = status_fault(status, headers, json.dumps(body).encode())
    return fault.kind, fault.action


REFUSALS = {
    "openai": (400, error("Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                          "invalid_prompt")),
    "azure": (400, error("The response was filtered", "400", innererror={"code": "ResponsibleAIPolicyViolation"})),
    "azure through litellm": (400, error("litellm.BadRequestError", "400", provider_specific_fields={
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {}}}})),
    "azure in words": (400, error("The response was filtered due to the prompt triggering Azure OpenAI's content "
                                  "management policy. Please modify your prompt and retry.")),
    "dashscope": (400, {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."}),
    "dashscope, compatible": (400, error("Output data may contain inappropriate content.", "data_inspection_failed")),
    "moonshot": (400, error("The request was rejected because it was considered high risk", type="content_filter")),
    "zhipu": (400, error("\u7cfb\u7edf\u68c0\u6d4b", "1301")),
    "minimax": (200, {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
    "ark": (400, error("The request failed", "InputTextSensitiveContentDetected")),
    "anthropic": (400, error("Output blocked by content filtering policy", type="invalid_request_error")),
    "xai": (403, {"code": "forbidden", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_CSAM"}),
    "openrouter, wrapped": (400, error("Provider returned error", 400, metadata={
        "raw": json.dumps({"error": {"message": "no", "code": "content_policy_violation"}})})),
    "451": (451, "Unavailable for legal reasons"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "body"), REFUSALS.values(), ids=REFUSALS)
def test_safety_refusals_are_refusals_by_code_wrapped_code_or_words(status, body):
    assert judged(status, body) == ("content_filter", Action.FILTERED)


PASSING = {
    "rate wait": (503, error("rate: Wait(n=1) would exceed context deadline")),
    "deadline": (504, error("context deadline exceeded: request exceeded the time limit")),
    "deadline in a 500": (500, error("rpc error: context deadline exceeded while reading prompt length")),
    "deadline in a 400": (400, error("upstream request timed out")),
    "words of an overflow in a 502": (502, error("the prompt is too long for this upstream to finish in time")),
    "moderation is down": (503, error("content moderation is unavailable", "service_unavailable")),
    "client closed": (499, error("client closed request")),
    "vLLM": (500, {"object": "error", "message": "EngineCore encountered an issue", "code": 500}),
    "cloudflare": (524, "<html><body>A timeout occurred</body></html>"),
}


@pytest.mark.parametrize(("status", "body"), PASSING.values(), ids=PASSING)
def test_failures_of_gateways_are_retried_whatever_their_words(status, body):
    assert judged(status, body) == ("server_error", Action.RETRY)


THIS_CALL = {
    "parameter": (400, error("model parameter 'foo' not found")),
    "field": (422, error("model field not found: foo")),
    "parameter, 404": (404, error("parameter 'foo' was not found for this model")),
    "fastapi": (422, {"detail": [{"loc": ["body", "seed"], "msg": "Input should be a valid integer"}]}),
    "timeout parameter": (400, error("timeout must be positive")),
    "system message": (400, error("System role not supported")),
}


@pytest.mark.parametrize(("status", "body"), THIS_CALL.values(), ids=THIS_CALL)
def test_a_bad_request_ends_its_call_alone(status, body):
    assert judged(status, body) == ("bad_request", Action.GIVE_UP)


NO_MODEL = {
    "openai": error("The model `gpt-9` does not exist or you do not have access to it."),
    "ollama": error('model "llama9" not found, try pulling it first'),
    "gemini": [{"error": {"code": 404, "message": "models/gemini-9 is not found for API version v1beta"}}],
    "anthropic": {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}},
    "deepseek": error("Model Not Exist"),
    "openrouter": error("No endpoints found for x/y.", 404),
    "azure": error("The API deployment for this resource does not exist.", "DeploymentNotFound"),
}


@pytest.mark.parametrize("body", NO_MODEL.values(), ids=NO_MODEL)
def test_an_unknown_model_stops_the_run(body):
    assert judged(404, body) == ("unknown_model", Action.FATAL)


OVERFLOWS = {
    "vLLM": error("This model's maximum context length is 262144 tokens. However, you requested 0 output tokens "
            "and your "
                  "prompt contains at least 262145 input tokens, for a total of at least 262145 tokens."),
    "vLLM, no room": error("max_tokens must be at least 1, got -4096."),
    "vLLM, text only": error("The prompt (total length 25938) is too long to fit into the model (context length "
            "4096)."),
    "poolside": error("Input length 131393 exceeds the maximum allowed input length of 131040 tokens."),
    "atlas": error("Prompt too long: 5152 tokens exceeds max_seq_len 2048 (leave room for output tokens)"),
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error",
                                             "message": "prompt is too long: 210000 tokens > 200000 maximum"}},
    "litellm": error("litellm.ContextWindowExceededError: too long", type="ContextWindowExceededError"),
    "fireworks": error("The prompt is too long: 140000, model maximum context length: 131071", "invalid_request_error"),
}  # fmt: skip


@pytest.mark.parametrize("body", OVERFLOWS.values(), ids=OVERFLOWS)
def test_prompts_longer_than_the_window_overflow(body):
    fault = error_fault(400, {}, body)
    assert fault.action is Action.OVERFLOW
    assert fault.room.cap(1000, counted=300_000, window=131_072) is None


# Message, cap sent, tokens of the prompt by our count, and the cap that fits.
CAPS = {
    "vLLM": ("'max_completion_tokens' is too large: 65535. This model's maximum context length is 128000 tokens "
            "and your "
             "request has 62466 input tokens (65535 > 128000 - 62466).", 65535, 60_000, 65534),
    "OpenAI": ("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (3000 in the "
               "messages, 2000 in the completion). Please reduce the length of the messages or completion.",
               2000, 2900, 1096),
    "vLLM, a lower bound": ("This model's maximum context length is 131072 tokens. However, you requested 65536 output "
                            "tokens and your prompt contains at least 65537 input tokens, for a total of at "
                                    "least 131073 "
                            "tokens.", 65536, 70_000, 131072 - 80_564),
    "SGLang": ("Requested token count exceeds the model's maximum context length of 32768 tokens. You requested "
            "a total "
               "of 40000 tokens: 20000 tokens from the input messages and 20000 tokens for the completion.",
               20_000, 19_000, 12_768),
    "Anthropic": ("input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input "
            "length or "
                  "`max_tokens` and try again", 21_333, 180_000, 11_760),
    "TGI": ("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 5000 `inputs` "
            "tokens and "
            "4000 `max_new_tokens`", 4000, 5000, 3193),
    "a total": ("This model's maximum context length is 131072 tokens. However, you requested 135536 tokens.",
                65_536, 68_000, 131_072 - 70_000),
    "OpenRouter": ("This endpoint's maximum context length is 131072 tokens. However, you requested about "
            "140000 tokens "
                   "(70000 of text input, 70000 in the output). Please reduce the length", 70_000, 60_000, 60_372),
    "most output": ("max_tokens is too large: 5000. This model supports at most 4096 completion tokens, whereas you "
                    "provided 5000.", 5000, 10, 4096),
    "DeepSeek": ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 32_768, 10, 8192),
    "Claude": ("max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens", 64_001, 10, 64_000),
    "Gemini": ("Unable to submit request because it has a maxOutputTokens value of 70000 but the supported "
            "range is from "
               "1 (inclusive) to 65537 (exclusive).", 70_000, 10, 65_536),
    "Groq": ("`max_tokens` must be less than or equal to `32768`, the maximum value for `max_tokens` is less than the "
             "`context_window` for this model", 65_536, 10, 32_768),
    "Bedrock": ("The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum "
            "tokens value "
                "that is lower than 4096.", 8192, 10, 4096),
}  # fmt: skip


@pytest.mark.parametrize(("message", "sent", "counted", "cap"), CAPS.values(), ids=CAPS)
def test_a_cap_that_fits_is_read_from_the_message(message, sent, counted, cap):
    fault = error_fault(400, {}, error(message))
    assert fault.action is Action.OVERFLOW
    assert fault.room.cap(sent, counted, window=None) == cap


def test_without_numbers_the_configured_window_and_our_count_decide():
    room = read_room("Please reduce the length of the messages or completion.")
    assert room.cap(30_000, counted=10_000, window=32_768) == 32_768 - 11_564
    assert room.cap(30_000, counted=40_000, window=32_768) is None
    assert room.cap(30_000, counted=10_000, window=None) is None
    assert room.cap(None, counted=10, window=32_768) is None


@given(st.text(), st.integers(1, 10**6), st.integers(0, 10**6), st.none() | st.integers(1, 10**6))
def test_a_cap_is_always_positive_and_below_the_one_sent(words, sent, counted, window):
    cap = read_room(words + f" maximum context length is {window or 5} tokens").cap(sent, counted, window)
    assert cap is None or 0 < cap < sent


MESSAGES = {
    "fastapi": ({"detail": [{"loc": ["body", "seed"], "msg": "Input should be a valid integer", "input": "a prompt"},
                            {"loc": ["body", "n"], "msg": "too many"}]},
                "body.seed: Input should be a valid integer body.n: too many"),
    "detail": ({"detail": "Not authenticated"}, "Not authenticated"),
    "error_msg": ({"error_code": 336003, "error_msg": "messages must be odd"}, "messages must be odd"),
    "errors": ({"success": False, "errors": [{"code": 7003, "message": "No route"}]}, "No route"),
    "error texts": ({"errors": ["bad seed"]}, "bad seed"),
    "base_resp": ({"base_resp": {"status_code": 2013, "status_msg": "invalid params"}}, "invalid params"),
    "fault": ({"fault": {"faultstring": "Quota violation"}}, "Quota violation"),
    "capital": ({"Message": "User is not authorized"}, "User is not authorized"),
    "json in a message": (error('{"error": {"message": "inner"}}'), "inner"),
    "empty list": ([], "[]"),
    "empty detail": ({"detail": []}, '{"detail": []}'),
    "without a message": ({"ok": False, "input": "a prompt"}, '{"ok": false}'),
    "html": ("<html><style>p{}</style><body><h1>502 Bad Gateway</h1></body></html>", "502 Bad Gateway"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "message"), MESSAGES.values(), ids=MESSAGES)
def test_the_message_of_an_error_is_found_wherever_it_is(body, message):
    assert read_error(body).message == message


# Body, headers, and the seconds to wait.
WAITS = {
    "openai": (error("Rate limit reached. Please try again in 1.2s. Visit https://x"), {}, 1.2),
    "minutes": (error("Please try again in 6m0s."), {}, 360),
    "milliseconds": (error("Please try again in 350ms."), {}, 0.35),
    "azure": (error("Please retry after 7 seconds."), {}, 7),
    "gemini": (
        error("x", details=[{"@type": "google.rpc.RetryInfo", "retryDelay": "34s"}]),
        {},
        34,
    ),
    "gemini in words": (error("Please retry in 34.5s."), {}, 34.5),
    "field": ({"message": "slow down", "retry_after": 12}, {}, 12),
    "field in milliseconds": (error("slow down", retry_after_ms=1500), {}, 1.5),
    "words": (error("Try again in 1 minute and 5 seconds"), {}, 65),
    "wrapped header": (error("x", metadata={"headers": {"Retry-After": "9"}}), {}, 9),
    "the header counts": (error("try again in 20s"), {"retry-after": "3"}, 3),
    "reset": (error("x"), {"x-ratelimit-reset-requests": "2m30s"}, 150),
    "none": (error("Too many requests, slow down"), {}, None),
    "nonsense": (error("retry after 2026-01-01, or wait 99999999999999 days"), {}, None),
    "a date in the year 9999": (error("x"), {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
    "a reset in the year 9999": (error("x"), {"x-ratelimit-reset": "9999-12-31T23:59:59.999999Z"}, None),
    "an integer of 400 digits": ({"message": "slow down", "retry_after": 10**400}, {}, None),
}


@pytest.mark.parametrize(("body", "headers", "seconds"), WAITS.values(), ids=WAITS)
def test_the_wait_of_a_refusal_is_found_in_headers_and_body(body, headers, seconds):
    fault = error_fault(429, headers, body)
    assert fault.action is Action.LATER
    assert fault.retry_after_s == (None if seconds is None else pytest.approx(seconds))


DAILY = {
    "gemini": (error("You exceeded your current quota. Please retry in 36s.", details=[
        {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]), True),
    "gemini, per minute": (error("Please retry in 36s.", details=[
        {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}]), False),
    "openai, long": (error("Rate limit reached on requests per day (RPD): Limit 200. Please try again in "
            "7m12s."), True),
    "openai, short": (error("Rate limit reached on requests per day (RPD): Limit 200. Please try again in "
            "8.6s."), False),
    "openrouter": (error("Rate limit exceeded: free-models-per-day"), True),
    "groq": (error("Rate limit reached on tokens per day (TPD): Limit 100000. Please try again in 3h20m."), True),
    "in words": (error("You have reached your daily request limit"), True),
    "hours": (error("Please try again in 5 hours"), True),
    "minute": (error("Rate limit reached on requests per minute (RPM)"), False),
}  # fmt: skip


@pytest.mark.parametrize(("body", "daily"), DAILY.values(), ids=DAILY)
def test_a_daily_quota_is_distinguished_from_a_short_wait(body, daily):
    found = read_error(body)
    assert daily_quota(found, wait_s({}, found), 300) is daily


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "message", "code", "detail", "details", "metadata", "raw", "msg", "retry_after"]),
        inner, max_size=3,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from([200, 302, 400, 401, 404, 413, 422, 429, 500, 503]), JSON)
def test_any_body_can_be_judged(status, body):
    fault = status_fault(status, {}, json.dumps(body).encode())
    assert fault.action in Action and "\n" not in str(fault) and len(str(fault)) <= 300
    assert fault.retry_after_s is None or fault.retry_after_s >= 0
