"""Exports the turns of successful samples in chat format, for supervised fine-tuning."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.export.filters import Filters
from benchmarks.export.mending import Mended, mend
from benchmarks.export.tables import RunTables, empty_folder, read_run, reading_events
from benchmarks.running.run_files import read_trajectory
from rlm.completion import StopReason
from rlm.methods.thinking import after_thinking
from rlm.models.chat import Reply, ToolCall
from rlm.surrogates import without_surrogates
from rlm.trajectory import chosen_events, is_shortened
from rlm.tree import ROOT

FILES = ("root", "sub")
_CARD = """---
{configs}tags:
- recursive-language-models
---

# Turns of the run {name} of rlm-eval

`prompt` holds the messages that a model was sent, `completion` its reply. `root` has a row for each turn of a root,
`sub` one for each plain sub-call. counts.json has the filters, and how many samples and turns were dropped for which
reason.
"""


@dataclass(frozen=True)
class _Turn:
    """A model call of a trajectory. messages: all that were sent; step: the event of an RLM's turn, if it is one."""

    call: Mapping[str, Any]
    messages: list[Mapping[str, str]]
    step: Mapping[str, Any] | None = None
    number: int = 0
    syntax_error: bool = False
    # The answer of the loop came from this turn, from a variable or (False) a text.
    names_variable: bool | None = None


def export_sft(path: Path, out: Path, filters: Filters) -> dict[str, Any]:
    """Write root and sub as .jsonl and .parquet, if they have rows, counts.json and a card, and return the counts.

    Each row has the columns prompt and completion (lists of messages with role and content), benchmark, method, model,
    sample_id, epoch, depth, role, turn, score and repairs. Protected samples and targets are never exported. Raises
    ConfigError, also if no sample passes the filters.
    """
    run = read_run(path)
    samples: Counter[str] = Counter()
    kept = []
    for row in run.samples.astype(object).where(run.samples.notna(), None).to_dict("records"):
        reason = _refused(row, filters)
        with reading_events(run, row):
            turns = list(_turns(chosen_events(read_trajectory(path, row["trajectory"])))) if reason is None else []
        if reason is None and sum(_is_root(turn.call) for turn in turns) < filters.min_turns:
            reason = "turns"
        samples[reason or "kept"] += 1
        kept += [row] if reason is None else []
    if not kept:
        dropped = ", ".join(f"{n} for {reason}" for reason, n in samples.most_common())
        raise ConfigError(
            f"{path}: no sample passes min_score={filters.min_score} and min_turns={filters.min_turns} (dropped: "
            f"{dropped or 'none'}): choose lower values"
        )
    counts: dict[str, Any] = {"filters": asdict(filters), "samples": dict(sorted(samples.items()))}
    counts |= _write(run, kept, empty_folder(out), filters)
    parts = written(counts)
    # `datasets` cannot load a part without rows.
    for name in set(FILES) - set(parts):
        for end in ("jsonl", "parquet"):
            (out / f"{name}.{end}").unlink()
    configs = "".join(
        f"- config_name: {name}\n  data_files: {name}.parquet\n" + ("  default: true\n" if name == parts[0] else "")
        for name in parts
    )
    (out / "counts.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    name = " ".join(str(run.manifest.get("name") or path.name).split())
    (out / "README.md").write_text(
        _CARD.format(name=name, configs=f"configs:\n{configs}" if parts else ""), encoding="utf-8"
    )
    return counts


def written(counts: Mapping[str, Any]) -> list[str]:
    """Return the parts that have rows."""
    return [name for name in FILES if counts[name]["turns"].get("kept")]


def _write(run: RunTables, rows: Sequence[Mapping[str, Any]], out: Path, filters: Filters) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    texts = ("benchmark", "method", "model", "sample_id", "role")
    schema = pa.schema([
        ("prompt", messages), ("completion", messages), *((name, pa.string()) for name in texts), ("epoch", pa.int64()),
        ("depth", pa.int64()), ("turn", pa.int64()), ("score", pa.float64()), ("repairs", pa.list_(pa.string())),
    ])  # fmt: skip
    counts = {name: {"turns": Counter[str](), "repairs": Counter[str]()} for name in FILES}
    seen: set[bytes] = set()
    with ExitStack() as stack:
        lines = {name: stack.enter_context((out / f"{name}.jsonl").open("w", encoding="utf-8")) for name in FILES}
        tables = {name: stack.enter_context(parquet.ParquetWriter(out / f"{name}.parquet", schema)) for name in FILES}
        for row in rows:
            made: dict[str, list[dict[str, Any]]] = {name: [] for name in FILES}
            protocol = _protocol(run.manifest, row["method"])
            with reading_events(run, row):
                for turn in _turns(chosen_events(read_trajectory(run.path, row["trajectory"]))):
                    name = "root" if turn.step or _is_root(turn.call) else "sub"
                    mended = _completion(turn, protocol)
                    reason = _unusable(turn, mended, filters)
                    example = _example(row, turn, mended)
                    digest = hashlib.sha256(json.dumps([example["prompt"], example["completion"]]).encode()).digest()
                    if reason is None and digest in seen:
                        reason = "duplicate"
                    counts[name]["turns"][reason or "kept"] += 1
                    if reason is None:
                        seen.add(digest)
                        made[name].append(example)
                        counts[name]["repairs"].update(mended.repairs)
                for name, examples in made.items():
                    lines[name].writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in examples)
                    if examples:
                        tables[name].write_table(pa.Table.from_pylist(examples, schema))
    return {name: {what: dict(sorted(found.items())) for what, found in both.items()} for name, both in counts.items()}


def _refused(row: Mapping[str, Any], filters: Filters) -> str | None:
    """Return the reason why a sample is not exported."""
    if row["model"] is None or not row["trajectory"]:
        return "no_trajectory"
    if row.get("protected"):
        return "protected"
    if row["stop_reason"] != StopReason.ANSWER:
        return "stop_reason"
    if not (row["score"] or 0.0) >= filters.min_score:
        return "score"
    return "prompt_cut" if row.get("prompt_cut") else None


def _turns(events: Sequence[Mapping[str, Any]]) -> Iterator[_Turn]:
    """Yield the model calls of a trajectory with all their messages."""
    by_id = {event["id"]: event for event in events}
    steps = {event["parent"]: event for event in events if event["kind"] == "step"}
    wrong = {event["parent"] for event in events if event["kind"] == "cell" and event["status"] == "syntax_error"}
    # The last turn of a loop gives its answer; loops are identified by the event above their turns.
    last = {by_id[turn]["parent"]: turn for turn in sorted(steps) if turn in by_id}
    sources = {event["parent"]: event["answer_from"] for event in events if event["kind"] == "summary"}
    sent: dict[int, list[Mapping[str, str]]] = {}
    for call in (event for event in events if event["kind"] == "call"):
        messages = sent.get(call["after_call"], []) + call["messages"] if "after_call" in call else call["messages"]
        sent[call["call_id"]] = messages
        above = by_id.get(call["parent"])
        is_turn = above is not None and above["kind"] == "turn" and above["depth"] == call["depth"]
        if above is None or not is_turn:
            yield _Turn(call, messages)
            continue
        answers = last.get(above["parent"]) == above["id"]
        source = sources.get(above["parent"]) if answers else None
        names_variable = {"variable": True, "text": False}.get(source or "")
        yield _Turn(call, messages, steps.get(above["id"]), above.get("turn", 0), above["id"] in wrong, names_variable)


def _is_root(call: Mapping[str, Any]) -> bool:
    return bool(call["role"] == ROOT and call["depth"] == 0)


def _protocol(manifest: Mapping[str, Any], method: str) -> str:
    return str(((manifest.get("methods") or {}).get(method) or {}).get("answer_protocol") or "final_tags")


def _completion(turn: _Turn, protocol: str) -> Mended:
    """Return the completion of a turn. Only the turns of an RLM are repaired, because only these have a known form."""
    reply = str(turn.call["reply"] or "")
    if turn.step is None:
        return Mended(after_thinking(reply).strip())
    called = tuple(ToolCall(**call) for call in turn.call.get("tool_calls") or ())
    code = Reply(reply, tool_calls=called).tool_code
    return mend(reply, protocol, tool_code=code, names_variable=turn.names_variable)


def _unusable(turn: _Turn, mended: Mended, filters: Filters) -> str | None:
    """Return the reason why a call is not exported."""
    call, texts = turn.call, [message["content"] for message in turn.messages]
    reasons = {
        "failed": call["error"],
        "cut": call["finish_reason"] == "length",
        "refused": call["finish_reason"] == "content_filter",
        "no_step": turn.step and turn.step["reason"],
        "syntax_error": turn.syntax_error,
        "empty": not mended.text,
        "shortened": any(map(is_shortened, (*texts, str(call["reply"] or "")))),
        "too_long": sum(map(len, texts)) + len(mended.text) > filters.max_chars,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _example(row: Mapping[str, Any], turn: _Turn, mended: Mended) -> dict[str, Any]:
    call = turn.call
    return {
        "prompt": [{"role": one["role"], "content": without_surrogates(one["content"])} for one in turn.messages],
        "completion": [{"role": "assistant", "content": without_surrogates(mended.text)}],
        **{name: without_surrogates(str(row[name])) for name in ("benchmark", "method", "sample_id")},
        "model": without_surrogates(str(call["model"])), "role": call["role"], "epoch": int(row["epoch"]),
        "depth": call["depth"], "turn": turn.number, "score": float(row["score"]), "repairs": list(mended.repairs),
    }  # fmt: skip
