"""LongBench-v2's score of a multiple-choice answer, and a lenient score for other forms."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from benchmarks.sample import Score

# The letters of up to 26 choices.
ALL_LETTERS = string.ascii_uppercase
LETTERS = "ABCD"


@dataclass(frozen=True)
class _Forms:
    """The patterns of answers that choose among some letters."""

    official: tuple[re.Pattern[str], re.Pattern[str]]
    statement: re.Pattern[str]
    mention: re.Pattern[str]
    single: re.Pattern[str]
    listed: re.Pattern[str]
    rejected_before: re.Pattern[str]
    rejected_after: re.Pattern[str]


@cache
def _forms(letters: str) -> _Forms:
    one = f"[{letters}]"
    # Quantifiers are bounded, because an answer may be a flood of any character.
    opening = r"(?:[\s\"'`(\[{<>$\\]|text|mathrm|mathbf){0,9}"
    # The article `A`, as in "A function", is not a letter, nor is the pronoun `I`.
    no_word = (
        r"(?!(?<=A) (?!is|was|does|has|and|or|because|since|seems|matches|fits|cannot|fails|would|can)[a-z])"
        r"(?!(?<=I)(?: (?!is|was|does|has|and|or|because|since|seems|matches|fits|cannot|fails|would|can)[a-z]|['’]))"
    )
    alone = rf"(?![\w’-]|'\w){no_word}"
    return _Forms(
        # LongBench-v2's own rule: first with parentheses, then without.
        (re.compile(rf"The correct answer is \(({one})\)"), re.compile(rf"The correct answer is ({one})")),
        # `Answer: B`, `the answer is (B)`, `{"answer": "B"}`, `my choice is B`, `\boxed{B}`.
        re.compile(
            r"(?:(?i:answer)[\"'`>]{0,2}\s{0,9}(?:(?i:is|was|would be|should be|must be)\b|[:=])?"
            r"|(?i:choice|option|letter)[\"'`]?\s{0,9}(?:(?i:is)\b|[:=])"
            r"|boxed)"
            rf"\s{{0,9}}:?{opening}({one}){alone}"
        ),
        # A separate letter, excluding the article `A` and letters in names such as `A.b` and `B-tree`.
        re.compile(rf"(?<![\w’-])(?<!\w['.])({one})(?!\.\w){alone}"),
        # The complete answer is a letter, upper or lower case.
        re.compile(rf"(?:the )?(?:answer|option|choice)?(?: is)?\W{{0,9}}({one})\W{{0,9}}", re.IGNORECASE),
        re.compile(rf"^[ \t(\[]{{0,9}}({one})[).:\]][^\n]*[^\s).:\]]", re.MULTILINE),
        re.compile(
            r"(?:\bnot|n't|\bnor|\bneither|\bthan|\bover|\binstead of|\bunlike|\brul(?:e|es|ed|ing) out"
            r"|\b(?:eliminat|exclud|reject)\w{0,5})[\s\"'`(]{0,5}(?:(?:option|choice|answer)s?[\s\"'`(]{0,3})?"
            rf"(?:\(?{one}\)?[,\s]{{1,3}}(?:(?:and|or|nor)\s)?\(?){{0,3}}$",
            re.IGNORECASE,
        ),
        re.compile(
            rf"[\s\"'`)\]}}\\$]{{0,5}}(?:[,&/]?\s{{0,3}}(?:and|or)?\s{{0,3}}\(?{one}\b\)?){{0,3}}\s{{0,3}}"
            r"(?:(?:is|are|was|were|can|could|does|do|would)(?:n['’]t| not)\b|cannot\b|fails?\b"
            r"|(?:is|are|was|were|seems?|looks?)\s(?:\w{1,9}\s)?"
            r"(?:wrong|incorrect|false|out|impossible|eliminated|excluded|ruled))",
            re.IGNORECASE,
        ),
    )


def stated(letter: str) -> str:
    """State a choice in the form of LongBench-v2."""
    return f"The correct answer is ({letter})"


def score_choice(letter: str, choices: Sequence[str], answer: str | None, letters: str = LETTERS) -> Score:
    """Score by LongBench-v2's accuracy. A missing answer, or one without a letter, counts as wrong.

    letter: the right choice. choices: the texts of the choices, if they are known. letters: the letters of all choices.
    """
    official = official_letter(answer or "", letters)
    lenient = official or lenient_letter(answer or "", choices, letters)
    return Score(float(official == letter), float(lenient == letter), official is not None, official or "")


def official_letter(answer: str, letters: str = LETTERS) -> str | None:
    """Return the letter that LongBench-v2 reads: the first match, ignoring asterisks; None without a match."""
    text = answer.replace("*", "")
    return next((found.group(1) for form in _forms(letters).official if (found := form.search(text))), None)


def lenient_letter(answer: str, choices: Sequence[str] = (), letters: str = LETTERS) -> str | None:
    """Return the letter that a reader finds in an answer of another form; None if it names none.

    The first of these that applies: the answer is the text of one choice, or a single letter; the last statement of an
    answer; the last separate letter that is not rejected, as A is in "(A) is wrong, so B". A list of the choices names
    none.
    """
    text = re.sub(r"[*_]", "", answer).strip()
    same = [letter for letter, choice in zip(letters, choices, strict=False) if choice.strip() == answer.strip()]
    if len(same) == 1:
        return same[0]
    forms = _forms(letters)
    if single := forms.single.fullmatch(text):
        return single.group(1).upper()
    for pattern in (forms.statement, forms.mention):
        found = [match for match in pattern.finditer(text) if not _rejected(text, match, forms)]
        if pattern is forms.mention and len(set(forms.listed.findall(text))) > 2:
            listed = {match.start(1) for match in forms.listed.finditer(text)}
            found = [match for match in found if match.start(1) not in listed]
        if found:
            return found[-1].group(1)
    return None


def _rejected(text: str, match: re.Match[str], forms: _Forms) -> bool:
    start, end = match.span(1)
    before, after = text[max(0, start - 40) : start], text[end : end + 60]
    return forms.rejected_before.search(before) is not None or forms.rejected_after.match(after) is not None
