"""Assembles a stream of server-sent events into the body of a complete reply."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlm.models.client.usage import reported_usage
from rlm.structure import check_structure

# Lines of data in one stream, which has about one for each token, their length, and values in the JSON of an event.
MAX_CHUNKS = 500_000
MAX_CHUNK_BYTES = 16 << 20
MAX_VALUES = 100_000
_NAME_BYTES = 100
_DECODER = json.JSONDecoder(strict=False)
# The structure of shorter data is not checked, because not even brackets alone make it take much memory.
_SHORT_BYTES = 1 << 16
_BOM = b"\xef\xbb\xbf"
# Only CR, LF and CRLF end a line, other than for bytes.splitlines.
_LINES = re.compile(rb"[^\r\n]++|[\r\n]++")
_SPACE = re.compile(r"\s*+")
_START = re.compile(rb"\s*(?:data|event|id|retry)?:(?!//)")
# Before the body, OpenRouter sends comments that keep the connection open.
_COMMENTS = re.compile(rb"(?:\s*+:[^\r\n]*+[\r\n])++\s*+(?=[{\[])")


def is_stream(content: bytes, content_type: str = "") -> bool:
    """True if a body is a stream of events, whatever its content type; a JSON body never is."""
    start = content[:64].removeprefix(_BOM)
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
    """Event name and chunk of each event; None at the end of the stream. Raises ValueError for data of another form.

    It takes time linear in the length of the content, and holds one event besides it.
    """
    for name, lines in _events(content):
        for chunk in _objects(lines):
            yield name, chunk
            if chunk is None:
                return


def _events(content: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Return the name of each event and its lines of data. Raises ValueError for too many or too long lines."""
    name, chunks = b"", 0
    data: list[bytes] = []
    for seen, found in enumerate(_LINES.finditer(content, len(_BOM) if content.startswith(_BOM) else 0)):
        line = found[0]
        if line[0] in b"\r\n":
            if len(line) > 1 and line != b"\r\n":
                yield name.decode("utf-8", "replace"), data
                name, data = b"", []
            continue
        if line.startswith(b"data:") or line == b"data":
            data.append(line[5:])
            chunks += 1
        elif line.startswith(b"event:") and len(name) < _NAME_BYTES:
            name += line[6:].strip()[:_NAME_BYTES]
        if len(line) > MAX_CHUNK_BYTES or chunks > MAX_CHUNKS or seen > 4 * MAX_CHUNKS:
            raise ValueError("a stream with too many or too long lines")
    yield name.decode("utf-8", "replace"), data


def _objects(lines: Sequence[bytes]) -> Iterator[Mapping[str, Any] | None]:
    """Parse the JSON objects in an event's data; None at the end mark. Raises ValueError and RecursionError.

    Some servers omit the empty line between events, so that each line has an object. One may also extend over lines.
    """
    for number, line in enumerate(lines):
        objects, error = _parsed(line)
        if error is not None:
            objects, error = _parsed(b"\n".join(lines[number:]))
            if error is not None:
                raise error
            yield from objects
            return
        yield from objects


def _parsed(data: bytes) -> tuple[list[Mapping[str, Any] | None], ValueError | None]:
    """Return the JSON objects at the beginning of the data, and an error if something else follows them."""
    if len(data) > _SHORT_BYTES:
        if len(data) > MAX_CHUNK_BYTES:
            raise ValueError("an event with too much data")
        check_structure(data, MAX_VALUES)
    text = data.decode("utf-8", "replace")
    objects: list[Mapping[str, Any] | None] = []
    at = _after_space(text, 0)
    while at < len(text):
        if text.startswith("[DONE]", at):
            return [*objects, None], None
        try:
            value, at = _DECODER.raw_decode(text, at)
        except ValueError as error:
            return objects, error
        if not isinstance(value, Mapping):
            raise ValueError("a chunk is not an object")
        objects.append(value)
        at = _after_space(text, at)
    return objects, None


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class _Message:
    """The message that the chunks build."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[Any]] = {}
        self._calls: dict[object, dict[str, list[str]]] = {}
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
        calls = [{"function": {key: "".join(pieces) for key, pieces in call.items()}} for call in self._calls.values()]
        return self._given | texts | ({"tool_calls": calls} if calls else {})

    def _add_call(self, call: Mapping[str, Any], function: Mapping[str, Any]) -> None:
        index = call.get("index")
        if not isinstance(index, int | str):
            # Without an index, a new id begins a new tool call.
            index = str(call["id"]) if call.get("id") else next(reversed(self._calls), "")
        held = self._calls.setdefault(index, {"name": [], "arguments": []})
        for key, pieces in held.items():
            piece = function.get(key)
            pieces.append(piece if isinstance(piece, str) else json.dumps(piece) if piece else "")
