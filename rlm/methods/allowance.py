"""budget(), a function of a REPL that returns the unused part of the completion's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from rlm.limits import Limits, Meter
from rlm.repl.protocol import HostFunction

NAME = "budget"
# Seconds between two answers in one session, so that a loop over budget() cannot keep the host busy.
_PAUSE_S = 0.02


def budget_function(meter: Meter) -> Mapping[str, HostFunction]:
    """Make budget() for one REPL. It returns `Meter.left` of the completion and makes no model call."""
    turn = asyncio.Lock()

    async def budget() -> dict[str, float | None]:
        async with turn:
            await asyncio.sleep(_PAUSE_S)
            return meter.left

    return {NAME: budget}


def is_named(limits: Limits) -> bool:
    """True if prompts describe budget(), because dollars, tokens or a time below the default are limited.

    The description is the part `budget` of a prompt file, which may be empty.
    The default limits are far beyond what a completion uses, so prompts without other limits do not mention them.
    """
    default = Limits().max_wall_s
    is_short = limits.max_wall_s is not None and (default is None or limits.max_wall_s < default)
    return limits.max_cost_usd is not None or limits.max_tokens is not None or is_short
