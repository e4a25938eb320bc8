"""The score of a CodeQA answer that is the number of a choice, as in the paper, and a lenient score."""

from __future__ import annotations

import re

from benchmarks.sample import Score
from benchmarks.scoring.choice import LETTERS
from benchmarks.suites.codeqa.scorer import CodeTarget

# The complete answer is one number, with Markdown, quotes, brackets or a full stop around it.
_ALONE = re.compile(r"[\s*_`\"'(\[{]*([0-3])[\s*_`\"')\]}.]*")
# `Answer: 2`, `the correct answer is (2)`, `{"answer": 2}`, `my choice is 2`, `\boxed{2}`.
_STATEMENT = re.compile(
    r"(?:\b(?:answer|choice|option|number)[\"'`*]{0,3}\s{0,9}(?:(?:is|was|would be|should be|must be)\b|[:=])?|boxed)"
    r"\s{0,9}:?(?:[\s\"'`(\[{*$]|number|choice|option){0,9}([0-3])(?![\w.,]?\d)(?!\w)",
    re.IGNORECASE,
)


def score_number(target: CodeTarget, answer: str | None) -> Score:
    """Score 1 if the complete answer is the number of the right choice, else 0.

    The lenient score also accepts the text of a choice, and the last number that the answer states as its answer.
    """
    text, right = (answer or "").strip(), LETTERS.index(target.letter)
    alone = _ALONE.fullmatch(text)
    lenient = int(alone[1]) if alone else _stated(text, target.choices)
    return Score(
        value=float(alone is not None and int(alone[1]) == right),
        lenient=float(lenient == right),
        format_ok=alone is not None,
        prediction=alone[1] if alone else "",
    )


def _stated(text: str, choices: tuple[str, ...]) -> int | None:
    same = [number for number, choice in enumerate(choices) if choice.strip() == text]
    if len(same) == 1:
        return same[0]
    stated = _STATEMENT.findall(text)
    return int(stated[-1]) if stated else None
