"""The functions of an RLM's session besides llm_query: child RLMs and the user's tools."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import keyword
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from rlm.completion import one_line
from rlm.methods import allowance
from rlm.methods.subcalls import PaidReplies, SubCallFailed, one_text, texts
from rlm.prompt import Prompt
from rlm.repl.protocol import HostFunction
from rlm.tree import CallTree, ParentCall, calling_tool

_QUERIES = ("llm_query", "llm_query_batched", "rlm_query", "rlm_query_batched")
# Each call is an event of the trajectory.
_TOOL_CALLS = 100_000
# Seconds in which a tool that was cancelled can end; after them, its result is ignored.
_END_S = 1.0
_MESSAGE_CHARS = 2000
# A message of a session has up to 500,000 contexts, whose prompts take a second to make.
_MANY = 1000
RESERVED = frozenset({"context", "answer", "FINAL", "FINAL_VAR", "SHOW_VARS", allowance.NAME, *_QUERIES})


class ToolFailed(Exception):
    """A tool raised an exception or took too long; the message is shown to the model that called it."""


class _Raised(Exception):
    """A tool has raised an exception of any class; the message describes it on one line."""


@dataclass(frozen=True)
class ToolNote:
    """The description of a tool for the model: its signature and the first paragraph of its docstring, on one line."""

    signature: str
    about: str


# The function that the option `show_vars` adds to a session, as prompts describe it.
SHOW_VARS = ToolNote("SHOW_VARS()", "returns the names and types of the variables that your code has set.")


def check_names(names: Mapping[str, Any], key: str) -> None:
    """Raise ValueError for a name that cannot become a variable of a session."""
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
            raise ValueError(
                f"{key} has {name!r}: expected the name of a Python variable other than {', '.join(sorted(RESERVED))}"
            )


def check_tools(tools: Mapping[str, Callable[..., Any]]) -> None:
    """Raise ValueError for a name that cannot be used or a tool that is not callable."""
    check_names(tools, "tools")
    for name, tool in tools.items():
        if not callable(tool):
            raise ValueError(f"tools.{name} is {tool!r}: expected a function")


def tool_notes(tools: Mapping[str, Callable[..., Any]]) -> list[ToolNote]:
    """Return the description of each tool for the model."""
    notes = []
    for name, tool in tools.items():
        about = " ".join((inspect.getdoc(tool) or "a function of this task").split("\n\n")[0].split())
        notes.append(ToolNote(f"{name}{_signature(tool)}", about))
    return notes


def host_tools(
    tools: Mapping[str, Callable[..., Any]],
    tree: CallTree,
    *,
    parent: Callable[[], int | None],
    depth: int,
    timeout_s: float,
) -> Mapping[str, HostFunction]:
    """Make the session's functions for the tools. Synchronous tools run in a thread.

    A call fails if it takes longer than timeout_s or than the time that the completion has left. A thread, or a
    coroutine that ignores its cancellation, cannot be ended, but its result is ignored. A session makes at most
    _TOOL_CALLS calls. Completions that a tool makes are charged to the tree, and cannot make calls after the tree has
    ended. Calls raise LimitReached after the tree has stopped.
    """
    numbers = count(1)
    return {name: _host_tool(name, tool, tree, parent, depth, timeout_s, numbers) for name, tool in tools.items()}


def _host_tool(
    name: str,
    tool: Callable[..., Any],
    tree: CallTree,
    parent: Callable[[], int | None],
    depth: int,
    timeout_s: float,
    numbers: Iterator[int],
) -> HostFunction:
    async def call(*args: Any, **kwargs: Any) -> Any:
        tree.meter.check()
        if next(numbers) > _TOOL_CALLS:
            raise ToolFailed(f"{name}: more than {_TOOL_CALLS:,} calls of tools were made")
        remaining = tree.meter.remaining_s
        limit_s = timeout_s if remaining is None else min(timeout_s, remaining)
        event, error, started = parent(), None, time.perf_counter()
        # The tool runs in its own task, and therefore in its own context.
        calling_tool.set(ParentCall(tree, event, depth))
        task = _started(tool, args, kwargs)
        try:
            if (await asyncio.wait({task}, timeout=limit_s))[0]:
                return task.result()
            error = f"took longer than {limit_s:g} s"
        except asyncio.CancelledError:
            error = "was cancelled: its cell was stopped"
            raise
        except _Raised as failure:
            error = f"raised {failure}"
        finally:
            tree.trajectory.record(
                "tool", parent=event, depth=depth, name=name, error=error, wall_s=time.perf_counter() - started
            )
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_END_S)
        raise ToolFailed(f"{name} {error}")

    vars(call)["__signature__"] = _signature(tool)
    call.__doc__ = inspect.getdoc(tool)
    return call


def _started(tool: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> asyncio.Future[Any]:
    """Start a call of a tool. Its exceptions become _Raised, except for CancelledError and KeyboardInterrupt."""
    if inspect.iscoroutinefunction(tool) or inspect.iscoroutinefunction(getattr(tool, "__call__", None)):  # noqa: B004
        task: asyncio.Future[Any] = asyncio.ensure_future(_contained(tool, args, kwargs))
    else:
        task = _in_thread(functools.partial(tool, *args, **kwargs))
    # The exception of a tool that ends after its call is ignored.
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return task


async def _contained(tool: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    try:
        return await tool(*args, **kwargs)
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as failure:
        raise _Raised(one_line(failure, _MESSAGE_CHARS)) from failure


def _in_thread(work: Callable[[], Any]) -> asyncio.Future[Any]:
    """Run in a new daemon thread, because the exit of a thread pool would wait for a tool that never returns."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as failure:
            error = _Raised(one_line(failure, _MESSAGE_CHARS))
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), name="rlm-tool", daemon=True).start()
    return done


def _signature(tool: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(tool)
    except (TypeError, ValueError):
        return inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])


def child_functions(ask: Callable[[Prompt], Awaitable[str]], paid: PaidReplies) -> Mapping[str, HostFunction]:
    """Make rlm_query and rlm_query_batched over `ask`, which answers a prompt or raises SubCallFailed.

    rlm_query(context, query): a context is a string or a list of strings. rlm_query_batched(contexts, queries): one
    query for all contexts or one for each; alternatively one list of (context, query) pairs. Invalid arguments raise
    SubCallFailed.
    """

    async def rlm_query(context: Any, query: Any = "") -> str:
        return await paid.reply(_prompt(context, query), ask)

    async def rlm_query_batched(
        contexts: Any, queries: Any = None, return_exceptions: Any = False
    ) -> list[str | Exception]:
        many = isinstance(contexts, list) and len(contexts) > _MANY
        if many:
            paid.check_length(len(contexts))
        prompts = await asyncio.to_thread(_prompts, contexts, queries) if many else _prompts(contexts, queries)
        return await paid.replies(prompts, ask, return_exceptions=bool(return_exceptions))

    return {"rlm_query": rlm_query, "rlm_query_batched": rlm_query_batched}


def _prompt(context: Any, query: Any) -> Prompt:
    if not isinstance(query, str):
        raise SubCallFailed(f"rlm_query takes its query as a string, not a {type(query).__name__}")
    if isinstance(context, str):
        return Prompt(one_text(context, "rlm_query"), query)
    documents = texts(context, "rlm_query")
    if not documents:
        raise SubCallFailed("rlm_query was given an empty list as its context")
    return Prompt(tuple(documents), query)


def _prompts(contexts: Any, queries: Any) -> list[Prompt]:
    if isinstance(contexts, str) or not isinstance(contexts, Sequence):
        raise SubCallFailed(f"rlm_query_batched takes a list of contexts, not a {type(contexts).__name__}")
    if queries is None:
        pairs = [(item, "") if isinstance(item, str) else item for item in contexts]
        if any(not isinstance(pair, Sequence) or len(pair) != 2 for pair in pairs):
            raise SubCallFailed("rlm_query_batched takes contexts and queries, or a list of pairs of the two")
        return [_prompt(context, query) for context, query in pairs]
    queries = [queries] * len(contexts) if isinstance(queries, str) else queries
    if not isinstance(queries, Sequence) or len(queries) != len(contexts):
        raise SubCallFailed(f"rlm_query_batched got {len(contexts)} contexts: pass one query for all or one for each")
    return [_prompt(context, query) for context, query in zip(contexts, queries, strict=True)]
