"""Classifies failed requests: some are retried, some end the call, some end the run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from rlm.models.chat import Cost, TokenUsage
from rlm.models.client.error_body import MAX_TEXT, ErrorBody, read_error
from rlm.models.client.output_cap import Room, read_room
from rlm.models.client.redaction import Redactor
from rlm.models.client.waits import wait_s

MAX_MESSAGE = 300


class Action(Enum):
    """The reaction to a failed request.

    RETRY: a retry may succeed. LATER: the endpoint asks for a pause. OVERFLOW: the prompt is too long, or the cap on
    output tokens leaves no room for it. FILTERED: the provider refuses the content. GIVE_UP: no retry of this call can
    succeed. FATAL: no call can succeed, so the run stops.
    """

    RETRY = auto()
    LATER = auto()
    OVERFLOW = auto()
    FILTERED = auto()
    GIVE_UP = auto()
    FATAL = auto()


class Fault(Exception):
    """A request without a usable reply.

    kind: the name of the fault in records. room: the numbers in an error about the window or the output cap. error: the
    error body. silent: a gateway may have ended the request because nothing was sent for too long. usage, cost: the
    reported usage and cost of the request.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        action: Action,
        retry_after_s: float | None = None,
        *,
        room: Room | None = None,
        error: ErrorBody | None = None,
        silent: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.action = action
        self.retry_after_s = retry_after_s
        self.room = room
        self.error = error or ErrorBody()
        self.silent = silent
        self.usage = TokenUsage()
        self.cost = Cost()

    def redact(self, redactor: Redactor) -> None:
        """Remove credentials from the message. This happens before it is cut, so that no part of one remains."""
        self.message = redactor(self.message)

    def __str__(self) -> str:
        return " ".join(self.message.split())[:MAX_MESSAGE]


# Codes and wordings of OpenAI, vLLM, SGLang, llama.cpp, Ollama, TGI, Together, Fireworks, Anthropic, Gemini, Vertex,
# Mistral, xAI, Groq, Cerebras, Bedrock, LM Studio, Cohere, Qwen, Moonshot, Zhipu, MiniMax, DeepSeek, Poolside.
_OVERFLOW_CODES = {
    "context_length_exceeded",
    "context_window_exceeded",
    "model_context_window_exceeded",
    "exceed_context_size_error",
    "string_above_max_length",
    "max_prompt_length_exceeded",
    "contextwindowexceedederror",
    "input_too_long",
    "model_max_prompt_tokens_exceeded",
}
_OVERFLOW = re.compile(
    r"max(imum)? (allowed )?(context|prompt|sequence|input|model) length"
    r"|model'?s context (length|window|size)"
    r"|exceed\w* (the )?(available |model'?s )?(context (size|length|window|limit)|max_model_len|max_seq_len"
    r"|maximum number of (input )?tokens)"
    r"|exceed\w* (the )?max(imum)? (allowed )?(input|prompt|context) (length|tokens|size)"
    r"|context (length|window|size|limit) (is |was |has been |of \S+ )?(exceeded|overflow)"
    r"|(longer|greater) than the (model'?s )?(maximum|context|max)"
    r"|(prompt|input)( is)? too long"
    r"|prompt \([^)]{0,40}\) is too long"
    r"|too long to fit"
    r"|prompt (contains|has) \S+ tokens.{0,80}too large"
    r"|reduce the length of the (messages|prompt|input)"
    r"|current length is \d+ while limit is"
    r"|inputs`? (tokens \+ `?max_new_tokens`? )?must (be|have) (<=|less than)"
    r"|input token count.{0,40}(exceeds|only supports)"
    r"|(prompt|input|context)\b.{0,40}\bexceed\w*.{0,40}\b(limit|length|tokens|window)"
    r"|exceed\w* (the )?(model )?token limit|exceed\w* max message tokens|requested tokens.{0,20}exceed"
    r"|prompt_tokens.{0,30}must be less than"
    r"|exceed\w* the max\w* .{0,20}(input|prompt) tokens"
    r"|too many (input |prompt )?tokens|more than max tokens allowed"
    r"|range of input length"
    r"|context shift is disabled"
    r"|when context the overflows"
    r"|max_tokens must be at least 1, got -"
    r"|context_length_exceeded",
    re.IGNORECASE | re.DOTALL,
)
# A status 5xx is an overflow only with these words of llama.cpp and Ollama.
_OVERFLOW_OF_SERVER = re.compile(
    r"exceeds the available context size|context shift is disabled|context_length_exceeded|exceeds the context window"
    r"|input length exceeds the context length|maximum context length is \d+|context (size|window) (has been )?exceed",
    re.IGNORECASE,
)
_TIMED_OUT = re.compile(
    r"deadline exceed|context deadline|context cancell?ed|time limit|gateway time"
    r"|(request|upstream|connection|operation|server|response)[^.]{0,40}timed? ?out",
    re.IGNORECASE,
)
_LOADING = re.compile(r"\bmodel\b.{0,60}\bloading\b|\bloading (the )?model", re.IGNORECASE | re.DOTALL)
_TOO_LARGE_CAP = re.compile(
    r"max_?(new_?|completion_?|output_?)?tokens.{0,80}(too (large|high|big)|exceed|less than|at most|valid range|"
    r"supported range|(must|should|cannot|can't) be|> \d)"
    r"|range of max_tokens|maximum tokens you requested|too (large|high|many).{0,20}output",
    re.IGNORECASE | re.DOTALL,
)
_NO_QUOTA_CODES = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "insufficient_credits",
    "account_deactivated",
    "access_terminated",
    "arrearage",
    "payment_required",
    "exceeded_current_quota_error",
    "1113",
}
_NO_QUOTA = re.compile(
    r"credit balance is too low|insufficient (account )?(balance|credits|funds)|account is not active|out of credits"
    r"|spend(ing)? limit (has been )?(reached|exceeded)|account.{0,20}(suspended|overdue|in arrears)",
    re.IGNORECASE,
)
_NO_MODEL_CODES = {
    "model_not_found",
    "model_not_available",
    "invalid_model",
    "unknown_model",
    "deploymentnotfound",
    "model_not_exist",
    "model_decommissioned",
}
_RATE_CODES = {"rate_limit_exceeded", "rate_limit_error", "throttlingexception", "too_many_requests"}
_NO_MODEL = re.compile(
    r"\bmodels?\b[:\s/]*(?!parameter|param|field|argument|option|config|propert|template|input|key)"
    r"(?:name )?(?:[`'\"\u201c]?[\w./:@+-]+[`'\"\u201d]?,? )?(?:is |was |could )?"
    r"(?:does not exist|do not exist|not exist|not found|not be found|not a valid model|not supported by any provider)"
    r"|not a valid model|invalid model name|unknown model\b|no such model|no endpoints found for",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"\b(parameter|param|field|argument|property)\b", re.IGNORECASE)
_BAD_KEY = re.compile(
    r"(invalid|incorrect|missing|expired) (x-)?api[- _]?key|api[- _]?key (is )?(not valid|invalid|expired)",
    re.IGNORECASE,
)
_FILTERED_CODE = re.compile(
    r"content_?filter|content_?policy|content_?moderation|moderation_blocked|responsible_?ai|data_?inspection_?failed"
    r"|sensitive_?content|contentdetected|sensitive_words|invalid_prompt|prohibited_?content|guardrail"
    r"|policy_?violation|safety_?(check|violation|block|error)|^safety$|^blocklist$|high_risk|content_blocked"
    r"|risk_control|unsafe_(content|generation)|^censor"
)
# MiniMax and Zhipu use numbers.
_FILTERED_NUMBERS = {"1026", "1027", "1301"}
_FILTERED = re.compile(
    r"flagged (as|by|for) .{0,40}(violat|moderation|safety|policy|harm|content)|content management policy"
    r"|content filtering policy|usage (policy|policies|guidelines)|considered high risk|content exists risk"
    r"|limited access to this content"
    r"|(inappropriate|sensitive|unsafe|prohibited) (content|information)"
    r"|(blocked|rejected) (by|due to|because of|as a result of) .{0,30}(safety|content|guardrail|policy|moderation)"
    r"|violat\w+ .{0,30}(guardrail|moderation|safety)"
    r"|(prompt|response|request|content) (was |is |has been )?(blocked|filtered) (by|due)",
    re.IGNORECASE | re.DOTALL,
)
_BAD_PARAMETER_CODES = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "invalid_value"}
_EXCEEDS_TOKENS_PER_MINUTE = re.compile(r"request too large", re.IGNORECASE)


def status_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Return the fault of an error response."""
    try:
        return error_fault(status, headers, json.loads(body))
    except (ValueError, RecursionError):
        return error_fault(status, headers, body[:MAX_TEXT].decode("utf-8", "replace"))


def error_fault(status: int, headers: Mapping[str, str], body: object) -> Fault:
    """Return the fault of a status and an error body, which is parsed JSON or plain text.

    The status and the codes decide first. The wording decides only if they do not.
    """
    error = read_error(body)
    elsewhere = f"redirected to {headers['location']}" if 300 <= status < 400 and "location" in headers else ""
    message = f"HTTP {status}: {error.message or elsewhere or 'no message'}"
    found = _Request(status, error, wait_s(headers, error))
    kind, action = found.judge()
    silent = status in (408, 504, 524) or bool(_TIMED_OUT.search(error.words)) or "stream=true" in error.words
    room = read_room(error.words) if action is Action.OVERFLOW else None
    wait = found.wait if action in (Action.LATER, Action.FATAL) else None
    return Fault(kind, message, action, wait, room=room, error=error, silent=silent)


@dataclass(frozen=True)
class _Request:
    """A refused or failed request."""

    status: int
    error: ErrorBody
    wait: float | None

    def judge(self) -> tuple[str, Action]:
        """Return the kind of the fault and the action that follows."""
        status, codes, words = self.status, self.error.codes, self.error.words
        if "rate_limit_exceeded" in codes and _EXCEEDS_TOKENS_PER_MINUTE.search(words):
            return "rate_limit", Action.GIVE_UP
        if codes & _OVERFLOW_CODES:
            return "context_overflow", Action.OVERFLOW
        if codes & _NO_QUOTA_CODES or status == 402:
            return "no_quota", Action.FATAL
        if status != 429 and self._filtered():
            return "content_filter", Action.FILTERED
        if status == 429 or (status < 500 and codes & _RATE_CODES):
            return "rate_limit", Action.LATER
        if _may_pass(status):
            if status == 500 and not _TIMED_OUT.search(words) and _OVERFLOW_OF_SERVER.search(words):
                return "context_overflow", Action.OVERFLOW
            loading = status == 503 and _LOADING.search(words)
            return "server_error", Action.LATER if loading or self.wait is not None else Action.RETRY
        if status == 413:
            return "context_overflow", Action.OVERFLOW
        if status == 401:
            return "bad_credentials", Action.FATAL
        return self._by_words()

    def _by_words(self) -> tuple[str, Action]:
        status, codes, words = self.status, self.error.codes, self.error.words
        if status in (400, 403, 404, 422) and _TIMED_OUT.search(words) and not _PARAMETER.search(words):
            return "server_error", Action.RETRY
        if status in (400, 403) and _BAD_KEY.search(words):
            return "bad_credentials", Action.FATAL
        if _NO_QUOTA.search(words):
            return "no_quota", Action.FATAL
        if codes & _NO_MODEL_CODES or (status in (400, 404, 422) and _NO_MODEL.search(words)):
            return "unknown_model", Action.FATAL
        if status in (400, 404, 422) and (_OVERFLOW.search(words) or _TOO_LARGE_CAP.search(words)):
            return "context_overflow", Action.OVERFLOW
        if status == 404 and not _PARAMETER.search(words):
            return "unknown_model", Action.FATAL
        if status in (403, 405) or 300 <= status < 400:
            return "refused", Action.FATAL
        if codes & _BAD_PARAMETER_CODES and self.error.param and not self.error.param.startswith("messages"):
            return "bad_request", Action.FATAL
        return "bad_request", Action.GIVE_UP

    def _filtered(self) -> bool:
        error = self.error
        if error.codes & _FILTERED_NUMBERS or any(_FILTERED_CODE.search(code) for code in error.codes):
            return True
        if self.status == 451 or (self.status == 403 and error.moderated):
            return True
        return self.status in (400, 403, 422) and bool(_FILTERED.search(error.words))


def _may_pass(status: int) -> bool:
    return status >= 500 or status in (408, 409, 424, 425, 429, 499)


def is_prompt_overflow(fault: Fault) -> bool:
    """True if the prompt is too long; false if the message is only about the cap on output tokens."""
    words = fault.error.words
    return bool(fault.error.codes & _OVERFLOW_CODES or _OVERFLOW.search(words)) or not _TOO_LARGE_CAP.search(words)


def transport_fault(error: Exception, total_s: float) -> Fault:
    """Return the fault of a request without a complete response, from the aiohttp exception behind httpx's."""
    import aiohttp

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, aiohttp.ClientError | TimeoutError | OSError):
        cause = cause.__cause__
    error = cause if isinstance(cause, Exception) else error
    message, silent = f"{type(error).__name__}: {error}", False
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
        kind = "no_connection"
    elif isinstance(error, aiohttp.SocketTimeoutError):
        kind, message, silent = "timeout", "nothing was received for longer than read_timeout_s", True
    elif isinstance(error, TimeoutError):
        kind, message = "timeout", f"no complete reply within {total_s:g} s"
    elif isinstance(error, aiohttp.ClientPayloadError):
        kind = "half_body"
    elif isinstance(error, aiohttp.ClientConnectionError | OSError):
        kind, silent = "connection_reset", True
    else:
        kind = "bad_http"
    return Fault(kind, message, Action.RETRY, silent=silent)
