"""Growth of cost with the context of one completion and with the samples of a run, as rows and plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scripts.bench.measure import US, Bench, Row, ours

# The limit on the slope of log(cost) over log(size) between the largest size and one of at most a tenth of it. n log n
# stays below this limit for the sizes measured here.
STEEPEST = 1.15


def context_growth(bench: Bench) -> Iterator[Row]:
    """One completion of three turns over contexts of 1 MB to 1 GB: seconds, processor time and memory."""
    sizes = bench.size((1, 4, 16, 64, 256, 1000), (0.01, 0.02))
    points: dict[str, dict[float, float]] = {}
    for size in sizes:
        job = {"base_url": bench.url("three"), "chars": int(size * 1e6)}
        timed = [
            ours("completions", **job, times=bench.size(2, 1)) for _ in range(bench.size(min(bench.repeats, 2), 1))
        ]
        held = ours("live", **job | {"base_url": bench.url("meet")}, samples=1)
        figures = {
            "wall s": [wall for one in timed for wall in one["walls"]],
            "CPU s": [one["cpu_s"] / len(one["walls"]) for one in timed],
            "memory MB": [held["memory_bytes"] / 1e6],
        }
        for measure, values in figures.items():
            row = Row(f"context {size:g} MB", US, measure, values, "confined, trajectory written")
            points.setdefault(measure, {})[size] = row.median
            yield row
    yield from _slopes("context", points)


def sample_growth(bench: Bench) -> Iterator[Row]:
    """Whole runs of 100 to 100,000 base samples without latency: seconds, processor time, memory, disk."""
    sizes = bench.size((100, 1_000, 10_000, 100_000), (10, 20))
    points: dict[str, dict[float, float]] = {}
    for size in sizes:
        job = {"base_url": bench.url("base"), "method": "base", "concurrency": 64, "memory": True}
        one = ours("whole_run", **job, samples=size)
        figures = {
            "wall s": one["walls"][0], "CPU s": one["cpu_s"], "memory MB": one["memory_bytes"] / 1e6,
            "disk MB": one["disk_bytes"] / 1e6,
        }  # fmt: skip
        for measure, value in figures.items():
            points.setdefault(measure, {})[size] = value
            yield Row(f"{size} samples", US, measure, [value], "plan, calls, store, trajectories, journal and tables")
    yield from _slopes("samples", points)


def _slopes(what: str, points: Mapping[str, Mapping[float, float]]) -> Iterator[Row]:
    for measure, values in points.items():
        x1 = max(values)
        x0 = max((size for size in values if size * 10 <= x1), default=min(values))
        y0, y1 = values[x0], values[x1]
        slope = math.log(max(y1, 1e-9) / max(y0, 1e-9)) / math.log(x1 / x0)
        aim = f"at most {STEEPEST}"
        yield Row(f"{what}, last tenfold", US, f"exponent of {measure}", [slope], "1 is linear", aim=aim)


def plot(rows: Sequence[Mapping[str, str]], path: Path, title: str) -> None:
    """The figures of a growth part over the size that its cases name, on two logarithmic axes, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "rlm-eval"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if "last tenfold" not in row["case"]:
            size = next(float(word) for word in row["case"].split() if word.replace(".", "").isdigit())
            series.setdefault(row["measure"], []).append((size, float(row["median"])))
    for (name, values), marker in zip(series.items(), "osD^v", strict=False):
        axes.plot(*zip(*sorted(values), strict=True), marker=marker, label=name)
    first = min(size for values in series.values() for size, _ in values)
    last = max(size for values in series.values() for size, _ in values)
    low = min(value for values in series.values() for _, value in values if value > 0)
    axes.plot([first, last], [low, low * last / first], color="grey", linestyle=":", label="linear")
    axes.set(xscale="log", yscale="log", title=title, xlabel=title.split(" of ")[-1])
    axes.legend(frameon=False)
    axes.grid(color="#dddddd", linewidth=0.6)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
