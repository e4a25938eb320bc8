"""compaction: a compactor updates a summary piece by piece over the context, and the root answers from the last one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from annotated_types import Ge

from rlm.limits import LimitReached
from rlm.methods.base import last_answer, read_answer
from rlm.methods.method import Answer, Method
from rlm.methods.window import Reader, Window, fit
from rlm.models.chat import ContextOverflow, Reply
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt
from rlm.prompts import load_prompt
from rlm.tree import COMPACTOR, CallTree

_FEWEST_TOKENS = 32
_EXCERPT_CHARS = 300


@dataclass(kw_only=True)
class Compaction(Method):
    """The summary agent of the paper: sub_model compacts, model answers.

    While summary and unread text do not fit the root's window together, the compactor reads the next piece, which is as
    long as its window allows. Its new summary replaces the old one. A context that fits at once takes one plain call.
    prompt: a file with the parts `compact` and `context`. output_tokens: the number of tokens of a window reserved for
    the reply; None takes the model's max_output_tokens. summary_tokens: the maximum length of a summary; None is a
    quarter of the smaller window, or the compactor's max_output_tokens if that is less.
    """

    sub_role: ClassVar[str] = COMPACTOR

    prompt: str = "compaction/default-v1"
    output_tokens: Annotated[int, Ge(1)] | None = None
    summary_tokens: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        load_prompt(self.prompt)

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        root = Window(self.model, self.output_tokens)
        compactor = Compactor(self, prompt, tree)
        reader, summary = Reader(prompt.context), ""
        try:
            while True:
                rest = reader.rest(root.room(self._final(prompt, summary, "")))
                if rest is None:
                    summary = await compactor.compact(reader, summary)
                    continue
                messages = self._final(prompt, summary, rest) if reader.started else prompt.messages()
                try:
                    answer = read_answer(await tree.call(self.model, messages, closing=True))
                    return replace(answer, truncated=answer.truncated or compactor.skipped)
                except ContextOverflow:
                    if reader.ended:
                        raise
                    root.refused(messages)
        except LimitReached as limit:
            return await last_answer(self.model, tree, self._final(prompt, summary, ""), limit)

    def _final(self, prompt: Prompt, summary: str, rest: str) -> list[dict[str, str]]:
        """Return the benchmark's messages, with the summary and the unread rest in place of the context."""
        return prompt.messages(load_prompt(self.prompt).render("context", summary=summary, rest=rest))


class Compactor:
    """Makes the successive summaries with sub_model. skipped: a piece was not summarised."""

    def __init__(self, method: Compaction, prompt: Prompt, tree: CallTree) -> None:
        self._model = method.sub_model
        self._text = load_prompt(method.prompt)
        self._query = prompt.question
        context = "" if prompt.query else prompt.context_text
        self._head, self._tail = context[:_EXCERPT_CHARS], context[-_EXCERPT_CHARS:]
        self._tree = tree
        self._window = Window(self._model, method.output_tokens)
        self._longest = method.summary_tokens or _summary_tokens(method)
        self.skipped = False

    async def compact(self, reader: Reader, summary: str) -> str:
        """Return a summary that replaces `summary` and covers the next piece, which is as long as the window allows.

        Raises ContextOverflow if not even a short piece fits.
        """
        start = reader.position
        while True:
            room = self._window.room(self._messages(summary, ""))
            if room is not None and room < _FEWEST_TOKENS:
                raise ContextOverflow(
                    f"query and summary leave no room for the context in the window of {self._model.name}"
                )
            reader.position = start
            messages = self._messages(summary, reader.take(room))
            try:
                reply = await self._tree.call(self._model, messages, role=COMPACTOR, depth=1)
            except ContextOverflow:
                self._window.refused(messages)
            else:
                return self._kept(reply) or summary

    def _kept(self, reply: Reply) -> str | None:
        """Return the summary in a reply, cut to its maximum length. If there is none, record this and return None."""
        text = read_answer(reply).text
        if text is None:
            self.skipped = True
            self._tree.trajectory.record("truncation", what="piece", depth=1, finish_reason=reply.finish_reason)
            return None
        kept = text[: fit(text, 0, self._longest)]
        if reply.truncated or len(kept) < len(text):
            tokens = count_tokens(text)
            cut = tokens - count_tokens(kept)
            self._tree.trajectory.record("truncation", what="summary", depth=1, tokens=tokens, cut_tokens=cut)
        return kept

    def _messages(self, summary: str, piece: str) -> list[dict[str, str]]:
        text = self._text.render(
            "compact", query=self._query, head=self._head, tail=self._tail, summary=summary, piece=piece,
            words=self._longest * 2 // 3,
        )  # fmt: skip
        return [{"role": "user", "content": text}]


def _summary_tokens(method: Compaction) -> int:
    windows = [model.context_window for model in (method.model, method.sub_model) if model.context_window]
    quarter = min(windows) // 4 if windows else 4096
    return min(quarter, method.sub_model.sampling.max_output_tokens or quarter)
