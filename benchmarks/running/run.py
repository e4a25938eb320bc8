"""Run a matrix: plan it, run what is missing, journal what is done, write the tables."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.config.build import build
from benchmarks.config.compose import Config, run_dir
from benchmarks.running.executors import ExecutorError
from benchmarks.running.harness import Harness
from benchmarks.running.journal import Key, Record, key_of
from benchmarks.running.manifest import ended, manifest
from benchmarks.running.progress import Progress, make_progress
from benchmarks.running.run_folder import RunFolder, read_manifest, write_tables
from rlm.models.cache.model import NotRecorded
from rlm.models.chat import Cost, CostState, FatalModelError

RECORD_AGAIN = (
    "prompts, settings or code have changed since it was recorded: record again, +experiment=ci by scripts/record_ci, "
    "another run with cache.mode=read_write and `rlm-eval export calls`"
)


@dataclass(frozen=True)
class Outcome:
    """A run folder with its tables, how many samples are done, and how the run ended.

    state: `finished`, `interrupted`, `budget` or `failed`; message: why it is not finished, one line.
    """

    path: Path
    state: str
    samples: int
    message: str = ""


def run(config: Config, hydra_files: Mapping[str, str] | None = None) -> Outcome:
    """Carry out a run and write everything but its report.

    Raises ConfigError before any model call for what cannot be run. What happens later ends in an Outcome.
    """
    with RunFolder(run_dir(config), config) as folder:
        return asyncio.run(_run(config, folder, hydra_files or {}))


async def _run(config: Config, folder: RunFolder, hydra_files: Mapping[str, str]) -> Outcome:
    harness = Harness(config, folder.path / "calls.sqlite", read_also=sorted(folder.path.glob("calls-*.sqlite")))
    try:
        executor = build(config["executor"], "executor")
        plan = harness.plan()
        known = folder.records()
        records = {key: known[key] for key in plan if key in known}
        todo = [key for key in plan if not _stands(records.get(key), retry=config["retry_errors"])]
        before = read_manifest(folder.path, missing_ok=True) or {}
        if not todo:
            print(f"nothing is missing: {len(plan)} samples are done", file=sys.stderr, flush=True)
        if not todo and before.get("state") == "finished":
            described, state, message = None, "finished", ""
        else:
            described = await asyncio.to_thread(manifest, config, harness, before)
            folder.write_manifest(described | {"samples_planned": len(plan), "samples_done": len(records)})
            folder.write_hydra(hydra_files)
            state, message = await _run_missing(harness, executor, folder, plan, todo, records)
    finally:
        await harness.aclose()
    ordered = [records[key] for key in plan if key in records]
    try:
        await asyncio.to_thread(write_tables, folder.path, ordered)
        if described is not None:
            folder.write_manifest(
                ended(described, state, message) | {"samples_planned": len(plan), "samples_done": len(ordered)}
            )
    except OSError as error:
        # What is done stands in the journal.
        state, message = "failed", message or _cannot_write(error)
    return Outcome(folder.path, state, len(ordered), message)


async def _run_missing(
    harness: Harness,
    executor: Any,
    folder: RunFolder,
    plan: list[Key],
    todo: list[Key],
    records: dict[Key, Record],
) -> tuple[str, str]:
    """Run the keys in `todo`, adding to `records`; returns the state of the run and a line about it."""
    stop = asyncio.Event()
    concurrency = harness.config["concurrency"]["samples"]
    allowed = harness.config["fail_on_error"]
    standing = [records[key] for key in records.keys() - set(todo)]
    harness.budget.charge(_paid(standing))
    failures = sum(_failed(record) for record in standing)
    with make_progress(plan, standing) as progress, _interrupts(stop, progress):
        try:
            running = executor.execute(todo, harness, concurrency=concurrency, stop=stop)
            async with contextlib.aclosing(running):
                async for finished in running:
                    record = finished.record
                    await asyncio.to_thread(folder.write_trajectory, record, finished.trajectory)
                    await folder.journal.append(record)
                    records[key_of(record)] = record
                    progress.done(record)
                    failures += _failed(record)
                    if _too_many(failures, len(plan), allowed):
                        return "failed", f"{failures} samples failed (fail_on_error={allowed})"
        except (FatalModelError, ExecutorError) as error:
            told = " ".join(str(error).split())
            return "failed", f"{told}; {RECORD_AGAIN}" if isinstance(error, NotRecorded) else told
        except OSError as error:
            return "failed", _cannot_write(error)
        except asyncio.CancelledError:
            return "interrupted", "stopped before all samples were done; run the same command to go on"
    missing = sum(key not in records for key in plan)
    if missing and harness.budget.spent:
        return "budget", f"budget.max_cost_usd ({harness.budget.max_cost_usd}) is spent; {missing} samples are missing"
    if missing:
        return "interrupted", f"{missing} samples are missing; run the same command to go on"
    return "finished", ""


@contextlib.contextmanager
def _interrupts(stop: asyncio.Event, progress: Progress) -> Iterator[None]:
    """The first Ctrl-C (or TERM) lets running samples finish, the second ends them."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set():
            task.cancel()
            return
        stop.set()
        progress.say("stopping: the samples that run are finished first; once more to stop at once")

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, NotImplementedError):
            loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError, NotImplementedError):
                loop.remove_signal_handler(number)


def _stands(record: Record | None, *, retry: bool) -> bool:
    return record is not None and not (retry and _failed(record))


def _failed(record: Record) -> bool:
    return record["row"]["status"] == "error"


def _paid(records: Iterable[Record]) -> Cost:
    # Samples that run again are charged as they do, with the calls that are replayed for them.
    total = math.fsum(record["row"]["cost_usd"] + record["row"]["judge_cost_usd"] for record in records)
    return Cost(total, total, CostState.KNOWN)


def _too_many(failures: int, planned: int, allowed: float | None) -> bool:
    if allowed is None:
        return False
    return failures > (allowed * planned if allowed < 1 else allowed)


def _cannot_write(error: OSError) -> str:
    return f"the run folder cannot be written: {error.strerror or error}"
