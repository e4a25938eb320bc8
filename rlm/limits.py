"""Limits and Meter: one budget for a whole call tree, asked before every model call and charged after it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt

from rlm.completion import StopReason
from rlm.models.chat import Cost, TokenUsage
from rlm.validation import check_fields

# Counts are added to from several threads where a budget is shared or a tool makes completions of its own.
_adding = threading.Lock()


@dataclass(frozen=True)
class Limits:
    """The limits of one completion, over all depths and roles together. None is no limit; 0 is a limit of 0.

    max_output_chars bounds the output of one cell that the root is shown. reserve is the fraction of cost and tokens
    that is kept for the root's last call. Raises SettingError for a value that does not fit.
    """

    max_cost_usd: Annotated[float, Ge(0)] | None = None
    max_tokens: Annotated[int, Ge(0)] | None = None
    max_calls: Annotated[int, Ge(0)] | None = 20_000
    max_sub_calls: Annotated[int, Ge(0)] | None = 10_000
    max_depth: Annotated[int, Ge(0)] | None = 8
    max_turns: Annotated[int, Ge(0)] | None = 50
    max_wall_s: Annotated[float, Ge(0)] | None = 4 * 3600.0
    max_consecutive_errors: Annotated[int, Ge(1)] | None = 10
    max_output_chars: Annotated[int, Ge(0)] = 20_000
    reserve: Annotated[float, Ge(0), Lt(1)] = 0.05

    def __post_init__(self) -> None:
        check_fields(self, "limits")


class LimitReached(Exception):
    """A limit stops the call tree; `reason` says which."""

    def __init__(self, reason: StopReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Budget:
    """Dollars that all completions of a run share. Charged by every Meter that is given it."""

    def __init__(self, max_cost_usd: float | None = None) -> None:
        self.max_cost_usd = max_cost_usd
        self.cost = Cost()

    @property
    def spent(self) -> bool:
        return self.max_cost_usd is not None and self.cost.usd >= self.max_cost_usd

    def charge(self, cost: Cost) -> None:
        self.cost += cost


class Meter:
    """Counts what a call tree uses and refuses the call that would pass a limit.

    Counts of calls are exact, those on the wire included. Cost and tokens are known only afterwards, so they can pass
    their limit by what is on the wire at that moment. Once a limit was hit, only a call with `last=True` is let
    through, once: the root's last chance to answer.
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
        """Seconds until max_wall_s, at least 0; None without such a limit."""
        limit = self.limits.max_wall_s
        return None if limit is None else max(0.0, limit - self.wall_s)

    def admit(self, *, sub: bool, depth: int = 0, last: bool = False) -> None:
        """Count a call that is about to be made, or raise LimitReached; `sub` is a call that is not the root's own."""
        self.check(last=last)
        keep = 0 if last else 1
        if _over(self.calls + 1 + keep, self.limits.max_calls):
            self.stop(StopReason.MAX_CALLS, self.limits.max_calls)
        if sub and _over(self.sub_calls + 1, self.limits.max_sub_calls):
            self.stop(StopReason.MAX_SUB_CALLS, self.limits.max_sub_calls)
        if _over(depth, self.limits.max_depth):
            self.stop(StopReason.MAX_DEPTH, self.limits.max_depth)
        with _adding:
            self.calls += 1
            self.sub_calls += sub

    def check(self, *, last: bool = False) -> None:
        """Raise LimitReached if the tree has stopped or has used up its cost, tokens or time."""
        if self.stopped and not last:
            raise LimitReached(self.stopped, f"the completion was stopped by {self.stopped}")
        limits, share = self.limits, 1.0 if last else 1.0 - self.limits.reserve
        if self.budget and self.budget.spent:
            self.stop(StopReason.MAX_RUN_COST, self.budget.max_cost_usd)
        if limits.max_cost_usd is not None and self.cost.usd >= limits.max_cost_usd * share:
            self.stop(StopReason.MAX_COST, limits.max_cost_usd)
        if limits.max_tokens is not None and self.tokens.total >= limits.max_tokens * share:
            self.stop(StopReason.MAX_TOKENS, limits.max_tokens)
        if limits.max_wall_s is not None and self.wall_s >= limits.max_wall_s and not last:
            self.stop(StopReason.MAX_WALL, limits.max_wall_s)

    def charge(self, usage: TokenUsage, cost: Cost) -> None:
        """Add what a call used, failed or not."""
        with _adding:
            self.tokens += usage
            self.cost += cost
            if self.budget:
                self.budget.charge(cost)

    def stop(self, reason: StopReason, limit: object = None) -> None:
        """Stop the tree for `reason`, unless it has stopped already, and raise LimitReached."""
        self.stopped = self.stopped or reason
        told = f"{reason} ({limit}) is reached" if limit is not None else f"stopped: {reason}"
        raise LimitReached(self.stopped, told)


class LoopGuard:
    """Watches one loop of turns, a root's or a child's: turns, failures in a row, cells that are run again and again.

    A child's loop that is stopped so ends the child, not the tree.
    """

    def __init__(self, limits: Limits, max_repeats: int = 3) -> None:
        self.limits = limits
        self.turns = 0
        self._max_repeats = max_repeats
        self._failures = 0
        # A loop of a few cells in turn is a loop too.
        self._last_cells: deque[str] = deque(maxlen=4)
        self._repeats = 0

    def turn(self) -> None:
        """Count a turn that is about to be made; raises LimitReached (max_turns)."""
        if _over(self.turns + 1, self.limits.max_turns):
            raise LimitReached(StopReason.MAX_TURNS, f"max_turns ({self.limits.max_turns}) is reached")
        self.turns += 1

    def outcome(self, *, failed: bool) -> None:
        """Note whether a turn failed: nothing ran, or the cell raised. Raises LimitReached (max_consecutive_errors)."""
        self._failures = self._failures + 1 if failed else 0
        limit = self.limits.max_consecutive_errors
        if limit is not None and self._failures >= limit:
            raise LimitReached(StopReason.MAX_CONSECUTIVE_ERRORS, f"{self._failures} turns in a row failed")

    def repeated(self, code: str, output: str) -> bool:
        """Whether this cell, with this output, is one of the four before it.

        True is for telling the model once; raises LimitReached (repeated_cells) when it goes on.
        """
        cell = f"{code.strip()}\0{output}"
        self._repeats = self._repeats + 1 if cell in self._last_cells else 0
        self._last_cells.append(cell)
        if self._repeats >= self._max_repeats:
            raise LimitReached(StopReason.REPEATED_CELLS, f"the last {self._repeats} cells repeated earlier ones")
        return self._repeats == 1


def _over(count: int, limit: int | None) -> bool:
    return limit is not None and count > limit
