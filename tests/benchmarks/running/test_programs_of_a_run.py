"""Rows of methods with several programs or a compacted history."""

import json
import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.config.compose import compose
from benchmarks.running.rows import CALL_TIME_COLUMNS, TIME_COLUMNS
from benchmarks.running.run import run

ROOT = Path(__file__).parents[3]
CELL = "```repl\npart = llm_query('PART ' + str(context)[:40])\nprint('noise ' * 200)\n```"
RULES = [
    {"match": "REPL output", "reply": "FINAL_VAR(part)"},
    {"match": "Take the next step now", "reply": "FINAL_VAR(part)"},
    {"match": "`context` is a", "role": "root", "reply": CELL},
    {"match": "", "role": "compactor", "reply": "`part` holds the beginning."},
    {"match": "PART (.*)", "reply": "it begins with \\1"},
]  # fmt: skip
WORDS = [
    "model=scripted", "model.script=rules.jsonl", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "limit=2",
    "model.usd_per_million=[1,2]", "run_dir=all", "method=[rlm,rlm_selfconsistency,rlm_compacted]",
    *(f"method.{name}.prompt=recursive/compact-v1" for name in ("rlm", "rlm_selfconsistency", "rlm_compacted")),
]  # fmt: skip
# What differs between two methods by their names.
NAMED = ["method", "trajectory", "programs", "agreement", "compactions", "compaction_cost_usd"]


def rows(*words: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    path = run(compose([*WORDS, *words])).path
    return pd.read_parquet(path / "samples.parquet"), pd.read_parquet(path / "calls.parquet")


def curve(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The table of scripts/programs_curve.py for the run, which it writes beside the figure."""
    script = runpy.run_path(str(ROOT / "scripts" / "programs_curve.py"))
    monkeypatch.setattr(sys, "argv", ["programs_curve.py", "all", "--out", "figure"])
    assert script["main"]() == 0 and Path("figure/programs.png").stat().st_size > 10_000
    return pd.read_csv("figure/programs.csv")


def of(table: pd.DataFrame, method: str) -> pd.DataFrame:
    return table[table["method"] == method].reset_index(drop=True)


def test_one_program_has_the_rows_of_rlm(in_folder: Path) -> None:
    (in_folder / "rules.jsonl").write_text("\n".join(map(json.dumps, RULES)))
    samples, calls = rows("method.rlm_selfconsistency.k=1")
    plain, one = (of(samples, name).drop(columns=[*NAMED, *TIME_COLUMNS]) for name in ("rlm", "rlm_selfconsistency"))
    pd.testing.assert_frame_equal(plain, one)
    plain, one = (
        of(calls, name).drop(columns=["method", "cache_hit", *CALL_TIME_COLUMNS])
        for name in ("rlm", "rlm_selfconsistency")
    )
    pd.testing.assert_frame_equal(plain, one)
    assert samples[["programs", "agreement"]].isna().all(axis=None)


def test_rows_state_programs_and_compactions(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (in_folder / "rules.jsonl").write_text("\n".join(map(json.dumps, RULES)))
    samples, calls = rows("method.rlm_selfconsistency.k=3", "method.rlm_compacted.compact_at=0.1",
                          "model.context_window=2000")  # fmt: skip
    table = curve(monkeypatch)
    assert list(table["K"]) == [1, 1, 2, 2, 3, 3] and set(table["n"]) == {2}
    final = table[(table["K"] == 3) & (table["rule"] == "chosen")]["score"].item()
    assert final == 100 * of(samples, "rlm_selfconsistency")["score"].mean()
    several, compacted = of(samples, "rlm_selfconsistency"), of(samples, "rlm_compacted")
    assert (several["programs"] == 3).all() and (several["agreement"] == 1).all()
    assert (several["root_calls"] == 6).all() and (several["sub_calls"] == 3).all()
    assert (several["answer_from"] == "variable").all() and (several["prediction"] == compacted["prediction"]).all()
    assert (compacted["compactions"] == 1).all() and (of(samples, "rlm")["compactions"].isna()).all()
    made = calls[calls["role"] == "compactor"].groupby("sample_id")["cost_usd"].sum()
    costs = compacted.set_index("sample_id")["compaction_cost_usd"]
    assert (costs > 0).all() and costs.to_dict() == made.to_dict()
