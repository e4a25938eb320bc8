"""The ChatModel protocol: who answers a list of messages, what a reply is, and how a call can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class CostState(StrEnum):
    """known: every call had a price; free: none costs anything; unknown: at least one had no price."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    FREE = "free"


@dataclass(frozen=True)
class TokenUsage:
    """Tokens of one call or of a sum of calls.

    cached_tokens is the part of prompt_tokens served from a prompt cache; reasoning_tokens is the part of
    completion_tokens that was not shown. clamped says that a provider reported an impossible value.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    clamped: bool = False

    @property
    def total(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.clamped or other.clamped,
        )


@dataclass(frozen=True)
class Cost:
    """Dollars: with the provider's discount for cached input, and as if nothing had been cached."""

    usd: float = 0.0
    uncached_usd: float = 0.0
    state: CostState = CostState.FREE

    def __add__(self, other: Cost) -> Cost:
        states = {self.state, other.state}
        worst = next(s for s in (CostState.UNKNOWN, CostState.KNOWN, CostState.FREE) if s in states)
        return Cost(self.usd + other.usd, self.uncached_usd + other.uncached_usd, worst)


@dataclass(frozen=True)
class Sampling:
    """How a model is asked to answer; None leaves the choice to the endpoint.

    extra is sent as it is in the request body, for what only one provider knows.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FailedAttempt:
    """An attempt that was retried or given up: its kind (`rate_limit`, `timeout`, ...), and what it was billed."""

    kind: str
    message: str
    wait_s: float = 0.0
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Reply:
    """One finished model call. usage and cost are this attempt's own; failed ones stand in `failures`."""

    text: str
    finish_reason: str = "stop"
    reasoning: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: Cost = field(default_factory=Cost)
    model: str = ""
    latency_s: float = 0.0
    cache_hit: bool = False
    failures: tuple[FailedAttempt, ...] = ()

    @property
    def truncated(self) -> bool:
        """Whether the reply was cut by its limit on output tokens."""
        return self.finish_reason == "length"

    @property
    def refused(self) -> bool:
        """Whether the model refused, or its provider filtered the call."""
        return self.finish_reason == "content_filter"


class ChatModel(Protocol):
    """Answers a list of messages.

    name: as it is priced and reported. context_window: in tokens, None where it is not known.
    sampling: what is sent with every call; a part of what identifies a call.
    """

    name: str
    context_window: int | None
    sampling: Sampling

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer. epoch and occurrence (the n-th identical call of a completion) tell equal calls apart in the cache.

        Raises ContextOverflow, FatalModelError or ModelError.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections and processes."""
        ...


class ModelError(Exception):
    """A call that failed for good, after the retries its kind allows.

    failures: what each attempt was billed. cache_hit: told from a store, or by an equal call at the same time.
    """

    cache_hit = False

    def __init__(self, message: str, failures: Sequence[FailedAttempt] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)


class ContextOverflow(ModelError):
    """The prompt does not fit the model's window: a result of the method, not a failure of the endpoint."""


class FatalModelError(ModelError):
    """Bad credentials, no quota, an unknown model: no later call can succeed, so the run must stop."""
