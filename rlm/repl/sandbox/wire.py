"""Messages between the host and a session: a JSON head, followed by long strings verbatim.

A message is a dict of plain data. Its frame is `<u32 bytes of head><u32 bytes of text>`, the head, the text. In the
head, a dict is {"d": {...}} and a string longer than LONG is {"s": n}, which stands for the next n bytes of the text.
No byte of the text is used twice. The text may also take at most MAX_TEXT_BYTES in memory, where Python stores every
character of a string with the 1, 2 or 4 bytes of its widest one, so the receiver holds at most twice that much.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Callable
from typing import Any

SIZES = struct.Struct("<II")
LONG = 64
MAX_HEAD_BYTES = 2 << 20
MAX_TEXT_BYTES = 128 << 20
MAX_DEPTH = 50
# Python reads no integer of more than 4300 digits from text.
MAX_INT_BITS = 14_000
# Each one in UTF-8 costs the decoder a Python exception.
MAX_SURROGATES = 100_000
_SCALARS = (bool, int, float)
# Functions that return the plain value of an instance of a subclass, whose own methods are not trusted.
_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
_NESTED = (dict, list)
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")
# Longer texts are decoded in parts, so that the memory of a wide one is known before it is used.
_PART_BYTES = 1 << 22
# The bytes of a string that is not ASCII besides its characters.
_STR_BYTES = sys.getsizeof("\xe9") - 1
Buffer = bytes | bytearray | memoryview

# Characters are not escaped, because JSON joins the escapes of two surrogates to one character.
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False, ensure_ascii=False).encode
_loads = json.JSONDecoder().decode


class WireError(ValueError):
    """A frame that is not a message."""


def encode(message: dict[str, Any]) -> bytes:
    """Encode a message as a frame. Raises TypeError if it is not plain data, ValueError if it is too large."""
    texts = _Texts()
    head = texts.encoded(_dumps(_pack(message, texts, 0)))
    texts.check(len(head), 0)
    if texts.memory > MAX_TEXT_BYTES:
        raise ValueError(
            f"the texts of a message take {texts.memory:,} bytes in memory, where one wide character, such as an "
            f"emoji, makes all characters of its string wide: expected at most {MAX_TEXT_BYTES:,}"
        )
    if texts.surrogates > MAX_SURROGATES:
        raise ValueError(f"a message has more than {MAX_SURROGATES:,} lone surrogates")
    return b"".join([SIZES.pack(len(head), texts.size), head, *texts.parts])


def sizes(prefix: bytes) -> tuple[int, int]:
    """Return the sizes of head and text in bytes. Raises WireError if they exceed the limits."""
    head, text = SIZES.unpack(prefix)
    if head > MAX_HEAD_BYTES or text > MAX_TEXT_BYTES:
        raise WireError(f"a frame of {head:,} and {text:,} bytes")
    return head, text


def decode(head: Buffer, text: Buffer) -> dict[str, Any]:
    """Decode the message of a frame. Raises WireError for anything that `encode` does not produce."""
    return decode_measured(head, text)[0]


def decode_measured(head: Buffer, text: Buffer) -> tuple[dict[str, Any], int]:
    """Decode the message of a frame, and return the bytes that its long strings take in memory. Raises WireError."""
    try:
        reader = _Reader(text)
        message = reader.unpack(_loads(reader.short(head)), 0)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a message: {type(error).__name__}") from None
    if not isinstance(message, dict) or reader.at != len(text):
        raise WireError("not a message")
    return message, reader.memory


class _Texts:
    """The long strings of a message; memory: the bytes that they take as Python strings."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = self.memory = self.surrogates = self._head = 0

    def count(self, head: int) -> None:
        """Count bytes of the head. Raises ValueError if the message is too large, before it is made."""
        self._head += head
        if self._head > MAX_HEAD_BYTES:
            self.check(self._head, 0)

    def check(self, head: int, more: int) -> None:
        """Raise ValueError for a message with a head of at least `head` bytes and `more` bytes of texts."""
        size = self.size + more
        if head > MAX_HEAD_BYTES or size > MAX_TEXT_BYTES:
            raise ValueError(
                f"a message has at least {head:,} bytes of short values and {size:,} of texts: expected at most "
                f"{MAX_HEAD_BYTES:,} and {MAX_TEXT_BYTES:,}"
            )

    def add(self, text: str) -> int:
        # A character has at least one byte.
        self.check(self._head, len(text))
        raw = self.encoded(text)
        self.parts.append(raw)
        self.size += len(raw)
        self.memory += len(text) * _width(text)
        return len(raw)

    def encoded(self, text: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError:
            raw = text.encode("utf-8", "surrogatepass")
            self.surrogates += _surrogates(raw)
            return raw


def _width(text: str) -> int:
    """Return the bytes that each character of a string takes in memory."""
    # The size may include a copy in UTF-8 that Python keeps with the string.
    return 1 if text.isascii() else min(4, (sys.getsizeof(text) - _STR_BYTES) // len(text))


def _surrogates(raw: Buffer) -> int:
    """Count lone surrogates, up to one more than MAX_SURROGATES. In UTF-8, only they begin with these bytes."""
    count = 0
    for count, _ in enumerate(_SURROGATE.finditer(raw), 1):
        if count > MAX_SURROGATES:
            break
    return count


def _pack(value: Any, texts: _Texts, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        texts.count(len(value) + 3 if len(value) <= LONG else 8)
        return value if len(value) <= LONG else {"s": texts.add(value)}
    texts.count(2)
    if kind is int and value.bit_length() > MAX_INT_BITS:
        raise TypeError(f"an integer has {value.bit_length():,} bits: expected at most {MAX_INT_BITS:,}")
    if value is None or kind in _SCALARS:
        return value
    if depth >= MAX_DEPTH:
        raise TypeError(f"the data is nested too deep: expected at most {MAX_DEPTH} levels")
    # The methods of a subclass are not used: they may fail or never end.
    if isinstance(value, list | tuple):
        items = list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)
        return [_pack(item, texts, depth + 1) for item in items]
    if isinstance(value, dict):
        packed = {}
        for key, item in dict.items(value):
            if not isinstance(key, str):
                raise TypeError(f"a key of a dict is {type(key).__name__}: expected str")
            name = str.__str__(key)
            texts.count(len(name) + 3)
            packed[name] = _pack(item, texts, depth + 1)
        return {"d": packed}
    for base, plain in _PLAIN:
        # For example a number of numpy.
        if isinstance(value, base):
            return _pack(plain(value), texts, depth)
    raise TypeError(f"a value is {kind.__name__}: expected plain data (str, numbers, lists, dicts, None)")


class _Reader:
    def __init__(self, text: Buffer) -> None:
        self.text = memoryview(text)
        self.at = self.memory = 0
        self._surrogates = 0

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

    def short(self, raw: Buffer) -> str:
        """Decode a text of bounded length."""
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError:
            self._surrogates += _surrogates(raw)
            _check(self._surrogates <= MAX_SURROGATES)
            return str(raw, "utf-8", "surrogatepass")

    def _take(self, size: Any) -> str:
        _check(type(size) is int and 0 <= size <= len(self.text) - self.at)
        end, parts, chars, width = self.at + size, [""], 0, 1
        while self.at < end:
            part = self.short(self.text[self.at : self._cut(end)])
            parts.append(part)
            chars, width = chars + len(part), max(width, _width(part))
            _check(self.memory + chars * width <= MAX_TEXT_BYTES)
            self.at = self._cut(end)
        self.memory += chars * width
        return parts[-1] if len(parts) <= 2 else "".join(parts)

    def _cut(self, end: int) -> int:
        """Return the end of the next part, which is not within a character."""
        stop = self.at + _PART_BYTES
        if stop >= end:
            return end
        return next((at for at in range(stop, stop - 4, -1) if self.text[at] & 0xC0 != 0x80), stop)


def _check(holds: bool) -> None:
    if not holds:
        raise WireError("not a message")
