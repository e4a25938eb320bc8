"""compaction: a compactor updates a summary piece by piece over the context, and the root answers from the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from rlm.limits import LimitReached
from rlm.methods.base import last_answer, read_answer
from rlm.methods.method import Answer, Method
from rlm.methods.window import Reader, Window, fit
from rlm.models.chat import ChatModel, ContextOverflow, Reply
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt
from rlm.prompts import PromptFile, load_prompt
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
        sample = {"query": "question", "head": "", "tail": "", "summary": "", "piece": "", "words": 1, "rest": ""}
        load_prompt(self.prompt).check(("compact", "context"), sample)

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        root = Window(self.model, self.output_tokens)
        context = "" if prompt.query else prompt.context_text
        words = {"query": prompt.question, "head": context[:_EXCERPT_CHARS], "tail": context[-_EXCERPT_CHARS:]}
        compactor = Compactor(
            self.sub_model, load_prompt(self.prompt), words, tree, output_tokens=self.output_tokens,
            summary_tokens=self.summary_tokens or longest_summary(self.model, self.sub_model),
        )  # fmt: skip
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
    """Makes successive summaries with a model.

    text, words: a prompt file and the variables of its part `compact`, besides summary, piece and words. output_tokens:
    the number of tokens of the window reserved for the reply. summary_tokens: the maximum length of a summary. depth:
    the depth of its calls. skipped: a piece was not summarised.
    """

    def __init__(
        self,
        model: ChatModel,
        text: PromptFile,
        words: Mapping[str, Any],
        tree: CallTree,
        *,
        summary_tokens: int,
        output_tokens: int | None = None,
        depth: int = 1,
    ) -> None:
        self._model = model
        self._text = text
        self.words = words
        self._tree = tree
        self._window = Window(model, output_tokens)
        self._longest = summary_tokens
        self._depth = depth
        self.skipped = False

    async def compact(self, reader: Reader, summary: str, parent: int | None = None) -> str:
        """Return a summary that replaces `summary` and covers the next piece, which is as long as the window allows.

        parent: the event to which the calls belong. Raises ContextOverflow if not even a short piece fits.
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
                reply = await self._tree.call(self._model, messages, role=COMPACTOR, depth=self._depth, parent=parent)
            except ContextOverflow:
                self._window.refused(messages)
            else:
                return self._kept(reply, parent) or summary

    def _kept(self, reply: Reply, parent: int | None) -> str | None:
        """Return the summary in a reply, cut to its maximum length. If there is none, record this and return None."""
        text = read_answer(reply).text
        if text is None:
            self.skipped = True
            self._record("piece", parent, finish_reason=reply.finish_reason)
            return None
        kept = text[: fit(text, 0, self._longest)]
        if reply.truncated or len(kept) < len(text):
            tokens = count_tokens(text)
            cut = tokens - count_tokens(kept)
            self._record("summary", parent, tokens=tokens, cut_tokens=cut)
        return kept

    def _record(self, what: str, parent: int | None, **data: Any) -> None:
        self._tree.trajectory.record("truncation", parent=parent, depth=self._depth, what=what, **data)

    def _messages(self, summary: str, piece: str) -> list[dict[str, str]]:
        text = self._text.render(
            "compact", **{**self.words, "summary": summary, "piece": piece, "words": self._longest * 2 // 3}
        )
        return [{"role": "user", "content": text}]


def longest_summary(reader: ChatModel, compactor: ChatModel) -> int:
    """Return the default length of a summary in tokens: a quarter of the smaller window, or the compactor's cap."""
    windows = [model.context_window for model in (reader, compactor) if model.context_window]
    quarter = min(windows) // 4 if windows else 4096
    return min(quarter, compactor.sampling.max_output_tokens or quarter)
