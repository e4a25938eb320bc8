"""Token counts without a network, by quicktok: the same ids as tiktoken, several times as fast."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rlm.surrogates import without_surrogates

if TYPE_CHECKING:
    from quicktok import Tokenizer

DEFAULT_ENCODING = "o200k_base"

_LONG = 10_000
_REMEMBERED = 10_000
_counted: dict[tuple[str, int, int], int] = {}


def count_tokens(text: str, encoding: str = DEFAULT_ENCODING) -> int:
    """Count the tokens of `text` in an encoding such as `o200k_base`; special tokens count as plain text.

    The count of a long text is cached, because many samples share a context. Raises ValueError for an unknown
    encoding.
    """
    if len(text) < _LONG:
        return _count(text, encoding)
    # The key holds the text's hash, which Python stores with the string. The text itself would stay in memory.
    key = (encoding, len(text), hash(text))
    tokens = _counted.get(key)
    if tokens is None:
        if len(_counted) >= _REMEMBERED:
            _counted.clear()
        tokens = _counted[key] = _count(text, encoding)
    return tokens


def _count(text: str, encoding: str) -> int:
    # A lone surrogate has no bytes; it counts as the question mark that replaces it in requests.
    return encoder(encoding).count(without_surrogates(text))


@cache
def encoder(encoding: str = DEFAULT_ENCODING) -> Tokenizer:
    """Return the encoder with that name, loaded once. Raises ValueError for an unknown name."""
    import quicktok

    try:
        return quicktok.get_encoding(encoding)
    except Exception as error:
        raise ValueError(f"there is no token encoding {encoding!r}: {error}") from error
