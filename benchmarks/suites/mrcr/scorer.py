"""MRCR's score: the similarity of an answer to the right piece, if the answer begins with the given characters."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from benchmarks.sample import Score

# More than four times the longest piece.
MAX_ANSWER_TOKENS = 8192
# difflib needs minutes for an answer that is very much longer than the piece; its ratio is then below 0.02.
_FLOOD = 100
_SHOWN_CHARS = 200


@dataclass(frozen=True)
class MrcrTarget:
    """The right answer, which begins with the characters `prefix`."""

    answer: str
    prefix: str

    @property
    def piece(self) -> str:
        return self.answer.removeprefix(self.prefix)


def score_answer(target: MrcrTarget, answer: str | None) -> Score:
    """Score the ratio of difflib's SequenceMatcher, 0 if the answer does not begin with the prefix.

    The lenient score ignores white space, quotes and other text before the prefix, and a missing prefix. format_ok: the
    answer begins with the prefix. details: `exact`, the answer is the right piece with its prefix.
    """
    text = answer or ""
    begins = bool(text) and text.startswith(target.prefix)
    official = _ratio(text.removeprefix(target.prefix), target.piece) if begins else 0.0
    lenient = official
    if text.strip() and official < 1:
        rest = text.partition(target.prefix)[2] if target.prefix in text else text
        lenient = max(official, _ratio(rest.strip().strip("`\"'*").strip(), target.piece.strip()))
    return Score(official, lenient, begins, text[:_SHOWN_CHARS], {"exact": float(text == target.answer)})


def _ratio(text: str, piece: str) -> float:
    if len(text) > _FLOOD * (len(piece) + 1):
        return 0.0
    return SequenceMatcher(None, text, piece).ratio()
