"""The head of a report: facts about the runs and warnings; and a note for each table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report.runs import Run, Runs, without_reference
from benchmarks.report.tables.formats import markdown_cell
from rlm.terminal import counted

# Notes by the name of a table.
NOTES = {
    "scores": (
        "Scores are in percent over all n rows. Failed rows (over window, error, unscored) score 0; rows stopped by a "
        "limit get the score of their last answer. Rows of wrong format (not the form that the prompt asks for) or "
        "untagged (a last reply without answer tags) get the score of their answer. Intervals are clustered by context "
        "window. \\* some inputs exceeded the context window. † one or two context windows: the interval holds for "
        "these only. ‡ a server cut prompts. A cell in which more than a tenth of the rows ended in errors states no "
        "score. The verdict compares with the paper's figure, which has a sampling error too; \"too few samples to "
        'tell" states the n that is needed to measure as precisely as the paper.\n\n'
    ),
    "pairs": (
        "Percentage points, on the samples that both methods have, each the mean of its epochs. p (Holm) is corrected "
        "for the comparisons of a family, over all benchmarks: methods against the baseline, pairs of models, runs "
        "against the first run. Methods that made the same calls and gave the same answers are equal by construction "
        "and not counted. Better or worse: p (Holm) is below 0.05 and the interval excludes 0. detectable: the "
        "smallest true difference that is found with 80% power at the corrected level. unpaired: rows that only one "
        "of the two has.\n\n"
    ),
    "pairs_by_length": "As above; these comparisons are a separate family.\n\n",
    "cost": (
        "All lengths of a benchmark together. n counts the rows with a known value; `unknown` is the share without a "
        "known price. A method that costs nothing has no rows of cost. Runtime includes the original time of replayed "
        "calls.\n\n"
    ),
    "calls": "Replayed calls count with their original cost and tokens. Shares are in percent.\n\n",
    "lengths": (
        "In percent; score, over window, limit, error and answered wrong add up to 100. Context rot is the part of "
        "answered wrong above what the method loses of its answers at its shortest length; inputs over the window do "
        "not count. † as in the scores.\n\n"
    ),
    "effective_lengths": (
        "The largest tested length up to which the score stays at or above the bar: RULER's 85.6, or 85% of the "
        "method's own score at the shortest length.\n\n"
    ),
    "crossover_lengths": (
        "The smallest tested length from which on a method stays ahead of the baseline of its model and run.\n\n"
    ),
    "groups": "All lengths of a benchmark together. † as in the scores.\n\n",
    "details": "All lengths of a benchmark together; a value over fewer rows than n states its n.\n\n",
    "second_judge": (
        "The run's scores are those of its own judge; a second judge (`rlm-eval rescore RUN --also judge=NAME`) has "
        "scored the same answers. Difference: second minus first, in percentage points, over samples. Agreement and "
        "kappa (agreement beyond chance, 1 is complete) count correct against not correct, over the judged rows "
        "without empty answers. Unparsed: replies without a verdict, of the first and the second judge.\n\n"
    ),
    "epochs": (
        "Percent and percentage points. sd epochs: of one sample that runs again. sd samples: of the samples' true "
        "means. pass@k: at least one of k epochs is correct (a score of at least 0.5), estimated without bias from all "
        "epochs. majority: the score of the answer that most epochs give. Both are over the samples that ran in "
        "several epochs (repeated).\n\n"
    ),
    "behaviour": "All lengths of a benchmark together; correct is a score of at least 0.5.\n\n",
}


def figure_note(picture: Path) -> str:
    """Return what a reader of a figure must know, from the values in the CSV file beside it; empty for most figures."""
    spent = {"score_by_cost": "cost_mean_usd", "score_by_runtime": "runtime_mean_s"}.get(picture.stem)
    if spent is None:
        return ""
    import pandas as pd

    values = pd.read_csv(picture.with_suffix(".csv"))
    methods = without_reference(values)
    less = "at a lower cost" if spent == "cost_mean_usd" else "in less time"
    parts = [
        "All lengths of a benchmark together, with 95% intervals. The Pareto front joins the methods that no other "
        f"method equals in score {less}."
    ]
    if (methods[spent] == 0).any():
        parts.append(
            "A method that costs nothing, such as one of a local model, has no place on an axis of dollars: it is a "
            "horizontal line, and methods that score at most as much are not on the front."
        )
    if methods[spent].isna().any():
        parts.append("Methods of unknown cost appear only in the table of values.")
    if len(methods) < len(values):
        parts.append("Reference rows are dashed lines and not part of the front.")
    return " ".join(parts)


def about(runs: Runs) -> str:
    """Return Markdown with the warnings and facts of each run."""
    return "\n".join(_one_run(run) for run in runs.runs)


def warnings_of(run: Run) -> list[str]:
    """Return warnings on a run: unfinished, repeated rows, a changed checkout, an unconfined REPL, mixed endpoints."""
    manifest, config = run.manifest, run.manifest.get("config") or {}
    found = []
    if run.missing:
        of = counted(int(manifest.get("samples_planned") or run.missing), "sample")
        found.append(f"{run.missing} of {of} {'is' if run.missing == 1 else 'are'} missing: the run is not finished")
    if run.repeated:
        found.append(
            f"its table has {counted(run.repeated, 'repeated row')} of a sample: the last row of each sample counts"
        )
    if (manifest.get("git") or {}).get("dirty"):
        found.append("the checkout had uncommitted changes")
    if (config.get("repl") or {}).get("confinement") == "unsafe":
        found.append("the REPL was not confined (repl=unsafe): model-written code could reach files and network")
    return [*found, *run.mixed]


def facts_of(run: Run) -> dict[str, str]:
    """Return facts from the manifest of a run, by name."""
    manifest = run.manifest
    judge = manifest.get("judge") or {}
    facts: dict[str, Any] = {
        "state": "; ".join(filter(None, [manifest.get("state"), manifest.get("message")])),
        "started": _utc(manifest.get("started_at")),
        "commit": (manifest.get("git") or {}).get("commit"),
        "configuration": str(manifest.get("config_hash") or "")[:12],
        "seed": manifest.get("seed"),
        "models": ", ".join(_model(role, model or {}) for role, model in (manifest.get("models") or {}).items()),
        "judge": f"{judge.get('model')}, {_prompt(judge)}" if judge else "",
        "added": "; ".join(_added(session) for session in manifest.get("sessions") or () if session.get("added")),
    }
    for name, method in (manifest.get("methods") or {}).items():
        protocol = (method or {}).get("answer_protocol")
        parts = [f"answer protocol {protocol}" if protocol else "", _prompt(method or {})]
        facts[f"method {name}"] = "; ".join(filter(None, parts))
    for name, benchmark in (manifest.get("benchmarks") or {}).items():
        facts[f"benchmark {name}"] = _benchmark(benchmark or {})
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _one_run(run: Run) -> str:
    lines = [f"**{markdown_cell(run.name)}**\n"]
    lines += [f"- **Warning:** {markdown_cell(warning)}." for warning in warnings_of(run)]
    lines += [f"- {markdown_cell(name)}: {markdown_cell(value)}" for name, value in facts_of(run).items()]
    return "\n".join(lines) + "\n"


def _added(session: Mapping[str, Any]) -> str:
    """Format what a session added to the run: `2026-01-31 12:00 UTC: limit 5 -> 10, method rlm`."""
    parts = []
    for key, value in session["added"].items():
        if key == "samples":
            parts += [f"{name} {_change(counts)} samples" for name, counts in (value or {}).items()]
        else:
            parts.append(f"{key} {_change(value, key in ('benchmark', 'method', 'model'))}")
    return f"{_utc(session.get('started_at'))}: {', '.join(parts)}"


def _change(value: Any, are_names: bool = False) -> str:
    values = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return (", " if are_names else " -> ").join(values)


def _benchmark(described: Mapping[str, Any]) -> str:
    data = described.get("data") or {}
    parts = [
        f"{counted(len(described.get('sample_ids') or []), 'sample')} (sha256 "
        f"{str(described.get('sample_ids_sha256'))[:12]})"
    ]
    parts += [f"{key} {data[key]}" for key in ("source", "repo", "revision", "generator") if data.get(key)]
    for key, title in (("query_frame", "query frame"), ("answer_form", "answers as")):
        parts += [f"{title} {data[key]}"] if data.get(key) else []
    parts.append(f"scored by {described.get('scorer')} ({described.get('metric')})")
    return ", ".join(parts)


def _prompt(described: Mapping[str, Any]) -> str:
    if not described.get("prompt"):
        return ""
    options = described.get("prompt_options_sha256")
    text = f"prompt {described['prompt']}, sha256 {str(described.get('prompt_sha256'))[:12]}"
    return text + (f", options sha256 {str(options)[:12]}" if options else "")


def _model(role: str, model: Mapping[str, Any]) -> str:
    window = model.get("context_window")
    return f"{role} {model.get('name')}" + (f" (window {window:,})" if isinstance(window, int) else "")


def _utc(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds)) if seconds else ""
