"""LongBench-v2's score of a multiple-choice answer, and a lenient score for other forms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.sample import Score
from benchmarks.suites.codeqa.prompt import LETTERS

# LongBench-v2's own rule: first with parentheses, then without.
_OFFICIAL = (re.compile(r"The correct answer is \(([A-D])\)"), re.compile(r"The correct answer is ([A-D])"))

# Quantifiers are bounded, because an answer may be a flood of any character.
_OPENING = r"(?:[\s\"'`(\[{<>$\\]|text|mathrm|mathbf){0,9}"
# The article `A`, as in "A function", is not a letter.
_NO_ARTICLE = r"(?!(?<=A) (?!is|was|does|has|and|or|because|since|seems|matches|fits|cannot|fails|would|can)[a-z])"
_ALONE = rf"(?![\w’-]|'\w){_NO_ARTICLE}"
# `Answer: B`, `the answer is (B)`, `{"answer": "B"}`, `my choice is B`, `\boxed{B}`.
_STATEMENT = re.compile(
    r"(?:(?i:answer)[\"'`>]{0,2}\s{0,9}(?:(?i:is|was|would be|should be|must be)\b|[:=])?"
    r"|(?i:choice|option|letter)[\"'`]?\s{0,9}(?:(?i:is)\b|[:=])"
    r"|boxed)"
    rf"\s{{0,9}}:?{_OPENING}([A-D]){_ALONE}"
)
# A separate letter, excluding the article `A` and letters in names such as `A.b` and `B-tree`.
_MENTION = re.compile(rf"(?<![\w’-])(?<!\w['.])([A-D])(?!\.\w){_ALONE}")
# The complete answer is a letter, upper or lower case.
_SINGLE = re.compile(r"(?:the )?(?:answer|option|choice)?(?: is)?\W{0,9}([A-D])\W{0,9}", re.IGNORECASE)
_LISTED = re.compile(r"^[ \t(\[]{0,9}([A-D])[).:\]][^\n]*[^\s).:\]]", re.MULTILINE)
_REJECTED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnor|\bneither|\bthan|\bover|\binstead of|\bunlike|\brul(?:e|es|ed|ing) out"
    r"|\b(?:eliminat|exclud|reject)\w{0,5})[\s\"'`(]{0,5}(?:(?:option|choice|answer)s?[\s\"'`(]{0,3})?"
    r"(?:\(?[A-D]\)?[,\s]{1,3}(?:(?:and|or|nor)\s)?\(?){0,3}$",
    re.IGNORECASE,
)
_REJECTED_AFTER = re.compile(
    r"[\s\"'`)\]}\\$]{0,5}(?:[,&/]?\s{0,3}(?:and|or)?\s{0,3}\(?[A-D]\b\)?){0,3}\s{0,3}"
    r"(?:(?:is|are|was|were|can|could|does|do|would)(?:n['’]t| not)\b|cannot\b|fails?\b"
    r"|(?:is|are|was|were|seems?|looks?)\s(?:\w{1,9}\s)?(?:wrong|incorrect|false|out|impossible|eliminated|excluded|ruled))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CodeTarget:
    """The letter of the right choice, and the texts of the choices if they are known."""

    letter: str
    choices: tuple[str, ...] = ()


def score_answer(target: CodeTarget, answer: str | None) -> Score:
    """Score by LongBench-v2's accuracy. A missing answer, or one without a letter, counts as wrong."""
    official = official_letter(answer or "")
    lenient = official or lenient_letter(answer or "", target.choices)
    return Score(
        value=float(official == target.letter),
        lenient=float(lenient == target.letter),
        format_ok=official is not None,
        prediction=official or "",
    )


def official_letter(answer: str) -> str | None:
    """Return the letter that LongBench-v2 reads: the first match, ignoring asterisks; None without a match."""
    text = answer.replace("*", "")
    return next((found.group(1) for pattern in _OFFICIAL if (found := pattern.search(text))), None)


def lenient_letter(answer: str, choices: Sequence[str] = ()) -> str | None:
    """Return the letter that a reader finds in an answer of another form; None if it names none.

    The first of these that applies: the answer is the text of one choice, or a single letter; the last statement of an
    answer; the last separate letter that is not rejected, as A is in "(A) is wrong, so B". A list of the choices names
    none.
    """
    text = re.sub(r"[*_]", "", answer).strip()
    same = [letter for letter, choice in zip(LETTERS, choices, strict=False) if choice.strip() == answer.strip()]
    if len(same) == 1:
        return same[0]
    if single := _SINGLE.fullmatch(text):
        return single.group(1).upper()
    for pattern in (_STATEMENT, _MENTION):
        found = [match for match in pattern.finditer(text) if not _rejected(text, match)]
        if pattern is _MENTION and len(set(_LISTED.findall(text))) > 2:
            listed = {match.start(1) for match in _LISTED.finditer(text)}
            found = [match for match in found if match.start(1) not in listed]
        if found:
            return found[-1].group(1)
    return None


def _rejected(text: str, match: re.Match[str]) -> bool:
    start, end = match.span(1)
    before, after = text[max(0, start - 40) : start], text[end : end + 60]
    return _REJECTED_BEFORE.search(before) is not None or _REJECTED_AFTER.match(after) is not None
