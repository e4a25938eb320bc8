"""Assembles a stream of server-sent events into the body of a complete reply."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_START = re.compile(rb"\s*(?:data|event|id|retry)?:(?!//)")
_TEXTS = ("content", "reasoning_content", "reasoning", "thinking", "refusal")


def is_stream(content: bytes, content_type: str = "") -> bool:
    """True if a body is a stream of events, whatever its content type; a JSON body never is."""
    start = content[:64].removeprefix(b"\xef\xbb\xbf")
    if start.lstrip()[:1] in (b"{", b"["):
        return False
    return bool(_START.match(start)) or "event-stream" in content_type


def whole_reply(content: bytes) -> dict[str, Any] | None:
    """Assemble the body of a chat completion from its chunks; None if the stream breaks off or holds no reply.

    Each chunk adds to the text, reasoning, refusal and tool calls of the first choice. The last value of every other
    field counts. A chunk with an error becomes the body.
    """
    body: dict[str, Any] = {}
    reply = _Message()
    finish, done = None, False
    for name, data in _events(content):
        if data.strip() == "[DONE]":
            done = True
            break
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(chunk, Mapping):
            return None
        choices = chunk.get("choices")
        if chunk.get("error") or chunk.get("object") == "error" or (name == "error" and not choices):
            return dict(chunk) if chunk.get("error") else {"error": dict(chunk)}
        body |= {key: value for key, value in chunk.items() if key not in ("choices", "object") and value is not None}
        choice = _first_choice(choices)
        finish = choice.get("finish_reason") or finish
        reply.add(choice)
    if not (done or finish):
        return None
    return body | {"choices": [{"message": reply.message(), "finish_reason": finish}]}


def _events(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and data of each event. Only CR, LF and CRLF end a line; str.splitlines splits at more characters."""
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    name = ""
    data: list[str] = []
    for line in re.split(r"\r\n|\r|\n", text):
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            if data and _is_complete(data):
                # Some servers omit the empty line between events.
                yield name, "\n".join(data)
                data = []
            data.append(value)
        elif field == "event":
            name = value
    if data:
        yield name, "\n".join(data)


def _is_complete(data: list[str]) -> bool:
    text = "\n".join(data).strip()
    if text == "[DONE]":
        return True
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _first_choice(choices: object) -> Mapping[str, Any]:
    if not isinstance(choices, list):
        return {}
    return next((one for one in choices if isinstance(one, Mapping) and not one.get("index")), {})


class _Message:
    """The message that the chunks build."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[object, dict[str, str]] = {}
        self._whole: dict[str, Any] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, Mapping):
            # Some gateways send a complete message, or a text, as one chunk.
            message = choice.get("message")
            self._whole |= dict(message) if isinstance(message, Mapping) else {}
            delta = {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}
        for key, piece in delta.items():
            if key in _TEXTS:
                self._texts.setdefault(key, []).append(_text(piece))
        calls = delta.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, Mapping):
                self._add_call(call.get("index", place), call.get("function"))
        if isinstance(delta.get("function_call"), Mapping):
            self._add_call("function_call", delta["function_call"])

    def message(self) -> dict[str, Any]:
        message = self._whole | {key: "".join(pieces) for key, pieces in self._texts.items()}
        if self._calls:
            message["tool_calls"] = [{"function": call} for call in self._calls.values()]
        return message

    def _add_call(self, index: object, function: object) -> None:
        if not isinstance(function, Mapping) or not isinstance(index, int | str):
            return
        call = self._calls.setdefault(index, {"name": "", "arguments": ""})
        for key in call:
            piece = function.get(key)
            if isinstance(piece, Mapping):
                piece = json.dumps(piece)
            call[key] += piece if isinstance(piece, str) else ""


def _text(piece: object) -> str:
    if isinstance(piece, str):
        return piece
    parts = piece if isinstance(piece, list) else ()
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))
