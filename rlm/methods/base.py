"""base and base_truncated: one plain call over the whole prompt, or over as much of it as fits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlm.completion import StopReason
from rlm.limits import LimitReached
from rlm.methods.bm25 import MAX_HITS, Hit, Passage, Search, passages
from rlm.methods.method import Answer, Method
from rlm.methods.thinking import after_thinking
from rlm.methods.window import Window, fit
from rlm.models.chat import ChatModel, ContextOverflow, FatalModelError, ModelError, Reply
from rlm.models.tokens import count_tokens, encoder
from rlm.prompt import Prompt
from rlm.tree import CallTree

_FEWEST_TOKENS = 64
_QUERY_CHARS = 500


@dataclass(kw_only=True)
class PlainModel(Method):
    """The whole prompt in one call, laid out as the benchmark lays it out, without a system prompt of our own."""

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        return read_answer(await tree.call(self.model, prompt.messages()))


@dataclass(kw_only=True)
class BaseTruncated(Method):
    """The base model on a context cut in the middle to what fits its window, head and tail in equal parts.

    output_tokens: of the window, kept for the reply; None takes the model's max_output_tokens.
    The cut is recorded in an event `truncation` and in Completion.truncated.
    """

    output_tokens: int | None = None

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        window = Window(self.model, self.output_tokens)
        room = window.room(prompt.messages(""))
        ids = await asyncio.to_thread(_encode, prompt.context_text)
        while True:
            cut = room is not None and len(ids) > room
            messages = prompt.messages(_head_and_tail(ids, room)) if cut else prompt.messages()
            if cut:
                tree.trajectory.record("truncation", what="context", tokens=len(ids), cut_tokens=len(ids) - room)
            try:
                return read_answer(await tree.call(self.model, messages), truncated=cut)
            except ContextOverflow:
                window.refused(messages)
                room = window.room(prompt.messages(""))
                if room < _FEWEST_TOKENS:
                    raise


@dataclass(kw_only=True)
class BaseBm25(Method):
    """The base model over what one BM25 query returns, the query being the prompt's own.

    The best passages are taken while they fit the window, k of them at most, and shown in the order of the context.
    k: None is as many as fit. passage_chars: of a context that is one string. output_tokens: of the window, kept for
    the reply; None takes the model's max_output_tokens.
    """

    k: int | None = None
    passage_chars: int = 2000
    output_tokens: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.passage_chars < 100:
            raise ValueError(f"passage_chars is {self.passage_chars}: wanted at least 100")
        if self.k is not None and self.k < 1:
            raise ValueError(f"k is {self.k}: wanted at least 1, or null")

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        window = Window(self.model, self.output_tokens)
        search = Search(lambda: passages(prompt.context, self.passage_chars))
        hits = await search.find(prompt.query or prompt.context_text[-_QUERY_CHARS:], self.k or MAX_HITS)
        while True:
            room = window.room(prompt.messages(""))
            taken, cut = _taken(hits, room)
            messages = prompt.messages("\n\n".join(part.text for part in taken))
            tree.trajectory.record("search", query=prompt.query, found=len(hits), taken=len(taken))
            try:
                return read_answer(await tree.call(self.model, messages), truncated=cut)
            except ContextOverflow:
                window.refused(messages)
                if window.room(prompt.messages("")) < _FEWEST_TOKENS:
                    raise


def read_answer(reply: Reply, *, truncated: bool = False) -> Answer:
    """The answer that a plain reply gives; truncated: its input was cut.

    A reply that was cut by its output limit keeps its text and ends with `truncated`; one that the provider filtered
    or refused has no answer.
    """
    if reply.refused:
        return Answer(None, StopReason.REFUSAL, truncated)
    text = after_thinking(reply.text, truncated=reply.truncated).strip()
    return Answer(
        text or None, StopReason.TRUNCATED if reply.truncated else StopReason.ANSWER, truncated or reply.truncated
    )


async def last_answer(
    model: ChatModel, tree: CallTree, messages: Sequence[Mapping[str, str]], limit: LimitReached
) -> Answer:
    """The root's one call past a limit, if the reserve allows it; the limit stays the stop_reason.

    Raises FatalModelError.
    """
    tree.trajectory.record("limit", reason=str(limit.reason), text=str(limit))
    try:
        said = read_answer(await tree.call(model, messages, last=True))
    except LimitReached:
        return Answer(None, limit.reason)
    except FatalModelError:
        raise
    except ModelError:
        return Answer(None, limit.reason)
    return Answer(said.text, limit.reason, said.truncated)


def _encode(text: str) -> list[int]:
    return encoder().encode_ordinary(text.encode("utf-8", "replace").decode("utf-8"))


def _head_and_tail(ids: list[int], tokens: int) -> str:
    tail = max(0, tokens) // 2
    head = max(0, tokens) - tail
    parts = (ids[:head], ids[len(ids) - tail :])
    return "".join(encoder().decode_bytes(part).decode("utf-8", "ignore") for part in parts)


def _taken(hits: Sequence[Hit], room: int | None) -> tuple[list[Passage], bool]:
    """The best passages that fit together, in the context's order; or the start of the best, cut, if it is too long."""
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
