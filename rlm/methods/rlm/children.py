"""rlm_query and rlm_query_batched: what code in a REPL hands to child RLMs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from rlm.methods.subcalls import Batch, SubCallFailed, one_text, texts
from rlm.prompt import Prompt
from rlm.repl.protocol import HostFunction


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
