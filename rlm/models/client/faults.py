"""Classifies failed requests: some are retried, some end the call, some end the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from rlm.models.chat import Cost, TokenUsage
from rlm.models.client.error_body import MAX_TEXT, ErrorBody, read_error
from rlm.models.client.output_cap import Room, read_room
from rlm.models.client.redaction import Redactor
from rlm.models.client.waits import wait_s
from rlm.models.client.wordings import (
    BAD_KEY,
    BAD_PARAMETER_CODES,
    EXCEEDS_TOKENS_PER_MINUTE,
    FILTERED,
    FILTERED_CODE,
    FILTERED_NUMBERS,
    LOADING,
    NO_MODEL,
    NO_MODEL_CODES,
    NO_QUOTA,
    NO_QUOTA_CODES,
    OVERFLOW,
    OVERFLOW_CODES,
    OVERFLOW_OF_SERVER,
    PARAMETER,
    RATE_CODES,
    TIMED_OUT,
    TOO_LARGE_CAP,
)
from rlm.structure import parsed_json

MAX_MESSAGE = 300
# Values in the JSON of a response. A reply has a few hundred, besides its texts.
MAX_VALUES = 100_000


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


def status_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Return the fault of an error response."""
    try:
        return error_fault(status, headers, parsed_json(body, MAX_VALUES))
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
    silent = status in (408, 504, 524) or bool(TIMED_OUT.search(error.words)) or "stream=true" in error.words
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
        if "rate_limit_exceeded" in codes and EXCEEDS_TOKENS_PER_MINUTE.search(words):
            return "rate_limit", Action.GIVE_UP
        if codes & OVERFLOW_CODES:
            return "context_overflow", Action.OVERFLOW
        if codes & NO_QUOTA_CODES or status == 402:
            return "no_quota", Action.FATAL
        if status != 429 and self._filtered():
            return "content_filter", Action.FILTERED
        if status == 429 or (status < 500 and codes & RATE_CODES):
            return "rate_limit", Action.LATER
        if _may_pass(status):
            if status == 500 and not TIMED_OUT.search(words) and OVERFLOW_OF_SERVER.search(words):
                return "context_overflow", Action.OVERFLOW
            loading = status == 503 and LOADING.search(words)
            return "server_error", Action.LATER if loading or self.wait is not None else Action.RETRY
        if status == 413:
            return "context_overflow", Action.OVERFLOW
        if status == 401:
            return "bad_credentials", Action.FATAL
        return self._by_words()

    def _by_words(self) -> tuple[str, Action]:
        status, codes, words = self.status, self.error.codes, self.error.words
        if status in (400, 403, 404, 422) and TIMED_OUT.search(words) and not PARAMETER.search(words):
            return "server_error", Action.RETRY
        if status in (400, 403) and BAD_KEY.search(words):
            return "bad_credentials", Action.FATAL
        if NO_QUOTA.search(words):
            return "no_quota", Action.FATAL
        if codes & NO_MODEL_CODES or (status in (400, 404, 422) and NO_MODEL.search(words)):
            return "unknown_model", Action.FATAL
        if status in (400, 404, 422) and (OVERFLOW.search(words) or TOO_LARGE_CAP.search(words)):
            return "context_overflow", Action.OVERFLOW
        if status == 404 and not PARAMETER.search(words):
            return "unknown_model", Action.FATAL
        if status in (403, 405) or 300 <= status < 400:
            return "refused", Action.FATAL
        if codes & BAD_PARAMETER_CODES and self.error.param and not self.error.param.startswith("messages"):
            return "bad_request", Action.FATAL
        return "bad_request", Action.GIVE_UP

    def _filtered(self) -> bool:
        error = self.error
        if error.codes & FILTERED_NUMBERS or any(FILTERED_CODE.search(code) for code in error.codes):
            return True
        if self.status == 451 or (self.status == 403 and error.moderated):
            return True
        return self.status in (400, 403, 422) and bool(FILTERED.search(error.words))


def _may_pass(status: int) -> bool:
    return status >= 500 or status in (408, 409, 424, 425, 429, 499)


def is_prompt_overflow(fault: Fault) -> bool:
    """True if the prompt is too long; false if the message is only about the cap on output tokens."""
    words = fault.error.words
    return bool(fault.error.codes & OVERFLOW_CODES or OVERFLOW.search(words)) or not TOO_LARGE_CAP.search(words)


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
