"""The functions by which code in a REPL calls a sub-model: llm_query and llm_query_batched."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from rlm.limits import LimitReached, Limits, Meter
from rlm.methods.long_texts import off_loop
from rlm.methods.thinking import after_thinking, written
from rlm.models.chat import ChatModel, FatalModelError, Reply
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt
from rlm.repl.protocol import HostFunction
from rlm.trajectory import prompt_sha256
from rlm.tree import SUB, CallTree

T = TypeVar("T")
# The number of failed calls whose reasons the message of a failed batch contains.
_SHOWN_FAILURES = 5
_REASON_CHARS = 200
# The number of characters for a sub-model with an unknown window.
_UNKNOWN_CAPACITY, _UNKNOWN_WINDOW = 150_000, 1_000_000
# A prompt with more characters per token of the window or limit does not fit: texts have 2 to 6 characters per token.
_MAX_CHARS_PER_TOKEN = 32
# The number of calls of one batch that run as tasks at a time.
_WINDOW = 256
# A longer prompt is hashed in a thread.
_LONG_CHARS = 1 << 20


class SubCallFailed(Exception):
    """A sub-call without an answer; its message is shown to the model that made the call."""


class PaidReplies:
    """The replies that one session has paid for, so that a repeated request after a failure costs nothing.

    The replies of a failed batch are kept at once, and those of a failed cell when it ends. Each kept reply answers one
    equal request. Requests are held as hashes, because prompts can be long. meter: refuses a batch that is longer than
    the number of sub-calls left.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = meter
        # A list for each request, because one cell may repeat a request.
        self._kept: dict[str, list[str]] = {}
        self._of_cell: dict[str, list[str]] = {}

    async def reply(self, request: Hashable, ask: Callable[[Any], Awaitable[str]]) -> str:
        """Return a kept reply to the request, or the reply of `ask`."""
        is_long = isinstance(request, str) and len(request) > _LONG_CHARS
        key = await asyncio.to_thread(_key, request) if is_long else _key(request)
        kept = self._kept.get(key)
        text = kept.pop(0) if kept else await ask(request)
        self._of_cell.setdefault(key, []).append(text)
        return text

    async def replies(
        self, requests: Sequence[Hashable], ask: Callable[[Any], Awaitable[str]], *, return_exceptions: bool = False
    ) -> list[str | Exception]:
        """Return the replies in the order of the requests, after all calls have ended.

        return_exceptions: an exception takes the place of the reply of each failed call, as in asyncio.gather; by
        default SubCallFailed is raised. Raises SubCallFailed, before any call, for more requests than sub-calls are
        left, and what `run_all` raises.
        """
        self._check_room(requests)
        results = await run_all(requests, functools.partial(self.reply, ask=ask))
        failed = {index: result for index, result in enumerate(results) if isinstance(result, Exception)}
        if not failed or return_exceptions:
            return results
        for request, result in zip(requests, results, strict=True):
            if isinstance(result, str):
                self._of_cell[_key(request)].remove(result)
                self._kept.setdefault(_key(request), []).append(result)
        reasons = [f"index {index}: {_reason(error)}" for index, error in list(failed.items())[:_SHOWN_FAILURES]]
        more = len(failed) - len(reasons)
        raise SubCallFailed(
            f"{len(failed)} of {len(requests)} calls failed ({'; '.join(reasons)}{f'; {more} more' if more else ''}). "
            "The other replies are kept: call again with the same list to pay only for the calls that failed, or with "
            "return_exceptions=True to get the replies with an exception in the place of each failed call"
        )

    def check_length(self, count: int) -> None:
        """Raise SubCallFailed for more requests than can be answered, before anything is done with each of them."""
        left = self._left
        if left and count > left + sum(map(len, self._kept.values())):
            raise _too_many(count, left)

    def _check_room(self, requests: Sequence[Hashable]) -> None:
        self.check_length(len(requests))
        left = self._left
        # Hashes are needed only if kept replies may make the difference.
        if left and len(requests) > left:
            counted = Counter(map(_key, requests))
            needed = len(requests) - sum(min(count, len(self._kept.get(key, ()))) for key, count in counted.items())
            if needed > left:
                raise _too_many(needed, left)

    @property
    def _left(self) -> int | None:
        """The number of sub-calls left. With 0, the first call reports the limit."""
        return None if self._meter is None else self._meter.remaining_sub_calls

    def cell_ended(self, *, failed: bool) -> None:
        """Keep the replies of a failed cell, because it may be run again; forget those of any other cell."""
        for request, replies in self._of_cell.items() if failed else ():
            self._kept.setdefault(request, []).extend(replies)
        self._of_cell = {}


class SubCalls:
    """Plain calls to one sub-model, at most `concurrency` at a time."""

    def __init__(self, tree: CallTree, model: ChatModel, concurrency: int) -> None:
        self._tree = tree
        self._model = model
        self._slots = asyncio.Semaphore(concurrency)

    def within(self, tree: CallTree) -> SubCalls:
        """Return calls for a branch of the tree, which share the limit on concurrent calls."""
        calls = copy.copy(self)
        calls._tree = tree
        return calls

    async def ask(self, prompt: str, *, depth: int, parent: int | None) -> str:
        """Make one call and return its text without reasoning.

        Raises LimitReached before the call is made, SubCallFailed for a prompt that exceeds max_sub_prompt_tokens or
        cannot fit into the window and for a refused or empty reply, and ModelError.
        """
        limits, window = self._tree.meter.limits, self._model.context_window or _UNKNOWN_WINDOW
        check_prompt_size(prompt, limits)
        if len(prompt) > window * _MAX_CHARS_PER_TOKEN:
            raise SubCallFailed(
                f"the prompt has {len(prompt):,} characters, and a sub-call takes about "
                f"{capacity(self._model, limits):,}: split it"
            )
        await self._slots.acquire()
        reply = await self._tree.shielded(self._call(prompt, depth, parent))
        if reply.refused:
            raise SubCallFailed("the provider filtered this call or the sub-model refused it: change the prompt")
        text = await off_loop(after_thinking, written(reply)[0], truncated=reply.truncated)
        if reply.truncated and not text.strip():
            raise SubCallFailed("the sub-model reached its limit on output tokens before it answered: ask for less")
        return text

    async def _call(self, prompt: str, depth: int, parent: int | None) -> Reply:
        try:
            return await self._tree.call(
                self._model, [{"role": "user", "content": prompt}], role=SUB, depth=depth, parent=parent
            )
        finally:
            self._slots.release()


async def run_all(requests: Sequence[Hashable], ask: Callable[[Any], Awaitable[T]]) -> list[T | Exception]:
    """Ask for all requests, at most _WINDOW at a time, and wait for all of them, so that calls in flight are charged.

    The exception of a failed request takes the place of its result. After a request has raised FatalModelError or
    LimitReached no further one is started, and that exception is raised when all have ended.
    """
    numbered = enumerate(requests)
    results: dict[int, T | Exception] = {}
    stops: list[Exception] = []

    async def work() -> None:
        for number, request in numbered:
            if stops:
                return
            try:
                results[number] = await ask(request)
            except (FatalModelError, LimitReached) as stop:
                stops.append(stop)
            except Exception as error:
                results[number] = error

    ended = await asyncio.gather(*(work() for _ in requests[:_WINDOW]), return_exceptions=True)
    for error in (*sorted(stops, key=lambda stop: not isinstance(stop, FatalModelError)), *ended):
        if error is not None:
            raise error
    return [results[number] for number in sorted(results)]


def sub_call_functions(
    calls: SubCalls, paid: PaidReplies, *, parent: Callable[[], int | None] = lambda: None, depth: int = 1
) -> Mapping[str, HostFunction]:
    """Make llm_query and llm_query_batched for one REPL; several REPLs may share `calls`.

    parent: returns the event under which a call is recorded. depth: the depth of the calls, 1 for those of the root's
    code.
    """

    async def ask(prompt: str) -> str:
        return await calls.ask(prompt, depth=depth, parent=parent())

    # Models pass the name of a model that they know. It is ignored, because there is only one sub-model.
    async def llm_query(prompt: Any, model: Any = None) -> str:
        return await paid.reply(one_text(prompt, "llm_query"), ask)

    async def llm_query_batched(
        prompts: Any, model: Any = None, return_exceptions: Any = False
    ) -> list[str | Exception]:
        if isinstance(prompts, list):
            paid.check_length(len(prompts))
        requests = texts(prompts, "llm_query_batched")
        return await paid.replies(requests, ask, return_exceptions=bool(return_exceptions))

    return {"llm_query": llm_query, "llm_query_batched": llm_query_batched}


def _too_many(needed: int, left: int) -> SubCallFailed:
    return SubCallFailed(
        f"the batch has {needed:,} requests to pay for, but only {left:,} sub-calls are left: pass at most {left:,} "
        "requests, with more text in each"
    )


def check_prompt_size(prompt: str, limits: Limits) -> None:
    """Raise SubCallFailed, which names the limit and the size, for a prompt longer than max_sub_prompt_tokens."""
    limit = limits.max_sub_prompt_tokens
    # A token has at least one byte, and a character at most four.
    if limit is None or 4 * len(prompt) <= limit:
        return
    # Far longer prompts are not counted, so that the time to refuse one is bounded.
    is_counted = len(prompt) <= limit * _MAX_CHARS_PER_TOKEN
    tokens = count_tokens(prompt) if is_counted else limit + 1
    if tokens > limit:
        size = f"{tokens:,} tokens" if is_counted else f"{len(prompt):,} characters"
        raise SubCallFailed(
            f"the prompt has {size}, and the prompt of a sub-call may have {limit:,} tokens (max_sub_prompt_tokens): "
            "split it"
        )


def sub_window(model: ChatModel, limits: Limits) -> int | None:
    """Return the tokens that a sub-call's prompt may have: the model's window or max_sub_prompt_tokens if smaller."""
    known = [size for size in (model.context_window, limits.max_sub_prompt_tokens) if size is not None]
    return min(known, default=None)


def capacity(model: ChatModel, limits: Limits) -> int:
    """Return the characters stated for a sub-call: as in the paper, 500,000 for a window of 400,000 tokens."""
    window = sub_window(model, limits)
    if window is None:
        return _UNKNOWN_CAPACITY
    chars = window * 5 // 4
    unit = 10 ** max(0, len(str(chars)) - 2)
    return max(1, chars // unit * unit)


def one_text(value: Any, function: str) -> str:
    """Return the value if it is a non-empty string. Otherwise raises SubCallFailed with a message for the model."""
    if not isinstance(value, str):
        raise SubCallFailed(f"{function} takes one string, not {_kind(value)}; put all that it needs into that string")
    if not value or value.isspace():
        raise SubCallFailed(f"{function} was given an empty string")
    return value


def texts(value: Any, function: str) -> list[str]:
    """Return the value if it is a list of strings. Otherwise raises SubCallFailed with a message for the model."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise SubCallFailed(f"{function} takes a list of strings, not {_kind(value)}")
    return [one_text(item, f"{function}, item {number},") for number, item in enumerate(value)]


def _key(request: Hashable) -> str:
    """Return the hash of a request, a text or a Prompt."""
    kind, texts = type(request).__name__, [str(request)] if not isinstance(request, Prompt) else []
    if isinstance(request, Prompt):
        one = isinstance(request.context, str)
        kind, texts = f"{kind} {one}", [request.query, *([request.context] if one else request.context)]
    return prompt_sha256([{"role": kind, "content": text} for text in texts])


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}" if value is not None else "None"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_REASON_CHARS] or type(error).__name__
