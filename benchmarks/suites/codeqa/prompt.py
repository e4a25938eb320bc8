"""The texts of CodeQA prompts: LongBench-v2's layout, and its form of answer or the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from benchmarks.scoring.choice import LETTERS, stated
from rlm.prompt import Message

# The marks of the choices: LongBench-v2 has letters, the paper has numbers from 0.
AnswerForm = Literal["letters", "numbers"]
NUMBERS = "0123"

_FRAME = "Below is code. Read it, then answer the question after it.\n\n<text>\n{context}\n</text>\n\n{query}"
LAYOUT: tuple[Message, ...] = ({"role": "user", "content": _FRAME},)
_ENDING = (
    'Exactly one choice is right. End your answer with this sentence: "The correct answer is (X)", where X is the '
    "letter A, B, C or D of your choice."
)
# The last sentence of LongBench-v2's template.
LONGBENCH_ENDING = 'Format your response as follows: "The correct answer is (insert answer here)".'
_NUMBER_ENDING = "Exactly one choice is right. Answer with its number and nothing else: 0, 1, 2 or 3."


def query_of(question: str, choices: Sequence[str], form: AnswerForm = "letters", ending: str = _ENDING) -> str:
    """Format the question, its choices and the form of the answer. ending: the last sentence of the form `letters`."""
    marks, ending = (LETTERS, ending) if form == "letters" else (NUMBERS, _NUMBER_ENDING)
    pattern = "({}) {}" if form == "letters" else "{}: {}"
    listed = "\n".join(pattern.format(mark, choice) for mark, choice in zip(marks, choices, strict=True))
    return f"Question: {question.strip()}\n\nChoices:\n{listed}\n\n{ending}"


def answer_of(letter: str, form: AnswerForm = "letters") -> str:
    """Format an answer as the prompt asks for it."""
    return stated(letter) if form == "letters" else NUMBERS[LETTERS.index(letter)]
