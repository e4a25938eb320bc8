"""Scores one answer for `run`, `rescore` and `score`: cuts it, scores or judges it, and checks the score."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from benchmarks.running.contained import ForeignExit, contained, contained_await
from benchmarks.running.rows import RowError, checked_details
from benchmarks.sample import Benchmark, Score, cut_answer
from benchmarks.sources.protect import seal
from rlm.completion import StopReason
from rlm.limits import Budget
from rlm.models.chat import FatalModelError, ModelError
from rlm.trajectory import CallRecord

if TYPE_CHECKING:
    from benchmarks.scoring.judge import LlmJudge

# If this many replies of the judge have no verdict, and none has one, the run stops.
MAX_UNREAD = 10
# Details of a score whose texts are this project's own, so they reveal nothing about a protected benchmark.
_OPEN_DETAILS = ("judged_by", "judge_verdict")
_ROUNDING = 1e-9


class ScorerFault(Exception):
    """A scorer raised an exception or returned an invalid score. The message is one line that names its suite."""


class BudgetSpent(Exception):
    """The run's budget was spent before the judge gave a verdict, so the sample is not finished."""


class UnreadableJudge(FatalModelError):
    """No reply of the judge has a verdict."""


@dataclass(frozen=True)
class Scored:
    """A checked score, and the judge's calls. answer_cut: only the start of the answer was scored."""

    score: Score
    answer_cut: bool = False
    judge_calls: tuple[CallRecord, ...] = ()


class Scorer:
    """Scores answers, and counts the verdicts of the judge if there is one.

    budget: the run's, shared with its methods.
    """

    def __init__(self, judge: LlmJudge | None = None, budget: Budget | None = None) -> None:
        self.judge = judge
        self._budget = budget
        self._read = 0
        self._unread: list[str] = []

    async def score(
        self,
        benchmark: Benchmark,
        target: Any,
        answer: str | None,
        epoch: int = 0,
        judge_calls: list[CallRecord] | None = None,
    ) -> Scored:
        """Score an answer, up to the suite's `max_answer_tokens`.

        judge_calls: a list that gets the judge's calls, also if scoring fails.

        Raises ScorerFault, BudgetSpent, or ModelError for a judge that failed (UnreadableJudge is a subclass).
        """
        kept, cut = cut_answer(benchmark, answer)
        if self.judge is None:
            return Scored(await _checked_score(benchmark, target, kept, None), cut)
        opened, calls = self.judge.open(epoch, self._budget)
        verdicts: list[Any] = []
        failures: list[ModelError] = []

        async def ask(question: str, response: str, correct_answer: str, **more: str) -> Any:
            try:
                verdicts.append(await opened(question, response, correct_answer, **more))
            except ModelError as error:
                failures.append(error)
                raise
            return verdicts[-1]

        fault: ScorerFault | None = None
        try:
            score = await _checked_score(benchmark, target, kept, ask)
        except ScorerFault as error:
            fault = error
        finally:
            if judge_calls is not None:
                judge_calls += calls
        if opened.tree.meter.stopped in RUN_BUDGET:
            raise BudgetSpent("the budget is spent")
        # A scorer may have caught the judge's failure. Its score would then count the answer as wrong.
        if failures:
            raise failures[0]
        if fault:
            raise fault
        for verdict in verdicts:
            self._count(verdict)
        return Scored(score, cut, tuple(calls))

    def _count(self, verdict: Any) -> None:
        if verdict.correct is not None:
            self._read += 1
        elif not self._read:
            self._unread.append(" ".join(verdict.reply.split())[:80])
        if not self._read and len(self._unread) >= MAX_UNREAD:
            shown = "; ".join(repr(reply) for reply in self._unread[:3])
            raise UnreadableJudge(
                f"judge: no verdict in any of the first {MAX_UNREAD} replies, which begin: {shown}. Expected a line "
                "`correct: yes` or `correct: no`: check judge.prompt, judge.root.max_output_tokens and the model"
            )


RUN_BUDGET = tuple(reason for reason in StopReason if reason.startswith("max_run_"))


async def _checked_score(benchmark: Benchmark, target: Any, answer: str | None, ask: Any) -> Score:
    where = f"benchmark.{benchmark.name}"
    try:
        found = contained(benchmark.score, target, answer, *([ask] if ask else []))
        score = await contained_await(found) if inspect.isawaitable(found) else found
    except ModelError:
        raise
    except Exception as error:
        # The exception's message may contain the target.
        raised = error.kind if isinstance(error, ForeignExit) else type(error).__name__
        raise ScorerFault(f"{where}: score() raised {raised}") from error
    if not isinstance(score, Score):
        raise ScorerFault(f"{where}: score() returned a {type(score).__name__}: expected a Score")
    try:
        details = checked_details(score.details)
    except RowError as error:
        raise ScorerFault(f"{where}: score() returned {error}") from error
    value, lenient = (_share(where, name, getattr(score, name)) for name in ("value", "lenient"))
    if not isinstance(score.prediction, str | None):
        raise ScorerFault(f"{where}: score() returned prediction {score.prediction!r:.60}: expected a string")
    return Score(value, lenient, bool(score.format_ok), score.prediction, details)


def _share(where: str, name: str, value: Any) -> float:
    if not isinstance(value, Real) or not -_ROUNDING <= float(value) <= 1 + _ROUNDING:
        raise ScorerFault(f"{where}: score() returned {name} {value!r:.60}: expected a number from 0 to 1")
    return min(1.0, max(0.0, float(value)))


def sealed(benchmark: Benchmark, text: str | None) -> str | None:
    """Return a text in its stored form: sealed if the benchmark is protected."""
    return seal(text) if text and benchmark.protected else text


def score_columns(benchmark: Benchmark, scored: Scored, *, failed: bool) -> dict[str, Any]:
    """Return the columns of a SampleRow that scoring fills. A failed sample scores 0."""
    score = scored.score
    return {
        "score": 0.0 if failed else score.value,
        "lenient_score": 0.0 if failed else score.lenient,
        "format_ok": score.format_ok,
        "extracted": sealed(benchmark, score.prediction),
        "scorer": benchmark.scorer,
        "answer_cut": scored.answer_cut,
        "judge_cost_usd": math.fsum(call.cost.usd for call in scored.judge_calls),
        "details": stored_details(benchmark, score.details),
    }


def stored_details(benchmark: Benchmark, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return details of a score in their stored form: texts are sealed if the benchmark is protected."""
    return {
        name: sealed(benchmark, value) if isinstance(value, str) and name not in _OPEN_DETAILS else value
        for name, value in details.items()
    }
