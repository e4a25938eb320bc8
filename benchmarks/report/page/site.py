"""The pages that `rlm-eval view` serves: of runs and trajectories, finished or under way, and an index of several."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.report.page.asked import ENDS, is_finished, is_trajectory, write_asked_page
from benchmarks.report.page.contexts import piece_count, piece_script
from benchmarks.report.page.html import PAGE, policy_hash, write_page
from benchmarks.report.runs import in_use, load_calls, load_runs, refresh, with_replayed_time, without_reference
from benchmarks.report.tables.formats import money, printable
from benchmarks.running.contexts import hides, read_context
from benchmarks.running.manifest import find_manifest
from benchmarks.running.run_files import check_folder, newer_than_journal

PAGE_NAME = "report.html"
# A page under way is built again at most once in this many seconds, and takes at most a fifth of the time.
REBUILD_S = 5.0
BUILDS_APART = 5.0
INDEXED_RUNS = 1000


class Entry:
    """A page of one or several runs, of a saved report or of a trajectory. It is built when it is asked for.

    Runs that were under way, and several runs together, get a page in `scratch`: a run writes its own report itself.
    """

    def __init__(self, paths: Sequence[Path], scratch: Path, reveal: frozenset[str] = frozenset()) -> None:
        self.paths = tuple(paths)
        self._scratch = scratch
        self._reveal = reveal
        self._lock = threading.Lock()
        self._page: Path | None = None
        self._stamp = ""
        self._built_at = 0.0
        self._took = 0.0
        self._followed = False

    def page(self) -> Path:
        """Return the page, built if it is missing or out of date. Raises ConfigError."""
        with self._lock:
            stamp = self._current()
            if self._page is None or (self._followed and stamp != self._stamp):
                started = time.monotonic()
                self._page, self._stamp = self._build(stamp), stamp
                self._built_at = time.monotonic()
                self._took = self._built_at - started
            return self._page

    def stamp(self) -> str:
        """Return what a page under way compares with its own stamp; empty once the run has ended."""
        with self._lock:
            wait = max(REBUILD_S, BUILDS_APART * self._took)
            return self._stamp if time.monotonic() - self._built_at < wait else self._current()

    def context(self, name: str, piece: int) -> bytes | None:
        """Return a piece of a context from its run folder; None if it is not there or protected."""
        number, _, relative = name.partition("/")
        if not number.isdecimal() or int(number) >= len(self.paths) or hides(relative, self._reveal):
            return None
        try:
            text = _context_text(self.paths[int(number)], relative)
        except ConfigError:
            return None
        return piece_script(name, text, piece) if piece < piece_count(text) else None

    def _current(self) -> str:
        if not any(map(_under_way, self.paths)):
            return ""
        files = [file for path in self.paths for file in (*(path / "journal").glob("*.jsonl"), path) if file.is_file()]
        return f"{max((file.stat().st_mtime_ns for file in files), default=0)}-{len(files)}"

    def _build(self, stamp: str) -> Path:
        self._followed = self._followed or bool(stamp)
        if self.paths[0].name.endswith(ENDS):
            return write_asked_page(self.paths[0], self._scratch, stamp)
        if stamp:
            return _page_under_way(self.paths, self._scratch, stamp, self._reveal)
        if len(self.paths) == 1 and not self._followed and not self._reveal:
            return find_page(self.paths[0])
        from benchmarks.report import write_report

        page = write_report(self.paths, self._scratch, reveal=self._reveal).page
        assert page is not None
        return page


@dataclass(frozen=True)
class Site:
    """The entries that are served: one below `/`, or several below `/0/`, `/1/` and so on, with an index."""

    entries: tuple[Entry, ...]
    title: str

    @classmethod
    def of(cls, paths: Sequence[Path], scratch: Path, reveal: frozenset[str] = frozenset()) -> Site:
        """paths: run folders, which are shown together, or one folder of runs, or saved reports and trajectories.

        Raises ConfigError for any other path.
        """
        for path in paths:
            _check(path)
        if len(paths) > 1 and all(find_manifest(path) for path in paths):
            return cls((Entry(paths, scratch / "together", reveal),), "")
        shown = [one for path in paths for one in (_runs_below(path) or [path])]
        entries = tuple(Entry([path], scratch / str(place), reveal) for place, path in enumerate(shown))
        is_folder = len(paths) == 1 and shown != [paths[0]]
        return cls(entries, str(paths[0]) if is_folder else f"{len(entries)} runs" if len(entries) > 1 else "")

    def index(self) -> bytes | None:
        """Return the index page; None if there is only one page."""
        if not self.title:
            return None
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        style = (PAGE / "style.css").read_text(encoding="utf-8")
        environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
        rows = [
            {name: printable(str(text)) for name, text in _described(entry.paths[0], f"{place}/").items()}
            for place, entry in enumerate(self.entries)
        ]
        page = environment.get_template("index.html").render(
            title=printable(self.title),
            style=style,
            policy=f"default-src 'none'; style-src {policy_hash(style)}; img-src data:; base-uri 'none'; "
            "form-action 'none'",
            rows=rows,
        )
        return page.encode("utf-8", "replace")


def find_page(path: Path) -> Path:
    """Find the page at a path: a run folder, a report folder or the page. It is built if missing or out of date.

    Raises ConfigError for any other path.
    """
    if path.is_file():
        if path.suffix != ".html":
            raise ConfigError(f"{path} is not a page: expected a run folder, a report folder or {PAGE_NAME}")
        return path
    check_folder(path)
    found = next((page for page in (path / PAGE_NAME, path / "report" / PAGE_NAME) if page.is_file()), None)
    if found is None or not newer_than_journal(found, path):
        from benchmarks.report import write_report

        refresh(path)
        found = write_report([path], path / "report").page
    if found is None:
        raise ConfigError(f"{path} has no {PAGE_NAME}: `rlm-eval report {path}` writes it")
    return found


@lru_cache(maxsize=2)
def _context_text(run: Path, relative: str) -> str:
    # A reader asks for the pieces of one context one after another.
    return read_context(run, relative)


def _check(path: Path) -> None:
    is_known = path.suffix == ".html" or path.name.endswith(ENDS) if path.is_file() else path.is_dir()
    if not is_known:
        raise ConfigError(
            f"{path} cannot be shown: expected a run folder, a folder of runs, a trajectory of `rlm-eval ask` or "
            f"{PAGE_NAME}"
        )
    if path.is_dir() and not find_manifest(path) and not _runs_below(path):
        if not any((path / page).is_file() for page in (PAGE_NAME, f"report/{PAGE_NAME}")):
            raise ConfigError(
                f"{path} has no runs: expected a run folder, a folder of run folders, or a folder with {PAGE_NAME}"
            )
        check_folder(path)


def _runs_below(path: Path) -> list[Path]:
    """Return the runs and trajectories in a folder that is not a run folder, the newest first."""
    if not path.is_dir() or (path / "run.json").is_file() or (path / PAGE_NAME).is_file():
        return []
    found = [one for one in path.iterdir() if (one / "run.json").is_file() or is_trajectory(one)]
    return sorted(found, key=lambda one: (-one.stat().st_mtime, one.name))[:INDEXED_RUNS]


def _under_way(path: Path) -> bool:
    if path.name.endswith(ENDS):
        # A question that was killed has no answer either.
        return time.time() - path.stat().st_mtime < 600 and not is_finished(path)
    return in_use(path)


def _page_under_way(paths: Sequence[Path], out: Path, stamp: str, reveal: frozenset[str]) -> Path:
    """Write the page of runs while one of them is in progress, without figures, which take longest."""
    from benchmarks.report.about import NOTES
    from benchmarks.report.build import make_tables
    from benchmarks.report.tables.matrix import matrix_of
    from benchmarks.report.tables.pairs import choose_baseline
    from benchmarks.report.tables.second_judge import load_verdicts

    runs = load_runs(paths)
    calls = load_calls(runs)
    runs = replace(runs, samples=with_replayed_time(runs.samples, calls))
    tables = []
    if len(runs.samples):
        baseline = choose_baseline(runs.samples, runs.baseline)
        made = make_tables(runs.samples, calls, baseline, load_verdicts(runs))
        tables = [table for table in made if len(table.shown)]
    shown = {table.title: table.shown for table in tables}
    notes = {table.title: NOTES.get(table.name, "") for table in tables}
    known = reveal & set(runs.samples["benchmark"])
    matrix = matrix_of(tables[0].values).for_page() if tables else None
    return write_page(runs, out, shown, [], notes=notes, reveal=known, live=stamp, matrix=matrix)[0]


def _described(path: Path, address: str) -> dict[str, Any]:
    """Return a row of the index: models, scores, dollars and state of a run."""
    row = {"name": path.name, "address": address, "state": "", "models": "", "benchmarks": "", "scores": "",
           "dollars": "", "samples": "", "started": ""}  # fmt: skip
    if path.is_file():
        return row | {"state": "trajectory of ask" if path.name.endswith(ENDS) else "saved report"}
    try:
        (run,) = (runs := load_runs([path])).runs
    except (ConfigError, OSError, ValueError, KeyError) as error:
        return row | {"state": f"cannot be read: {error}"}
    samples, manifest = runs.samples, run.manifest
    models = dict.fromkeys(str((model or {}).get("name")) for model in (manifest.get("models") or {}).values())
    state = "under way" if in_use(path) else str(manifest.get("state") or "")
    started = manifest.get("started_at")
    states = set(samples["cost_state"])
    dollars = money(float(samples["cost_usd"].sum())) if states - {"free"} else "free" if states else ""
    return row | {
        "name": run.name,
        "state": "interrupted" if state == "running" else state,
        "models": ", ".join(models),
        "benchmarks": ", ".join(dict.fromkeys(samples["benchmark"])),
        "scores": ", ".join(_scores(without_reference(samples))),
        "dollars": f"≥ {dollars}" if "unknown" in states else dollars,
        "samples": f"{len(samples):,} of {int(manifest.get('samples_planned') or len(samples)):,}",
        "started": time.strftime("%Y-%m-%d %H:%M", time.gmtime(started)) if started else "",
    }


def _scores(samples: Any) -> Iterator[str]:
    """Return each method with its mean score over benchmarks, which count alike."""
    by_method: Mapping[str, Any] = dict(iter(samples.groupby("method", sort=False)))
    for method, rows in list(by_method.items())[:6]:
        yield f"{method} {100 * rows.groupby('benchmark')['score'].mean().mean():.1f}"
    if len(by_method) > 6:
        yield f"and {len(by_method) - 6} more"
