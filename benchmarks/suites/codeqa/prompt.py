"""The texts of CodeQA prompts, with LongBench-v2's layout and form of answer."""

from __future__ import annotations

from collections.abc import Sequence

from rlm.prompt import Message

LETTERS = "ABCD"

_FRAME = "Below is code. Read it, then answer the question after it.\n\n<text>\n{context}\n</text>\n\n{query}"
LAYOUT: tuple[Message, ...] = ({"role": "user", "content": _FRAME},)
_QUERY = (
    "Question: {question}\n\nChoices:\n{choices}\n\n"
    'Exactly one choice is right. End your answer with this sentence: "The correct answer is (X)", where X is the '
    "letter A, B, C or D of your choice."
)


def query_of(question: str, choices: Sequence[str]) -> str:
    """The question with its lettered choices and the form of the answer."""
    listed = "\n".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=True))
    return _QUERY.replace("{question}", question.strip(), 1).replace("{choices}", listed, 1)


def answer_of(letter: str) -> str:
    """An answer in the form that the prompt asks for."""
    return f"The correct answer is ({letter})"
