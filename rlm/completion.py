"""Completion: what every method returns. It holds the answer, the stop reason and the usage."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from rlm.models.chat import Cost, CostState, TokenUsage

if TYPE_CHECKING:
    from rlm.trajectory import CallRecord, Trajectory


class StopReason(StrEnum):
    """The reason why a completion ended. A reason that begins with max_ is the key of the limit that was reached."""

    ANSWER = "answer"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"
    REFUSAL = "refusal"
    REPEATED_CELLS = "repeated_cells"
    VERIFICATION_LOOP = "verification_loop"
    CONTEXT_OVERFLOW = "context_overflow"
    MAX_COST = "max_cost_usd"
    MAX_RUN_COST = "max_run_cost_usd"
    MAX_RUN_TOKENS = "max_run_tokens"
    MAX_TOKENS = "max_tokens"
    MAX_CALLS = "max_calls"
    MAX_SUB_CALLS = "max_sub_calls"
    MAX_DEPTH = "max_depth"
    MAX_TURNS = "max_turns"
    MAX_WALL = "max_wall_s"
    MAX_CONSECUTIVE_ERRORS = "max_consecutive_errors"
    CANCELLED = "cancelled"
    ERROR = "error"


# Characters of an answer in the repr of a Completion.
_SHOWN_CHARS = 100
_LOOPS = (StopReason.REPEATED_CELLS, StopReason.VERIFICATION_LOOP)


class Status(StrEnum):
    """The state of a finished sample: answered (correctly or not), stopped by a limit, too long, or failed."""

    OK = "ok"
    LIMIT = "limit"
    CONTEXT_OVERFLOW = "context_overflow"
    ERROR = "error"


@dataclass(frozen=True)
class Usage:
    """Tokens, dollars and counts of a call tree."""

    tokens: TokenUsage = field(default_factory=TokenUsage)
    cost: Cost = field(default_factory=Cost)
    root_calls: int = 0
    sub_calls: int = 0
    max_depth_reached: int = 0
    turns: int = 0
    cells: int = 0
    syntax_errors: int = 0
    model_s: float = 0.0


@dataclass(frozen=True, repr=False)
class Completion:
    """The result of a method on one prompt.

    answer: None if there is none; an empty string is never an answer.
    truncated: the answer, or the input of the call that gave it, was cut.
    error: one line, if stop_reason is `error` or `context_overflow`.
    untagged: the answer is a forced last reply in prose, without the form by which the method gives answers.
    prompt_cut: the server read less of a root call's prompt than was sent.
    """

    answer: str | None
    stop_reason: StopReason
    usage: Usage
    trajectory: Trajectory
    calls: tuple[CallRecord, ...] = ()
    truncated: bool = False
    error: str | None = None
    wall_s: float = 0.0
    untagged: bool = False
    prompt_cut: bool = False

    def __repr__(self) -> str:
        cost, tokens = self.usage.cost, self.usage.tokens.total
        shown = repr(self.answer)
        parts = [
            f"answer={shown if len(shown) <= _SHOWN_CHARS else shown[: _SHOWN_CHARS - 3] + '...'}",
            f"stop_reason={str(self.stop_reason)!r}",
            *([f"error={self.error!r}"] if self.error else []),
            f"calls={self.usage.root_calls + self.usage.sub_calls}",
            f"tokens={tokens}",
            f"cost_usd={cost.usd:.6g}" if cost.state == CostState.KNOWN else f"cost={str(cost.state)!r}",
        ]
        return f"Completion({', '.join(parts)})"

    @property
    def status(self) -> Status:
        if self.stop_reason == StopReason.CONTEXT_OVERFLOW:
            return Status.CONTEXT_OVERFLOW
        if self.stop_reason in (StopReason.ERROR, StopReason.CANCELLED):
            return Status.ERROR
        if self.stop_reason.startswith("max_") or self.stop_reason in _LOOPS:
            return Status.LIMIT
        return Status.OK


def one_line(error: BaseException, max_chars: int = 500) -> str:
    """Format an error as one short line, for tables and messages. Its own message may be long or fail."""
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be shown"
    # Most characters are not spaces, so more of a long message would not be shown.
    return " ".join(f"{type(error).__name__}: {message[: 10 * max_chars]}".split())[:max_chars]
