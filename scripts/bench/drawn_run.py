"""A large random run with a known truth, written as a run folder, for measuring reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

METHODS = {"base": 0.75, "rlm": 0.8, "compaction": 0.65, "codeact_subcalls": 0.5, "retrieval": 0.55}
BENCHMARKS = {"sniah": 0.01, "oolong": 0.08, "oolong_pairs": 0.12, "codeqa": 0.0}
LENGTHS = [2**k for k in range(13, 21)]
WINDOW = 272_000


def samples_table(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """`count` rows of samples.parquet, the same number for each benchmark and method; scores fall with length."""
    each = count // (len(METHODS) * len(BENCHMARKS))
    parts = []
    for benchmark, decay in BENCHMARKS.items():
        length = np.array(LENGTHS)[np.arange(each) % len(LENGTHS)]
        for method, level in METHODS.items():
            chance = np.clip(level - decay * (np.log2(length) - 13), 0.02, 0.98)
            overflow = (method == "base") & (length > WINDOW)
            score = np.where(overflow, 0.0, (rng.random(each) < chance).astype(float))
            part = pd.DataFrame({
                "benchmark": benchmark, "method": method, "model": "gpt-5", "sub_model": "gpt-5-mini",
                "sample_id": [f"{benchmark}-{i:05d}" for i in range(each)], "epoch": 0,
                "cluster": [f"window-{size}-{i // (25 * len(LENGTHS))}" for i, size in enumerate(length)],
                "task_group": rng.choice(["counting", "user", "timeline"], each), "complexity": "linear",
                "input_tokens": length, "length": None if benchmark == "codeqa" else length, "metric": "score",
                "score": score, "lenient_score": score, "format_ok": rng.random(each) < 0.97,
                "prediction": "an answer of some words", "target_sha256": "0" * 64,
                "status": np.where(overflow, "context_overflow", "ok"),
                "stop_reason": np.where(overflow, "context_overflow", "answer"), "error": None,
                "truncated": rng.random(each) < 0.01, "cost_usd": rng.lognormal(-2, 1, each),
                "cost_uncached_usd": rng.lognormal(-1.8, 1, each), "cost_state": "known",
                "prompt_tokens": length, "cached_tokens": length // 3,
                "completion_tokens": rng.integers(10, 9000, each), "reasoning_tokens": 0, "root_calls": 4,
                "sub_calls": rng.poisson(20, each), "turns": 4, "cells": 4,
                "syntax_errors": rng.poisson(0.2, each), "wall_s": rng.lognormal(3, 1, each), "model_s": 10.0,
                "context_limit": WINDOW, "max_output_tokens": None, "scorer": "scorer-1", "protected": False,
                "trajectory": None,
            })  # fmt: skip
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def calls_table(samples: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """`count` rows of calls.parquet, spread evenly over the samples."""
    owner = samples.iloc[np.arange(count) % len(samples)][["benchmark", "method", "sample_id", "epoch"]]
    tokens = rng.integers(100, 100_000, count)
    return owner.reset_index(drop=True).assign(
        call_id=np.arange(count), parent_id=0, depth=1, role=rng.choice(["root", "sub"], count), model="gpt-5-mini",
        prompt_tokens=tokens, cached_tokens=tokens // 4, completion_tokens=tokens // 50, reasoning_tokens=0,
        cost_usd=tokens * 2.5e-7, cost_state="known", finish_reason="stop", latency_s=rng.lognormal(0, 1, count),
        retries=0, cache_hit=False, prompt_sha256="0" * 64, started_at=0.0,
    )  # fmt: skip


def write_run(folder: Path, samples: int, calls: int, seed: int) -> pd.DataFrame:
    """Write a run folder and return its samples."""
    rng = np.random.default_rng(seed)
    table = samples_table(samples, rng)
    table.to_parquet(folder / "samples.parquet", index=False)
    calls_table(table, calls, rng).to_parquet(folder / "calls.parquet", index=False)
    manifest = {"name": "scale", "samples_planned": len(table), "benchmarks": {}, "config": {}, "state": "finished"}
    (folder / "run.json").write_text(json.dumps(manifest))
    return table
