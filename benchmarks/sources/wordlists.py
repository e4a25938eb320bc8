"""Reads word lists from text files: each line `name = word, word, ...` is a list; other lines are ignored."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from benchmarks.sources.hub import GENERATED

_LIST = re.compile(r"^(\w+) = (.+)$", re.MULTILINE)


@cache
def word_lists(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the lists of a file by name, in file order."""
    text = path.read_text(encoding="utf-8")
    return {key: tuple(word.strip() for word in words.split(",")) for key, words in _LIST.findall(text)}


def made_of(folder: Path, generator: str, seed: int, encoding: str) -> dict[str, str | int]:
    """Return everything that determines generated data, for a run's manifest. folder: the folder of its texts."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.txt")):
        digest.update(path.read_bytes())
    texts = digest.hexdigest()
    return {"source": GENERATED, "generator": generator, "texts_sha256": texts, "seed": seed, "encoding": encoding}
