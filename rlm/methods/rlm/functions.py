"""The functions of an RLM's session besides llm_query: child RLMs, and tools of the user."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import keyword
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlm.methods.subcalls import Batch, SubCallFailed, one_text, texts
from rlm.prompt import Prompt
from rlm.repl.protocol import HostFunction
from rlm.tree import CallTree, ParentCall, calling_tool

RESERVED = frozenset(
    {"context", "answer", "llm_query", "llm_query_batched", "rlm_query", "rlm_query_batched", "FINAL", "FINAL_VAR"}
)


class ToolFailed(Exception):
    """A tool raised or took too long; its message is for the model that called it."""


@dataclass(frozen=True)
class ToolNote:
    """What the model is told of a tool: its signature, and the first paragraph of its docstring on one line."""

    signature: str
    about: str


def check_names(names: Mapping[str, Any], key: str) -> None:
    """Raise ValueError for a name that a session cannot take as a variable of its own."""
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
            raise ValueError(
                f"{key} has {name!r}: wanted the name of a Python variable but for {', '.join(sorted(RESERVED))}"
            )


def check_tools(tools: Mapping[str, Callable[..., Any]]) -> None:
    """Raise ValueError for a name that cannot be used or a tool that cannot be called."""
    check_names(tools, "tools")
    for name, tool in tools.items():
        if not callable(tool):
            raise ValueError(f"tools.{name} is {type(tool).__name__}: wanted a function")


def tool_notes(tools: Mapping[str, Callable[..., Any]]) -> list[ToolNote]:
    """How each tool is described to the model."""
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
    """The tools as functions of a session: async ones run as they are, others in a thread.

    A call that takes longer than timeout_s, or than the completion has left, fails; a thread cannot be ended and goes
    on unheard. What completions a tool makes is charged to the tree; once the tree has ended they make no further call.
    Raises LimitReached once the tree has stopped.
    """
    return {name: _host_tool(name, tool, tree, parent, depth, timeout_s) for name, tool in tools.items()}


def _host_tool(
    name: str,
    tool: Callable[..., Any],
    tree: CallTree,
    parent: Callable[[], int | None],
    depth: int,
    timeout_s: float,
) -> HostFunction:
    async def call(*args: Any, **kwargs: Any) -> Any:
        tree.meter.check()
        remaining = tree.meter.remaining_s
        limit_s = timeout_s if remaining is None else min(timeout_s, remaining)
        event, error, started = parent(), None, time.perf_counter()
        # This call has a task, and so a context, of its own.
        calling_tool.set(ParentCall(tree, event, depth))
        try:
            async with asyncio.timeout(limit_s) as timer:
                return await _started(tool, args, kwargs)
        except asyncio.CancelledError:
            error = "was cancelled: its cell was stopped"
            raise
        except Exception as failure:
            error = f"raised {type(failure).__name__}: {failure}"
            # A tool may raise a TimeoutError of its own.
            if timer.expired():
                error = f"took longer than {limit_s:g} s"
            raise ToolFailed(f"{name} {error}") from failure
        finally:
            tree.trajectory.record(
                "tool", parent=event, depth=depth, name=name, error=error, wall_s=time.perf_counter() - started
            )

    call.__signature__, call.__doc__ = _signature(tool), inspect.getdoc(tool)
    return call


def _started(tool: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Awaitable[Any]:
    if inspect.iscoroutinefunction(tool) or inspect.iscoroutinefunction(getattr(tool, "__call__", None)):  # noqa: B004
        return tool(*args, **kwargs)
    return _in_thread(functools.partial(tool, *args, **kwargs))


def _in_thread(work: Callable[[], Any]) -> asyncio.Future[Any]:
    """Run in a thread of its own that dies with the process: a pool would wait for a tool that never returns."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as failure:
            # A StopIteration cannot be set on a future, and a SystemExit must not end the host.
            passes = isinstance(failure, Exception) and not isinstance(failure, StopIteration)
            error = failure if passes else RuntimeError(f"{type(failure).__name__}: {failure}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), name="rlm-tool", daemon=True).start()
    return done


def _signature(tool: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(tool)
    except (TypeError, ValueError):
        return inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])


def child_functions(ask: Callable[[Prompt], Awaitable[str]]) -> Mapping[str, HostFunction]:
    """The two functions over `ask`, which answers a prompt or raises SubCallFailed.

    rlm_query(context, query): a context is a string or a list of strings. rlm_query_batched(contexts, queries): one
    query for all or one for each; or one list of (context, query) pairs. What cannot be used raises SubCallFailed.
    """
    batch = Batch()

    async def rlm_query(context: Any, query: Any = "") -> str:
        return await ask(_prompt(context, query))

    async def rlm_query_batched(contexts: Any, queries: Any = None) -> list[str]:
        return await batch.run(_prompts(contexts, queries), ask)

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
        raise SubCallFailed(f"rlm_query_batched got {len(contexts)} contexts, and queries that are not as many")
    return [_prompt(context, query) for context, query in zip(contexts, queries, strict=True)]
