"""Fills rows from a completion and its scoring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.running.rows import CallRow, Key, SampleRow
from benchmarks.running.samples import BuiltSample
from benchmarks.running.scoring import Scored, score_columns, sealed
from benchmarks.sample import Benchmark, SampleInfo
from rlm.completion import Completion, Status
from rlm.methods.method import Method
from rlm.models.chat import CostState
from rlm.trajectory import CallRecord, Trajectory, chosen_events
from rlm.tree import COMPACTOR

_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
_COUNTS = ("root_calls", "sub_calls", "max_depth_reached", "turns", "cells", "syntax_errors", "model_s")
_STRATEGY = ("decomposition", "answer_from", "contradicts_variable")


def planned_columns(key: Key, benchmark: Benchmark, method: Any, info: SampleInfo) -> dict[str, Any]:
    """Return the columns that are known before a sample is built."""
    is_method = isinstance(method, Method)
    return {
        **key._asdict(),
        "sub_model": method.sub_model.name if is_method else None,
        "cluster": info.cluster,
        "task_group": info.task_group,
        "complexity": info.complexity,
        "length": info.length,
        "metric": benchmark.metric,
        "scorer": benchmark.scorer,
        "context_limit": method.model.context_window if is_method else None,
        "max_output_tokens": method.model.sampling.max_output_tokens if is_method else None,
        "protected": benchmark.protected,
    }


def failed_row(planned: dict[str, Any], benchmark: Benchmark, error: str, started_at: float) -> SampleRow:
    """Return the row of a sample that could not be built."""
    return SampleRow(
        **planned,
        score=0.0,
        lenient_score=0.0,
        format_ok=False,
        status=str(Status.ERROR),
        stop_reason="error",
        error=sealed(benchmark, error),
        started_at=started_at,
    )


def sample_row(
    planned: dict[str, Any],
    benchmark: Benchmark,
    built: BuiltSample,
    completion: Completion,
    scored: Scored,
    scoring_error: str | None,
    started_at: float,
) -> SampleRow:
    """Return the row of a sample that was run. scoring_error: the error, if scoring failed."""
    usage = completion.usage
    status = Status.ERROR if scoring_error else completion.status
    scores = score_columns(benchmark, scored, failed=status == Status.ERROR)
    return SampleRow(
        **planned | scores,
        input_tokens=built.tokens,
        prediction=sealed(benchmark, completion.answer),
        target=sealed(benchmark, built.target),
        target_sha256=built.target_sha256,
        status=str(status),
        stop_reason=str(completion.stop_reason),
        error=sealed(benchmark, scoring_error or completion.error),
        truncated=completion.truncated,
        untagged=getattr(completion, "untagged", None),
        prompt_cut=any(call.prompt_cut for call in completion.calls),
        cost_usd=usage.cost.usd,
        cost_uncached_usd=usage.cost.uncached_usd,
        cost_state=str(usage.cost.state if completion.calls else CostState.FREE),
        **{name: getattr(usage.tokens, name) for name in _TOKENS},
        **{name: getattr(usage, name) for name in _COUNTS},
        wall_s=completion.wall_s,
        started_at=started_at,
        **_strategy(completion.trajectory),
        **_compactions(completion),
        **_agreement(completion.trajectory),
    )


def _strategy(trajectory: Trajectory) -> dict[str, Any]:
    """Return a root's decomposition of the context and its answer's source; nulls for methods without a summary."""
    roots = [event for event in chosen_events(trajectory.events) if event["kind"] == "summary" and event["depth"] == 0]
    summary = roots[-1] if roots else {}
    return {name: summary.get(name) for name in _STRATEGY}


def _compactions(completion: Completion) -> dict[str, Any]:
    """Return the compactions of all loops of a tree and their cost; nothing for methods that keep their history."""
    counts = [loop["compactions"] for loop in completion.trajectory.of_kind("summary") if "compactions" in loop]
    if not counts:
        return {}
    cost = math.fsum(call.cost.usd for call in completion.calls if call.role == COMPACTOR)
    return {"compactions": sum(counts), "compaction_cost_usd": cost}


def _agreement(trajectory: Trajectory) -> dict[str, Any]:
    """Return the number of programs and the agreement on the chosen answer; nothing for methods with one program."""
    return {
        name: value
        for event in trajectory.of_kind("selection")
        for name, value in (
            ("programs", len(event["programs"])),
            ("agreement", event["votes"] / len(event["programs"])),
        )
    }


def call_rows(key: Key, calls: Sequence[CallRecord]) -> list[CallRow]:
    """Return the rows of a method's calls."""
    return [_call_row(key, call, call.call_id, call.parent_id) for call in calls]


def with_judge_calls(rows: Sequence[CallRow], key: Key, judge_calls: Sequence[CallRecord]) -> list[CallRow]:
    """Return the rows of a method's calls, followed by the judge's, which continue the numbering."""
    first = max((call.call_id for call in rows), default=-1) + 1
    return [*rows, *(_call_row(key, call, first + number, None) for number, call in enumerate(judge_calls))]


def _call_row(key: Key, call: CallRecord, call_id: int, parent_id: int | None) -> CallRow:
    return CallRow(
        **key.of_calls(),
        call_id=call_id,
        parent_id=parent_id,
        depth=call.depth,
        role=call.role,
        model=call.model,
        **{name: getattr(call.usage, name) for name in _TOKENS},
        cost_usd=call.cost.usd,
        cost_uncached_usd=call.cost.uncached_usd,
        cost_state=str(call.cost.state),
        usage_clamped=call.usage.clamped,
        finish_reason=call.finish_reason,
        latency_s=call.latency_s,
        retries=call.retries,
        retried=",".join(failure.kind for failure in call.failures),
        cache_hit=call.cache_hit,
        prompt_sha256=call.prompt_sha256,
        prompt_file_sha256=call.prompt_file_sha256,
        error=call.error,
        started_at=call.started_at,
        provider=call.provider or None,
        system_fingerprint=call.system_fingerprint or None,
        returned_model=call.returned_model or None,
        prompt_cut=call.prompt_cut,
        output_cap=call.output_cap,
    )
