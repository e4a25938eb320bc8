"""The 13 tasks of RULER by their official names, with the tokens that are generated for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskName = Literal[
    "niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
    "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe", "qa_1", "qa_2",
]  # fmt: skip
NAMES: tuple[TaskName, ...] = TaskName.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Task:
    """A task: RULER's output tokens, the growth of its work with the length, and the score of several answers.

    any_answer: one of the answers is enough, as in question answering; else the share of all answers counts.
    """

    output_tokens: int = 128
    complexity: str = "constant"
    any_answer: bool = False


_QA = Task(32, any_answer=True)
TASKS: dict[str, Task] = {
    **dict.fromkeys(map(str, NAMES), Task()),
    "vt": Task(30), "cwe": Task(120, "linear"), "fwe": Task(50, "linear"), "qa_1": _QA, "qa_2": _QA,
}  # fmt: skip
SINGLE = {"niah_single_1": "single_1", "niah_single_2": "single_2", "niah_single_3": "single_3"}
