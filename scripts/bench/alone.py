"""Parts without a peer: memory of live samples, start-up, and a run of 20,000 samples that is resumed and reported."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.bench.drawn_run import write_run
from scripts.bench.measure import PYTHON, ROOT, US, Bench, Row, ours
from scripts.bench.ours import run_words

RLM_EVAL = (PYTHON, "-m", "benchmarks.cli")
NOTHING_MISSING = "nothing is missing"


def memory(bench: Bench) -> Iterator[Row]:
    """Live samples with a context of 40 MB each: peak memory of host and sessions above that of the contexts."""
    chars = bench.size(40_000_000, 200_000)
    for samples in bench.size((1, 16, 64), (2,)):
        job = {"base_url": bench.url("meet"), "chars": chars, "samples": samples}
        measured = [ours("live", **job) for _ in range(bench.size(min(bench.repeats, 3), 1))]
        over = [one["memory_bytes"] / one["context_bytes"] for one in measured]
        note = "host and confined sessions; proportional share of what is shared"
        yield Row(f"{samples} live", US, "memory over contexts", over, note, 1.0, "at most 2.2")
        yield Row(f"{samples} live", US, "MB", [one["memory_bytes"] / 1e6 for one in measured], note)


def startup(bench: Bench) -> Iterator[Row]:
    """Seconds of `rlm-eval --help` and of `import rlm`, and from `rlm-eval run` to the first model call."""
    commands: dict[str, tuple[Sequence[str], float]] = {
        "python -c pass": ((PYTHON, "-c", "pass"), 0.0),
        "import rlm": ((PYTHON, "-c", "import rlm"), 0.4),
        "from rlm import RLM": ((PYTHON, "-c", "from rlm import RLM"), 0.4),
        "rlm-eval --help": ((str(Path(PYTHON).with_name("rlm-eval")), "--help"), 0.4),
        "run to the first call": ((), 2.5),
    }
    taken: dict[str, list[float]] = {case: [] for case in commands}
    for _ in range(bench.size(2 * bench.repeats + 1, 1)):
        for case, (command, _) in commands.items():
            taken[case].append(_seconds(command) if command else _to_first_call(bench))
    for case, (_, most) in commands.items():
        note = "with a warm file cache" if most else "what Python itself takes"
        yield Row(case, US if most else "python", "wall s", taken[case], note, aim=f"at most {most}" if most else "")


def resume(bench: Bench) -> Iterator[Row]:
    """A finished run of 20,000 samples run again, and a report of one with 500,000 calls."""
    samples = bench.size(20_000, 30)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder, "run")
        job = {"base_url": bench.url("base"), "samples": samples, "method": "base", "concurrency": 64}
        ours("whole_run", **job, run_dir=str(run_dir))
        command = [*RLM_EVAL, "run", *run_words("base", samples, 64), f"run_dir={run_dir}"]
        times = [_again(command, bench) for _ in range(bench.repeats)]
        case = f"{samples} samples, run again"
        known = [one for one, _ in times]
        yield Row(case, US, "s until nothing is known to miss", known, "start-up, plan and journal", 0.0, "at most 3")
        yield Row(case, US, "s until the report stands", [whole for _, whole in times], "tables and report too")
    with tempfile.TemporaryDirectory() as folder:
        drawn, calls = bench.size(20_000, 400), bench.size(500_000, 2000)
        write_run(Path(folder), drawn, calls, seed=0)
        taken, cpu = [], []
        for _ in range(bench.size(min(bench.repeats, 3), 1)):
            before = _children_s()
            taken.append(_seconds([*RLM_EVAL, "report", folder]))
            cpu.append(_children_s() - before)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
        case = f"{drawn} samples, {calls} calls, report"
        yield Row(case, US, "wall s", taken, "4 benchmarks x 5 methods, all figures", 0.0, "at most 60")
        yield Row(case, US, "CPU s", cpu)
        yield Row(case, US, "peak MB", [peak])


def _seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - started


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _settings(bench: Bench) -> dict[str, str]:
    return os.environ | {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": bench.url("base")}


def _to_first_call(bench: Bench) -> float:
    _first(bench)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        command = [*RLM_EVAL, "run", *run_words("base", 1, 1), f"run_dir={folder}/run"]
        subprocess.run(command, check=True, cwd=ROOT, env=_settings(bench), capture_output=True)
    return _first(bench) - started


def _first(bench: Bench) -> float:
    with urllib.request.urlopen(bench.address) as answer:
        return json.load(answer)["first"] or 0.0


def _again(command: Sequence[str], bench: Bench) -> tuple[float, float]:
    """Seconds until a run reports that nothing is missing, and until it has ended."""
    started, known = time.perf_counter(), None
    with subprocess.Popen(
        command, cwd=ROOT, env=_settings(bench), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr
        for line in run.stderr:
            if NOTHING_MISSING in line:
                known = time.perf_counter() - started
            else:
                print(line, end="", file=sys.stderr)
    if known is None or run.returncode:
        raise SystemExit("bench: the repeated run did not report that nothing is missing")
    return known, time.perf_counter() - started
