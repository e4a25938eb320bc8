"""Exports a run to a collector as OpenTelemetry traces in the GenAI conventions, one trace per sample."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.export.tables import RunTables, cell_output, cut, read_run, reading_events
from benchmarks.running.run_files import read_trajectory

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_COLUMNS = (
    "benchmark",
    "model",
    "sample_id",
    "status",
    "stop_reason",
    "cost_state",
    "cost_usd",
    "task_group",
    "length",
)
# Operation names in the conventions: model calls, cells and tools, methods and their children.
_CHAT, _TOOL, _AGENT = "chat", "execute_tool", "invoke_agent"


def export_otel(path: Path, endpoint: str) -> int:
    """Send the traces of a run by OTLP over HTTP, and return their number.

    endpoint: the URL of a collector, such as http://127.0.0.1:4318/v1/traces. Texts are cut; texts of protected
    benchmarks are omitted. Raises ConfigError, also if OpenTelemetry is not installed or the endpoint does not accept
    the traces.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    except ImportError as error:
        raise ConfigError(f"export otel needs the extra: pip install 'rlm-eval[otel]' ({error})") from error
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError(
            f"OUT is {endpoint}: expected the URL of an OTLP endpoint, such as http://127.0.0.1:4318/v1/traces"
        )
    run = read_run(path)
    finished, exporter = InMemorySpanExporter(), OTLPSpanExporter(endpoint=endpoint)
    named = {"service.name": "rlm-eval", "rlm_eval.run": str(run.manifest.get("name") or path.name)}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(finished))
    rows = run.samples.astype(object).where(run.samples.notna(), None).to_dict("records")
    for row in rows:
        with reading_events(run, row):
            _trace(provider.get_tracer("rlm-eval"), run, row)
        if exporter.export(finished.get_finished_spans()) is not SpanExportResult.SUCCESS:
            raise ConfigError(f"{endpoint} does not accept the traces")
        finished.clear()
    return len(rows)


def _trace(tracer: Tracer, run: RunTables, row: Mapping[str, Any]) -> None:
    from opentelemetry.trace import set_span_in_context

    started, wall = float(row["started_at"] or 0.0), float(row["wall_s"] or 0.0)
    events = read_trajectory(run.path, row["trajectory"]) if row["trajectory"] and not row.get("protected") else []
    root = tracer.start_span(f"{_AGENT} {row['method']}", start_time=_ns(started), attributes=_sample(row))
    # The enclosing span of each event: that of the innermost child RLM, or of the sample.
    inside: dict[int | None, tuple[Span, Context]] = {None: (root, set_span_in_context(root))}
    ends: dict[Span, float] = {}
    for event in events:
        around, context = inside.get(event["parent"], inside[None])
        inside[event["id"]] = (around, context)
        at = started + event["at"]
        if around in ends:
            ends[around] = at
        if event["kind"] in ("call", "cell", "tool"):
            name, took, attributes = _step(event)
            span = tracer.start_span(name, context, start_time=_ns(max(started, at - took)), attributes=attributes)
            _fail(span, event.get("error"))
            span.end(_ns(at))
        elif event["kind"] == "child":
            span = tracer.start_span(f"{_AGENT} child", context, start_time=_ns(at), attributes=_named(_AGENT, "child"))
            inside[event["id"]] = (span, set_span_in_context(span))
            ends[span] = at
        elif event["kind"] in ("limit", "notice"):
            around.add_event(event["kind"], {"text": cut(str(event.get("text") or ""))}, timestamp=_ns(at))
    for span, at in ends.items():
        span.end(_ns(at))
    score = {"gen_ai.evaluation.name": row["metric"] or "score", "gen_ai.evaluation.score.value": row["score"] or 0.0}
    root.add_event("gen_ai.evaluation.result", score, timestamp=_ns(started + wall))
    _fail(root, row["error"] if row["status"] == "error" else None)
    root.end(_ns(started + wall))


def _step(event: Mapping[str, Any]) -> tuple[str, float, dict[str, Any]]:
    """Return name, seconds and attributes of an event's span."""
    if event["kind"] == "call":
        reply = [{"role": "assistant", "parts": [{"type": "text", "content": cut(event["reply"] or "")}]}]
        return f"{_CHAT} {event['model']}", event["latency_s"], {
            "gen_ai.operation.name": _CHAT,
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": event["model"],
            "gen_ai.response.finish_reasons": [event["finish_reason"]],
            "gen_ai.usage.input_tokens": event["prompt_tokens"],
            "gen_ai.usage.output_tokens": event["completion_tokens"],
            "gen_ai.usage.cache_read.input_tokens": event["cached_tokens"],
            "gen_ai.input.messages": json.dumps(list(_messages(event["messages"]))),
            "gen_ai.output.messages": json.dumps(reply),
            "rlm_eval.role": event["role"],
            "rlm_eval.depth": event["depth"],
            "rlm_eval.cost_usd": event["cost_usd"],
            "rlm_eval.replayed": event["cache_hit"],
        }  # fmt: skip
    name = event.get("name") or "python"
    attributes = {"gen_ai.tool.name": name, "rlm_eval.depth": event["depth"]}
    if event["kind"] == "cell":
        attributes["gen_ai.tool.call.arguments"] = json.dumps({"code": cut(event["code"] or "")})
        attributes["gen_ai.tool.call.result"] = cell_output(event)
    return f"{_TOOL} {name}", event["wall_s"], {"gen_ai.operation.name": _TOOL, **attributes}


def _messages(messages: list[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        yield {"role": message["role"], "parts": [{"type": "text", "content": cut(message["content"])}]}


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    columns = {f"rlm_eval.{name}": row[name] for name in _COLUMNS if row.get(name) is not None}
    return {**_named(_AGENT, row["method"]), **columns, "rlm_eval.epoch": int(row["epoch"])}


def _named(operation: str, agent: str) -> dict[str, Any]:
    return {"gen_ai.operation.name": operation, "gen_ai.agent.name": agent}


def _fail(span: Span, error: str | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    if error:
        span.set_attribute("error.type", error.split(":")[0][:100])
        span.set_status(Status(StatusCode.ERROR, cut(error)))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
