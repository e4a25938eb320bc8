"""Limits and Meter: one budget for a complete call tree, checked before every model call and charged after it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt

from rlm.completion import StopReason
from rlm.models.chat import ChatModel, Cost, TokenUsage
from rlm.validation import check_fields

# Threads add to the same counts when completions share a budget or a tool starts completions.
_adding = threading.Lock()


@dataclass(frozen=True)
class Limits:
    """The limits of one completion, over all depths and roles together. None is no limit; 0 is a limit of 0.

    max_turns and max_consecutive_errors hold for each loop. max_output_chars bounds the output of one cell that is
    shown to the root; max_answer_bytes bounds a value that a session returns as the answer. max_sub_prompt_tokens: a
    longer prompt of a sub-call is refused before a request is made, with an error that the calling code can catch.
    reserve is the fraction of cost and tokens that is reserved for the root's last call. Raises SettingError for an
    invalid value.
    """

    max_cost_usd: Annotated[float, Ge(0)] | None = None
    max_tokens: Annotated[int, Ge(0)] | None = None
    max_calls: Annotated[int, Ge(0)] | None = 20_000
    max_sub_calls: Annotated[int, Ge(0)] | None = 10_000
    max_sub_prompt_tokens: Annotated[int, Ge(1)] | None = None
    max_depth: Annotated[int, Ge(0)] | None = 8
    max_turns: Annotated[int, Ge(0)] | None = 50
    max_wall_s: Annotated[float, Ge(0)] | None = 4 * 3600.0
    max_consecutive_errors: Annotated[int, Ge(0)] | None = 10
    max_output_chars: Annotated[int, Ge(0)] = 20_000
    max_answer_bytes: Annotated[int, Ge(0)] | None = 64 << 20
    reserve: Annotated[float, Ge(0), Lt(1)] = 0.05

    def __post_init__(self) -> None:
        check_fields(self, "limits")


class LimitReached(Exception):
    """A limit stops the call tree; `reason` names the limit."""

    def __init__(self, reason: StopReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Budget:
    """Dollars and tokens that all completions of a run share. Every Meter with this budget charges it.

    calls_in_flight: calls that were admitted and have not been charged yet.
    """

    def __init__(self, max_cost_usd: float | None = None, max_tokens: int | None = None) -> None:
        self.max_cost_usd = max_cost_usd
        self.max_tokens = max_tokens
        self.cost = Cost()
        self.tokens = 0
        self.calls_in_flight = 0

    @property
    def spent(self) -> bool:
        return self.spent_limit is not None

    @property
    def spent_limit(self) -> tuple[StopReason, float] | None:
        """Return the limit that is spent, if any."""
        if self.max_cost_usd is not None and _used_up(self.cost.usd, self.max_cost_usd):
            return StopReason.MAX_RUN_COST, self.max_cost_usd
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            return StopReason.MAX_RUN_TOKENS, self.max_tokens
        return None

    def charge(self, cost: Cost, tokens: int = 0) -> None:
        self.cost += cost
        self.tokens += tokens


class Meter:
    """Counts what a call tree uses and refuses a call that would exceed a limit.

    Counts of calls are exact and include calls in flight. Cost and tokens are known only after a call, so they can
    exceed their limit by the calls that are in flight at that moment. After a limit was reached, only a call with
    `last=True` is admitted: the root's last chance to answer.
    """

    def __init__(
        self, limits: Limits, budget: Budget | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.budget = budget
        self.tokens = TokenUsage()
        self.cost = Cost()
        self.calls = 0
        self.sub_calls = 0
        self.stopped: StopReason | None = None
        self._clock = clock
        self._started = clock()

    @property
    def wall_s(self) -> float:
        return self._clock() - self._started

    @property
    def remaining_s(self) -> float | None:
        """Return the seconds until max_wall_s, at least 0; None if there is no such limit."""
        limit = self.limits.max_wall_s
        return None if limit is None else max(0.0, limit - self.wall_s)

    @property
    def remaining_sub_calls(self) -> int | None:
        """Return the number of sub-calls left, with one call reserved for the root's answer; None if unlimited."""
        limits = self.limits
        pairs = (limits.max_calls, self.calls + 1), (limits.max_sub_calls, self.sub_calls)
        left = [limit - used for limit, used in pairs if limit is not None]
        return max(0, min(left)) if left else None

    @property
    def left(self) -> dict[str, float | None]:
        """Return the dollars, tokens, sub-calls and seconds that the tree's code may still use; None is no limit.

        No value is negative. Dollars and tokens do not include the part that is reserved for the root's last call. The
        budget of a run is not considered, because it depends on other samples.
        """
        limits, share = self.limits, 1.0 - self.limits.reserve
        dollars, tokens, seconds = limits.max_cost_usd, limits.max_tokens, self.remaining_s
        return {
            "dollars": None if dollars is None else round(max(0.0, dollars * share - self.cost.usd), 6),
            "tokens": None if tokens is None else max(0, int(tokens * share) - self.tokens.total),
            "calls": self.remaining_sub_calls,
            "seconds": None if seconds is None else round(seconds, 1),
        }

    @property
    def exceeded(self) -> StopReason | None:
        """Return the limit that calls already made have exceeded, if any."""
        limits = self.limits
        used = (
            (StopReason.MAX_COST, self.cost.usd, limits.max_cost_usd),
            (StopReason.MAX_TOKENS, self.tokens.total, limits.max_tokens),
            (StopReason.MAX_WALL, self.wall_s, limits.max_wall_s),
        )
        return next((reason for reason, amount, limit in used if _over(amount, limit)), None)

    def admit(self, *, sub: bool, depth: int = 0, closing: bool = False, last: bool = False) -> None:
        """Count a call that is about to be made, or raise LimitReached.

        sub: the call is not the root's own. closing: no later call depends on this one, so nothing is reserved for one.
        last: the root's one call past a limit, which is also closing.
        """
        closing = closing or last
        self.check(closing=closing, last=last)
        if _over(self.calls + (1 if closing else 2), self.limits.max_calls):
            self.stop(StopReason.MAX_CALLS, self.limits.max_calls)
        if sub and _over(self.sub_calls + 1, self.limits.max_sub_calls):
            self.stop(StopReason.MAX_SUB_CALLS, self.limits.max_sub_calls)
        if _over(depth, self.limits.max_depth):
            self.stop(StopReason.MAX_DEPTH, self.limits.max_depth)
        with _adding:
            self.calls += 1
            self.sub_calls += sub
            if self.budget:
                self.budget.calls_in_flight += 1

    def admit_model(self, model: ChatModel) -> None:
        """Raise LimitReached for a model with a price if the limit is 0 dollars, which admits only free models.

        A model reports a price by its attribute `priced`.
        """
        dollars = {StopReason.MAX_COST: self.limits.max_cost_usd}
        dollars |= {StopReason.MAX_RUN_COST: self.budget.max_cost_usd} if self.budget else {}
        for reason, limit in dollars.items():
            if limit == 0 and getattr(model, "priced", False):
                self.stop(reason, limit)

    def check(self, *, closing: bool = False, last: bool = False) -> None:
        """Raise LimitReached if the tree has stopped or has used up its cost, tokens or time."""
        if self.stopped and not last:
            raise LimitReached(self.stopped, f"the completion was stopped by {self.stopped}")
        limits, share = self.limits, 1.0 if closing or last else 1.0 - self.limits.reserve
        if self.budget and (spent := self.budget.spent_limit):
            self.stop(*spent)
        if _used_up(self.cost.usd, limits.max_cost_usd, share):
            self.stop(StopReason.MAX_COST, limits.max_cost_usd)
        if limits.max_tokens is not None and self.tokens.total >= limits.max_tokens * share:
            self.stop(StopReason.MAX_TOKENS, limits.max_tokens)
        if limits.max_wall_s is not None and self.wall_s >= limits.max_wall_s and not last:
            self.stop(StopReason.MAX_WALL, limits.max_wall_s)

    def charge(self, usage: TokenUsage, cost: Cost) -> None:
        """Add the usage of a call, which may have failed."""
        with _adding:
            self.tokens += usage
            self.cost += cost
            if self.budget:
                self.budget.charge(cost, usage.total)
                self.budget.calls_in_flight -= 1

    def stop(self, reason: StopReason, limit: object = None) -> None:
        """Stop the tree for `reason`, unless it has stopped already, and raise LimitReached."""
        self.stopped = self.stopped or reason
        message = f"{reason} ({limit}) is reached" if limit is not None else f"stopped: {reason}"
        raise LimitReached(self.stopped, message)


class LoopGuard:
    """Watches one loop of turns: their number, consecutive failures, and cells that repeat earlier ones.

    A limit that stops a child's loop ends the child, not the tree.
    """

    def __init__(self, limits: Limits, max_repeats: int = 3) -> None:
        self.limits = limits
        self.turns = 0
        self._max_repeats = max_repeats
        self._failures = 0
        # Four cells, because a few alternating cells are also a loop.
        self._last_cells: deque[str] = deque(maxlen=4)
        self._repeats = 0

    def turn(self) -> None:
        """Count a turn that is about to be made. Raises LimitReached (max_turns)."""
        if _over(self.turns + 1, self.limits.max_turns):
            raise LimitReached(StopReason.MAX_TURNS, f"max_turns ({self.limits.max_turns}) is reached")
        self.turns += 1

    def ended(self, *, failed: bool) -> None:
        """Record the end of a turn. A turn failed if no cell ran or if a cell raised an exception.

        Raises LimitReached (max_consecutive_errors) at the limit's number of consecutive failures, and for a limit of 0
        at the first.
        """
        self._failures = self._failures + 1 if failed else 0
        limit = self.limits.max_consecutive_errors
        if failed and limit is not None and self._failures >= limit:
            raise LimitReached(StopReason.MAX_CONSECUTIVE_ERRORS, f"{self._failures} turns in a row failed")

    def repeated(self, code: str, output: str) -> bool:
        """Record a cell with its output, and return True the first time that it equals one of the four before it.

        Raises LimitReached (repeated_cells) when cells keep repeating.
        """
        cell = f"{code.strip()}\0{output}"
        self._repeats = self._repeats + 1 if cell in self._last_cells else 0
        self._last_cells.append(cell)
        if self._repeats >= self._max_repeats:
            raise LimitReached(StopReason.REPEATED_CELLS, f"the last {self._repeats} cells repeated earlier ones")
        return self._repeats == 1


def _over(amount: float, limit: float | None) -> bool:
    return limit is not None and amount > limit


def _used_up(dollars: float, limit: float | None, share: float = 1.0) -> bool:
    # A limit of 0 admits free models, so it is used up only when dollars have been spent.
    return limit is not None and dollars >= limit * share and (dollars > 0 or limit > 0)
