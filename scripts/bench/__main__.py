"""The command scripts/bench/run: measures, prints, and writes results/bench and docs/performance.md."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.bench.against import batch, calls, completion, throughput
from scripts.bench.alone import memory, resume, startup
from scripts.bench.data import data
from scripts.bench.growth import context_growth, plot, sample_growth
from scripts.bench.measure import Bench, Row, endpoint, requests_a_second
from scripts.bench.sessions import sessions
from scripts.bench.tables import PAGE, RESULTS, line, page, read, records, write


def server(bench: Bench) -> Iterator[Row]:
    """Requests per second that the scripted endpoint answers, which show that it is not the bottleneck."""
    count = bench.size(20_000, 500)
    rates = [requests_a_second(bench.address, count) for _ in range(bench.repeats)]
    yield Row("bare sockets, 50 connections", "the scripted endpoint", "requests a second", rates, "one process")


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "server": server, "completion": completion, "batch": batch, "throughput": throughput, "calls": calls,
    "memory": memory, "startup": startup, "resume": resume, "data": data, "sessions": sessions,
    "context_growth": context_growth, "sample_growth": sample_growth,
}  # fmt: skip
PLOTS = {"context_growth": "Cost of a completion, by MB of context", "sample_growth": "Cost of a run, by samples"}


def main() -> None:
    """Measure the chosen parts."""
    told = "\n".join(f"  {name:15} {(part.__doc__ or '').strip().splitlines()[0]}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure the overhead of rlm-eval, in turn with its peers in pinned environments.\n\n"
        f"parts:\n{told}",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", default=list(PARTS), help="parts to run")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; each runs every contender once (3)")
    parser.add_argument("--no-peers", action="store_true", help="measure only rlm-eval")
    parser.add_argument("--tiny", action="store_true", help="sizes that take seconds; the figures mean nothing")
    parser.add_argument("--out", type=Path, help="folder of the CSV files (results/bench; none with --tiny)")
    words = parser.parse_args()
    out = words.out or (None if words.tiny else RESULTS)
    with endpoint() as address:
        bench = Bench(words.tiny, words.repeats, not words.no_peers, address)
        for name in words.only:
            measure(name, bench, out)
    if out == RESULTS:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")
        print(f"wrote: {PAGE}")


def measure(name: str, bench: Bench, out: Path | None) -> None:
    """Measure a part, print its rows and write its CSV file and its plot."""
    load, started = f"{os.getloadavg()[0]:.1f}", time.perf_counter()
    print(f"{name}: {(PARTS[name].__doc__ or '').strip().splitlines()[0]}", flush=True)
    written = records(list(PARTS[name](bench)), load)
    for row in written:
        print(line(row), flush=True)
    if out:
        path = write(name, written, out)
        if name in PLOTS:
            plot(read(path), path.with_suffix(".svg"), PLOTS[name])
        print(f"wrote: {path}")
    print(f"  took {time.perf_counter() - started:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
