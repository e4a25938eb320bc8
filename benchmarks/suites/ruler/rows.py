"""Reads samples from RULER's own files: a folder with a folder or file for each task, or the file of one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HubData, Source
from benchmarks.suites.data import in_turns
from benchmarks.suites.ruler.prompt import LAYOUT, QUESTION
from benchmarks.suites.ruler.scorer import RulerTarget
from benchmarks.suites.ruler.tasks import TASKS
from benchmarks.suites.sniah.rows import ruler_row, ruler_source_rows, split_needle
from rlm.paths import expand_home
from rlm.prompt import Prompt

_KEY = "benchmark.ruler.source"


class RulerTaskRows:
    """The samples of RULER's files, with the tasks in turn; read on first use. Raises DataError."""

    def __init__(self, where: str, tasks: Sequence[str]) -> None:
        self._where, self._tasks = where, tuple(tasks)

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        return {sample_id: info for sample_id, (info, _, _) in self._rows.items()}

    def sample(self, sample_id: str) -> Sample:
        info, text, answers = self._rows[sample_id]
        task = info.task_group
        prompt = split_needle(text) if task.startswith("niah_") else _split_question(text)
        return Sample(info, prompt, RulerTarget(answers, TASKS[task].any_answer))

    def provenance(self) -> Mapping[str, Any]:
        return {task: source.identity() for task, source in self._sources.items()}

    @cached_property
    def _sources(self) -> dict[str, Source]:
        root = expand_home(self._where)
        if root.is_file():
            if len(self._tasks) > 1:
                raise DataError(f"{_KEY} is a file: expected one task in benchmark.ruler.tasks, or a folder")
            return {self._tasks[0]: _source(str(root), self._tasks[0])}
        found = {}
        for task in self._tasks:
            paths = [root / task, *sorted(root.glob(f"{task}.*"))]
            path = next((path for path in paths if path.exists()), None)
            if path is None:
                raise DataError(f"{_KEY} is {self._where!r}: expected a folder or file {task} in it for each task")
            found[task] = _source(str(path), task)
        return found

    @cached_property
    def _rows(self) -> dict[str, tuple[SampleInfo, str, tuple[str, ...]]]:
        of_task = []
        for task, source in self._sources.items():
            rows: dict[str, tuple[SampleInfo, str, tuple[str, ...]]] = {}
            for row in ruler_source_rows(source):
                text, answers = ruler_row(source, row)
                # RULER's rows of needles have the place of the answer as their index, so that it can repeat.
                sample_id = f"{task}-{len(rows):03d}"
                info = SampleInfo(sample_id, sample_id, task, TASKS[task].complexity, row["length"])
                rows[sample_id] = info, text, answers
            of_task.append(list(rows.items()))
        return dict(in_turns(of_task))


def _source(path: str, task: str) -> Source:
    return Source(path, HubData(f"RULER {task}", "local"), _KEY)


def _split_question(text: str) -> Prompt:
    context, mark, rest = text.rpartition(f"\n{QUESTION}")
    return Prompt(context, mark[1:] + rest, LAYOUT) if context else Prompt(text)
