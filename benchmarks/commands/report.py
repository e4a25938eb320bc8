"""`rlm-eval report`: rebuilds every table and figure of finished or unfinished runs, offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands.parser import Parser


def main(argv: Sequence[str]) -> int:
    """Write the report and print its table. Raises ConfigError for a folder that is not a run."""
    parser = Parser(
        prog="rlm-eval report", description="Rebuild every table and figure of finished or unfinished runs, offline."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="PATH", help="run folders; several are reported together")
    parser.add_argument("--out", type=Path, help="folder of the report (default: report/ in the first run folder)")
    parser.add_argument("--baseline", help="method with which the others are compared")
    parser.add_argument(
        "--reveal", action="append", default=[], metavar="BENCHMARK", help="show the texts of a protected benchmark"
    )
    words = parser.parse_args(argv)

    from benchmarks.report import write_report
    from benchmarks.report.runs import refresh
    from benchmarks.running.busy import Busy

    out = words.out or words.runs[0] / "report"
    with Busy("reading the runs") as busy:
        for path in words.runs:
            refresh(path)
        files = write_report(words.runs, out, baseline=words.baseline, reveal=frozenset(words.reveal), tell=busy.step)
    print(files.table)
    for file in files:
        print(f"wrote: {file}")
    return 0
