"""The functions by which code in a REPL calls a sub-model: llm_query and llm_query_batched."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from rlm.limits import LimitReached
from rlm.models.chat import ChatModel, FatalModelError, Reply
from rlm.repl.protocol import HostFunction
from rlm.tree import SUB, CallTree

T = TypeVar("T")


class SubCallFailed(Exception):
    """A sub-call that gave no answer; its message is for the model that made it."""


class Batch:
    """Runs the calls of a batch together.

    What a batch has paid for before one of its calls failed is kept, and given to the next batch that asks it again.
    """

    def __init__(self) -> None:
        # A batch may ask the same several times.
        self._kept: dict[Hashable, list[str]] = {}

    async def run(self, requests: Sequence[Hashable], ask: Callable[[Any], Awaitable[str]]) -> list[str]:
        """The answers in the order of the requests, when no call is under way any more.

        Raises what `run_all` raises, and SubCallFailed if some calls failed.
        """

        async def one(request: Hashable) -> str:
            kept = self._kept.get(request)
            return kept.pop(0) if kept else await ask(request)

        results = await run_all([functools.partial(one, request) for request in requests])
        failed = [result for result in results if isinstance(result, Exception)]
        if not failed:
            return results
        for request, result in zip(requests, results, strict=True):
            if isinstance(result, str):
                self._kept.setdefault(request, []).append(result)
        raise SubCallFailed(
            f"{len(failed)} of {len(requests)} calls failed, the first with: {failed[0]}. The other answers are kept: "
            "call again with the same list to pay only for those that failed"
        )


class SubCalls:
    """Plain calls to one sub-model, at most `concurrency` of them on the wire at a time."""

    def __init__(self, tree: CallTree, model: ChatModel, concurrency: int) -> None:
        self._tree = tree
        self._model = model
        self._slots = asyncio.Semaphore(concurrency)
        self._batch = Batch()

    async def ask(self, prompt: str, *, depth: int, parent: int | None) -> str:
        """One call. Raises LimitReached before it is made, and ModelError or SubCallFailed."""
        await self._slots.acquire()
        reply = await self._tree.to_its_end(self._call(prompt, depth, parent))
        if reply.truncated and not reply.text.strip():
            raise SubCallFailed("the sub-model used up its output tokens before it answered: ask for less at a time")
        return reply.text

    async def _call(self, prompt: str, depth: int, parent: int | None) -> Reply:
        try:
            return await self._tree.call(
                self._model, [{"role": "user", "content": prompt}], role=SUB, depth=depth, parent=parent
            )
        finally:
            self._slots.release()

    async def ask_all(self, prompts: Sequence[str], *, depth: int, parent: int | None) -> list[str]:
        """The answers in the order of the prompts; raises like Batch.run."""
        return await self._batch.run(prompts, functools.partial(self.ask, depth=depth, parent=parent))


async def run_all(work: Sequence[Callable[[], Awaitable[T]]]) -> list[T | Exception]:
    """Run all at once and wait for all, so that what is on the wire is charged; a failure stands in its place.

    Raises the LimitReached or the FatalModelError that one of them raised, when all have ended.
    """
    results = await asyncio.gather(*(each() for each in work), return_exceptions=True)
    for kind in (FatalModelError, LimitReached):
        for result in results:
            if isinstance(result, kind):
                raise result
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result
    return results


def sub_call_functions(
    tree: CallTree,
    model: ChatModel,
    *,
    parent: Callable[[], int | None] = lambda: None,
    depth: int = 1,
    concurrency: int = 16,
) -> Mapping[str, HostFunction]:
    """llm_query(prompt) and llm_query_batched(prompts) for a REPL.

    parent: gives the event under which a call is recorded, asked at each call. depth: that of the calls, 1 for those
    that the root's own code makes.
    """
    return plain_functions(SubCalls(tree, model, concurrency), parent=parent, depth=depth)


def plain_functions(calls: SubCalls, *, parent: Callable[[], int | None], depth: int) -> Mapping[str, HostFunction]:
    """The same functions over SubCalls that several REPLs share."""

    # Models name a model they know, though there is one sub-model only: the name is taken and changes nothing.
    async def llm_query(prompt: Any, model: Any = None) -> str:
        return await calls.ask(one_text(prompt, "llm_query"), depth=depth, parent=parent())

    async def llm_query_batched(prompts: Any, model: Any = None) -> list[str]:
        return await calls.ask_all(texts(prompts, "llm_query_batched"), depth=depth, parent=parent())

    return {"llm_query": llm_query, "llm_query_batched": llm_query_batched}


def one_text(value: Any, function: str) -> str:
    """The value if it is a string with something in it; else SubCallFailed with a message for the model."""
    if not isinstance(value, str):
        raise SubCallFailed(f"{function} takes one string, not {_kind(value)}; put all that it needs into that string")
    if not value.strip():
        raise SubCallFailed(f"{function} was given an empty string")
    return value


def texts(value: Any, function: str) -> list[str]:
    """The value if it is a list of strings; else SubCallFailed with a message for the model."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise SubCallFailed(f"{function} takes a list of strings, not {_kind(value)}")
    return [one_text(item, f"{function}, item {number},") for number, item in enumerate(value)]


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}" if value is not None else "None"
