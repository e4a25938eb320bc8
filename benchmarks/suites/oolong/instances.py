"""The bank of general-knowledge questions; each has one of OOLONG's six labels."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources.wordlists import word_lists
from benchmarks.suites.oolong.windows import LABELS

FOLDER = Path(__file__).with_name("bank")
_SLOT = re.compile(r"\{(\w+)\}")
_FILES = {
    "description and abstract concept": "description.txt",
    "entity": "entity.txt",
    "human being": "human.txt",
    "numeric value": "numeric.txt",
    "location": "location.txt",
    "abbreviation": "abbreviation.txt",
}


@dataclass(frozen=True, eq=False)
class QuestionBank:
    """All questions, grouped by template. The templates of label i are templates[first[i] : first[i + 1]].

    questions: texts. offset, size: the index of each template's first question, and the number of its questions.
    """

    templates: tuple[str, ...]
    first: NDArray[np.int64]
    questions: tuple[str, ...]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]

    def label_of_template(self) -> NDArray[np.int64]:
        """Return the index into LABELS for each template."""
        return np.repeat(np.arange(len(LABELS)), np.diff(self.first))


@cache
def question_bank() -> QuestionBank:
    """Build the bank from the text files in `bank`."""
    templates: list[str] = []
    first = [0]
    questions: list[str] = []
    offset = [0]
    for label in LABELS:
        lines = (FOLDER / _FILES[label]).read_text(encoding="utf-8").splitlines()
        for template in lines:
            templates.append(template)
            questions += _filled(template)
            offset.append(len(questions))
        first.append(len(templates))
    return QuestionBank(
        tuple(templates), np.array(first), tuple(questions), np.array(offset[:-1]), np.diff(np.array(offset))
    )


def _filled(template: str) -> list[str]:
    fillers = word_lists(FOLDER / "fillers.txt")
    slots = list(dict.fromkeys(_SLOT.findall(template)))
    combinations = itertools.product(*(fillers[slot] for slot in slots))
    return [_with_article(template.format_map(dict(zip(slots, words, strict=True)))) for words in combinations]


def _with_article(text: str) -> str:
    """Correct a text: "an" before vowel sounds, and a capital at the start."""
    text = re.sub(r"\b([Aa]) (?=[aeio]|under)", r"\1n ", text)
    return text[0].upper() + text[1:]
