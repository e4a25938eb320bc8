"""Removes credentials from messages that people read. Errors are classified by their raw text."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable

MASK = "***"
# A secret of fewer characters can be part of a word.
_LONG_CHARS = 16


class Redactor:
    """Replaces secrets by `***`, also where characters are escaped (JSON, URL, HTML, repr) or as base64 or hex.

    A short secret is replaced only as a whole word, and a long one also in capital or small letters.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        # Longest first, so that no part of a secret that begins like another one remains.
        patterns = [_pattern(secret) for secret in sorted(set(secrets), key=len, reverse=True) if secret]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


def _pattern(secret: str) -> str:
    # A match begins with the first of several backslashes. To try the others would take quadratic time.
    word = _forms(secret[0], r"(?<!\\)") + "".join(map(_forms, secret[1:]))
    if len(secret) < _LONG_CHARS:
        return rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])"
    return "|".join([f"(?i:{word})", *_encoded(secret)])


def _forms(char: str, before: str = "") -> str:
    """Return a pattern for a character, as it is or escaped, also repeatedly. before: a condition on backslashes."""
    forms = [rf"{before}\\*{re.escape(char)}"]
    if char == "\\":
        forms = [rf"{before}\\+"]
    code = f"{ord(char):x}"
    escapes = [rf"{before}\\+u0*{code}", rf"{before}\\+x0*{code}", f"&#0*{ord(char)};", f"&#x0*{code};", _percent(char)]
    named = html.escape(char)
    return f"(?:{'|'.join([*forms, re.escape(named), *(f'(?i:{escape})' for escape in escapes)])})"


def _percent(char: str) -> str:
    # A percent sign may be escaped as well.
    return "".join(f"%(?:25)*{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def _encoded(secret: str) -> list[str]:
    """Return patterns for hex, and for base64 at each of its three alignments."""
    data = secret.encode("utf-8", "surrogatepass")
    forms = [f"(?i:{data.hex()})"]
    for shift in range(3):
        # The first and the last characters also depend on the bytes beside the secret.
        first = -(-8 * shift // 6)
        last = 8 * (shift + len(data)) // 6
        core = base64.b64encode(b"\0" * shift + data).decode()[first:last]
        forms.append("".join({"+": "[+-]", "/": "[/_]"}.get(one, one) for one in core))
    return forms
