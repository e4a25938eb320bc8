"""The target of a CodeQA question and its score, LongBench-v2's."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.sample import Score
from benchmarks.scoring.choice import score_choice


@dataclass(frozen=True)
class CodeTarget:
    """The letter of the right choice, and the texts of the choices if they are known."""

    letter: str
    choices: tuple[str, ...] = ()


def score_answer(target: CodeTarget, answer: str | None) -> Score:
    """Score by LongBench-v2's accuracy."""
    return score_choice(target.letter, target.choices, answer)
