"""Harness: the benchmarks, methods and models of a configuration, and how one sample goes through them."""

from __future__ import annotations

import asyncio
import hashlib
import time
import traceback
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.build import build, build_methods
from benchmarks.config.compose import Config, ConfigError
from benchmarks.running.executors import ExecutorError
from benchmarks.running.journal import Key, Record
from benchmarks.running.model_set import ModelSet
from benchmarks.sample import Benchmark, Sample, SampleInfo, Score
from benchmarks.sources.protect import seal
from rlm.completion import Completion, Status, StopReason, Usage, one_line
from rlm.limits import Budget
from rlm.methods.method import Method
from rlm.models.chat import CostState, FatalModelError, ModelError
from rlm.models.tokens import count_tokens
from rlm.trajectory import CallRecord, Trajectory

if TYPE_CHECKING:
    from benchmarks.scoring.judge import LlmJudge

# Details of a score that are words of ours and tell nothing of a protected benchmark.
OPEN_DETAILS = ("judged_by", "judge_verdict")
# A plan of more would not fit in memory.
MOST_PLANNED = 10_000_000
# Stop reasons of a sample that the run itself cut short: it is not finished, and runs again on resumption.
UNFINISHED = (StopReason.MAX_RUN_COST, StopReason.CANCELLED)


class Harness:
    """Everything a run needs to turn a key of its plan into a record.

    store: the file of recorded responses; read_also: further ones, of other workers and machines.
    Raises ConfigError when a benchmark, a method or a model cannot be made from its configuration.
    """

    def __init__(
        self, config: Config, store: Path, budget: Budget | None = None, read_also: Sequence[Path] = ()
    ) -> None:
        self.config = config
        self.store = store
        self.budget = budget or Budget(config["budget"]["max_cost_usd"])
        self.benchmarks, self.infos = load_benchmarks(config)
        planned = len(config["method"]) * config["epochs"] * sum(map(len, self.infos.values()))
        if planned > MOST_PLANNED:
            raise ConfigError(
                f"there are {planned} samples to run, over all methods and epochs: wanted at most {MOST_PLANNED}"
            )
        self._model_set = ModelSet(config, store, read_also)
        self.models, self.judge = self._model_set.roles(), self._model_set.judge()
        self.methods = build_methods(config, self.models)
        self._samples = SampleCache(self.benchmarks, keep=config["concurrency"]["samples"])

    def plan(self) -> list[Key]:
        """Every (benchmark, method, sample, epoch) of the run; a sample's methods follow each other."""
        return [
            (benchmark, method, sample_id, epoch)
            for benchmark, infos in self.infos.items()
            for epoch in range(self.config["epochs"])
            for sample_id in infos
            for method in self.methods
        ]

    async def run_sample(self, key: Key) -> Finished | None:
        """Run and score one sample; None when the run cut it short.

        Raises FatalModelError, and ExecutorError for data of which no sample can be made.
        """
        benchmark_name, method_name, sample_id, epoch = key
        benchmark, method = self.benchmarks[benchmark_name], self.methods[method_name]
        started_at = time.time()
        try:
            built = await self._samples.get(benchmark_name, sample_id)
        except Exception as error:
            told = f"benchmark.{benchmark_name}: sample {sample_id} cannot be built: {one_line(error)}"
            raise ExecutorError(told) from error
        completion = await self._complete(benchmark_name, method, built.sample, epoch)
        if completion.stop_reason in UNFINISHED:
            return None
        completion, score, judged = await self._score(benchmark, built.sample, completion, epoch)
        row = self._row(key, built, completion) | {"started_at": started_at}
        row |= score_columns(benchmark, score, row["status"], judged)
        row |= strategy_columns(completion.trajectory)
        calls = with_judged([call_row(call) for call in completion.calls], judged)
        lines = completion.trajectory.to_jsonl()
        return Finished({"row": row, "calls": calls}, seal(lines) if lines and benchmark.protected else lines)

    async def aclose(self) -> None:
        await self._model_set.aclose()

    async def _complete(self, benchmark: str, method: Any, sample: Sample, epoch: int) -> Completion:
        """What a method, or a reference row, makes of a sample; what it raises is the completion's error."""
        try:
            if isinstance(method, Method):
                return await method.acompletion(sample.prompt, epoch=epoch, budget=self.budget)
            answer = await method.answer(self.benchmarks[benchmark], sample, list(self.infos[benchmark]))
            return Completion(answer, StopReason.ANSWER, usage=_NO_USAGE, trajectory=Trajectory())
        except FatalModelError:
            raise
        except Exception as error:
            trajectory = Trajectory()
            trajectory.record("error", traceback=traceback.format_exc())
            return Completion(None, StopReason.ERROR, _NO_USAGE, trajectory, error=one_line(error))

    async def _score(
        self, benchmark: Benchmark, sample: Sample, completion: Completion, epoch: int
    ) -> tuple[Completion, Score, Sequence[Mapping[str, Any]]]:
        """The score of a completion and the judge's calls; where scoring fails, so has the sample."""
        try:
            return completion, *await judge_answer(self.judge, benchmark, sample, completion.answer, epoch, self.budget)
        except FatalModelError:
            raise
        except ModelError as error:
            told = f"judge: {one_line(error)}"
        except Exception as error:
            # Without its message, which may hold the target.
            told = f"scorer: {type(error).__name__}"
        # The answer is in the store of calls, and is judged again on resumption.
        return replace(completion, stop_reason=StopReason.ERROR, error=told), Score(0.0, 0.0, False, ""), ()

    def _row(self, key: Key, built: BuiltSample, completion: Completion) -> dict[str, Any]:
        benchmark_name, method_name, sample_id, epoch = key
        benchmark, method, info = self.benchmarks[benchmark_name], self.methods[method_name], built.sample.info
        usage = completion.usage
        is_method = isinstance(method, Method)
        return {
            "benchmark": benchmark_name,
            "method": method_name,
            "model": method.model.name if is_method else None,
            "sub_model": method.sub_model.name if is_method else None,
            "sample_id": sample_id,
            "epoch": epoch,
            "cluster": info.cluster,
            "task_group": info.task_group,
            "complexity": info.complexity,
            "length": info.length,
            "input_tokens": built.tokens,
            "metric": benchmark.metric,
            "prediction": _text(benchmark, completion.answer),
            "target_sha256": built.target_sha256,
            "status": str(completion.status),
            "stop_reason": str(completion.stop_reason),
            "error": _text(benchmark, completion.error),
            "truncated": completion.truncated,
            "cost_usd": usage.cost.usd,
            "cost_uncached_usd": usage.cost.uncached_usd,
            "cost_state": str(usage.cost.state if completion.calls else CostState.FREE),
            **{name: getattr(usage.tokens, name) for name in _TOKEN_COLUMNS},
            "root_calls": usage.root_calls,
            "sub_calls": usage.sub_calls,
            "max_depth_reached": usage.max_depth_reached,
            "turns": usage.turns,
            "cells": usage.cells,
            "syntax_errors": usage.syntax_errors,
            "wall_s": completion.wall_s,
            "model_s": usage.model_s,
            "context_limit": method.model.context_window if is_method else None,
            "max_output_tokens": method.model.sampling.max_output_tokens if is_method else None,
            "protected": benchmark.protected,
        }


@dataclass(frozen=True)
class Finished:
    """A record and the lines of its trajectory, which are not in the journal; empty for reference rows."""

    record: Record
    trajectory: str


@dataclass(frozen=True)
class BuiltSample:
    """A sample with its context, its measured tokens and the hash of its target."""

    sample: Sample
    tokens: int
    target_sha256: str


class SampleCache:
    """Builds contexts once for all methods that follow each other, and keeps the last few."""

    def __init__(self, benchmarks: Mapping[str, Benchmark], keep: int) -> None:
        self._benchmarks = benchmarks
        self._keep = keep
        self._built: OrderedDict[tuple[str, str], asyncio.Task[BuiltSample]] = OrderedDict()

    async def get(self, benchmark: str, sample_id: str) -> BuiltSample:
        key = benchmark, sample_id
        if key not in self._built:
            self._built[key] = asyncio.create_task(
                asyncio.to_thread(built_sample, self._benchmarks[benchmark], sample_id)
            )
            while len(self._built) > self._keep:
                self._built.popitem(last=False)
        self._built.move_to_end(key)
        return await asyncio.shield(self._built[key])


def built_sample(benchmark: Benchmark, sample_id: str) -> BuiltSample:
    """Build a sample and measure it."""
    sample = benchmark.sample(sample_id)
    digest = hashlib.sha256(benchmark.target_bytes(sample.target)).hexdigest()
    return BuiltSample(sample, prompt_tokens(sample), digest)


async def judge_answer(
    judge: LlmJudge | None,
    benchmark: Benchmark,
    sample: Sample,
    answer: str | None,
    epoch: int = 0,
    budget: Budget | None = None,
) -> tuple[Score, Sequence[Mapping[str, Any]]]:
    """Score an answer, and the calls of the judge as rows of calls.parquet. Raises ModelError of the judge."""
    if judge is None:
        return await benchmark.score(sample.target, answer), ()
    ask, calls = judge.open(epoch, budget)
    score = await benchmark.score(sample.target, answer, ask)
    return score, [call_row(call) for call in calls]


def score_columns(
    benchmark: Benchmark, score: Score, status: str, judged: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The columns that come from scoring. A sample that failed scores 0, whatever it left behind."""
    failed = status == Status.ERROR
    return {
        "score": 0.0 if failed else score.value,
        "lenient_score": 0.0 if failed else score.lenient,
        "format_ok": score.format_ok,
        "extracted": _text(benchmark, score.prediction),
        "scorer": benchmark.scorer,
        "judge_cost_usd": sum((call["cost_usd"] for call in judged), 0.0),
        **{
            name: _text(benchmark, value) if isinstance(value, str) and name not in OPEN_DETAILS else value
            for name, value in score.details.items()
        },
    }


def _text(benchmark: Benchmark, text: str | None) -> str | None:
    return seal(text) if text and benchmark.protected else text


def load_benchmarks(config: Config) -> tuple[dict[str, Benchmark], dict[str, dict[str, SampleInfo]]]:
    """The benchmarks of a configuration, and of each the samples of the run by id. Raises ConfigError."""
    benchmarks = {name: build(settings, f"benchmark.{name}") for name, settings in config["benchmark"].items()}
    infos = {}
    for name, benchmark in benchmarks.items():
        try:
            infos[name] = {info.sample_id: info for info in benchmark.infos()[: config["limit"]]}
        except (ValueError, ArithmeticError, OSError) as error:
            raise ConfigError(f"benchmark.{name}: {error}") from error
    return benchmarks, infos


def prompt_tokens(sample: Sample) -> int:
    """Tokens of the context and the query together."""
    context = sample.prompt.context
    documents = [context] if isinstance(context, str) else context
    return sum(map(count_tokens, documents)) + count_tokens(sample.prompt.query)


def strategy_columns(trajectory: Trajectory) -> dict[str, Any]:
    """How a root took the context apart and where its answer came from; empty for methods that do not tell."""
    roots = [event for event in trajectory.of_kind("summary") if event["depth"] == 0]
    summary = roots[-1] if roots else {}
    return {name: summary.get(name) for name in ("decomposition", "answer_from", "contradicts_variable")}


def with_judged(calls: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of a method's calls and after them the judge's, whose tree has numbered its calls from 0 too."""
    return [*calls, *(call | {"call_id": len(calls) + place} for place, call in enumerate(judged))]


def call_row(call: CallRecord) -> dict[str, Any]:
    """A model call as a row of calls.parquet."""
    return {
        "call_id": call.call_id,
        "parent_id": call.parent_id,
        "depth": call.depth,
        "role": call.role,
        "model": call.model,
        **{name: getattr(call.usage, name) for name in _TOKEN_COLUMNS},
        "cost_usd": call.cost.usd,
        "cost_uncached_usd": call.cost.uncached_usd,
        "cost_state": str(call.cost.state),
        "usage_clamped": call.usage.clamped,
        "finish_reason": call.finish_reason,
        "latency_s": call.latency_s,
        "retries": call.retries,
        "retried": ",".join(failure.kind for failure in call.failures),
        "cache_hit": call.cache_hit,
        "prompt_sha256": call.prompt_sha256,
        "prompt_file_sha256": call.prompt_file_sha256,
        "error": call.error,
        "started_at": call.started_at,
    }


_TOKEN_COLUMNS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
_NO_USAGE = Usage()
