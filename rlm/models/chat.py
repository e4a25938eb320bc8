"""The ChatModel protocol, the reply of a model call, and the errors that a call raises."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Protocol

from annotated_types import Ge


class CostState(StrEnum):
    """`known`: every call had a price. `free`: no call costs anything. `unknown`: at least one call had no price."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    FREE = "free"


@dataclass(frozen=True)
class TokenUsage:
    """Tokens of one call, or the sum over several calls.

    cached_tokens is the part of prompt_tokens that was served from a prompt cache. reasoning_tokens is the part of
    completion_tokens that is not in the text. clamped is true if a provider reported an impossible value.
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
    """Dollars of one call or several: with the discount for cached input (usd) and without it (uncached_usd)."""

    usd: float = 0.0
    uncached_usd: float = 0.0
    state: CostState = CostState.FREE

    def __add__(self, other: Cost) -> Cost:
        states = {self.state, other.state}
        worst = next(s for s in (CostState.UNKNOWN, CostState.KNOWN, CostState.FREE) if s in states)
        return Cost(self.usd + other.usd, self.uncached_usd + other.uncached_usd, worst)


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters of every request to a model; parameters set to None are not sent.

    extra: further fields of the request body, for parameters that only one provider has.
    """

    temperature: Annotated[float, Ge(0)] | None = None
    top_p: Annotated[float, Ge(0)] | None = None
    max_output_tokens: Annotated[int, Ge(1)] | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if replaced := {"messages", "model"} & set(self.extra):
            raise ValueError(f"extra.{min(replaced)} is set: expected a field other than messages and model")
        try:
            json.dumps(dict(self.extra), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"extra is {dict(self.extra)!r}: expected values that JSON can hold ({error})") from None


@dataclass(frozen=True)
class FailedAttempt:
    """A failed attempt of a call: its kind (`rate_limit`, `timeout`, ...), and the usage and cost billed for it."""

    kind: str
    message: str
    wait_s: float = 0.0
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class ToolCall:
    """A tool call in a reply. arguments: the text that the model wrote, usually a JSON object."""

    name: str
    arguments: str

    @property
    def code(self) -> str | None:
        """The Python code in the arguments of a tool such as `python` or `execute_code`; None for any other tool."""
        return _python_code(self.name, self.arguments)


@dataclass(frozen=True)
class Reply:
    """One finished model call. usage and cost are those of the last attempt; earlier attempts are in `failures`.

    model: the name that the endpoint returned. provider, system_fingerprint: the server of the call and its version of
    the model, if the endpoint reports them. output_cap: the cap on output tokens that replaced the configured one
    because the prompt left less room. prompt_cut: the endpoint reports far fewer prompt tokens than were sent, so it
    has dropped a part of the prompt. tool_calls: tool calls of the reply, although none was offered.
    """

    text: str
    finish_reason: str = "stop"
    reasoning: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: Cost = field(default_factory=Cost)
    model: str = ""
    latency_s: float = 0.0
    cache_hit: bool = False
    failures: tuple[FailedAttempt, ...] = ()
    provider: str = ""
    system_fingerprint: str = ""
    output_cap: int | None = None
    prompt_cut: bool = False
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def truncated(self) -> bool:
        """True if the reply reached its cap on output tokens."""
        return self.finish_reason == "length"

    @property
    def refused(self) -> bool:
        """True if the model refused or the provider filtered the call."""
        return self.finish_reason == "content_filter"

    @property
    def only_reasoning(self) -> bool:
        """True if the text is empty and the reasoning is not: the answer, if there is one, is in `reasoning`."""
        return not self.text.strip() and bool(self.reasoning.strip())

    @property
    def tool_code(self) -> str | None:
        """The code of the first tool call that holds Python code; None if no tool call does."""
        return next((call.code for call in self.tool_calls if call.code is not None), None)


class ChatModel(Protocol):
    """Answers a list of messages.

    name: the model's name in prices and reports. context_window: in tokens, None if unknown. sampling: the parameters
    of every request; they are part of a call's key in the cache.
    """

    @property
    def name(self) -> str: ...

    @property
    def context_window(self) -> int | None: ...

    @property
    def sampling(self) -> Sampling: ...

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer the messages.

        epoch and occurrence (n for the n-th identical call of a completion) separate equal calls in the cache.
        Raises ContextOverflow, FatalModelError or ModelError.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and end processes."""
        ...


class ModelError(Exception):
    """A call that failed after the retries that its kind of failure allows.

    failures: every attempt, with what it was billed. cache_hit: the error was not caused by a request of this call; it
    comes from the store or from an identical call at the same time.
    """

    cache_hit = False

    def __init__(self, message: str, failures: Sequence[FailedAttempt] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)


class ContextOverflow(ModelError):
    """The prompt does not fit the model's window: a result of the method, not a failure of the endpoint."""


class FatalModelError(ModelError):
    """Bad credentials, no quota or an unknown model: no later call can succeed, so the run stops."""


_PYTHON_TOOLS = (
    "python", "python3", "python_interpreter", "python_repl", "python_tool", "repl", "ipython", "jupyter", "code",
    "code_interpreter", "code_execution", "run_code", "run_python", "exec", "execute", "execute_code", "execute_python",
    "exec_python", "python_exec", "interpreter", "run", "run_cell", "execute_cell",
)  # fmt: skip
_CODE_KEYS = ("code", "python", "python_code", "source", "script", "program", "cell", "input", "snippet", "command")


def _python_code(name: str, arguments: str) -> str | None:
    tool = name.rpartition(".")[2].strip().lower().replace("-", "_")
    named = tool in _PYTHON_TOOLS or name.strip().lower().startswith(("python.", "python_"))
    try:
        given = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        # Some models write the code itself where the protocol has a JSON object.
        return arguments if named and arguments.strip() else None
    if isinstance(given, str):
        return given if named and given.strip() else None
    if not isinstance(given, Mapping):
        return None
    language = given.get("language") or given.get("lang")
    if isinstance(language, str) and not language.lower().startswith(("py", "ipy")):
        return None
    keys = _CODE_KEYS if named else ("python", "python_code")
    if isinstance(language, str):
        keys = _CODE_KEYS
    code = next((given[key] for key in keys if given.get(key)), None)
    if code is None and named and len(given) == 1:
        code = next(iter(given.values()))
    if isinstance(code, list) and all(isinstance(line, str) for line in code):
        code = "\n".join(code)
    return code if isinstance(code, str) and code.strip() else None
