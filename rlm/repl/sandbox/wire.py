"""Messages between the host and a session: a JSON head, followed by long strings verbatim.

A message is a dict of plain data. Its frame is `<u32 bytes of head><u32 bytes of text>`, the head, the text. In the
head, a dict is {"d": {...}} and a string longer than LONG is {"s": n}, which stands for the next n bytes of the text.
No byte of the text is used twice, so the receiver holds at most a small multiple of the frame's size.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

SIZES = struct.Struct("<II")
LONG = 64
MAX_HEAD_BYTES = 2 << 20
MAX_TEXT_BYTES = 128 << 20
MAX_DEPTH = 50
_SCALARS = (bool, int, float)
# Functions that return the plain value of an instance of a subclass, whose own methods are not trusted.
_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
_NESTED = (dict, list)

# Characters are not escaped, because JSON joins the escapes of two surrogates to one character.
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False, ensure_ascii=False).encode
_loads = json.JSONDecoder().decode


class WireError(ValueError):
    """A frame that is not a message."""


def encode(message: dict[str, Any]) -> bytes:
    """Encode a message as a frame. Raises TypeError if it is not plain data, ValueError if it is too large."""
    texts: list[bytes] = []
    head = _dumps(_pack(message, texts, 0)).encode("utf-8", "surrogatepass")
    text = b"".join(texts)
    if len(head) > MAX_HEAD_BYTES or len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"a message has {len(head) + len(text):,} bytes: expected at most {MAX_TEXT_BYTES:,}")
    return SIZES.pack(len(head), len(text)) + head + text


def sizes(prefix: bytes) -> tuple[int, int]:
    """Return the sizes of head and text in bytes. Raises WireError if they exceed the limits."""
    head, text = SIZES.unpack(prefix)
    if head > MAX_HEAD_BYTES or text > MAX_TEXT_BYTES:
        raise WireError(f"a frame of {head:,} and {text:,} bytes")
    return head, text


def decode(head: bytes, text: bytes) -> dict[str, Any]:
    """Decode the message of a frame. Raises WireError for anything that `encode` does not produce."""
    try:
        reader = _Reader(text)
        message = reader.unpack(_loads(head.decode("utf-8", "surrogatepass")), 0)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a message: {type(error).__name__}") from None
    if not isinstance(message, dict) or reader.at != len(text):
        raise WireError("not a message")
    return message


def _pack(value: Any, texts: list[bytes], depth: int) -> Any:
    kind = type(value)
    if kind is str:
        if len(value) <= LONG:
            return value
        raw = value.encode("utf-8", "surrogatepass")
        texts.append(raw)
        return {"s": len(raw)}
    if value is None or kind in _SCALARS:
        return value
    if depth >= MAX_DEPTH:
        raise TypeError(f"the data is nested too deep: expected at most {MAX_DEPTH} levels")
    if isinstance(value, list | tuple):
        return [_pack(item, texts, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a key of a dict is {type(key).__name__}: expected str")
        return {"d": {str.__str__(key): _pack(item, texts, depth + 1) for key, item in value.items()}}
    for base, plain in _PLAIN:
        # For example a number of numpy.
        if isinstance(value, base):
            return _pack(plain(value), texts, depth)
    raise TypeError(f"a value is {kind.__name__}: expected plain data (str, numbers, lists, dicts, None)")


class _Reader:
    def __init__(self, text: bytes) -> None:
        self.text = memoryview(text)
        self.at = 0

    def unpack(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is dict:
            _check(depth < MAX_DEPTH and len(value) == 1)
            if "d" not in value:
                return self._take(value.get("s"))
            items = value["d"]
            _check(type(items) is dict)
            deeper = depth + 1
            return {key: self.unpack(item, deeper) if type(item) in _NESTED else item for key, item in items.items()}
        if kind is list:
            _check(depth < MAX_DEPTH)
            return [self.unpack(item, depth + 1) if type(item) in _NESTED else item for item in value]
        return value

    def _take(self, size: Any) -> str:
        _check(type(size) is int and 0 <= size <= len(self.text) - self.at)
        start, self.at = self.at, self.at + size
        return str(self.text[start : self.at], "utf-8", "surrogatepass")


def _check(holds: bool) -> None:
    if not holds:
        raise WireError("not a message")
