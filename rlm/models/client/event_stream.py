"""Assembles a stream of server-sent events into the body of a complete reply."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rlm.models.client.usage import reported_usage

_START = re.compile(rb"\s*(?:data|event|id|retry)?:(?!//)")
# Before the body, OpenRouter sends comments that keep the connection open.
_COMMENTS = re.compile(rb"(?:\s*+:[^\r\n]*+[\r\n])++\s*+(?=[{\[])")


def is_stream(content: bytes, content_type: str = "") -> bool:
    """True if a body is a stream of events, whatever its content type; a JSON body never is."""
    start = content[:64].removeprefix(b"\xef\xbb\xbf")
    if start.lstrip()[:1] in (b"{", b"["):
        return False
    return bool(_START.match(start)) or "event-stream" in content_type


def without_comments(content: bytes) -> bytes:
    """Remove the event stream's comments before a JSON body."""
    found = _COMMENTS.match(content)
    return content[found.end() :] if found else content


def first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the choice with index 0 or without an index; an empty one if there is none."""
    choices = body.get("choices")
    found = (one for one in choices if isinstance(one, Mapping)) if isinstance(choices, list) else iter(())
    return next((one for one in found if not one.get("index")), {})


def whole_reply(content: bytes) -> dict[str, Any] | None:
    """Assemble the body of a chat completion from its chunks; None if the stream breaks off or holds no reply.

    Each chunk adds to the texts and tool calls of the first choice; of everything else the last value counts. A chunk
    with an error is the body.
    """
    body: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    ends: dict[str, Any] = {}
    message, complete = _Message(), False
    try:
        for name, chunk in _chunks(content):
            if chunk is None:
                complete = True
                break
            choice = first_choice(chunk)
            if chunk.get("error"):
                return dict(chunk)
            if chunk.get("object") == "error" or (name == "error" and not chunk.get("choices")):
                return {"error": dict(chunk)}
            reported = reported_usage(chunk)
            # Some servers repeat the usage with zeros, or spread it over chunks.
            usage |= {key: value for key, value in reported.items() if value or key not in usage}
            body |= {key: value for key, value in chunk.items() if key not in ("choices", "object") and value}
            ends |= {key: choice[key] for key in ("finish_reason", "finishReason", "stop_reason") if choice.get(key)}
            # The usage comes last, in a chunk without choices.
            complete |= (bool(reported) and not chunk.get("choices")) or any(end != "null" for end in ends.values())
            message.add(choice)
    except (ValueError, RecursionError):
        return None
    if not complete:
        return None
    return body | {"usage": usage, "choices": [{"message": message.whole(), **ends}]}


def _chunks(content: bytes) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Event name and chunk of each event; None at the end of the stream. Raises ValueError for data of another form."""
    decoder = json.JSONDecoder(strict=False)
    # Only CR, LF and CRLF end a line, other than for str.splitlines.
    text = re.sub(r"\r\n?", "\n", content.decode("utf-8", "replace").removeprefix("\ufeff"))
    for event in text.split("\n\n"):
        fields = [line.partition(":")[::2] for line in event.split("\n")]
        name = "".join(value.strip() for key, value in fields if key == "event")
        data = "\n".join(value for key, value in fields if key == "data").strip()
        # Some servers omit the empty line between events.
        while data:
            if data.startswith("[DONE]"):
                yield name, None
                return
            chunk, end = decoder.raw_decode(data)
            if not isinstance(chunk, Mapping):
                raise ValueError("a chunk is not an object")
            yield name, chunk
            data = data[end:].lstrip()


class _Message:
    """The message that the chunks build."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[Any]] = {}
        self._calls: dict[object, dict[str, str]] = {}
        self._given: dict[str, Any] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, Mapping):
            # Some gateways send a complete message, or a text, as one chunk.
            message = choice.get("message")
            self._given |= message if isinstance(message, Mapping) else {}
            delta = {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}
        calls = delta.get("tool_calls") or [{"index": "former", "function": delta.get("function_call")}]
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping):
                self._add_call(call, call["function"])
        for key, piece in delta.items():
            if key not in ("tool_calls", "function_call") and piece is not None:
                self._pieces.setdefault(key, []).extend(piece if isinstance(piece, list) else [piece])

    def whole(self) -> dict[str, Any]:
        texts = {
            key: "".join(pieces) if all(isinstance(piece, str) for piece in pieces) else pieces
            for key, pieces in self._pieces.items()
        }
        calls = {"tool_calls": [{"function": call} for call in self._calls.values()]} if self._calls else {}
        return self._given | texts | calls

    def _add_call(self, call: Mapping[str, Any], function: Mapping[str, Any]) -> None:
        index = call.get("index")
        if not isinstance(index, int | str):
            # Without an index, a further call has a further id.
            index = str(call["id"]) if call.get("id") else next(reversed(self._calls), "")
        held = self._calls.setdefault(index, {"name": "", "arguments": ""})
        for key in held:
            piece = function.get(key)
            held[key] += piece if isinstance(piece, str) else json.dumps(piece) if piece else ""
