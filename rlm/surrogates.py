"""Lone surrogates, which a Python string may hold and UTF-8 cannot."""

from __future__ import annotations

_WINDOW_CHARS = 1 << 20


def without_surrogates(text: str) -> str:
    """Return a text whose lone surrogates are question marks; the text itself if it has none.

    A second copy of a long text would take up to four bytes a character.
    """
    if text.isascii():
        return text
    try:
        for start in range(0, len(text), _WINDOW_CHARS):
            text[start : start + _WINDOW_CHARS].encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
