"""base, base_truncated and base_bm25: one plain call over the complete prompt, a cut context, or retrieved passages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge

from rlm.completion import StopReason
from rlm.limits import LimitReached
from rlm.methods.bm25 import DEFAULT_B, DEFAULT_K1, K1, MAX_HITS, B, Hit, Passage, PassageTokens, Search, passages
from rlm.methods.method import Answer, Method
from rlm.methods.thinking import after_thinking, written
from rlm.methods.window import Window, fit
from rlm.models.chat import ChatModel, ContextOverflow, Reply
from rlm.models.tokens import count_tokens, encoder
from rlm.prompt import Prompt
from rlm.surrogates import without_surrogates
from rlm.tree import CallTree

_FEWEST_TOKENS = 64
_QUERY_CHARS = 500


@dataclass(kw_only=True)
class PlainModel(Method):
    """The complete prompt in one call, in the benchmark's own layout, without a system prompt."""

    one_call = True

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        return read_answer(await tree.call(self.model, prompt.messages(), closing=True))


@dataclass(kw_only=True)
class BaseTruncated(Method):
    """The base model on a context that is cut in the middle to fit its window. Head and tail are equally long.

    output_tokens: the number of tokens of the window reserved for the reply; None takes the model's max_output_tokens.
    The cut is recorded in an event `truncation` and in Completion.truncated.
    """

    one_call = True
    output_tokens: Annotated[int, Ge(1)] | None = None

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        window = Window(self.model, self.output_tokens)
        room = window.room(prompt.messages(""))
        ids = await asyncio.to_thread(_encode, prompt.context_text)
        while True:
            messages, cut = prompt.messages(), False
            if room is not None and len(ids) > room:
                messages, cut = prompt.messages(_head_and_tail(ids, room)), True
                tree.trajectory.record("truncation", what="context", tokens=len(ids), cut_tokens=len(ids) - room)
            try:
                return read_answer(await tree.call(self.model, messages, closing=True), truncated=cut)
            except ContextOverflow:
                window.refused(messages)
                room = window.room(prompt.messages(""))
                if room is None or room < _FEWEST_TOKENS:
                    raise


@dataclass(kw_only=True)
class BaseBm25(Method):
    """The base model over the passages that BM25 finds for the prompt's query.

    The best passages are taken while they fit the window and shown in the order of the context. k: the maximum number
    of passages; None takes as many as fit. passage_chars: the length of a passage if the context is one string.
    output_tokens: the number of tokens of the window reserved for the reply; None takes the model's max_output_tokens.
    passage_tokens: if given, documents and strings are cut into passages of so many tokens. k1, b: the parameters of
    BM25.
    """

    one_call = True
    k: Annotated[int, Ge(1)] | None = None
    passage_chars: Annotated[int, Ge(100)] = 2000
    output_tokens: Annotated[int, Ge(1)] | None = None
    passage_tokens: PassageTokens = None
    k1: K1 = DEFAULT_K1
    b: B = DEFAULT_B

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        window = Window(self.model, self.output_tokens)
        room = window.room(prompt.messages(""))
        search = Search(lambda: passages(prompt.context, self.passage_chars, self.passage_tokens), self.k1, self.b)
        hits = await search.find(prompt.query or prompt.context_text[-_QUERY_CHARS:], self.k or MAX_HITS)
        while True:
            taken, cut = _taken(hits, room)
            messages = prompt.messages("\n\n".join(part.text for part in taken))
            tree.trajectory.record("search", query=prompt.query, found=len(hits), taken=len(taken))
            try:
                return read_answer(await tree.call(self.model, messages, closing=True), truncated=cut)
            except ContextOverflow:
                window.refused(messages)
                room = window.room(prompt.messages(""))
                if room is None or room < _FEWEST_TOKENS:
                    raise


def read_answer(reply: Reply, *, truncated: bool = False) -> Answer:
    """Read the answer from a plain reply. truncated: the input of its call was cut.

    A reply that was cut at the output limit keeps its text, with the stop reason `truncated`. A refused or filtered
    reply has no answer. An answer from the reply's reasoning is untagged.
    """
    if reply.refused:
        return Answer(None, StopReason.REFUSAL, truncated)
    text, misplaced = written(reply)
    text = after_thinking(text, truncated=reply.truncated).strip()
    reason = StopReason.TRUNCATED if reply.truncated else StopReason.ANSWER
    return Answer(text or None, reason, truncated or reply.truncated, untagged=misplaced)


async def last_answer(
    model: ChatModel, tree: CallTree, messages: Sequence[Mapping[str, str]], limit: LimitReached
) -> Answer:
    """Make a plain last call after a limit and return its answer, with the limit as stop_reason.

    Raises FatalModelError.
    """
    reply = await tree.last_call(model, messages, limit)
    answer = Answer(None) if reply is None else read_answer(reply)
    return replace(answer, stop_reason=limit.reason)


def _encode(text: str) -> list[int]:
    return encoder().encode_ordinary(without_surrogates(text))


def _head_and_tail(ids: list[int], tokens: int) -> str:
    tail = max(0, tokens) // 2
    head = max(0, tokens) - tail
    parts = (ids[:head], ids[len(ids) - tail :])
    return "".join(encoder().decode_bytes(part).decode("utf-8", "ignore") for part in parts)


def _taken(hits: Sequence[Hit], room: int | None) -> tuple[list[Passage], bool]:
    """Return the best passages that fit together, in the order of the context, and True if one was cut.

    If even the best passage is too long, only its start is returned.
    """
    taken: list[Passage] = []
    for hit in hits:
        part = hit.passage
        if room is not None:
            if not taken and count_tokens(part.text) > room:
                return [Passage(part.index, part.start, part.text[: fit(part.text, 0, room)])], True
            room -= count_tokens(part.text) + 1
            if room < 0:
                break
        taken.append(part)
    return sorted(taken, key=lambda part: (part.index, part.start)), False
