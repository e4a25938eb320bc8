"""Parses JSON with long strings in little more memory than the strings take, and measures them."""

from __future__ import annotations

import json
import re
import secrets
import sys
from typing import Any

from rlm.structure import long_strings

# Longer strings are decoded separately and in parts, because one wide character makes all of a text wide.
_SHORT_BYTES = 256
# The size of the parts of long strings. Other threads can run between two parts.
_WINDOW_BYTES = 1 << 20
_ESCAPES = re.compile(rb"(?:[^\\]++|\\u[dD][89abAB]..\\u....|\\u....|\\[^u])*+", re.DOTALL)
_HIGH = re.compile(rb"\\u[dD][89abAB]..")
_SPACE = re.compile(rb"\s*+")
_CONTROL = re.compile(rb"[\0-\x1f]")
_BOM = b"\xef\xbb\xbf"
# The bytes of a string that is not ASCII besides its characters.
_STR_BYTES = sys.getsizeof("\xe9") - 1


class TextTooLong(ValueError):
    """The strings of a JSON text take too much memory."""


def measured_json(
    body: bytes | bytearray, max_values: int, *, strict: bool = True, max_text_bytes: int | None = None
) -> tuple[Any, int]:
    """Parse JSON like `rlm.structure.parsed_json`, and return the bytes that its long strings take in memory.

    Python stores every character of a string with the 1, 2 or 4 bytes of its widest one. Besides the body and its
    strings, at most the longest string is held once more. Raises TextTooLong for more than max_text_bytes, and
    ValueError for a long key.
    """
    strings = long_strings(body, max_values, _SHORT_BYTES)
    texts, memory, rest, at = {}, 0, [], len(_BOM) if body.startswith(_BOM) else 0
    # A random number, which the text cannot predict, stands for each long string.
    mark = f"0.{secrets.randbits(100)}e"
    for place, (start, end) in enumerate(strings):
        after = _SPACE.match(body, end + 1)
        if after and body[after.end() : after.end() + 1] == b":":
            raise ValueError(f"it has a key of more than {_SHORT_BYTES} bytes")
        left = None if max_text_bytes is None else max_text_bytes - memory
        text, size = _decoded(body, start, end, strict, left)
        texts[f"{mark}{place}"], memory = text, memory + size
        # The spaces keep it apart from digits beside the string, which are not JSON.
        rest += [body[at : start - 1], f" {mark}{place} ".encode()]
        at = end + 1
    short = b"".join([*rest, body[at:]]).decode("utf-8", "surrogatepass")
    return json.loads(short, strict=strict, parse_float=lambda number: texts.get(number) or float(number)), memory


def _decoded(body: bytes | bytearray, start: int, end: int, strict: bool, most: int | None) -> tuple[str, int]:
    """Decode the string between two quotation marks; returns it and the bytes of its characters in memory."""
    plain = _plain(body, start, end, strict)
    if plain is not None and (most is None or len(plain) <= most):
        return plain, len(plain)
    parts, chars, width = [], 0, 1
    while start < end:
        stop = _cut(body, start, min(start + _WINDOW_BYTES, end), end)
        part = json.loads('"' + body[start:stop].decode("utf-8", "surrogatepass") + '"', strict=strict)
        parts.append(part)
        chars, start = chars + len(part), stop
        if not part.isascii():
            width = max(width, min(4, (sys.getsizeof(part) - _STR_BYTES) // len(part)))
        if most is not None and chars * width > most:
            raise TextTooLong(
                "one wide character, such as an emoji, makes Python store all characters of its string in four bytes"
            )
    return "".join(parts), chars * width


def _plain(body: bytes | bytearray, start: int, end: int, strict: bool) -> str | None:
    """Decode a string of ASCII characters without escapes, which needs no parts; None for any other."""
    if body.find(b"\\", start, end) >= 0:
        return None
    windows = range(start, end, _WINDOW_BYTES)
    if strict and any(_CONTROL.search(body, at, min(at + _WINDOW_BYTES, end)) for at in windows):
        return None
    try:
        with memoryview(body) as view:
            return str(view[start:end], "ascii")
    except UnicodeDecodeError:
        return None


def _cut(body: bytes | bytearray, start: int, stop: int, end: int) -> int:
    """Return a position up to `stop` that divides no character, escape or pair of escapes; `end` if there is none."""
    if stop == end:
        return end
    stop = _whole_escapes(body, start, stop)
    for _ in range(3):
        stop -= body[stop] & 0xC0 == 0x80
    if _HIGH.fullmatch(body, stop - 6, stop):
        stop = _whole_escapes(body, start, stop - 6)
    return stop if stop > start else end


def _whole_escapes(body: bytes | bytearray, start: int, stop: int) -> int:
    """Return the end of the last complete character or escape up to `stop`."""
    units = _ESCAPES.match(body, start, stop)
    return units.end() if units else start
