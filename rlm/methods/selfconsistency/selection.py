"""Chooses one of several programs by agreement of their answers, stated confidence and length (arXiv:2603.15653)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rlm.methods.method import Answer

# A line of its own, possibly in Markdown emphasis or in a comment. A fraction counts as a share of 1.
_STATED = re.compile(
    r"^[ \t>#*_`-]*confidence[ \t*_`]*[:=][ \t*_`]*(\d{1,3}(?:\.\d+)?)[ \t]*+(?:%|/[ \t]*100)?[ \t*_`.]*+$\n?",
    re.IGNORECASE | re.MULTILINE,
)
# A confidence of 0 would exclude a program, regardless of its other turns.
_LEAST = 1.0


class Why(StrEnum):
    """The reason for a choice: what set the chosen program apart from the other candidates."""

    ONLY_ANSWER = "only_answer"
    AGREEMENT = "agreement"
    CONFIDENCE = "confidence"
    LENGTH = "length"
    FIRST = "first"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True)
class Program:
    """A finished program. confidences: one for each turn, in percent; None where none was stated.

    tokens: the completion tokens of the root's calls, reasoning included.
    """

    number: int
    answer: Answer
    confidences: tuple[float | None, ...] = ()
    tokens: int = 0

    @property
    def log_confidence(self) -> float | None:
        """Return the sum over turns of log(confidence / 100); a turn without one counts as the mean of the others."""
        stated = [math.log(max(one, _LEAST) / 100) for one in self.confidences if one is not None]
        return math.fsum(stated) / len(stated) * len(self.confidences) if stated else None

    @property
    def score(self) -> float | None:
        """Return log_confidence times tokens, at most 0; the larger, the surer and shorter."""
        sure = self.log_confidence
        return None if sure is None else sure * self.tokens


@dataclass(frozen=True)
class Choice:
    """The chosen program. votes: for each program, the number of programs with its answer; 0 without an answer."""

    program: Program
    votes: tuple[int, ...]
    why: Why


def choose(programs: Sequence[Program]) -> Choice:
    """Choose among the programs whose answer most others share; without any answer, the first program.

    Among these, a program with a stated confidence comes before one without, then the largest score decides, then the
    fewest tokens, then the lowest number.
    """
    counts = Counter(normalized(one.answer.text) for one in programs if one.answer.text)
    votes = tuple(counts[normalized(one.answer.text)] if one.answer.text else 0 for one in programs)
    agreed = [one for one, count in zip(programs, votes, strict=True) if count == max(votes)]
    best, *others = sorted(agreed, key=_rank)
    if not max(votes):
        return Choice(best, votes, Why.NO_ANSWER)
    if sum(count > 0 for count in votes) == 1:
        return Choice(best, votes, Why.ONLY_ANSWER)
    rivals = [one for one in others if normalized(one.answer.text or "") != normalized(best.answer.text or "")]
    if not rivals:
        return Choice(best, votes, Why.AGREEMENT)
    ranked, next_ranked = _rank(best), _rank(rivals[0])
    place = next(place for place, pair in enumerate(zip(ranked, next_ranked, strict=True)) if pair[0] != pair[1])
    return Choice(best, votes, (Why.CONFIDENCE, Why.CONFIDENCE, Why.LENGTH, Why.FIRST)[place])


def normalized(answer: str | None) -> str:
    """Return the form in which answers are compared: without case, spacing, and quotes or points around the text."""
    return " ".join((answer or "").casefold().split()).strip(" .\"'`*")


def stated_confidence(reply: str) -> float | None:
    """Return the first confidence that a reply states on a line of its own, in percent; None without a valid one."""
    found = _STATED.search(reply)
    if found is None:
        return None
    value = float(found[1])
    value = 100 * value if "." in found[1] and value <= 1 else value
    return value if value <= 100 else None


def without_confidence(text: str) -> str:
    """Return a text without the lines that state a confidence."""
    return _STATED.sub("", text).strip()


def _rank(program: Program) -> tuple[bool, float, int, int]:
    score = program.score
    return score is None, -(score or 0.0), program.tokens, program.number
