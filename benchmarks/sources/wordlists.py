"""Word lists in text files: each line `name = word, word, ...` is a list; other lines are ignored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_LIST = re.compile(r"^(\w+) = (.+)$", re.MULTILINE)


@cache
def word_lists(path: Path) -> dict[str, tuple[str, ...]]:
    """The lists of a file by name, in file order."""
    text = path.read_text(encoding="utf-8")
    return {key: tuple(word.strip() for word in words.split(",")) for key, words in _LIST.findall(text)}


def texts_sha256(paths: Iterable[Path]) -> str:
    """The SHA-256 of text files in the order of their paths; it identifies the material of generated data."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()
