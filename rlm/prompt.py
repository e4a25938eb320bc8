"""Prompt: the input of every method, a question over a context of any length."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TypeAlias

Message = Mapping[str, str]

CONTEXT_MARK = "{context}"
QUERY_MARK = "{query}"
# The last turn of a conversation counts as context if it is longer than this.
QUERY_CHARS = 10_000
DEFAULT_LAYOUT: tuple[Message, ...] = ({"role": "user", "content": f"{CONTEXT_MARK}\n\n{QUERY_MARK}"},)


@dataclass(frozen=True)
class Prompt:
    """A question over a context of any length.

    context: one string, or a tuple of documents.
    query: the question; empty if the context holds it.
    layout: the messages of a plain model call, with the marks `{context}` and `{query}`.
    history: the earlier turns of a conversation, or all turns if there is no query; the context is their text.
    """

    context: str | tuple[str, ...]
    query: str = ""
    # Messages are not hashable.
    layout: tuple[Message, ...] = field(default=DEFAULT_LAYOUT, hash=False)
    history: tuple[Message, ...] = field(default=(), hash=False)

    @classmethod
    def of(cls, prompt: PromptLike, query: str | None = None) -> Prompt:
        """Build a Prompt from a string, a list of documents, a list of chat messages, or a Path.

        The path of a file gives its text; the path of a folder gives a document for each text file in it. In a list of
        chat messages, the last user turn is the query and the turns before it are the context, unless `query` is given.
        A last turn of more than QUERY_CHARS is part of the context, which then holds the question. The content of a
        message is a string or a list of text parts. Raises TypeError for any other type, ValueError for messages
        without a user turn and for a prompt without text, and UnreadablePath, a ValueError, for a path.
        """
        made = cls._of(prompt, query)
        texts = [made.query, made.context] if isinstance(made.context, str) else [made.query, *made.context]
        if all(not text or text.isspace() for text in texts):
            raise ValueError("the prompt is empty: expected text")
        return made

    @classmethod
    def _of(cls, prompt: PromptLike, query: str | None) -> Prompt:
        if isinstance(prompt, Prompt):
            return prompt if query is None else Prompt(prompt.context, query, prompt.layout, prompt.history)
        if isinstance(prompt, str):
            return cls(prompt, query or "")
        if isinstance(prompt, PathLike):
            from rlm.documents import read_path

            return cls(read_path(Path(prompt)), query or "")
        if not isinstance(prompt, Sequence) or not prompt:
            raise TypeError(
                f"the prompt is {_describe(prompt)}: expected a str, a list of documents or a list of messages"
            )
        documents = [item for item in prompt if isinstance(item, str)]
        if len(documents) == len(prompt):
            return cls(tuple(documents), query or "")
        messages = [item for item in prompt if isinstance(item, Mapping) and isinstance(item.get("role"), str)]
        if len(messages) == len(prompt):
            return _from_messages(messages, query)
        raise TypeError("the prompt is a mixed list: expected only strings, or only messages with role and content")

    @property
    def chars(self) -> int:
        """The number of characters of the context."""
        return len(self.context) if isinstance(self.context, str) else sum(map(len, self.context))

    @property
    def context_text(self) -> str:
        """The context as one string, with a blank line between documents."""
        return self.context if isinstance(self.context, str) else "\n\n".join(self.context)

    @property
    def question(self) -> str:
        """The query, preceded by the conversation's system messages, for a model that does not get the turns."""
        system = [turn["content"] for turn in self.history if turn["role"] in ("system", "developer")]
        if not self.query or not any(system) or sum(map(len, system)) > QUERY_CHARS:
            return self.query
        return "\n\n".join([*filter(None, system), self.query])

    def messages(self, context: str | None = None) -> list[dict[str, str]]:
        """Return the messages of a plain model call. context: replaces the prompt's own context."""
        if self.history and context is None:
            asked = [{"role": "user", "content": self.query}] if self.query else []
            return [dict(turn) for turn in self.history] + asked
        text = self.context_text if context is None else context
        filled = [{"role": m["role"], "content": _fill(m["content"], text, self.question)} for m in self.layout]
        return [message for message in filled if message["content"]]


# The types that a prompt may have.
PromptLike: TypeAlias = Prompt | str | PathLike[str] | Sequence[str] | Sequence[Mapping[str, object]]


def message_text(content: object) -> str:
    """Return the content of a chat message as text.

    content: a string, None, or a list of text parts, which are joined by newlines. Raises TypeError for any other
    content, such as images.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise TypeError("content is neither a string nor a list of parts")
    if any(part.get("type") not in ("text", "input_text", "output_text") for part in content):
        raise TypeError("content has parts that are not text")
    if not all(isinstance(part.get("text"), str) for part in content):
        raise TypeError("content has a text part without a text")
    return "\n".join(part["text"] for part in content)


def add_user_message(messages: list[dict[str, str]], text: str) -> None:
    """Add a message of the user, or its text to the last message if that is the user's too.

    Some chat templates refuse consecutive user messages.
    """
    if messages[-1]["role"] == "user":
        text = f"{messages.pop()['content']}\n\n{text}"
    messages.append({"role": "user", "content": text})


def _from_messages(messages: Sequence[Mapping[str, object]], query: str | None) -> Prompt:
    turns = [{"role": str(m["role"]), "content": message_text(m.get("content"))} for m in messages]
    if query is None:
        last = next((i for i in reversed(range(len(turns))) if turns[i]["role"] == "user"), None)
        if last is None:
            raise ValueError("the messages have no user turn: expected one to answer, or a query")
        query, turns = turns[last]["content"], turns[: last + 1]
        if len(query) <= QUERY_CHARS:
            turns.pop()
        elif len(turns) == 1:
            return Prompt(query, history=tuple(turns))
        else:
            query = ""
    text = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
    return Prompt(text, query, history=tuple(turns))


def _fill(template: str, context: str, query: str) -> str:
    # Split before filling in, because a context or a query may itself contain a mark.
    parts = re.split(f"({re.escape(CONTEXT_MARK)}|{re.escape(QUERY_MARK)})", template)
    values = {CONTEXT_MARK: context, QUERY_MARK: query}
    texts = [text for part in parts if (text := values.get(part, part))]
    # Newlines are removed before the parts are joined, which copies a long context only once, or not at all.
    while texts and not texts[-1].strip("\n"):
        texts.pop()
    while texts and not texts[0].strip("\n"):
        texts.pop(0)
    if texts:
        texts[0] = texts[0].lstrip("\n")
        texts[-1] = texts[-1].rstrip("\n")
    return "".join(texts)


def _describe(value: object) -> str:
    return "an empty list" if isinstance(value, Sequence) else type(value).__name__
