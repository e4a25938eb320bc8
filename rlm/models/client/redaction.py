"""Removes credentials from messages that people read. Errors are classified by their raw text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "***"


class Redactor:
    """Replaces secrets by `***` where they stand as whole words, also in JSON, URL and HTML escapes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # Longest first, so that an escaped form is not replaced in part. A short key inside a word is not replaced.
        words = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])") if words else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


def _forms(secret: str) -> set[str]:
    escaped = json.dumps(secret)[1:-1]
    forms = {secret, escaped, escaped.replace("/", "\\/"), json.dumps(escaped)[1:-1]}
    return forms | {quote(secret, safe=""), quote(secret), html.escape(secret), repr(secret)[1:-1]}
