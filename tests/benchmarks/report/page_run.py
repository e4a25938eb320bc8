"""A run folder with samples and trajectories of every kind, hostile ones among them, for the tests of the page."""

import json
import random

from benchmarks.running.journal import Record
from benchmarks.running.rows import SampleRow
from benchmarks.running.run_folder import RunFolder
from benchmarks.running.tables import write_tables
from benchmarks.sources.protect import seal
from rlm.unpacking import pack

HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    "</script><svg onload=window.hacked=3>\u2028\u2029&lt;b&gt; javascript:window.hacked=4 "
    '<a href="javascript:window.hacked=5">x</a> {{ 7*7 }} <!-- --> ]]> \u202e \ud800 \x00'
)
CODE = """# Split the context and ask about each part.
import re

def windows(text: str, size: int = 20_000):
    for start in range(0, len(text), size):
        yield text[start:start + size]

parts = list(windows(context))
prompts = [f"Which cities are named here? {part}" for part in parts]
answers = llm_query_batched(prompts)
cities = sorted({name.strip() for answer in answers for name in answer.split(",")})
print(len(cities), cities[:3])
"""


def row(benchmark, method, sample_id, epoch=0, **changes):
    made = {
        "benchmark": benchmark, "method": method, "model": "gpt-5", "sub_model": "gpt-5-mini", "sample_id": sample_id,
        "epoch": epoch, "cluster": sample_id, "task_group": "counting", "complexity": "linear", "input_tokens": 131_072,
        "length": 131_072, "metric": "accuracy", "score": 1.0, "lenient_score": 1.0, "format_ok": True,
        "prediction": "Lisbon", "extracted": "Lisbon", "target_sha256": "0" * 64, "status": "ok",
        "stop_reason": "answer", "error": None, "truncated": False, "cost_usd": 0.0123, "cost_uncached_usd": 0.02,
        "cost_state": "known", "prompt_tokens": 20_000, "cached_tokens": 4_000, "completion_tokens": 900,
        "reasoning_tokens": 100, "root_calls": 2, "sub_calls": 6, "max_depth_reached": 1, "turns": 2, "cells": 2,
        "syntax_errors": 0, "wall_s": 14.2, "model_s": 30.1, "started_at": 1.7e9, "context_limit": 272_000,
        "max_output_tokens": 128_000, "scorer": "s@1", "protected": False, "trajectory": None, "judge_cost_usd": 0.0,
    }  # fmt: skip
    return made | changes


def trajectory(question="Which cities are named?", reply=None, code=CODE, output="3 ['Lisbon', 'Oslo', 'Rome']\n"):
    """Events of a recursive completion: two turns, batched sub-calls, a child loop, an error, an answer."""
    events = []

    def add(kind, at, parent=None, depth=0, **data):
        events.append({"id": len(events), "parent": parent, "kind": kind, "depth": depth, "at": at, **data})
        return len(events) - 1

    def call(number, at, parent, depth, role, reply, latency, **data):
        add(
            "call", at, parent, depth, call_id=number, role=role, model="gpt-5" if role == "root" else "gpt-5-mini",
            reply=reply, reasoning="", finish_reason="stop", error=None, retries=[], prompt_tokens=2100 + number,
            cached_tokens=0, completion_tokens=140, cost_usd=0.0021, latency_s=latency, cache_hit=False, **data,
        )  # fmt: skip

    system = {"role": "system", "content": "You answer questions over a context held in a Python variable."}
    add("completion", 0.0, method="RLM", chars=524_288, query=question)
    turn = add("turn", 0.01, turn=1)
    said = reply or f"The context is long, so I will split it and ask about each part.\n\n```repl\n{code}```\n"
    call(0, 3.1, turn, 0, "root", said, 3.0, messages=[system, {"role": "user", "content": question}])
    for number in range(1, 7):
        text = "Lisbon, Oslo" if number % 2 else "Rome"
        call(
            number, 3.2 + number, turn, 1, "sub", text, 0.9 + number * 0.1, messages=[{"role": "user", "content": "?"}]
        )
    child = add("child", 9.6, turn, 1, chars=9_000, query="Is Rome in the third part?")
    inner = add("turn", 9.7, child, 1, turn=1)
    call(7, 10.4, inner, 1, "root", "FINAL(yes)", 0.7, messages=[{"role": "user", "content": "Is Rome there?"}])
    add("summary", 10.5, child, 1, turns=1, answer_from="final", prompt="recursive/default-v1")
    add(
        "cell", 10.8, turn, code=code, status="ok", stdout=output, stderr="", error=None, stdout_chars=len(output),
        stderr_chars=0, variables={"parts": "list"}, final=None, notice=None, wall_s=7.6,
    )  # fmt: skip
    turn = add("turn", 10.9, turn=2)
    call(8, 13.0, turn, 0, "root", "One more check.\n```repl\n1/0\n```", 2.1, after_call=0,
         messages=[{"role": "user", "content": output}])  # fmt: skip
    add("cell", 13.2, turn, code="1/0\n", status="error", stdout="", stderr="", stdout_chars=0, stderr_chars=0,
        error="Traceback (most recent call last):\n  File \"<cell 2>\", line 1\nZeroDivisionError: division by zero",
        variables={}, final=None, notice=None, wall_s=0.02)  # fmt: skip
    add("notice", 13.3, turn, text="The cell raised an error; variables are kept.")
    add("answer", 14.2, answer="Lisbon, Oslo, Rome", stop_reason="answer", truncated=False, error=None)
    return events


def jsonl(events):
    return "".join(json.dumps(event) + "\n" for event in events)


def write_run(folder, rows, trajectories, name="demo"):
    """A finished run folder; trajectories: (benchmark, method, sample_id, epoch) -> events or lines."""
    (folder / "journal").mkdir(parents=True)
    manifest = {
        "name": name, "state": "finished", "config": {}, "config_hash": "abc", "samples_planned": len(rows), "seed": 0,
        "started_at": 1.7e9, "git": {"commit": "0123abc", "dirty": False}, "benchmarks": {}, "methods": {},
        "models": {"root": {"name": "gpt-5", "context_window": 272_000}, "sub": {"name": "gpt-5-mini"}},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(manifest))
    writer = RunFolder(folder, {})
    records = []
    for one in rows:
        record = Record(SampleRow.read(one))
        key = (one["benchmark"], one["method"], one["sample_id"], one["epoch"])
        events = trajectories.get(key)
        lines = events if isinstance(events, str) else jsonl(events or [])
        writer.write_trajectory(record, pack(seal(lines) if one["protected"] else lines) if lines else b"")
        records.append(record)
    write_tables(folder, records)
    return folder


def demo(folder):
    """Three methods over a dozen samples, with trajectories."""
    rng = random.Random(0)
    rows, trajectories = [], {}
    for benchmark in ("sniah", "oolong_pairs"):
        for number in range(8):
            for method, chance in (("base", 0.3), ("rlm", 0.8), ("compaction", 0.5)):
                score = float(rng.random() < chance) if benchmark == "sniah" else round(rng.random() * chance, 3)
                length, seconds = 2 ** rng.randint(13, 18), rng.random() * 60
                status = rng.choices(["ok", "limit", "context_overflow", "error"], [8, 1, 1, 0.4])[0]
                one = row(benchmark, method, f"{benchmark}-{number:02d}", score=score if status == "ok" else 0.0,
                          lenient_score=score, status=status, stop_reason="answer" if status == "ok" else status,
                          cost_usd=round(rng.random() * 0.4, 4), wall_s=seconds, length=length,
                          prediction=rng.choice(["Lisbon", "(3, 17); (4, 9); (12, 40)", "I could not find it."]),
                          error="ModelError: time-out" if status == "error" else None)  # fmt: skip
                one["extracted"] = one["prediction"]
                one["precision"] = score
                rows.append(one)
                trajectories[benchmark, method, one["sample_id"], 0] = trajectory()
    return write_run(folder, rows, trajectories)
