"""A reply that an endpoint streams though nobody asked for it, put together as if it had come whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def is_stream(content: bytes) -> bool:
    """Whether a body is a stream of server-sent events."""
    return content.lstrip()[:6] in (b"data: ", b"data:{", b"event:") or content.lstrip().startswith(b": ")


def whole_reply(content: bytes) -> dict[str, Any] | None:
    """The body of a chat completion out of its chunks; None where the stream breaks off or is of something else.

    Each chunk adds to the first choice's text, reasoning and refusal; usage, model and finish reason are the last said.
    A chunk with an error is the reply.
    """
    body: dict[str, Any] = {"usage": None}
    texts: dict[str, str] = {}
    finish, done = None, False
    for line in content.decode("utf-8", "replace").splitlines():
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            done = True
            break
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(chunk, Mapping):
            return None
        if chunk.get("error"):
            return dict(chunk)
        body |= {key: chunk[key] for key in ("model", "usage", "timings") if chunk.get(key)}
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
        finish = choice.get("finish_reason") or finish
        delta = choice.get("delta")
        for key, piece in (delta if isinstance(delta, Mapping) else {}).items():
            if key in _TEXTS and isinstance(piece, str):
                texts[key] = texts.get(key, "") + piece
    if not (done or finish):
        return None
    return body | {"choices": [{"message": texts, "finish_reason": finish}]}


_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
