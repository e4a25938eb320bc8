"""The texts of custom prompts: the question of a row, its choices, and the form of the answer."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scoring.choice import ALL_LETTERS

_ENDING = 'Exactly one choice is right. End your answer with this sentence: "The correct answer is (X)", where X is {}.'


def query_of(question: str, choices: Sequence[str], instruction: str) -> str:
    """Format the question with its lettered choices, if it has any, and the instruction."""
    parts = [question.strip()]
    if choices:
        letters = ALL_LETTERS[: len(choices)]
        listed = "\n".join(f"({letter}) {choice}" for letter, choice in zip(letters, choices, strict=True))
        parts += [f"Choices:\n{listed}", _ENDING.format(f"the letter {', '.join(letters[:-1])} or {letters[-1]}")]
    return "\n\n".join(filter(None, [*parts, instruction.strip()]))
