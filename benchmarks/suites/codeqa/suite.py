"""CodeQA: multiple-choice questions over code repositories, from LongBench-v2 or generated from installed packages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from benchmarks.sample import Judge, Sample, SampleInfo, Score
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import GENERATED, HubData, Source
from benchmarks.sources.settings import LONGEST, MOST, known_encoding, whole, wholes
from benchmarks.suites.codeqa.corpus import CodeCorpus
from benchmarks.suites.codeqa.generator import MIN_LENGTH, build_sample, kind_of
from rlm.models.tokens import DEFAULT_ENCODING
from rlm.prompt import Prompt

if TYPE_CHECKING:
    from datasets import Dataset

LETTERS = "ABCD"
_KEY = "benchmark.codeqa"
LONGBENCH = HubData("zai-org/LongBench-v2", "2b48e494f2c7a2f0af81aae178e05c7e1dde0fe9", "train")
# The sub-domain is spelt `Code repo QA`; loaders that filtered on `Code Repo QA` got no rows, so the domain is used.
DOMAIN = "Code Repository Understanding"
DOMAIN_ROWS = 50
GENERATOR = "codeqa-generated-1"
_CHOICES = tuple(f"choice_{letter}" for letter in LETTERS)
_COLUMNS = ("_id", "difficulty", "length", "question", *_CHOICES, "answer", "context")

_KINDS = dict.fromkeys(("_id", "difficulty", "question", *_CHOICES, "answer", "context"), str)

_FRAME = "Below is code. Read it, then answer the question after it.\n\n<text>\n{context}\n</text>\n\n{query}"
_LAYOUT = ({"role": "user", "content": _FRAME},)
_QUESTION = (
    "Question: {question}\n\nChoices:\n{choices}\n\n"
    'Exactly one choice is right. End your answer with this sentence: "The correct answer is (X)", where X is the '
    "letter A, B, C or D of your choice."
)

# LongBench-v2's own rule, in its order: with parentheses first, then without.
_OFFICIAL = (re.compile(r"The correct answer is \(([A-D])\)"), re.compile(r"The correct answer is ([A-D])"))
# Diagnostics: other ways to name one letter. Of several the last counts, since reasoning comes before a choice.
_LENIENT = (
    # White space in bounds: an answer may be a flood of it.
    re.compile(r"(?i:answer|choice|option)(?:\s{1,9}is|\s{0,9}:)?\s{0,9}:?\s{0,9}[\"'`]?\(?([A-D])\b\)?"),
    re.compile(r"\(([A-D])\)"),
    re.compile(r"^[ \t]*([A-D])[.):]?[ \t\r]*$", re.MULTILINE),
)


@dataclass(frozen=True)
class CodeTarget:
    """The letter of the right choice, and the texts of the choices where they are known."""

    letter: str
    choices: tuple[str, ...] = ()


class CodeQA:
    """The `Code Repository Understanding` rows of LongBench-v2, or generated samples in the same form.

    source: `generated`, `hub`, or the path of LongBench-v2 rows. lengths, samples, seed, packages: of the
    generated samples; a length is the tokens of a whole prompt under `encoding`.
    """

    name = "codeqa"
    metric = "accuracy"
    scorer = "longbench-v2-letter-1"
    protected = False

    def __init__(
        self,
        source: str = GENERATED,
        revision: str = LONGBENCH.revision,
        lengths: Sequence[int] = (1024,),
        samples: int = 8,
        seed: int = 0,
        packages: Sequence[str] = (),
        encoding: str = DEFAULT_ENCODING,
    ) -> None:
        self._generated = source == GENERATED
        self._source = Source(str(source), HubData(LONGBENCH.repo, revision, "train"), f"{_KEY}.source")
        self._lengths = wholes(f"{_KEY}.lengths", lengths, MIN_LENGTH, LONGEST)
        self._count = whole(f"{_KEY}.samples", samples, 1, MOST)
        self._seed = whole(f"{_KEY}.seed", seed, 0)
        self._encoding = known_encoding(f"{_KEY}.encoding", encoding)
        self._corpus = CodeCorpus(packages, encoding)

    def infos(self) -> Sequence[SampleInfo]:
        return list(self._infos)

    @cached_property
    def _infos(self) -> dict[SampleInfo, tuple[int, int]]:
        """Info -> (length, index) of a generated sample, (row, 0) of another."""
        if not self._generated:
            rows = self._rows.select_columns(["_id", "difficulty"]).to_list()
            return {
                SampleInfo(row["_id"], row["_id"], f"difficulty_{row['difficulty']}", "constant"): (number, 0)
                for number, row in enumerate(rows)
            }
        infos = {}
        for length in self._lengths:
            for index in range(self._count):
                sample_id = f"codeqa-{length}-{index:03d}"
                infos[SampleInfo(sample_id, sample_id, kind_of(length, index), "constant", length)] = (length, index)
        return infos

    @cached_property
    def _rows(self) -> Dataset:
        rows = self._source.table(_COLUMNS, {"domain": DOMAIN}, count=DOMAIN_ROWS, kinds=_KINDS)
        seen = set()
        for row in rows.select_columns(["_id", "answer"]):
            if row["_id"] in seen:
                raise DataError(f"{self._source.origin}: two rows have the _id {row['_id']!r}")
            seen.add(row["_id"])
            if row["answer"] not in tuple(LETTERS):
                raise DataError(
                    f"{self._source.origin}: row {row['_id']} has the answer {row['answer']!r}, wanted A, B, C or D"
                )
        return rows

    def sample(self, sample_id: str) -> Sample:
        info, place = self._places[sample_id]
        if self._generated:
            length, index = place
            built = build_sample(self._corpus, length, index, self._seed)
            return _sample(info, built.context, built.question, built.choices, built.letter)
        row = self._rows[place[0]]
        return _sample(info, row["context"], row["question"], [row[name] for name in _CHOICES], row["answer"])

    @cached_property
    def _places(self) -> dict[str, tuple[SampleInfo, tuple[int, int]]]:
        return {info.sample_id: (info, place) for info, place in self._infos.items()}

    async def score(self, target: CodeTarget, answer: str | None, judge: Judge | None = None) -> Score:
        """LongBench-v2's accuracy; an answer without a letter, or none at all, is wrong and counts."""
        official = official_letter(answer or "")
        lenient = official or lenient_letter(answer or "", target.choices)
        return Score(
            value=float(official == target.letter),
            lenient=float(lenient == target.letter),
            format_ok=official is not None,
            prediction=official or "",
        )

    def oracle(self, target: CodeTarget) -> str:
        return _answer(target.letter)

    def constants(self, samples: Sequence[Sample]) -> Sequence[Callable[[Sample], str]]:
        """Always the same letter."""
        return [partial(_constant, letter) for letter in LETTERS]

    def target_of(self, row: Mapping[str, Any]) -> CodeTarget:
        letter = str(row.get("target", "")).strip().strip("()")
        if letter not in tuple(LETTERS):
            raise ValueError(f"target is {row.get('target')!r}: wanted the letter A, B, C or D")
        return CodeTarget(letter)

    def target_bytes(self, target: CodeTarget) -> bytes:
        return json.dumps(target.letter).encode()

    def provenance(self) -> Mapping[str, Any]:
        if not self._generated:
            return self._source.identity() | {"rows": len(self._rows), "domain": DOMAIN}
        made = {"source": GENERATED, "generator": GENERATOR, "seed": self._seed, "encoding": self._encoding}
        return made | self._corpus.provenance()


def official_letter(answer: str) -> str | None:
    """The letter LongBench-v2 takes from an answer: the first match, asterisks dropped; None where there is none."""
    text = answer.replace("*", "")
    return next((found.group(1) for pattern in _OFFICIAL if (found := pattern.search(text))), None)


def lenient_letter(answer: str, choices: Sequence[str] = ()) -> str | None:
    """The letter a reader would take from an answer in another form; None where it names none."""
    text = answer.replace("*", "")
    for pattern in _LENIENT:
        if found := pattern.findall(text):
            return found[-1]
    same = [letter for letter, choice in zip(LETTERS, choices, strict=False) if choice.strip() == text.strip()]
    return same[0] if len(same) == 1 else None


def _sample(info: SampleInfo, context: str, question: str, choices: Sequence[str], letter: str) -> Sample:
    listed = "\n".join(f"({name}) {choice}" for name, choice in zip(LETTERS, choices, strict=True))
    query = _QUESTION.replace("{question}", question.strip(), 1).replace("{choices}", listed, 1)
    return Sample(info, Prompt(context, query, _LAYOUT), CodeTarget(letter, tuple(choices)))


def _answer(letter: str) -> str:
    return f"The correct answer is ({letter})"


def _constant(letter: str, sample: Sample) -> str:
    return _answer(letter)
