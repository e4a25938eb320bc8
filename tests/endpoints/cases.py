"""Faults of endpoints, and what becomes of a call that meets each: one table for every role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ANSWER = "The number is 4711."


@dataclass(frozen=True)
class Case:
    """Steps of the scripted server before its usual answer, and what becomes of the call.

    outcome: `answered`, `refused`, `context_overflow`, `error` or `fatal`. attempts: requests of the call. cost: state
    of its cost at an endpoint with prices. kept: the outcome is in the store, so that a second call makes no request.
    flags: values of the call's record. message: a part of the error, or of a failed attempt.
    """

    steps: tuple[Any, ...]
    outcome: str
    attempts: int
    cost: str = "known"
    kept: bool = True
    flags: dict[str, Any] | None = None
    message: str = ""


def refusal(status: int, message: str, code: Any = None, **fields: Any) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"message": message, "code": code, **fields}}}


def error(*steps: Any, attempts: int = 1, cost: str = "free", message: str) -> Case:
    return Case(steps, "error", attempts, cost, kept=False, message=message)


OVER = "This model's maximum context length is 8192 tokens. However, your messages resulted in 12040 tokens."
CAP = (
    "'max_tokens' is too large: 65535. This model's maximum context length is 128000 tokens and your request has 62466 "
    "input tokens (65535 > 128000 - 62466)."
)
CAP_AT_LEAST = (
    "This model's maximum context length is 70000 tokens. However, you requested 65535 output tokens and your prompt "
    "contains at least 4466 input tokens, for a total of at least 70001 tokens."
)
STREAM = 'data: {"choices":[{"index":0,"delta":{"content":"The number\u2028is 4711."},"finish_reason":"stop"}]}\n\n'
RAW = '{"error": {"code": "content_policy_violation", "message": "no"}}'
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"

CASES = {
    # The cap on output tokens is larger than the room.
    "cap": Case((refusal(400, CAP),), "answered", 2, flags={"output_cap": 65534}),
    "cap, with the code of an overflow": Case(
        (refusal(400, CAP, "context_length_exceeded"),), "answered", 2, flags={"output_cap": 65534}
    ),
    "cap, a lower bound of the prompt": Case((refusal(400, CAP_AT_LEAST),), "answered", 2),
    "cap, of the model": Case(
        (refusal(400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),), "answered", 2,
        flags={"output_cap": 8192},
    ),
    # Words of an overflow from gateways, and real overflows.
    "rate wait": Case((refusal(503, "rate: Wait(n=1) would exceed context deadline"),), "answered", 2),
    "deadline": Case((refusal(504, "context deadline exceeded: request exceeded the time limit"),), "answered", 2),
    "overflow": Case((refusal(400, OVER, "context_length_exceeded"),), "context_overflow", 1, "free", message="12040"),
    "overflow in words": Case((refusal(400, OVER),), "context_overflow", 1, "free", message="12040"),
    # Safety refusals.
    "invalid_prompt": Case((refusal(400, "flagged by our usage policy", "invalid_prompt"),), "refused", 1, "free"),
    "azure": Case(
        (refusal(400, "filtered", "400", innererror={"code": "ResponsibleAIPolicyViolation"}),), "refused", 1, "free"
    ),
    "dashscope": Case((refusal(400, "may be inappropriate", "data_inspection_failed"),), "refused", 1, "free"),
    "wrapped": Case((refusal(400, "Provider returned error", 400, metadata={"raw": RAW}),), "refused", 1, "free"),
    # Replies that are not what they seem.
    "cut prompt": Case(
        ({"text": ANSWER, "usage": {"prompt_tokens": 100, "completion_tokens": 6}},), "answered", 1,
        flags={"prompt_cut": True},
    ),
    "zero usage": Case(
        ({"text": ANSWER, "usage": {"prompt_tokens": 0, "completion_tokens": 0}},), "answered", 1, "unknown"
    ),
    "only reasoning": Case(
        ({"message": {"content": None, "reasoning_content": ANSWER}},), "answered", 1, flags={"only_reasoning": True}
    ),
    "stream unasked": Case(
        ({"body": STREAM, "headers": {"Content-Type": "text/event-stream"}},), "answered", 1, "unknown"
    ),
    "tool call": Case(
        (
            {
                "message": {
                    "content": None,
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}],
                },
                "choice": {"finish_reason": "tool_calls"},
            },
        ),
        "answered", 1, flags={"tool_call": True},
    ),
    "other provider": Case(
        ({"text": ANSWER, "fields": {"provider": "B", "system_fingerprint": "fp_2"}},), "answered", 1,
        flags={"provider": "B", "system_fingerprint": "fp_2"},
    ),
    # Requests that are wrong.
    "parameter": error(refusal(400, "model parameter 'foo' not found"), message="model parameter 'foo' not found"),
    "fastapi": error(
        {"status": 422, "body": {"detail": [{"loc": ["body", "seed"], "msg": "Input should be a valid integer"}]}},
        message="body.seed: Input should be a valid integer",
    ),
    "error_msg": error({"status": 400, "body": {"error_msg": "bad messages"}}, message="bad messages"),
    # Waits and outages.
    "wait in the body": Case((refusal(429, "Rate limit reached. Please try again in 20ms."),), "answered", 2),
    "always half a body": error(*["half_body"] * 9, attempts=3, cost="unknown", message="half body (attempt 3)"),
    "reset": Case(("reset",), "answered", 2),
    "half a body": Case(("half_body",), "answered", 2),
    "always 500": error(*["500"] * 9, attempts=3, cost="unknown", message="server error (attempt 3)"),
    # What no later call can overcome.
    "daily quota": Case(
        (refusal(429, "quota", details=[{"violations": [{"quotaId": DAY}]}]),), "fatal", 1, "free", kept=False,
        message="midnight",
    ),
    "bad key": Case(("bad_key",), "fatal", 1, "free", kept=False, message="the API key is refused"),
    "unknown model": Case(("unknown_model",), "fatal", 1, "free", kept=False, message="does not know this model"),
}  # fmt: skip
