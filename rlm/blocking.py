"""Runs coroutines from synchronous code, on one background event loop for the process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to completion and return its result.

    All callers share one background loop, because connections and worker processes belong to the loop that created
    them. If an exception such as KeyboardInterrupt interrupts the wait, the coroutine is cancelled, and the exception
    propagates after it has ended. Raises RuntimeError when called from the background loop itself, where it would never
    return.
    """
    loop = _background_loop()
    if threading.current_thread() is _thread:
        work.close()
        raise RuntimeError(
            "completion() cannot be called from the event loop of another completion: await acompletion()"
        )
    done: concurrent.futures.Future[T] = concurrent.futures.Future()
    _waiting.add(done)
    done.add_done_callback(_waiting.discard)
    started = asyncio.run_coroutine_threadsafe(_started(work, done), loop)
    try:
        return done.result()
    except BaseException:
        if not done.done():
            # Cancelling a task that has ended in the meantime has no effect.
            loop.call_soon_threadsafe(started.result().cancel)
            concurrent.futures.wait([done])
        raise


async def without_exit(work: Awaitable[T]) -> T:
    """Await work. Its SystemExit becomes a RuntimeError, because asyncio would let it end the event loop."""
    try:
        return await work
    except SystemExit as error:
        raise RuntimeError(f"SystemExit: {error}") from error


async def _started(work: Coroutine[Any, Any, T], done: concurrent.futures.Future[T]) -> asyncio.Task[T]:
    """Start a coroutine as a task that settles `done` when it ends."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda ended: _settle(ended, done))
    return task


def _settle(ended: asyncio.Task[T], done: concurrent.futures.Future[T]) -> None:
    error = asyncio.CancelledError() if ended.cancelled() else ended.exception()
    if done.done():
        return
    if error is None:
        done.set_result(ended.result())
    else:
        done.set_exception(error)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        # A SystemExit in a task that somebody else has started ends the loop.
        for done in list(_waiting):
            if not done.done():
                done.set_exception(RuntimeError("the event loop of all completions has ended"))


_waiting: set[concurrent.futures.Future[Any]] = set()
_thread: threading.Thread | None = None
_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = threading.Lock()


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop, _thread
    with _loop_lock:
        # A forked process inherits the loop but not the thread that runs it.
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_serve, args=(_loop,), name="rlm", daemon=True)
            _thread.start()
        return _loop
