"""The banks of texts; each text has one of the labels of its subset."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources.wordlists import word_lists
from benchmarks.suites.oolong.subsets import SUBSETS, TREC_COARSE

FOLDER = Path(__file__).with_name("bank")
# A file for each subset other than trec_coarse: its word lists, and a block of templates under each label.
SUBSET_FOLDER = Path(__file__).with_name("texts")
_SLOT = re.compile(r"\{(\w+)\}")
_BLOCK = re.compile(r"^\[(.+)\]\n", re.MULTILINE)
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
        """Return the index of the label of each template."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))


@cache
def question_bank(name: str = TREC_COARSE.name) -> QuestionBank:
    """Build the bank of a subset from its text files."""
    texts = _trec_templates() if name == TREC_COARSE.name else _subset_templates(name)
    fillers = word_lists(FOLDER / "fillers.txt")
    if name != TREC_COARSE.name:
        fillers = fillers | word_lists(SUBSET_FOLDER / f"{name}.txt")
    templates: list[str] = []
    first = [0]
    questions: list[str] = []
    offset = [0]
    for label in SUBSETS[name].labels:
        for template in texts[label]:
            templates.append(template)
            questions += _filled(template, fillers)
            offset.append(len(questions))
        first.append(len(templates))
    return QuestionBank(
        tuple(templates), np.array(first), tuple(questions), np.array(offset[:-1]), np.diff(np.array(offset))
    )


def _trec_templates() -> dict[str, list[str]]:
    return {label: (FOLDER / file).read_text(encoding="utf-8").splitlines() for label, file in _FILES.items()}


def _subset_templates(name: str) -> dict[str, list[str]]:
    blocks = _BLOCK.split((SUBSET_FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    return {label: block.strip().splitlines() for label, block in zip(blocks[1::2], blocks[2::2], strict=True)}


def _filled(template: str, fillers: Mapping[str, Sequence[str]]) -> list[str]:
    slots = list(dict.fromkeys(_SLOT.findall(template)))
    combinations = itertools.product(*(fillers[slot] for slot in slots))
    return [_with_article(template.format_map(dict(zip(slots, words, strict=True)))) for words in combinations]


def _with_article(text: str) -> str:
    """Correct a text: "an" before vowel sounds, and a capital at the start."""
    text = re.sub(r"\b([Aa]) (?=[aeio]|under)", r"\1n ", text)
    return text[0].upper() + text[1:]
