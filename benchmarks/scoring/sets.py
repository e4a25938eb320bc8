"""Sets of items: their F1, and the items that an answer lists."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

from benchmarks.scoring.texts import squad_words

_BULLET = re.compile(r"^\s*(?:[-*•·–]+\s+|\(?\d{1,4}[.)]\s+)")
_HEADING = re.compile(r"^[^\n]{0,200}:\s*$")
_MARK = re.compile(r"^\s*(?:the\s+)?(?:final\s+)?(?:answers?|items?|list)\s*(?::|\bare\b:?|\bis\b:?)\s*", re.IGNORECASE)
_ARRAY = re.compile(r"\[[^\[\]]*\]")
_EMPTY = re.compile(r"\W*(?:none|empty|nothing|no items?|n/a|(?:the )?empty (?:set|list))?\W*", re.IGNORECASE)


@dataclass(frozen=True)
class SetCounts:
    """A set of predicted items compared with the gold items.

    predicted: distinct items that were predicted. right: predicted items that are gold.
    """

    predicted: int
    right: int
    gold: int

    @property
    def precision(self) -> float:
        return self.right / self.predicted if self.predicted else float(not self.gold)

    @property
    def recall(self) -> float:
        return self.right / self.gold if self.gold else float(not self.predicted)

    @property
    def f1(self) -> float:
        """The F1 score: 1.0 if both sets are empty, 0.0 if only one is."""
        total = self.predicted + self.gold
        return 2 * self.right / total if total else 1.0


def compare_sets(predicted: Collection[str], gold: Collection[str]) -> SetCounts:
    """Compare items. Items that SQuAD's normalisation makes equal count as one."""
    found, right = {key_of(item) for item in predicted}, {key_of(item) for item in gold}
    return SetCounts(len(found), len(found & right), len(right))


def key_of(item: str) -> str:
    """Return the form in which items are compared. An item of only punctuation or articles is compared verbatim."""
    return " ".join(squad_words(item)) or item.strip().lower()


def listed_items(answer: str, gold: Collection[str] = ()) -> list[str]:
    """Read the items of an answer: a JSON array, one item per line, or one line with commas or semicolons.

    A separator that is part of a gold item does not separate. Bullets, numbers, headings that end in a colon and code
    fences are removed. An answer such as "none" is the empty set.
    """
    text = answer.strip()
    if (array := _json_array(text)) is not None:
        return array
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("```")]
    if len(lines) > 1:
        lines = [line for line in lines if not _HEADING.match(line)]
    lines = [_MARK.sub("", line) for line in lines]
    if len(lines) == 1:
        separator = next((s for s in (";", ",") if s in lines[0] and not any(s in item for item in gold)), None)
        lines = lines[0].split(separator) if separator else lines
    items = [_BULLET.sub("", line).strip().strip("*`\"'").strip() for line in lines]
    return [item for item in items if not _EMPTY.fullmatch(item)]


def _json_array(text: str) -> list[str] | None:
    """Return the strings and numbers of the last JSON array in a text; None if there is none."""
    for found in reversed(_ARRAY.findall(text)):
        try:
            values = json.loads(found)
        except (ValueError, RecursionError):
            continue
        if all(isinstance(value, str | int | float) for value in values):
            return [str(value) for value in values if str(value).strip()]
    return None
