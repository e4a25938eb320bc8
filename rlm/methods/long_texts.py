"""Runs work over a long text of a model in a thread, so that the event loop continues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# The parsers take about a millisecond for this many characters, and up to ten for the worst ones.
LONG_CHARS = 20_000


async def off_loop(work: Callable[Concatenate[str, P], T], text: str, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `work(text, ...)`, from a thread if the text has more than LONG_CHARS."""
    if len(text) <= LONG_CHARS:
        return work(text, *args, **kwargs)
    return await asyncio.to_thread(work, text, *args, **kwargs)
