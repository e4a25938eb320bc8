"""OOLONG (oolong-synth, trec_coarse): aggregate questions about the labels of hundreds of lines."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from benchmarks.sample import Judge, Sample, SampleInfo, Score
from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import GENERATED, HUB, ID, HubData, Source
from benchmarks.sources.settings import LONGEST, MOST, known_encoding, whole, wholes
from benchmarks.suites.oolong.generator import made_of, window
from benchmarks.suites.oolong.parse import parsed_question
from benchmarks.suites.oolong.plan import PLAN, ask
from benchmarks.suites.oolong.questions import KINDS, Question
from benchmarks.suites.oolong.scorer import PHRASES, Gold, judge_answer
from benchmarks.suites.oolong.windows import (
    LABELS,
    Lines,
    Window,
    labelled_window,
    prompt_of,
    written_labels,
    written_users,
)
from rlm.models.tokens import DEFAULT_ENCODING

WINDOWS = HubData("oolongbench/oolong-synth", "f0d59eaf0febf130664cfceb710436c8e3216b2b", "validation")
DATASET = "trec_coarse"
_KEY = "benchmark.oolong"
# Rows of the length that the paper measures: two windows with 25 questions each.
KNOWN_ROWS = {131072: 50}
SHORTEST = 512
# Tokens of the question and the instruction: longer windows have more users, and questions name up to 20 of them.
ROOM, ROOM_SHORT, SHORT = 250, 130, 8192

LAYOUT = (
    {"role": "system", "content": "You answer questions about the data below.\n\n{context}"},
    {"role": "user", "content": "{query}"},
)
_COLUMNS = ("id", "context_window_id", "context_len", "question", "task_group", "task", "answer", "answer_type")
_KINDS = {"id": ID, "context_window_id": ID, "question": str, "answer_type": str}
TEXTS = ("context_window_text", "context_window_text_with_labels")
TEXT_KINDS = dict.fromkeys(TEXTS, str)


@dataclass(frozen=True, eq=False)
class Target:
    """The gold of a question, and for diagnosis its task, the labelled lines and what it aggregates, where known."""

    gold: Gold
    task: str | None = None
    lines: Lines | None = None
    question: Question | None = None


class Oolong:
    """Questions about label statistics of a window. Targets are Target.

    source: `generated`, `hub`, or the path of rows of oolong-synth. lengths: tokens of the whole prompt for the
    generated split, values of `context_len` otherwise. samples: for each length; 25 questions share a window.
    Raises ValueError for settings that cannot be met.
    """

    name = "oolong"
    metric = "oolong_score"
    scorer = "oolong-official-1"
    protected = False

    def __init__(
        self,
        source: str = GENERATED,
        lengths: Sequence[int] = (131072,),
        samples: int = 50,
        seed: int = 0,
        encoding: str = DEFAULT_ENCODING,
    ) -> None:
        self._lengths = wholes(f"{_KEY}.lengths", lengths, SHORTEST, LONGEST)
        self._samples = whole(f"{_KEY}.samples", samples, 1, MOST)
        self._seed, self._encoding = seed, known_encoding(f"{_KEY}.encoding", encoding)
        self._source = None if source == GENERATED else Source(source, WINDOWS, f"{_KEY}.source")
        self._infos: dict[str, SampleInfo] = {}
        self._build: dict[str, Callable[[SampleInfo], Sample]] = {}
        self._window = lru_cache(maxsize=4)(self._generated_window if self._source is None else self._read_window)

    def infos(self) -> Sequence[SampleInfo]:
        if not self._infos:
            (self._plan_generated if self._source is None else self._plan_rows)()
        return list(self._infos.values())

    def sample(self, sample_id: str) -> Sample:
        self.infos()
        return self._build[sample_id](self._infos[sample_id])

    async def score(self, target: Target, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(judge_target, target, answer)

    def oracle(self, target: Target) -> str:
        return target.gold.written()

    def constants(self, samples: Sequence[Sample]) -> Sequence[Callable[[Sample], str]]:
        numbers = (_zero, _one, _even_share, _half_share)
        return [partial(_constant, *choice) for choice in itertools.product(LABELS, PHRASES, numbers)]

    def target_of(self, row: Mapping[str, Any]) -> Target:
        """From `target` and `answer_type`, as the data set has them (`[42]`, `ANSWER_TYPE.NUMERIC`) or bare."""
        kind = row.get("answer_type")
        if not isinstance(kind, str) or not kind.strip():
            raise ValueError(
                f"an OOLONG row with a target has an answer_type such as NUMERIC; this one has {kind!r:.80}"
            )
        return Target(Gold.of(row["target"], kind))

    def target_bytes(self, target: Target) -> bytes:
        return json.dumps({"answer": target.gold.answer, "answer_type": target.gold.answer_type}).encode()

    def provenance(self) -> Mapping[str, Any]:
        if self._source is not None:
            return self._source.identity()
        return made_of(self._seed, self._encoding)

    def _plan_generated(self) -> None:
        for index, length in itertools.product(range(self._samples), self._lengths):
            number, place = divmod(index, len(PLAN))
            sample_id = f"oolong-{length}-{number}-{place:02d}"
            cluster = f"window-{length}-{number}"
            self._infos[sample_id] = SampleInfo(sample_id, cluster, PLAN[place].group, "linear", length)
            self._build[sample_id] = partial(self._generated_sample, number, place)

    def _generated_window(self, length: int, number: int) -> Window:
        return window(length, number, self._seed, self._encoding, ROOM_SHORT if length < SHORT else ROOM)

    def _generated_sample(self, number: int, place: int, info: SampleInfo) -> Sample:
        shared = self._window(info.length, number)
        draws = Draws(self._seed, self.name, info.length, number, place)
        question = ask(PLAN[place], draws, shared.lines)
        kind = KINDS[question.kind]
        gold = Gold.of(repr([question.answer(shared.lines)]), kind.answer_type)
        return Sample(
            info, prompt_of(shared, question.words(), LAYOUT), Target(gold, kind.task, shared.lines, question)
        )

    def _plan_rows(self) -> None:
        by_length: dict[int, list[Mapping[str, Any]]] = {length: [] for length in self._lengths}
        for row in self._source.rows(_COLUMNS, {"dataset": DATASET, "context_len": self._lengths}, kinds=_KINDS):
            by_length[int(row["context_len"])].append(row)
        for length, rows in by_length.items():
            wanted = KNOWN_ROWS.get(length) if self._source.where == HUB else None
            if not rows or wanted not in (None, len(rows)):
                raise DataError(
                    f"{self._source.origin}: {len(rows)} rows have dataset {DATASET!r} and context_len {length}, "
                    f"wanted {wanted or 'at least one'}"
                )
        columns = [_by_turns(rows)[: self._samples] for rows in by_length.values()]
        for row in filter(None, itertools.chain.from_iterable(itertools.zip_longest(*columns))):
            sample_id, length = str(row["id"]), int(row["context_len"])
            if sample_id in self._infos:
                raise DataError(f"{self._source.origin}: two rows have the id {sample_id!r}")
            cluster = f"window-{row['context_window_id']}"
            self._infos[sample_id] = SampleInfo(sample_id, cluster, str(row["task_group"]), "linear", length)
            self._build[sample_id] = partial(self._row_sample, row)

    def _read_window(self, length: int, window_id: str) -> Window:
        match = {"dataset": DATASET, "context_len": length, "context_window_id": window_id}
        row = next(self._source.rows(TEXTS, match, kinds=TEXT_KINDS))
        return read_window(str(window_id), row)

    def _row_sample(self, row: Mapping[str, Any], info: SampleInfo) -> Sample:
        shared = self._window(info.length, row["context_window_id"])
        try:
            gold = Gold.of(row["answer"], row["answer_type"])
        except ValueError as error:
            raise DataError(f"{self._source.origin}: the row with the id {row['id']!r}: {error}") from error
        task = str(row["task"]).rpartition(".")[2]
        target = Target(gold, task, shared.lines, parsed_question(row["question"], gold, shared.lines))
        return Sample(info, prompt_of(shared, row["question"], LAYOUT), target)


def read_window(window_id: str, row: Mapping[str, Any]) -> Window:
    """A window from the two text columns of a row."""
    text, labelled = (row[column] for column in TEXTS)
    return Window(window_id, text, labelled_window(window_id, labelled).lines)


def judge_target(target: Target, answer: str | None) -> Score:
    """Score an answer. details: task, answer_type; where the answer exposes labels, as lines that end in
    `|| Label: ...` in the order of the window, their accuracy and what exact aggregation of them would score.
    """
    score = judge_answer(target.gold, answer, LABELS)
    details: dict[str, float | str | None] = {"task": target.task, "answer_type": target.gold.answer_type}
    exposed = written_labels(answer or "")
    if exposed and target.lines is not None:
        details["label_accuracy"] = label_accuracy(exposed, target)
        details["score_of_labels"] = score_of_labels(exposed, target) if target.question else None
    return replace(score, details=details)


def label_accuracy(predicted: Sequence[str | None], target: Target) -> float:
    """The share of the window's lines whose label was predicted rightly; a line without a prediction counts as wrong.

    predicted: one label a line, in the order of the window. Raises ValueError where the target has no labelled lines.
    """
    lines = _labelled(target)
    right = sum(LABELS[label] == guess for label, guess in zip(lines.labels.tolist(), predicted, strict=False))
    return right / len(lines)


def score_of_labels(predicted: Sequence[str | None], target: Target) -> float:
    """What exact aggregation of these labels would score: of the right ones the ceiling, of a method's own what its
    labels allow.

    Lines without a known label are left out. Raises ValueError where the target does not say what its question
    aggregates.
    """
    lines = _labelled(target)
    if target.question is None:
        raise ValueError("this target does not say what its question aggregates")
    labels = np.array([LABELS.index(guess) if guess in LABELS else -1 for guess in predicted], dtype=np.int64)
    count = min(len(labels), len(lines))
    kept = labels[:count] >= 0
    seen = Lines(lines.days[:count][kept], lines.users[:count][kept], labels[:count][kept])
    if not len(seen):
        return 0.0
    answer = target.question.answer(seen)
    if answer is None:
        return 0.0
    written = Gold(repr([answer]), target.gold.answer_type).written()
    return judge_answer(target.gold, written, LABELS).value


def _labelled(target: Target) -> Lines:
    if target.lines is None:
        raise ValueError("this target has no labelled lines")
    return target.lines


def _by_turns(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows with their windows by turns, and within a window their groups, so that any first few are a fair sample."""
    seen: dict[tuple[str, str], int] = {}
    keyed = []
    for row in rows:
        key = (str(row["context_window_id"]), str(row["task_group"]))
        seen[key] = seen.get(key, 0) + 1
        keyed.append(((seen[key], key[1], key[0]), row))
    return [row for _, row in sorted(keyed, key=lambda each: each[0])]


def _constant(label: str, phrase: str, number: Callable[[Sample], int], sample: Sample) -> str:
    """One fixed answer for each form that a question may ask for."""
    query = sample.prompt.query
    if "Label:" in query:
        return f"Label: {label}"
    if "'more common" in query:
        return f"Answer: {phrase}"
    if "User:" in query:
        return f"User: {written_users(sample.prompt.context_text)[0]}"
    if "Date:" in query:
        return "Date: 01/01/2024"
    return f"Answer: {number(sample)}"


def _zero(sample: Sample) -> int:
    return 0


def _one(sample: Sample) -> int:
    return 1


def _even_share(sample: Sample) -> int:
    return sample.prompt.context_text.count("\nDate: ") // len(LABELS)


def _half_share(sample: Sample) -> int:
    return _even_share(sample) // 2
