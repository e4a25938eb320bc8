"""Figures as CSV in results/bench, as lines on the terminal, and as the tables of docs/performance.md."""

from __future__ import annotations

import csv
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from scripts.bench.measure import ROOT, US, Row

RESULTS = ROOT / "results" / "bench"
PAGE = ROOT / "docs" / "performance.md"
COLUMNS = (
    "case", "who", "measure", "median", "lowest", "highest", "repeats", "ideal", "times_ours", "aim", "met", "note",
    "load", "measured_at", "machine", "versions",
)  # fmt: skip
_PINS = {"rlms": "reference/rlms.txt", "dspy": "reference/dspy.txt", "inspect-ai": "tools/inspect.txt"}
_TABLE = re.compile(r"(<!-- figures: ([\w]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def records(rows: Sequence[Row], load: str) -> list[dict[str, str]]:
    """Rows of a CSV file, each compared with the row of rlm-eval for the same case and measure."""
    own = {(row.case, row.measure): row.median for row in reversed(rows) if row.who.startswith(US)}
    written = []
    for row in rows:
        mine = own.get((row.case, row.measure))
        times = row.median / mine if mine and not row.who.startswith(US) else None
        written.append({
            "case": row.case, "who": row.who, "measure": row.measure, "median": figure(row.median),
            "lowest": figure(min(row.values)), "highest": figure(max(row.values)), "repeats": str(len(row.values)),
            "ideal": "" if row.ideal is None else figure(row.ideal), 
            "times_ours": "" if times is None else figure(times),
            "aim": row.aim, "met": met(row.aim, row.median, times), "note": row.note,
            "load": load, "measured_at": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine(),
            "versions": versions(),
        })  # fmt: skip
    return written


def met(aim: str, median: float, times: float | None) -> str:
    """`yes` or `no`; empty without an aim or without a row to compare with."""
    if not aim:
        return ""
    _, kind, number, *of_ours = aim.split(maxsplit=3)
    value = times if of_ours else median
    if value is None:
        return ""
    return "yes" if (value <= float(number) if kind == "most" else value >= float(number)) else "no"


def figure(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """Processor, cores, memory, kernel."""
    names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    processor = names[0] if names else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {pages / 1e9:.0f} GB, Linux {platform.release()}"


def versions() -> str:
    """The commit, Python, the libraries of the client, and the pins of the peers."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    parts = [f"rlm-eval {metadata.version('rlm-eval')} {commit.strip()}", f"Python {platform.python_version()}"]
    parts += [f"{name} {metadata.version(name)}" for name in ("openai", "aiohttp")]
    for name, file in _PINS.items():
        pinned = re.search(rf"^{name}==(\S+)", (ROOT / "scripts" / file).read_text(), re.MULTILINE)
        parts.append(f"{name} {pinned[1] if pinned else 'not pinned'}")
    return ", ".join(parts)


def write(part: str, written: Sequence[Mapping[str, str]], folder: Path) -> Path:
    """Write the CSV file of a part."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{part}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(written)
    return path


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def spread(row: Mapping[str, str]) -> str:
    """Lowest, highest and number of values."""
    return f"{row['lowest']} to {row['highest']}, {row['repeats']}x"


def line(row: Mapping[str, str]) -> str:
    """One row for the terminal."""
    times = f"{row['times_ours']} times ours" if row["times_ours"] else ""
    aim = f"{row['aim']}: {row['met']}" if row["met"] else ""
    measure = f"{row['median']:>8} {row['measure']}"
    return f"  {row['case']:30} {row['who']:24} {measure:40} {spread(row):28} {times:16} {aim}".rstrip()


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """The rows as a table, with the machine and the versions below it."""
    shown = ("case", "who", "measure", "median", "spread", "ideal", "times_ours", "aim", "met", "note")
    cells = [[spread(row) if name == "spread" else row[name] for name in shown] for row in rows]
    lines = [
        f"| {' | '.join(each)} |" for each in ([name.replace("_", " ") for name in shown], ["---"] * len(shown), *cells)
    ]
    about = dict.fromkeys(
        f"{row['machine']}; load {row['load']} at the start; {row['measured_at']}; {row['versions']}." for row in rows
    )
    return "\n".join([*lines, "", *about])


def page(text: str, folder: Path) -> str:
    """A page with its tables from the CSV files of a folder; a part without a file is marked as not measured."""

    def table(found: re.Match[str]) -> str:
        path = folder / f"{found[2]}.csv"
        made = markdown(read(path)) if path.exists() else "Not measured yet."
        return f"{found[1]}{made}\n{found[3]}"

    return _TABLE.sub(table, text)
