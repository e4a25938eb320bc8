"""The head of a report: what was run, with what, and what a reader must know before trusting a number."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from benchmarks.report.runs import Run, Runs
from benchmarks.report.tables.formats import markdown_cell

# What a reader must know of a table, by its name.
NOTES = {
    "scores": (
        "Scores are in percent over all n samples: those that failed (over window, error, unscored) count as 0, those "
        "stopped by a limit as what they had by then was worth, and each is named under failures. Intervals are "
        "clustered by context window. \\* some inputs were over the context limit. † one or two context windows: the "
        "interval holds for these only. The verdict compares with the paper's figure, whose own sampling error counts "
        'too; "too few samples to tell" names the n that would measure as precisely as the paper.\n\n'
    ),
    "pairs": (
        "Percent points, on the samples that both methods have, each the mean of its epochs. p (Holm) is corrected for "
        "the rows of this table; better or worse needs p (Holm) below 0.05 and an interval without 0. detectable: the "
        "smallest true difference that would be found with 80% power at the corrected level. Solved: a score of at "
        "least 0.5.\n\n"
    ),
    "cost": (
        "All lengths of a benchmark together; `unknown` is the share of samples without a known price; a method that "
        "costs nothing has no rows of cost. Runtime counts replayed calls with the time that they took when made.\n\n"
    ),
    "calls": "Replayed calls count with their original cost and tokens. Shares are in percent.\n\n",
    "lengths": (
        "In percent; score, over window, limit, error and answered wrong add up to 100. Context rot is the part of "
        "answered wrong above what the method loses of its answers at its shortest length, apart from what did not fit "
        "the window. † as in the scores.\n\n"
    ),
    "effective_lengths": (
        "The largest tested length up to which the score stays at or above the bar: RULER's 85.6, or 85% of the "
        "method's own score at the shortest length.\n\n"
    ),
    "crossover_lengths": "The smallest tested length from which on a method stays ahead of the baseline.\n\n",
    "groups": "All lengths of a benchmark together. † as in the scores.\n\n",
    "details": "All lengths of a benchmark together; a cell of fewer samples than its row has its own n.\n\n",
    "epochs": "Percent points; sd epochs is of one sample run again, sd samples of the samples' own means.\n\n",
    "behaviour": "All lengths of a benchmark together; correct is a score of at least 0.5.\n\n",
}


def about(runs: Runs) -> str:
    """A list a run of facts from its manifest; warnings first."""
    return "\n".join(_one_run(run) for run in runs.runs)


def warnings_of(run: Run) -> list[str]:
    """What makes a run less than it seems: unfinished, a changed checkout, an unconfined REPL."""
    manifest, config = run.manifest, run.manifest.get("config") or {}
    found = []
    if run.missing:
        found.append(f"{run.missing} of {manifest.get('samples_planned')} samples are missing: the run is not finished")
    if run.repeated:
        found.append(f"{run.repeated} samples stand more than once in its table: the last of each counts")
    if (manifest.get("git") or {}).get("dirty"):
        found.append("the checkout had changes that are not committed")
    if (config.get("repl") or {}).get("confinement") == "unsafe":
        found.append("the REPL was not confined (repl=unsafe): model-written code could reach files and network")
    return found


def _one_run(run: Run) -> str:
    manifest = run.manifest
    lines = [f"**{markdown_cell(run.name)}**\n"]
    lines += [f"- **Warning:** {warning}." for warning in warnings_of(run)]
    git = manifest.get("git") or {}
    facts: dict[str, Any] = {
        "state": "; ".join(filter(None, [manifest.get("state"), manifest.get("message")])),
        "started": _utc(manifest.get("started_at")),
        "commit": git.get("commit"),
        "configuration": str(manifest.get("config_hash") or "")[:12],
        "seed": manifest.get("seed"),
        "models": ", ".join(_model(role, model) for role, model in (manifest.get("models") or {}).items()),
        "judge": _judge(manifest.get("judge")),
    }
    lines += [f"- {name}: {markdown_cell(str(value))}" for name, value in facts.items() if value not in (None, "")]
    for name, method in (manifest.get("methods") or {}).items():
        told = [f"answer protocol {method['answer_protocol']}"] if method.get("answer_protocol") else []
        if method.get("prompt"):
            told.append(f"prompt {method['prompt']}, sha256 {str(method.get('prompt_sha256'))[:12]}")
        if told:
            lines.append(f"- method {name}: {markdown_cell('; '.join(told))}")
    for name, benchmark in (manifest.get("benchmarks") or {}).items():
        lines.append(f"- benchmark {name}: {markdown_cell(_benchmark(benchmark))}")
    return "\n".join(lines) + "\n"


def _benchmark(about: Mapping[str, Any]) -> str:
    data = about.get("data") or {}
    parts = [f"{len(about.get('sample_ids') or [])} samples (sha256 {str(about.get('sample_ids_sha256'))[:12]})"]
    parts += [f"{key} {data[key]}" for key in ("source", "repo", "revision", "generator") if data.get(key)]
    parts.append(f"scored by {about.get('scorer')} ({about.get('metric')})")
    return ", ".join(parts)


def _model(role: str, model: Mapping[str, Any]) -> str:
    window = model.get("context_window")
    return f"{role} {model.get('name')}" + (f" (window {window:,})" if isinstance(window, int) else "")


def _judge(judge: Mapping[str, Any] | None) -> str:
    if not judge:
        return ""
    return f"{judge.get('model')}, prompt {judge.get('prompt')}, sha256 {str(judge.get('prompt_sha256'))[:12]}"


def _utc(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds)) if seconds else ""
