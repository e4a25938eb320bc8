"""Exports a run as logs of Inspect (inspect_ai), one for each benchmark and method, for `inspect view`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.export.tables import RunTables, cell_output, cut, empty_folder, read_run, reading_events
from benchmarks.report.targets import target_text
from benchmarks.running.run_files import read_trajectory, safe_name
from benchmarks.sources.protect import HIDDEN
from rlm.trajectory import chosen_events

if TYPE_CHECKING:
    import pandas as pd
    from inspect_ai.event import Event
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage

_STATES = {"finished": "success", "interrupted": "cancelled", "running": "started"}
_LIMITS = {"max_cost_usd": "cost", "max_tokens": "token", "max_turns": "turn", "max_wall_s": "time"}
_TEXT_COLUMNS = ("prediction", "extracted", "error", "target")
_METADATA = (
    "cluster", "task_group", "complexity", "length", "input_tokens", "lenient_score", "format_ok", "status",
    "stop_reason", "truncated", "cost_usd", "cost_state", "root_calls", "sub_calls", "max_depth_reached", "turns",
    "cells", "syntax_errors", "target_sha256", "trajectory",
)  # fmt: skip


def export_inspect(path: Path, out: Path) -> list[Path]:
    """Write the logs of a run, and return their files. Raises ConfigError, also if inspect_ai is not installed.

    The target is the one of samples.parquet, or its hash if the table has none. Texts are cut to TEXT_CHARS characters;
    texts of protected benchmarks are omitted.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError as error:
        raise ConfigError(f"export inspect needs the extra: pip install 'rlm-eval[inspect]' ({error})") from error
    run = read_run(path)
    empty_folder(out)
    files = []
    several = run.samples["model"].nunique() > 1
    for (benchmark, method, model), rows in run.samples.groupby(
        ["benchmark", "method", "model"], sort=False, dropna=False
    ):
        part = f"_{model}" if several and _given(model) else ""
        file = out / f"{safe_name(f'{benchmark}_{method}{part}')}.eval"
        write_eval_log(_log(run, str(benchmark), str(method), rows, part), str(file))
        files.append(file)
    return files


def _log(run: RunTables, benchmark: str, method: str, rows: pd.DataFrame, part: str) -> EvalLog:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalPlan, EvalPlanStep, EvalSpec, EvalStats

    manifest = run.manifest
    described = (manifest.get("benchmarks") or {}).get(benchmark) or {}
    config = manifest.get("config") or {}
    data = described.get("data") or {}
    model = next((name for name in rows["model"] if _given(name)), "none")
    started, ended = manifest.get("started_at") or rows["started_at"].min(), manifest.get("ended_at")
    samples = []
    for row in rows.to_dict("records"):
        with reading_events(run, row):
            samples.append(_sample(run, row))
    name = f"{manifest.get('name') or run.path.name}_{benchmark}_{method}{part}"
    return EvalLog(
        status=_STATES.get(manifest.get("state", ""), "error"),
        eval=EvalSpec(
            eval_id=name,
            run_id=str(manifest.get("config_hash") or name),
            created=_time(started).isoformat(),
            task=benchmark,
            task_id=name,
            task_args={"benchmark": (config.get("benchmark") or {}).get(benchmark) or {}},
            solver=method,
            solver_args=(config.get("method") or {}).get(method) or {},
            dataset=EvalDataset(
                name=benchmark,
                location=str(data.get("source") or ""),
                samples=int(rows["sample_id"].nunique()),
                sample_ids=list(dict.fromkeys(rows["sample_id"])),
            ),
            model=model,
            config=EvalConfig(epochs=int(rows["epoch"].nunique())),
            packages={"rlm-eval": str((manifest.get("packages") or {}).get("rlm-eval", ""))},
            metadata={"config_hash": manifest.get("config_hash"), "data": data, "git": manifest.get("git")},
        ),
        plan=EvalPlan(steps=[EvalPlanStep(solver=method)]),
        results=_results(rows, str(described.get("scorer") or "score")),
        stats=EvalStats(
            started_at=_time(started).isoformat(),
            completed_at=_time(ended).isoformat() if ended else "",
            model_usage=_usage_by_model(samples),
        ),
        samples=samples,
    )


def _results(rows: pd.DataFrame, scorer: str) -> Any:
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore

    from benchmarks.statistics.intervals import clustered_se

    scores = rows["score"].fillna(0.0)
    clusters = rows["cluster"].where(rows["cluster"].notna(), rows["sample_id"]).astype(str)
    metrics = {"mean": float(scores.mean())}
    error = clustered_se(scores.to_numpy(), clusters.to_numpy())
    if error == error:
        metrics["stderr"] = float(error)
    name = next((metric for metric in rows["metric"] if _given(metric)), "score")
    score = EvalScore(
        name=name, scorer=scorer, metrics={key: EvalMetric(name=key, value=value) for key, value in metrics.items()}
    )
    return EvalResults(
        total_samples=len(rows), completed_samples=int((rows["status"] != "error").sum()), scores=[score]
    )


def _sample(run: RunTables, row: Mapping[str, Any]) -> EvalSample:
    from inspect_ai.log import EvalError, EvalSample, EvalSampleLimit
    from inspect_ai.model import ChatMessageAssistant, ModelOutput
    from inspect_ai.scorer import Score

    row = {key: (value if _given(value) else None) for key, value in row.items()}
    protected = bool(row.get("protected"))
    if protected:
        row |= {name: HIDDEN for name in _TEXT_COLUMNS if row.get(name)}
    events = read_trajectory(run.path, row["trajectory"]) if row.get("trajectory") and not protected else []
    messages = _conversation(events)
    answer = row.get("prediction") or ""
    started = float(row["started_at"] or 0.0)
    error, reason = row.get("error"), row["stop_reason"] or ""
    kind = "context" if row["status"] == "context_overflow" else _LIMITS.get(reason, "custom")
    limited = row["status"] in ("limit", "context_overflow")
    return EvalSample(
        id=str(row["sample_id"]),
        epoch=int(row["epoch"]) + 1,
        input=cut(_query(events)) or (HIDDEN if protected else str(row["sample_id"])),
        target=cut(target_text(row["target"]) if row.get("target") else f"sha256:{row['target_sha256']}"),
        messages=[*messages, ChatMessageAssistant(content=cut(answer))] if answer and not messages else messages,
        output=ModelOutput.from_content(row.get("model") or "none", cut(answer)),
        scores={
            row["metric"] or "score": Score(
                value=float(row["score"] or 0.0), answer=cut(row.get("extracted") or answer), metadata=_details(row)
            )
        },
        metadata=_details(row),
        events=list(_events(events, started)),
        model_usage=_model_usage(row),
        started_at=_time(started).isoformat(),
        completed_at=_time(started + float(row["wall_s"] or 0.0)).isoformat(),
        total_time=float(row["wall_s"] or 0.0),
        working_time=float(row["wall_s"] or 0.0),
        uuid="/".join(
            str(row[key]) for key in ("benchmark", "method", "model", "sample_id", "epoch") if _given(row[key])
        ),
        error=EvalError(message=error or reason, traceback="", traceback_ansi="") if row["status"] == "error" else None,
        limit=EvalSampleLimit(type=kind, limit=0, reason=reason) if limited else None,
    )


def _conversation(events: Sequence[Mapping[str, Any]]) -> list[ChatMessage]:
    """Return the conversation of the harness and the root, from the root's calls."""
    messages: list[ChatMessage] = []
    for event in chosen_events(events):
        if event["kind"] == "call" and event["role"] == "root" and event["depth"] == 0:
            # A call that does not continue an earlier one sends its complete history.
            messages = messages if "after_call" in event else []
            new = _messages(event["messages"])
            messages += [message for message in new if message.role != "assistant" or not messages]
            messages.append(_output(event).choices[0].message)
    return messages


def _events(events: Sequence[Mapping[str, Any]], started: float) -> Iterator[Event]:
    """Return the events of Inspect's transcript: model calls, cells as tool calls, notices and limits as notes."""
    from inspect_ai.event import InfoEvent, ModelEvent, ToolEvent
    from inspect_ai.model import GenerateConfig

    for event in events:
        at = {"timestamp": _time(started + event["at"]), "working_start": event["at"]}
        note = {"depth": event["depth"]}
        match event["kind"]:
            case "call":
                yield ModelEvent(
                    **at, model=event["model"], role=event["role"], input=_messages(event["messages"]), tools=[],
                    tool_choice="none", config=GenerateConfig(), output=_output(event), error=event["error"],
                    retries=len(event["retries"]) or None, cache="read" if event["cache_hit"] else None, metadata=note,
                    working_time=event["latency_s"],
                )  # fmt: skip
            case "cell":
                code = {"code": cut(event.get("code") or "")}
                yield ToolEvent(**at, id=f"cell-{event['id']}", function="python", arguments=code,
                                result=cell_output(event), metadata=note)  # fmt: skip
            case "limit" | "notice" | "child" | "compaction" | "summary" | "program" | "selection" | "bound":
                data = {key: cut(value) if isinstance(value, str) else value for key, value in event.items()}
                yield InfoEvent(**at, source=event["kind"], data=data, metadata=note)


def _messages(messages: Sequence[Mapping[str, str]]) -> list[ChatMessage]:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds = {"system": ChatMessageSystem, "developer": ChatMessageSystem, "assistant": ChatMessageAssistant}
    return [kinds.get(message["role"], ChatMessageUser)(content=cut(message["content"])) for message in messages]


def _output(event: Mapping[str, Any]) -> ModelOutput:
    from inspect_ai.model import ModelOutput

    reasons = {"length": "max_tokens", "content_filter": "content_filter"}
    output = ModelOutput.from_content(
        event["model"], cut(event["reply"] or ""), reasons.get(event["finish_reason"], "stop"), event["error"]
    )
    output.usage = _usage(event["prompt_tokens"], event["cached_tokens"], event["completion_tokens"])
    return output


def _usage(prompt: int, cached: int, completion: int, reasoning: int | None = None) -> ModelUsage:
    from inspect_ai.model import ModelUsage

    # Inspect counts cached tokens separately from other input tokens.
    return ModelUsage(
        input_tokens=int(prompt) - int(cached),
        input_tokens_cache_read=int(cached),
        output_tokens=int(completion),
        total_tokens=int(prompt) + int(completion),
        reasoning_tokens=reasoning,
    )


def _model_usage(row: Mapping[str, Any]) -> dict[str, ModelUsage]:
    # The table of samples has the tokens of the complete tree, not by model.
    names = [row.get("model"), row.get("sub_model") if row.get("sub_calls") else None]
    name = " + ".join(dict.fromkeys(str(model) for model in names if model))
    if not name:
        return {}
    tokens = (row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"], int(row["reasoning_tokens"] or 0))
    return {name: _usage(*tokens)}


def _usage_by_model(samples: Sequence[EvalSample]) -> dict[str, ModelUsage]:
    total: dict[str, ModelUsage] = {}
    for sample in samples:
        for name, usage in sample.model_usage.items():
            total[name] = total[name] + usage if name in total else usage
    return total


def _query(events: Sequence[Mapping[str, Any]]) -> str:
    return next((str(event.get("query") or "") for event in events if event["kind"] == "completion"), "")


def _details(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _METADATA if row.get(name) is not None}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


def _given(value: Any) -> bool:
    import pandas as pd

    return not pd.api.types.is_scalar(value) or not pd.isna(value)
