"""Measures the room in a model's context window in tokens, and cuts text to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rlm.models.chat import ChatModel
from rlm.models.tokens import count_tokens, encoder
from rlm.surrogates import without_surrogates

# The number of tokens that a chat template adds to each message, and once to a request.
_MESSAGE_TOKENS = 8
_TEMPLATE_TOKENS = 48
_GUESSED_CHARS = 6
_BOUNDARIES = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"[.!?][\"')\]]*\s+"), re.compile(r"\s+"))


class Window:
    """The number of tokens that a model's input may have, counted with `o200k_base`.

    The model's own tokenizer may count more, so one twentieth is left free. After a refused input, the window becomes
    smaller than that input. If the window is unknown, there is no limit until an input is refused.
    """

    def __init__(self, model: ChatModel, output_tokens: int | None = None) -> None:
        self.tokens: int | None = None
        if model.context_window is not None:
            kept = reply_tokens(model, output_tokens)
            self.tokens = max(0, int((model.context_window - kept) * 0.95) - _TEMPLATE_TOKENS)

    def room(self, messages: Sequence[Mapping[str, str]]) -> int | None:
        """Return the number of tokens that may be added to these messages, possibly negative; None is no limit."""
        return None if self.tokens is None else self.tokens - count_messages(messages)

    def refused(self, messages: Sequence[Mapping[str, str]]) -> None:
        """Record that these messages did not fit."""
        counted = count_messages(messages)
        self.tokens = int(0.8 * (counted if self.tokens is None else min(counted, self.tokens)))


def reply_tokens(model: ChatModel, output_tokens: int | None = None) -> int:
    """Return the tokens reserved for the reply: as configured, by default an eighth of the window, at most 16,384."""
    configured = output_tokens or model.sampling.max_output_tokens
    if model.context_window is None:
        return configured or 0
    return min(configured or min(model.context_window // 8, 16_384), model.context_window // 2)


def count_messages(messages: Sequence[Mapping[str, str]]) -> int:
    """Count the tokens of a list of messages, including those that a chat template adds."""
    return sum(count_tokens(message["content"]) + _MESSAGE_TOKENS for message in messages)


def fit(text: str, start: int, tokens: int) -> int:
    """Return the end of the longest piece of `text` that begins at `start` and has at most `tokens` tokens.

    It reads little more than the piece, so cutting a text into pieces takes time linear in its length.
    """
    size = max(1, tokens) * _GUESSED_CHARS
    while True:
        piece = text[start : start + size]
        ids = encoder().encode_ordinary(without_surrogates(piece))
        if len(ids) > tokens:
            return start + len(encoder().decode_bytes(ids[: max(0, tokens)]).decode("utf-8", "ignore"))
        if start + size >= len(text):
            return len(text)
        size *= 2


def boundary(text: str, start: int, end: int) -> int:
    """Return the position between `start` and `end` at which to cut the text.

    It is the last end of a paragraph in the last quarter, otherwise of a line, of a sentence, of a word, or `end`.
    """
    if end >= len(text):
        return len(text)
    from_here = max(start + 1, end - (end - start) // 4)
    for pattern in _BOUNDARIES:
        found = [match.end() for match in pattern.finditer(text, from_here, end)]
        if found:
            return found[-1]
    return end


class Reader:
    """Reads a context piece by piece: complete documents while they fit, a longer document in chunks."""

    def __init__(self, context: str | Sequence[str]) -> None:
        self._documents = [context] if isinstance(context, str) else list(context)
        self._index = 0
        self._at = 0

    @property
    def started(self) -> bool:
        return (self._index, self._at) != (0, 0)

    @property
    def ended(self) -> bool:
        return self._index >= len(self._documents)

    @property
    def position(self) -> tuple[int, int]:
        """The position of the next piece; setting it to an earlier value reads that piece again."""
        return self._index, self._at

    @position.setter
    def position(self, position: tuple[int, int]) -> None:
        self._index, self._at = position

    def take(self, tokens: int | None) -> str:
        """Return the next piece, of at most `tokens` tokens (None is no limit) and at least one character."""
        if tokens is None:
            text, self._index = self.rest(None) or "", len(self._documents)
            return text
        taken: list[str] = []
        while not self.ended:
            document = self._documents[self._index]
            end = fit(document, self._at, tokens)
            if end < len(document):
                if not taken:
                    taken.append(self._chunk(document, max(end, self._at + 1)))
                break
            taken.append(document[self._at :])
            tokens -= count_tokens(taken[-1]) + 1
            self._index, self._at = self._index + 1, 0
        return "\n\n".join(taken)

    def rest(self, tokens: int | None) -> str | None:
        """Return the unread text, or None if it has more than `tokens` tokens. The position does not change."""
        left: list[str] = []
        at = self._at
        for document in self._documents[self._index :]:
            if tokens is not None and fit(document, at, tokens) < len(document):
                return None
            left.append(document[at:])
            tokens, at = None if tokens is None else tokens - count_tokens(left[-1]) - 1, 0
        return "\n\n".join(left)

    def _chunk(self, document: str, end: int) -> str:
        start, self._at = self._at, boundary(document, self._at, end)
        return document[start : self._at]
