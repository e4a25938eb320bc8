"""The accepted answers of a question, and the protocol of a scorer that is chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.sample import Constant, Judge, Score
from benchmarks.scoring.choice import ALL_LETTERS


@dataclass(frozen=True)
class Gold:
    """The accepted answers of a question, the question for a judge, and the choices of a multiple-choice question."""

    answers: tuple[str, ...]
    question: str = ""
    choices: tuple[str, ...] = ()

    @property
    def letters(self) -> str:
        """The letters of the choices; all letters if the choices are unknown."""
        return ALL_LETTERS[: len(self.choices)] if self.choices else ALL_LETTERS


class NamedScorer(Protocol):
    """Scores answers against accepted answers.

    kind: the name that chooses it, or `function`. id: name and version, with all settings that change a score.
    max_answer_tokens: the tokens of an answer that are scored by default; None is no limit. instruction: the form of
    answer that a prompt asks for by default; empty for none.
    """

    @property
    def kind(self) -> str: ...

    @property
    def id(self) -> str: ...

    @property
    def max_answer_tokens(self) -> int | None: ...

    @property
    def instruction(self) -> str: ...

    def expected(self, gold: Gold) -> str:
        """Describe the answers that are expected if those of a row cannot be scored; empty if they can."""
        ...

    async def score(self, gold: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        """Score an answer; None scores 0."""
        ...

    def oracle(self, gold: Gold) -> str:
        """Make an answer that scores 1. Raises ValueError if none can be made."""
        ...

    def constants(self) -> Sequence[Constant]:
        """Return answers that need no understanding, including floods."""
        ...
