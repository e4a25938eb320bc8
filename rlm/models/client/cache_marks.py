"""Marks the part of a prompt that an endpoint should keep in its prompt cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MARK = {"type": "ephemeral"}


def with_cache_marks(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with `cache_control` on the system message and, in a conversation, on the last message.

    A conversation is a list with an assistant message; its next call repeats it as a prefix. A single question is not
    repeated, so writing it to the cache would only add cost.
    """
    marked = [dict(message) for message in messages]
    places = {0} if marked and marked[0].get("role") == "system" else set()
    if any(message.get("role") == "assistant" for message in marked):
        places.add(len(marked) - 1)
    for place in places:
        text = marked[place].get("content")
        # Endpoints reject marks on empty texts.
        if isinstance(text, str) and text.strip():
            marked[place]["content"] = [{"type": "text", "text": text, "cache_control": _MARK}]
    return marked
