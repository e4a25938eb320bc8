"""Stored requests, with enough of their text to show how a new request differs from the nearest one.

A message is stored as its role and the id of its text. Each text is stored once. A long text is stored as its head, its
tail and the checksums of its pieces.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rlm.models.cache.records import canonical
from rlm.models.chat import Sampling
from rlm.structure import bounded_json

Messages = Sequence[Mapping[str, str]]

# Texts of up to this many characters are stored verbatim.
VERBATIM_CHARS = 20_000
_END_CHARS, _PIECE_CHARS = 2_000, 1_024
_EXCERPT_CHARS = 40
# The number of requests with the longest common prefix whose texts are compared.
_MAX_COMPARED = 50


def text_id(text: str) -> bytes:
    """Return the id of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def kept_text(text: str) -> str:
    """Return the stored form of a text."""
    if len(text) <= VERBATIM_CHARS:
        return canonical(text)
    pieces = [_piece_checksum(text[at : at + _PIECE_CHARS]) for at in range(0, len(text), _PIECE_CHARS)]
    return canonical({"chars": len(text), "head": text[:_END_CHARS], "tail": text[-_END_CHARS:], "pieces": pieces})


def describe_request(messages: Messages, sampling: Sampling, epoch: int, occurrence: int) -> tuple[str, list[bytes]]:
    """Return the stored form of a request, and the ids of its texts."""
    ids = [text_id(message["content"]) for message in messages]
    parts = [[message["role"], identifier.hex()] for message, identifier in zip(messages, ids, strict=True)]
    settings = set_sampling(sampling) | {"epoch": epoch, "occurrence": occurrence}
    return canonical({"messages": parts, "settings": json.loads(json.dumps(settings, default=str))}), ids


def set_sampling(sampling: Sampling) -> dict[str, object]:
    """Return the sampling settings that are not None; an integer temperature becomes a float."""
    values = {field.name: getattr(sampling, field.name) for field in fields(sampling)}
    values["extra"] = dict(sampling.extra) or None
    for name in ("temperature", "top_p"):
        values[name] = None if values[name] is None else float(values[name])
    return {name: value for name, value in values.items() if value is not None}


def first_difference(
    request: str, messages: Messages, recorded: Iterable[str], text_of: Callable[[bytes], str | None]
) -> str | None:
    """Describe in one sentence how `request` differs from the nearest recorded request; None if there is none.

    text_of: returns the stored form of a text by its id.
    """
    asked = json.loads(request)
    nearest: list[Any] = []
    longest = -1
    for one in filter(None, map(_read_request, recorded)):
        common = _common(one["messages"], asked["messages"])
        if common > longest:
            nearest, longest = [], common
        if common == longest and len(nearest) < _MAX_COMPARED:
            nearest.append(one)
    if not nearest:
        return None
    same = [one for one in nearest if one["messages"] == asked["messages"]]
    if same:
        return _settings_difference(same, asked["settings"])
    differences = [_message_difference(one["messages"], messages, longest, text_of) for one in nearest]
    return max(differences, key=lambda difference: difference.at).sentence


def _read_request(stored: Any) -> dict[str, Any] | None:
    """Return a stored request; None for one that is damaged."""
    try:
        found = bounded_json(stored)
        pairs = [(str(role), bytes.fromhex(identifier)) for role, identifier in found["messages"]]
        settings = dict(found["settings"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return {"messages": [[role, identifier.hex()] for role, identifier in pairs], "settings": settings}


@dataclass(frozen=True)
class _Difference:
    at: int
    sentence: str


def _settings_difference(same: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> str:
    def differing(one: Mapping[str, Any]) -> list[str]:
        keys = sorted(one["settings"].keys() | asked.keys())
        return [key for key in keys if one["settings"].get(key) != asked.get(key)]

    closest = min(same, key=lambda one: len(differing(one)))
    parts = [f"{key} {closest['settings'].get(key)!r}, now {asked.get(key)!r}" for key in differing(closest)]
    # The address, or the weights and the window of an embedded model, are in the key and not in the request.
    other = "other message fields, at another endpoint, or with other weights or another window of an embedded model"
    return f"the same messages were recorded with {', '.join(parts) or other}"


def _message_difference(
    recorded: Sequence[Sequence[str]], messages: Messages, index: int, text_of: Callable[[bytes], str | None]
) -> _Difference:
    if index >= len(recorded):
        return _Difference(0, f"the nearest recorded request ends before message {index} ({messages[index]['role']})")
    if index >= len(messages):
        return _Difference(0, f"the nearest recorded request continues after message {index - 1}")
    role, text = messages[index]["role"], messages[index]["content"]
    where = f"the nearest recorded request differs in message {index} ({role})"
    if recorded[index][0] != role:
        return _Difference(0, f"{where}: its role was {recorded[index][0]}")
    kept = text_of(bytes.fromhex(recorded[index][1]))
    if kept is None:
        return _Difference(0, f"{where}; the recorded text is not in the store")
    try:
        before = bounded_json(kept)
        if not isinstance(before, str):
            return _long_difference(before, text, where)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _Difference(0, f"{where}; the recorded text is damaged")
    else:
        at = _common(before, text)
        return _Difference(at, f"{where}, character {at}: recorded {_excerpt(before, at)}, now {_excerpt(text, at)}")


def _long_difference(before: Mapping[str, Any], text: str, where: str) -> _Difference:
    at = _common(before["head"], text)
    if at < len(before["head"]):
        sentence = f"{where}, character {at}: recorded {_excerpt(before['head'], at)}, now {_excerpt(text, at)}"
        return _Difference(at, sentence)
    pieces = [_piece_checksum(text[start : start + _PIECE_CHARS]) for start in range(0, len(text), _PIECE_CHARS)]
    at = _PIECE_CHARS * _common(before["pieces"], pieces)
    end = min(at + _PIECE_CHARS, max(before["chars"], len(text)))
    tail_start = before["chars"] - len(before["tail"])
    if at >= tail_start:
        at += _common(before["tail"][at - tail_start :], text[at:])
        sentence = f"{where}, character {at}: recorded {_excerpt(before['tail'], at - tail_start)}"
        return _Difference(at, f"{sentence}, now {_excerpt(text, at)}")
    sentence = f"{where}, in characters {at} to {end}, for which the recording has only a checksum"
    return _Difference(at, f"{sentence}; now {_excerpt(text, at)}")


def _common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return the length of the common prefix."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _excerpt(text: str, at: int) -> str:
    start, end = max(0, at - _EXCERPT_CHARS // 2), at + _EXCERPT_CHARS
    shown = text[start:end]
    return repr(f"{'...' if start else ''}{shown}{'...' if end < len(text) else ''}")


def _piece_checksum(piece: str) -> int:
    return zlib.crc32(piece.encode("utf-8", "surrogatepass"))
