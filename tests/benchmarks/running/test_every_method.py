"""Every method of conf/method runs on every benchmark with the scripted model, in a roomy window and in a small one."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.config.compose import compose
from benchmarks.running.run import run
from benchmarks.running.run_files import read_trajectory

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[3]
METHODS = sorted(path.stem for path in (ROOT / "conf" / "method").glob("*.yaml"))
BENCHMARKS = sorted(path.stem for path in (ROOT / "conf" / "benchmark").glob("*.yaml"))
# The suites whose small prompts end in the same ways as S-NIAH's are not run in a small window too.
ROOMY = ["oolong_real", "mrcr", "graphwalks", "ruler", "longbench_v2"]
REFERENCES = ["reference_rlms", "reference_dspy"]
AGENTS = [name for name in METHODS if name.startswith(("agent_cli", "claude", "codex", "opencode"))]
SIZES = [
    "limit=1", "benchmark.custom.source=rows.jsonl", "benchmark.sniah.lengths=[1024]",
    "benchmark.oolong.lengths=[1024]", "benchmark.oolong_pairs.lengths=[1024]", "benchmark.codeqa.lengths=[1024]",
    "benchmark.codeqa.samples=1", "benchmark.codeqa.packages=[packaging,anyio,click]",
    "benchmark.browsecomp_plus.documents=[5]", "benchmark.mrcr.lengths=[1024]", "benchmark.ruler.lengths=[1024]",
    "benchmark.longbench_v2.lengths=[1024]", "benchmark.longbench_v2.packages=[packaging,anyio,click]",
    "benchmark.graphwalks.lengths=[1024]", "benchmark.longcot_mini.lengths=[1024]",
    "benchmark.oolong_real.lengths=[1024]",
    "benchmark.browsecomp_plus.queries=1", "benchmark.browsecomp_plus.world_documents=50",
    "benchmark.browsecomp_plus.sentences=[8,16]", "method.rlm_depth3.prompt=recursive/compact-v1",
    "method.rlm_depth2.prompt=recursive/compact-v1", "method.rlm.prompt=recursive/compact-v1",
    "method.rlm_depth0.prompt=recursive/compact-v1", "method.rlm_bm25.prompt=recursive/compact-v1",
    "method.rlm_compacted.prompt=recursive/compact-v1", "method.rlm_selfconsistency.k=2",
    "method.rlm_selfconsistency.prompt=recursive/compact-v1",
]  # fmt: skip

# What a root writes, whatever its session has.
CELL = """```repl
part = str(context)[:40]
asked = [llm_query("SUB " + part), *llm_query_batched(["SUB one", "SUB two"])] if "llm_query" in globals() else []
child = rlm_query(part, "Which?") if "rlm_query" in globals() else "none"
found = search(str(context)[:300], 2) if "search" in globals() else []
said = f"{len(asked)} asked, {len(found)} found, child: {child}"
```"""
# What a root of combinators writes.
PROGRAM = """```repl
part = peek(context, 0, 40)
asked = map(lambda text: ask(f"SUB {text}"), ["one", "two", "three"])
said = f"{count(asked)} asked"
```"""
RULES = [
    # The stand-ins of the reference libraries: sub-calls, then an answer.
    {"match": r"^(documents|text) of \d+", "reply": "2"},
    {"match": r"^sub call", "reply": "ok"},
    {"match": r"^and now\?", "reply": "the reference's answer"},
    {"match": r"REPL output", "reply": "FINAL_VAR(said)"},
    {"match": r"one program of combinators", "role": "root", "reply": PROGRAM},
    {"match": r"`context` is a", "role": "root", "reply": CELL},
    {"match": r"`context` is a", "reply": "FINAL(a child's answer)"},
    {"match": r"^SUB ", "reply": "a sub-call's answer"},
    {"match": r"OBSERVATION", "reply": "THINK: enough.\nANSWER: 42"},
    {"match": r"not shown here: search them", "reply": "THINK: search.\nSEARCH(the name)"},
    {"match": r"", "role": "compactor", "reply": "a summary"},
    {"match": r"", "reply": "THINK: compute.\n```python\nprint(6 * 7)\n```"},
]
USAGE = {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 9, "reasoning_output_tokens": 4}
# What the agents print, in their own forms: the answer stands in it as <answer>.
PRINTS = {
    "claude": [
        {"type": "result", "subtype": "success", "is_error": False, "num_turns": 1, "result": "<answer>",
         "total_cost_usd": 0.25, "usage": {"input_tokens": 10, "cache_creation_input_tokens": 30,
                                           "cache_read_input_tokens": 60, "output_tokens": 9}},
    ],
    "codex": [
        {"type": "thread.started", "thread_id": "0199"},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"id": "item_0", "type": "reasoning", "text": "**Looking**"}},
        {"type": "item.completed", "item": {"id": "item_1", "type": "agent_message", "text": "I look first."}},
        {"type": "error", "message": "Reconnecting... 1/5"},
        {"type": "item.completed", "item": {"id": "item_2", "type": "agent_message", "text": "<answer>"}},
        {"type": "turn.completed", "usage": USAGE},
    ],
    "opencode": [
        {"type": "step_start", "timestamp": 1, "sessionID": "ses_1", "part": {"type": "step-start"}},
        {"type": "text", "sessionID": "ses_1", "part": {"type": "text", "text": "I look first."}},
        {"type": "step_finish", "sessionID": "ses_1", "part": {"type": "step-finish", "cost": 0.05, "tokens": {
            "input": 10, "output": 4, "reasoning": 1, "cache": {"read": 20, "write": 5}}}},
        {"type": "text", "sessionID": "ses_1", "part": {"type": "text", "text": "<answer>"}},
        {"type": "step_finish", "sessionID": "ses_1", "part": {"type": "step-finish", "cost": 0.2, "tokens": {
            "input": 20, "output": 1, "reasoning": 3, "cache": {"read": 40, "write": 5}}}},
    ],
}  # fmt: skip
AGENT = """#!{python}
import json, os, pathlib, sys
prompt, lines = sys.stdin.read(), json.loads({lines!r})
answer = "read the file" if pathlib.Path("context.txt").exists() else "read the prompt"
assert prompt.strip() and not os.environ.get("SECRET_OF_OURS")
for line in lines:
    print(json.dumps(line).replace("<answer>", answer))
"""


@pytest.fixture
def words(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides for a run of everything, with stand-ins for the agents and for the reference libraries."""
    (in_folder / "script.jsonl").write_text("\n".join(map(json.dumps, RULES)))
    row = {"question": "Which number?", "answer": "42", "context": "Nothing to see. " * 250}
    (in_folder / "rows.jsonl").write_text(json.dumps(row))
    (in_folder / "bin").mkdir()
    fakes = ROOT / "tests" / "rlm" / "methods" / "reference" / "fake_rlms"
    programs = {name: AGENT.format(python=sys.executable, lines=json.dumps(said)) for name, said in PRINTS.items()}
    programs["reference"] = f'#!/bin/sh\nPYTHONPATH={fakes} exec {sys.executable} "$@"\n'
    for name, text in programs.items():
        (in_folder / "bin" / name).write_text(text)
        (in_folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{in_folder / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    given = [f"method.{name}.{key}" for name in REFERENCES for key in ("confinement=unsafe", "python=bin/reference")]
    return [
        "model=scripted", "model.script=script.jsonl", f"benchmark=[{','.join(BENCHMARKS)}]", *SIZES,
        f"method=[{','.join(METHODS)}]", "method.agent_cli.command=[wc,-w]", "run_dir=all", *given,
    ]  # fmt: skip


def test_every_method_answers_on_every_benchmark(words: list[str], in_folder: Path) -> None:
    outcome = run(compose(words))
    assert outcome.state == "finished"
    samples = pd.read_parquet(outcome.path / "samples.parquet").set_index(["method", "benchmark"])
    assert len(samples) == len(METHODS) * len(BENCHMARKS)
    assert samples[samples["status"] != "ok"]["error"].to_dict() == {}
    open_ones = samples[~samples["protected"]]
    assert samples["target"].str.startswith("sealed:").eq(samples["protected"]).all()
    said = open_ones["prediction"].to_dict()
    for benchmark in open_ones.index.get_level_values("benchmark").unique():
        told = {name: said[name, benchmark] for name in METHODS}
        assert told["rlm_depth0"] == "0 asked, 0 found, child: none"
        assert told["rlm"].startswith("3 asked, 0 found, child: ")
        assert told["rlm_compacted"] == told["rlm_selfconsistency"] == told["rlm"]
        assert told["rlm_depth2"] == told["rlm_depth3"] == "3 asked, 0 found, child: a child's answer"
        assert told["rlm_combinators"] == "3 asked"
        # The words before a graph and the rules of a puzzle occur in the first passage only.
        found = 1 if benchmark in ("graphwalks", "longcot_mini") else 2
        assert told["rlm_bm25"].startswith(f"3 asked, {found} found, child: ")
        # The form of answer that a suite asks for, which CodeAct's own mark must not take away.
        expected = {"oolong": "Answer: 42", "graphwalks": "Final Answer: 42"}.get(benchmark, "42")
        assert {told[name] for name in ("codeact_bm25", "codeact_subcalls", "react_bm25")} == {expected}, benchmark
        assert {told[name] for name in REFERENCES} == {"the reference's answer"}
        assert {told[name] for name in AGENTS if name.endswith("_offload")} == {"read the file"}
        assert {told[name] for name in ("claude_code", "codex", "opencode")} == {"read the prompt"}
    # The cells print nothing of the context, so a target in a trajectory would have come from elsewhere.
    target = said["oracle", "sniah"]
    for method in (name for name in METHODS if name.startswith("rlm")):
        assert target not in json.dumps(read_trajectory(outcome.path, samples.loc[(method, "sniah"), "trajectory"]))
    calls = pd.read_parquet(outcome.path / "calls.parquet")
    agents = samples.loc[["claude_code", "codex", "opencode", "claude_code_offload"]]
    assert set(agents["prompt_tokens"]) == {100} and set(agents["cached_tokens"]) == {60}
    assert set(agents["completion_tokens"]) == {9}
    assert set(samples.loc[["claude_code", "opencode"], "cost_usd"]) == {0.25}
    assert (
        set(samples.loc["codex", "cost_state"]) == {"unknown"} and (samples.loc["codex", "reasoning_tokens"] == 4).all()
    )
    assert set(calls["role"]) == {"root", "sub"}


def test_every_method_ends_well_in_a_small_window(words: list[str], in_folder: Path) -> None:
    suites = ",".join(name for name in BENCHMARKS if name not in ROOMY)
    sizes = [word for word in words if not word.startswith(tuple(f"benchmark.{name}." for name in ROOMY))]
    small = [f"benchmark=[{suites}]", "model.context_window=600", "model.max_output_tokens=150"]
    outcome = run(compose([*sizes, *small]))
    samples = pd.read_parquet(outcome.path / "samples.parquet").set_index(["method", "benchmark"])
    assert outcome.state == "finished" and set(samples["status"]) <= {"ok", "context_overflow", "limit"}
    base = samples.loc["base"]
    assert set(base.loc[base["input_tokens"] > 600, "status"]) == {"context_overflow"}
    assert set(samples.loc[["base_truncated", "base_bm25", "map_reduce", "rlm"], "status"]) == {"ok"}
    calls = pd.read_parquet(outcome.path / "calls.parquet")
    assert (calls["role"] == "compactor").sum() >= len(BENCHMARKS) - len(ROOMY)
