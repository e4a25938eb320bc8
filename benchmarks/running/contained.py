"""Calls code of plug-ins so that none of its exceptions can end or block the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class ForeignExit(RuntimeError):
    """An exception of a plug-in that asyncio would not propagate. kind: the name of its class."""

    def __init__(self, error: BaseException) -> None:
        self.kind = type(error).__name__
        super().__init__(f"{self.kind}: {error}" if str(error) else self.kind)


def contained(call: Callable[..., T], *arguments: object) -> T:
    """Call a function. Exceptions that asyncio does not propagate are raised as ForeignExit.

    These are SystemExit, StopIteration and classes outside Exception. Ctrl-C in the main thread is not attributed to
    the function.
    """
    try:
        return call(*arguments)
    except BaseException as error:
        if _passes(error) or (isinstance(error, KeyboardInterrupt) and _in_main_thread()):
            raise
        raise ForeignExit(error) from error


async def contained_await(awaitable: Awaitable[T]) -> T:
    """Await an awaitable in the same way. A cancellation of the calling task propagates."""
    try:
        return await awaitable
    except BaseException as error:
        task = asyncio.current_task()
        cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
        if _passes(error) or cancelled:
            raise
        raise ForeignExit(error) from error


def _passes(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
