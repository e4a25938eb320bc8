"""The score of a BrowseComp-Plus answer: the judge's verdict, or a match of the exact answers without a judge."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from benchmarks.sample import Judge, Score
from benchmarks.scoring.judgement import judged_score

# The official agents generate at most 10,000 tokens by default.
MAX_ANSWER_TOKENS = 10_000

# The lenient score does not search a longer final answer for the right one, because it may list many answers.
_MOST_WORDS = 50
_EXACT_ANSWER = re.compile(r"^[ \t>*_#-]*exact answer[ \t*_]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_CONFIDENCE = re.compile(r"^[ \t>*_#-]*confidence[ \t*_]*:[ \t*_]*(\d+(?:\.\d+)?)", re.IGNORECASE | re.MULTILINE)
_CITATIONS = (re.compile(r"\[([^\[\]]*)\]"), re.compile(r"【([^【】]*)】"))


@dataclass(frozen=True)
class BrowseTarget:
    """The material of a judgement: question, correct answer, and the docids of gold and evidence documents."""

    question: str
    answer: str
    gold: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


async def score_answer(target: BrowseTarget, answer: str | None, judge: Judge | None = None) -> Score:
    """Score 1 if the judge calls the answer correct; without a judge, if the normalised exact answers match.

    A reply of the judge without a verdict counts as wrong and sets `judge_unparsed`. Lenient: the stated answer
    contains the correct one. details: the match, the stated confidence, and the recall and precision of the citations.
    """
    text = answer or ""
    stated, correct, citations = exact_answer(text), normalise(target.answer), cited(text)
    words = normalise(stated)
    match = float(bool(correct) and words == correct)
    contained = bool(correct) and f" {correct} " in f" {words} " and len(words.split()) <= _MOST_WORDS
    details: dict[str, Any] = {
        "match": match,
        "judged_by": "match",
        "stated_confidence": stated_confidence(text),
        "evidence_recall": share(target.evidence, citations),
        "gold_recall": share(target.gold, citations),
        "evidence_precision": (share(citations, target.evidence) or 0.0) if target.evidence else None,
        "citations": float(len(citations)),
    }
    value = match
    if judge is not None:
        value, judged = await judged_score(judge, target.question, text, target.answer)
        details |= judged
    return Score(value, float(contained), bool(_EXACT_ANSWER.search(text)), stated, details)


def exact_answer(text: str) -> str:
    """Return the last `Exact Answer:` of a response; without one, the complete response."""
    found = _EXACT_ANSWER.findall(text)
    return found[-1].strip(" \t\r*_") if found else text.strip()


def stated_confidence(text: str) -> float | None:
    """Return the last confidence that a response states, at most 100; None if it states none."""
    found = _CONFIDENCE.findall(text)
    return min(float(found[-1]), 100.0) if found else None


def normalise(text: str) -> str:
    """Normalise a text: lower case, no accents, punctuation or articles, single spaces."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(word for word in re.findall(r"\w+", plain) if word not in ("a", "an", "the"))


def cited(text: str) -> set[str]:
    """Return the docids in citations by the official rule: all numbers in `[12, 34]`, `[Document 56]` or `【78】`.

    The line numbers of `【78†L1-L4】` are not docids.
    """
    inside = (re.sub(r"†[^,;]*", "", part) for pattern in _CITATIONS for part in pattern.findall(text))
    return {number for part in inside for number in re.findall(r"\d+", part)}


def share(part: Collection[str], whole: Collection[str]) -> float | None:
    """Return the fraction of `part` that is in `whole`; None if `part` is empty."""
    return sum(docid in whole for docid in part) / len(part) if part else None
