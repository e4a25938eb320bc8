"""Harness: runs one sample through the benchmarks, methods and models of a configuration."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.methods import build_methods
from benchmarks.config.schema import RunConfig
from benchmarks.config.several import labels_of
from benchmarks.running.budget import run_budget
from benchmarks.running.contained import contained_await
from benchmarks.running.contexts import ContextFiles
from benchmarks.running.fill_rows import call_rows, failed_row, planned_columns, sample_row, with_judge_calls
from benchmarks.running.journal import Record
from benchmarks.running.model_set import ModelSet
from benchmarks.running.rows import Key, arms_of
from benchmarks.running.samples import SampleCache, check_judge, load_benchmarks
from benchmarks.running.scoring import RUN_BUDGET, BudgetSpent, Scored, Scorer, ScorerFault
from benchmarks.sample import LONGEST_ANSWER, Benchmark, Sample, Score
from benchmarks.sources.protect import seal
from rlm.completion import Completion, StopReason, Usage, one_line
from rlm.limits import Budget
from rlm.methods.method import Method
from rlm.models.chat import CostState, FatalModelError, ModelError
from rlm.trajectory import CallRecord, Trajectory
from rlm.unpacking import pack

# A larger plan would not fit into memory.
MAX_PLANNED = 10_000_000
# Stop reasons of a sample that the run itself ended. The sample is unfinished and runs again on resumption.
UNFINISHED = (*RUN_BUDGET, StopReason.CANCELLED)


@dataclass(frozen=True)
class FinishedSample:
    """A record, and its gzipped trajectory, which is not journaled. Reference rows have no trajectory.

    answer: the complete answer, gzipped, if it is too long for its row.
    """

    record: Record
    trajectory: bytes = b""
    answer: bytes = b""


class Harness:
    """Produces the record for a key of the plan.

    store: the file of recorded responses; read_also: further files, of other workers and machines. before: the sample
    ids of each benchmark that the run already has.
    Raises ConfigError if a benchmark, a method or a model cannot be made from its configuration.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Path,
        budget: Budget | None = None,
        read_also: Sequence[Path] = (),
        before: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.config = config
        self.store = store
        self.budget = budget or run_budget(config)
        self.benchmarks, self.infos = load_benchmarks(config, before)
        planned = len(config.models) * len(config.method) * config.epochs * sum(map(len, self.infos.values()))
        if planned > MAX_PLANNED:
            raise ConfigError(
                f"the plan has {planned:,} samples over all methods, models and epochs: expected {MAX_PLANNED:,}"
            )
        self._model_set = ModelSet(config, store, read_also)
        self.models, self.judge = self._model_set.all_roles(), self._model_set.judge()
        check_judge(self.benchmarks, self.judge)
        self.labels = labels_of({name: roles["root"].name for name, roles in self.models.items()})
        self._free = {self.labels[name]: not section.paid for name, section in config.models.items()}
        batched = self._model_set.batched()
        self.batches = self._model_set.batches
        self._by_model = {
            self.labels[name]: build_methods(config, roles, batched.get(name)) for name, roles in self.models.items()
        }
        self._batched = list(batched.values())
        # Reference rows have no model, so those of the first are used.
        self.methods = next(iter(self._by_model.values()))
        self._scorer = Scorer(self.judge, self.budget)
        self._samples = SampleCache(self.benchmarks, keep=config.concurrency.samples)
        self._contexts = ContextFiles(store.parent) if config.save_contexts else None

    def plan(self) -> list[Key]:
        """Return a key for each sample, model, method and epoch of the run; the arms of a sample are adjacent."""
        reference = {name for name, method in self.methods.items() if not isinstance(method, Method)}
        arms = arms_of(self.methods, reference, list(self._by_model))
        return [
            Key(benchmark, method, sample_id, epoch, model)
            for benchmark, infos in self.infos.items()
            for epoch in range(self.config.epochs)
            for sample_id in infos
            for method, model in arms
        ]

    def is_batched(self, key: Key) -> bool:
        """True if the requests of a sample are sent in batches, so that it waits without using the machine."""
        return bool(self._batched) and any(getattr(self._method(key), "model", None) is one for one in self._batched)

    async def run_sample(self, key: Key) -> FinishedSample | None:
        """Run and score one sample; None if the run's budget or a cancellation ended it. Raises FatalModelError."""
        if self.batches is None or not self.is_batched(key):
            return await self._run_sample(key)
        async with self.batches.gathering.sample():
            return await self._run_sample(key)

    def _method(self, key: Key) -> Any:
        return self.methods[key.method] if key.model is None else self._by_model[key.model][key.method]

    async def _run_sample(self, key: Key) -> FinishedSample | None:
        # A spent budget admits no call, so the context is not built.
        if self.budget.spent:
            return None
        benchmark, started_at = self.benchmarks[key.benchmark], time.time()
        method = self._method(key)
        planned = planned_columns(key, benchmark, method, self.infos[key.benchmark][key.sample_id])
        try:
            built = await self._samples.get(key.benchmark, key.sample_id)
        except Exception as error:
            message = f"benchmark.{key.benchmark}: sample {key.sample_id} cannot be built: {one_line(error)}"
            return FinishedSample(Record(failed_row(planned, benchmark, message, started_at)))
        if self._contexts:
            await asyncio.to_thread(
                self._contexts.write,
                key.benchmark,
                key.sample_id,
                built.sample.prompt.context,
                protected=benchmark.protected,
            )
        completion = await self._complete(key, method, built.sample)
        if completion.stop_reason in UNFINISHED:
            return None
        try:
            scored, scoring_error = await self._score(benchmark, built.sample, completion, key.epoch)
        except BudgetSpent:
            # The answer is in the store of responses; it is judged when the run is resumed.
            return None
        answer = b""
        if completion.answer is not None and len(completion.answer) > LONGEST_ANSWER:
            answer = await asyncio.to_thread(_packed_text, benchmark, completion.answer)
            completion = replace(completion, answer=completion.answer[:LONGEST_ANSWER])
        row = sample_row(planned, benchmark, built, completion, scored, scoring_error, started_at)
        if (
            completion.calls
            and all(call.error for call in completion.calls)
            and not self._free.get(key.model or "", True)
        ):
            # The endpoint may have billed calls that failed.
            row.cost_state = str(CostState.UNKNOWN)
        calls = with_judge_calls(call_rows(key, completion.calls), key, scored.judge_calls)
        trajectory = await asyncio.to_thread(_packed_trajectory, benchmark, completion.trajectory)
        return FinishedSample(Record(row, calls), trajectory, answer)

    async def aclose(self) -> None:
        await self._model_set.aclose()

    async def _complete(self, key: Key, method: Any, sample: Sample) -> Completion:
        """Run a method or reference row. An exception becomes the completion's error."""
        try:
            if isinstance(method, Method):
                completion = await contained_await(
                    method.acompletion(sample.prompt, epoch=key.epoch, budget=self.budget)
                )
            else:
                benchmark = self.benchmarks[key.benchmark]
                answer = await method.answer(benchmark, sample, list(self.infos[key.benchmark]))
                completion = Completion(answer, StopReason.ANSWER, usage=Usage(), trajectory=Trajectory())
        except FatalModelError:
            raise
        except Exception as error:
            trajectory = Trajectory()
            trajectory.record("error", traceback=traceback.format_exc())
            return Completion(None, StopReason.ERROR, Usage(), trajectory, error=one_line(error))
        if isinstance(completion.answer, str | None):
            return completion
        error_text = f"method.{key.method}: the answer is a {type(completion.answer).__name__}: expected a string"
        return replace(completion, answer=None, stop_reason=StopReason.ERROR, error=error_text)

    async def _score(
        self, benchmark: Benchmark, sample: Sample, completion: Completion, epoch: int
    ) -> tuple[Scored, str | None]:
        """Return the score of a completion, and the error if scoring failed. Raises BudgetSpent and FatalModelError."""
        paid: list[CallRecord] = []
        try:
            return await self._scorer.score(benchmark, sample.target, completion.answer, epoch, paid), None
        except FatalModelError:
            raise
        except ModelError as error:
            message = f"judge: {one_line(error)}"
        except ScorerFault as error:
            message = f"scorer: {error}"
        # The answer is in the store of responses; it is scored again when the run is resumed.
        return Scored(Score(0.0, 0.0, False, ""), judge_calls=tuple(paid)), message


def _packed_trajectory(benchmark: Benchmark, trajectory: Trajectory) -> bytes:
    if not trajectory.events:
        return b""
    return pack(seal(trajectory.to_jsonl())) if benchmark.protected else trajectory.to_gzip()


def _packed_text(benchmark: Benchmark, text: str) -> bytes:
    return pack(seal(text) if benchmark.protected else text)
