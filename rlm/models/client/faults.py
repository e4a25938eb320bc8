"""What a failed request means: whether to try again, to give up, to stop the run, or that the prompt was too long."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from rlm.models.chat import Cost, TokenUsage

MAX_MESSAGE = 300
MAX_TEXT = 20_000


class Verdict(Enum):
    """RETRY: may work next time. LATER: the endpoint asks to be left alone. The others cannot work next time:
    OVERFLOW (prompt too long), FILTERED (the provider refuses this content), GIVE_UP (this request), FATAL (any)."""

    RETRY = auto()
    LATER = auto()
    OVERFLOW = auto()
    FILTERED = auto()
    GIVE_UP = auto()
    FATAL = auto()


class Fault(Exception):
    """An attempt that brought no reply. kind is one word for records; usage and cost are what it was billed."""

    def __init__(self, kind: str, message: str, verdict: Verdict, retry_after_s: float | None = None) -> None:
        super().__init__(_one_line(message))
        self.kind = kind
        self.verdict = verdict
        self.retry_after_s = retry_after_s
        self.usage = TokenUsage()
        self.cost = Cost()


# How endpoints say that a prompt is longer than the model's window: OpenAI, vLLM, SGLang, llama.cpp, TGI, Together,
# Fireworks, Anthropic, Gemini, Vertex, Mistral, xAI, Groq, Cerebras, Bedrock, LM Studio, Cohere, Qwen, Moonshot, Zhipu,
# MiniMax.
_OVERFLOW_CODES = {
    "context_length_exceeded",
    "context_window_exceeded",
    "exceed_context_size_error",
    "string_above_max_length",
    "max_prompt_length_exceeded",
}
_OVERFLOW = re.compile(
    r"maximum (context|prompt|sequence|input) length"
    r"|model'?s context (length|window|size)"
    r"|exceed\w* (the )?(available |model'?s )?(context|max_model_len|maximum number of (input )?tokens)"
    r"|exceed\w* (the )?max(imum)? (input|prompt) (length|tokens)"
    r"|context (length|window|size|limit) (is |was |has been |of \S+ )?(exceeded|overflow)"
    r"|longer than the (model'?s )?(maximum|context|max)"
    r"|(prompt|input) is too long"
    r"|prompt (contains|has) \S+ tokens.{0,80}too large"
    r"|reduce the length of the (messages|prompt|input)"
    r"|current length is \d+ while limit is"
    r"|inputs`? (tokens \+ `?max_new_tokens`? )?must (be|have) (<=|less than)"
    r"|input token count.{0,40}(exceeds|only supports)"
    r"|(prompt|input|context)\b.{0,40}\bexceed\w*.{0,40}\b(limit|length|tokens|window)"
    r"|exceed\w* (the )?(model )?token limit"
    r"|exceed\w* the max\w* .{0,20}(input|prompt) tokens"
    r"|too many tokens|more than max tokens allowed"
    r"|range of input length"
    r"|context shift is disabled"
    r"|when context the overflows"
    r"|context_length_exceeded",
    re.IGNORECASE | re.DOTALL,
)
_NO_QUOTA_CODES = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "account_deactivated",
    "access_terminated",
}
_NO_QUOTA = re.compile(
    r"credit balance is too low|insufficient (balance|credits|funds)|account is not active", re.IGNORECASE
)
_NO_MODEL_CODES = {"model_not_found", "model_not_available", "invalid_model", "unknown_model", "deploymentnotfound"}
_NO_MODEL = re.compile(
    r"model.{0,120}(does not exist|not exist|not found|is not a valid model|not supported by any provider)"
    r"|not a valid model|invalid model name|unknown model|no such model",
    re.IGNORECASE | re.DOTALL,
)
_BAD_KEY = re.compile(
    r"(invalid|incorrect|missing|expired) (x-)?api[- _]?key|api[- _]?key (is )?(not valid|invalid)", re.IGNORECASE
)
_FILTERED_CODES = {"content_filter", "content_policy_violation", "content_moderation", "responsibleaipolicyviolation"}
_BAD_PARAMETER_CODES = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "invalid_value"}
_MORE_THAN_A_MINUTE = re.compile(r"request too large", re.IGNORECASE)


def status_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """The fault of an error response."""
    try:
        return error_fault(status, headers, json.loads(body))
    except (ValueError, RecursionError):
        return error_fault(status, headers, body[:MAX_TEXT].decode("utf-8", "replace"))


def error_fault(status: int, headers: Mapping[str, str], body: object) -> Fault:
    """The fault of a status and of a parsed error body, or of its text where it is no JSON."""
    error = _error_of(body)
    message = f"HTTP {status}: {error.message or 'no message'}"
    wait = retry_after(headers)
    codes, text = error.codes, error.message
    if "rate_limit_exceeded" in codes and _MORE_THAN_A_MINUTE.search(text):
        return Fault("rate_limit", message, Verdict.GIVE_UP)
    if codes & _OVERFLOW_CODES or (status >= 400 and status != 429 and _OVERFLOW.search(text)) or status == 413:
        return Fault("context_overflow", message, Verdict.OVERFLOW)
    if codes & _NO_QUOTA_CODES or status == 402 or (status < 500 and status != 429 and _NO_QUOTA.search(text)):
        return Fault("no_quota", message, Verdict.FATAL)
    if codes & _FILTERED_CODES or (status == 403 and error.moderated):
        return Fault("content_filter", message, Verdict.FILTERED)
    if status == 429:
        return Fault("rate_limit", message, Verdict.LATER, wait)
    if status >= 500 or status in (408, 409, 425):
        return Fault("server_error", message, Verdict.RETRY if wait is None else Verdict.LATER, wait)
    if status == 401 or (status in (400, 403) and _BAD_KEY.search(text)):
        return Fault("bad_credentials", message, Verdict.FATAL)
    if status == 404 or codes & _NO_MODEL_CODES or (status in (400, 422) and _NO_MODEL.search(text)):
        return Fault("unknown_model", message, Verdict.FATAL)
    if status in (403, 405) or 300 <= status < 400:
        return Fault("refused", message, Verdict.FATAL)
    if codes & _BAD_PARAMETER_CODES and error.param and not error.param.startswith("messages"):
        return Fault("bad_request", message, Verdict.FATAL)
    return Fault("bad_request", message, Verdict.GIVE_UP)


def transport_fault(error: Exception, total_s: float) -> Fault:
    """The fault of a request that ended without a whole response, from what aiohttp raised below it."""
    import aiohttp

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, aiohttp.ClientError | TimeoutError | OSError):
        cause = cause.__cause__
    error = cause if isinstance(cause, Exception) else error
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
        kind = "no_connection"
    elif isinstance(error, aiohttp.SocketTimeoutError):
        kind, message = "timeout", "nothing was received for longer than first_byte_s"
    elif isinstance(error, TimeoutError):
        kind, message = "timeout", f"no whole reply within {total_s:g} s"
    elif isinstance(error, aiohttp.ClientPayloadError):
        kind = "half_body"
    elif isinstance(error, aiohttp.ClientConnectionError | OSError):
        kind = "connection_reset"
    else:
        kind = "bad_http"
    return Fault(kind, message, Verdict.RETRY)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds an endpoint asks to wait: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date.

    A date is compared with the response's own `date`, where it has one. None for none and for nonsense.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            seconds = _until(value, headers.get("date")) if scale == 1.0 else math.nan
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _until(value: str, now: str | None) -> float:
    try:
        then = parsedate_to_datetime(value)
        start = parsedate_to_datetime(now) if now else datetime.now(UTC)
        return max(0.0, (then - start).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return math.nan


class _Error:
    """Message, codes and parameter of an error body, wherever a provider puts them."""

    def __init__(self) -> None:
        self.message = ""
        self.codes: set[str] = set()
        self.param = ""
        self.moderated = False


def _error_of(body: object) -> _Error:
    found = _Error()
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, str):
        found.message = _one_line(re.sub(r"<[^>]*>", " ", body[:MAX_TEXT]))
        return found
    if not isinstance(body, Mapping):
        return found
    inner = body.get("error", body)
    if isinstance(inner, str):
        found.message = inner
        return found
    if not isinstance(inner, Mapping):
        return found
    texts = [inner.get(key) for key in ("message", "detail", "msg")]
    metadata = inner.get("metadata")
    if isinstance(metadata, Mapping):
        texts.append(metadata.get("raw"))
        found.moderated = "flagged_input" in metadata or "reasons" in metadata
    found.message = " ".join(text for text in texts if isinstance(text, str))[:MAX_TEXT]
    found.codes = {str(inner[key]).lower() for key in ("code", "type") if isinstance(inner.get(key), str)}
    found.param = str(inner.get("param") or "")
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_MESSAGE]
