"""A large run of short calls against a server in a process of its own, by one process or by Ray.

    .venv/bin/python -m scripts.bench.scale --samples 100000
    .venv/bin/python -m scripts.bench.scale --samples 100000 --ray 2

Prints the seconds of the run, of its tables and of its report, the processor time of a call, the peak memory of all
processes together (resident pages; those that several processes share count for each), the bytes on disk, and what they
give for a run on a hundred nodes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench.measure import PYTHON, ROOT, endpoint
from scripts.bench.ours import run_words

TICKS = os.sysconf("SC_CLK_TCK")
POLL_S = 0.5
# The code that writes the tables at the end of every run, and before a report on a killed run.
TABLES = "import pathlib, sys; from benchmarks.running.tables import refresh_tables as t; t(pathlib.Path(sys.argv[1]))"
# The run on paper: samples, calls of a sample, nodes.
PAPER_SAMPLES, PAPER_CALLS, NODES = 1_000_000, 40, 100


@dataclass
class Usage:
    """The use of a command and its descendants: seconds, processor seconds by process, and the peak of their memory."""

    wall_s: float = 0.0
    cpu_s: dict[int, float] = field(default_factory=dict)
    peak_bytes: int = 0

    def watch(self, process: subprocess.Popen[str]) -> None:
        """Sample the processes until the command ends."""
        started = time.perf_counter()
        while process.poll() is None:
            held = 0
            for pid in descendants(process.pid):
                try:
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                self.cpu_s[pid] = (int(fields[11]) + int(fields[12])) / TICKS
                held += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            self.peak_bytes = max(self.peak_bytes, held)
            time.sleep(POLL_S)
        self.wall_s = time.perf_counter() - started


def descendants(root: int) -> list[int]:
    """The process and its descendants."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sorted(tree)


def command(words: Sequence[str], environment: Mapping[str, str]) -> Usage:
    """Run Python with the words. Ends this script if it fails."""
    used = Usage()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [PYTHON, *words],
            cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=errors, text=True,
        )  # fmt: skip
        used.watch(process)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(words[:3])} ended with {process.returncode}: {errors.read()[-1000:]}")
    return used


def bytes_of(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


def main() -> None:
    """Measure one run and its report."""
    parser = argparse.ArgumentParser(prog="scripts.bench.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--concurrency", type=int, default=400, help="samples at a time, and calls on the wire")
    parser.add_argument("--ray", type=int, metavar="WORKERS", help="spread the samples over Ray's workers")
    chosen = parser.parse_args()
    with endpoint() as address, tempfile.TemporaryDirectory() as name:
        folder = Path(name, "run")
        environment = {
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": f"{address}/base/{chosen.latency_ms:g}/v1",
        }
        words = run_words("base", chosen.samples, chosen.concurrency)
        words += [f"run_dir={folder}", f"model.endpoint.max_concurrency={chosen.concurrency}"]
        # The key is given once.
        words = list({word.partition("=")[0]: word for word in words}.values())
        if chosen.ray:
            words += ["executor=ray", f"executor.workers={chosen.ray}"]
        program = ["-m", "benchmarks.cli"]
        run = command([*program, "run", *words], environment)
        report = command([*program, "report", str(folder)], environment)
        sizes = {
            "journal": bytes_of(folder, "journal/*"),
            "store": bytes_of(folder, "calls*.sqlite*"),
            "trajectories": bytes_of(folder, "trajectories/**/*"),
            "contexts": bytes_of(folder, "contexts/**/*"),
            "tables": bytes_of(folder, "*.parquet"),
        }
        tables = command(["-c", TABLES, str(folder)], environment)
    show(chosen.samples, run, tables, report, sizes)


def show(samples: int, run: Usage, tables: Usage, report: Usage, sizes: Mapping[str, int]) -> None:
    """Print the figures of a run of one call a sample, and those for the run on paper."""
    cpu = sum(run.cpu_s.values())
    print("| measure | value |\n|---|---|")
    print(f"| run, s | {run.wall_s:.1f} |\n| samples a second | {samples / run.wall_s:.0f} |")
    print(f"| processor time a call, ms | {1000 * cpu / samples:.2f} |")
    print(f"| peak memory of all processes, MB | {run.peak_bytes / 1e6:.0f} |")
    for name, used in (("tables from the journal", tables), ("report", report)):
        print(f"| {name}, s | {used.wall_s:.1f} |\n| {name}, processor time s | {sum(used.cpu_s.values()):.1f} |")
        print(f"| {name}, peak memory MB | {used.peak_bytes / 1e6:.0f} |")
    for name, size in sizes.items():
        print(f"| {name}, bytes a sample | {size / samples:,.0f} |")
    calls = PAPER_SAMPLES * PAPER_CALLS
    gigabytes = {name: calls * size / samples / 1e9 for name, size in sizes.items()}
    print(
        f"\n{PAPER_SAMPLES:,} samples of {PAPER_CALLS} calls on {NODES} nodes, on paper: processor time "
        f"{calls * cpu / samples / 3600 / NODES:.1f} h a node; stores {gigabytes['store']:.0f} GB, "
        f"{gigabytes['store'] / NODES:.1f} GB a node; trajectories {gigabytes['trajectories']:.0f} GB; journals "
        f"{gigabytes['journal'] / PAPER_CALLS:.1f} GB and the rows of their calls."
    )


if __name__ == "__main__":
    main()
