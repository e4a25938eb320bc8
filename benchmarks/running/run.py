"""Runs a matrix: plans it, runs missing samples, journals finished ones, writes the tables."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.config.schema import RunConfig
from benchmarks.running.additions import additions, sample_ids, samples_added_at
from benchmarks.running.batches import batch_notes, check_left
from benchmarks.running.budget import check_prices
from benchmarks.running.busy import Busy
from benchmarks.running.executors import ExecutorError, Stop
from benchmarks.running.harness import Harness
from benchmarks.running.journal import Record, warn
from benchmarks.running.manifest import check_generators, check_prompts, ended, find_manifest, manifest
from benchmarks.running.progress import Progress, make_progress
from benchmarks.running.rows import Key
from benchmarks.running.run_folder import RunFolder
from benchmarks.running.samples import built_sample
from benchmarks.running.served_by import ServedBy
from benchmarks.running.tables import add_targets, write_tables, written_targets
from benchmarks.running.totals import missing_words, totals
from benchmarks.statistics.failed import failed_words, too_many_failed
from rlm.limits import Budget
from rlm.methods.method import Method
from rlm.models.cache.model import NotRecorded
from rlm.models.chat import Cost, CostState, FatalModelError
from rlm.terminal import counted

RECORD_AGAIN = (
    "prompts, settings or code have changed since it was recorded. Record again: +experiment=ci by scripts/record_ci, "
    "another run with cache.mode=read_write and `rlm-eval export calls`"
)
NO_RECORDING = (
    "cache.path is not set, so only the calls of this run folder are replayed: set cache.path to a recording, such as "
    "results/recorded/ci.jsonl.gz for +experiment=ci"
)


@dataclass(frozen=True)
class RunOutcome:
    """The result of a run: its folder with the tables, the number of finished samples, and the final state.

    state: `finished`, `interrupted`, `budget` or `failed`; message: the reason why the run is not finished, in one
    line. unscored: one line for each benchmark, method and length without a score because too many samples failed.
    used: dollars, tokens and calls of the samples in one line.
    """

    path: Path
    state: str
    samples: int
    message: str = ""
    unscored: tuple[str, ...] = ()
    used: str = ""


def run(config: RunConfig, hydra_files: Mapping[str, str] | None = None) -> RunOutcome:
    """Carry out a run and write everything except its report.

    Raises ConfigError, before any model call, for a configuration that cannot be run. The outcome has later failures.
    """
    check_prices(config)
    with RunFolder(config.folder, config) as folder, Busy("preparing the run") as busy:
        check_left(config)
        return asyncio.run(_run(config, folder, hydra_files or {}, busy))


async def _run(config: RunConfig, folder: RunFolder, hydra_files: Mapping[str, str], busy: Busy) -> RunOutcome:
    before = find_manifest(folder.path) or {}
    harness = Harness(
        config,
        folder.path / "calls.sqlite",
        read_also=sorted(folder.path.glob("calls-*.sqlite")),
        before=sample_ids(before),
    )
    try:
        executor = config.executor.build()
        plan = harness.plan()
        known = folder.records()
        added = additions(before, folder.added, harness.infos)
        stale = partial(_is_stale, harness, samples_added_at(before), added)
        records = {key: known[key] for key in plan if key in known and not stale(known[key])}
        todo = [key for key in plan if not _stands(records.get(key), retry=config.retry_errors)]
        served = ServedBy()
        for record in records.values():
            served.add(record.calls)
        if not todo:
            warn(f"nothing is missing: {counted(len(plan), 'sample')} finished earlier")
        if not todo and not added and before.get("state") == "finished":
            described, state, message = None, "finished", ""
        else:
            described = await asyncio.to_thread(manifest, config, harness, before, added)
            check_generators(before, described, {key.benchmark for key in todo} & {key.benchmark for key in records})
            check_prompts(before, described, {key.method for key in todo} & {key.method for key in records})
            folder.write_manifest(described | {"samples_planned": len(plan), "samples_done": len(records)})
            folder.write_hydra(hydra_files)
            busy.step(None)
            for line in batch_notes(config) if harness.batches else ():
                warn(line)
            state, message = await _run_missing(harness, executor, folder, plan, todo, records, served)
            for line in harness.batches.left() if harness.batches else ():
                warn(line)
        busy.step("writing the tables of the run")
        ordered = [records[key] for key in plan if key in records]
        add_targets(ordered, await asyncio.to_thread(written_targets, folder.path))
        if described is not None:
            await asyncio.to_thread(_add_missing_targets, harness, ordered)
    finally:
        await harness.aclose()
    try:
        await asyncio.to_thread(write_tables, folder.path, ordered)
        if described is not None:
            counts = {"samples_planned": len(plan), "samples_done": len(ordered), "served_by": served.described()}
            folder.write_manifest(ended(described, state, message) | counts)
    except OSError as error:
        # The journal already has every finished sample.
        state, message = "failed", message or _cannot_write(error)
    used = totals(ordered, before=len(plan) - len(todo))
    return RunOutcome(folder.path, state, len(ordered), message, unscored_cells(ordered), used)


async def _run_missing(
    harness: Harness,
    executor: Any,
    folder: RunFolder,
    plan: list[Key],
    todo: list[Key],
    records: dict[Key, Record],
    served: ServedBy,
) -> tuple[str, str]:
    """Run the keys in `todo` and add to `records`. Returns the state of the run and a line about it."""
    batches = harness.batches
    stop = Stop(harness.config.stop_grace_s, batches.gathering.stop if batches else None)
    concurrency = harness.config.concurrency.samples
    allowed = harness.config.fail_on_error
    standing = [records[key] for key in records.keys() - set(todo)]
    _charge(harness.budget, standing)
    failures, too_many = sum(record.row.failed for record in standing), ""
    note = batches.note if batches else str
    with make_progress(plan, standing, note) as progress, _interrupts(stop, progress, harness.budget):
        try:
            running = executor.execute(todo, harness, concurrency=concurrency, stop=stop)
            async with contextlib.aclosing(running):
                async for finished in running:
                    record = finished.record
                    await asyncio.to_thread(folder.write_trajectory, record, finished.trajectory, finished.answer)
                    await folder.journal.append(record)
                    records[record.row.key] = record
                    progress.done(record)
                    for line in served.add(record.calls):
                        progress.say(f"warning: {line}")
                    failures += record.row.failed
                    if not too_many and _too_many(failures, len(plan), allowed):
                        too_many = f"{counted(failures, 'sample')} failed (fail_on_error={allowed})"
                        stop.set()
        except (FatalModelError, ExecutorError) as error:
            reason = " ".join(str(error).split())
            cache = harness.config.cache
            hint = RECORD_AGAIN if cache.path or cache.recording else NO_RECORDING
            return "failed", f"{reason}; {hint}" if isinstance(error, NotRecorded) else reason
        except OSError as error:
            return "failed", _cannot_write(error)
        except asyncio.CancelledError:
            return "interrupted", "stopped before all samples were done; run the same command to resume"
    if too_many:
        return "failed", too_many
    missing = sum(key not in records for key in plan)
    if missing and harness.budget.spent:
        return "budget", f"{_spent_words(harness.budget)}; {missing_words(missing)}"
    if missing:
        return "interrupted", f"{missing_words(missing)}; run the same command to resume"
    return "finished", ""


def _is_stale(harness: Harness, added_at: Mapping[str, float], added: Mapping[str, Any], record: Record) -> bool:
    """True for a reference row whose benchmark has gained samples since, because the floor depends on all samples."""
    row = record.row
    if isinstance(harness.methods[row.method], Method):
        return False
    return row.benchmark in added.get("samples", {}) or record.at < added_at.get(row.benchmark, 0.0)


def unscored_cells(records: Sequence[Record]) -> tuple[str, ...]:
    """Return a line for each benchmark, method, model and length without a score because too many samples failed."""
    lines = []
    rows = [record.row for record in records]
    cells = sorted(rows, key=_cell)
    several = len({row.model for row in rows if row.model}) > 1
    for (benchmark, method, model, length), group in groupby(cells, key=_cell):
        found = list(group)
        errors = [row.error or "" for row in found if row.failed]
        if too_many_failed(len(errors), len(found)):
            where = f"{benchmark}, {method}" + (f", {model}" if several and model else "")
            where += f", length {length}" if length else ""
            example = " ".join(max(errors, key=errors.count).split())[:200]
            lines.append(f"no score for {where}: {failed_words(len(errors), len(found))}: {example}")
    return tuple(lines)


def _cell(row: Any) -> tuple[str, str, str, int]:
    return row.benchmark, row.method, row.model or "", row.length or 0


def _add_missing_targets(harness: Harness, records: Sequence[Record]) -> None:
    """Fill in targets by building samples that this session has not built, such as those of a killed session."""
    found: dict[str, str] = {}
    for row in (record.row for record in records):
        if row.target is not None or not row.target_sha256 or row.target_sha256 in found:
            continue
        # If a benchmark cannot build the sample again, or builds another one, the column is null.
        with contextlib.suppress(Exception):
            built = built_sample(harness.benchmarks[row.benchmark], row.sample_id)
            found[built.target_sha256] = built.target
    add_targets(records, found)


@contextlib.contextmanager
def _interrupts(stop: Stop, progress: Progress, budget: Budget) -> Iterator[None]:
    """On the first Ctrl-C or TERM, let running samples finish within the grace period; on the second, cancel them."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set():
            if task is not None:
                task.cancel()
            return
        stop.set()
        # Calls of other processes are not counted here.
        calls = f" with {counted(budget.calls_in_flight, 'model call')} in flight" if budget.calls_in_flight else ""
        limit = "without a limit" if stop.grace_s is None else f"for at most {stop.grace_s:g} s"
        waiting = f"{counted(stop.running, 'sample')}{calls}, {limit} (stop_grace_s)"
        progress.say(f"stopping: waiting for {waiting}; interrupt again to cancel them")

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
    return record is not None and not (retry and record.row.failed)


def _charge(budget: Budget, records: Iterable[Record]) -> None:
    # Repeated samples are charged again, including their replayed calls.
    rows = [record.row for record in records]
    total = math.fsum(row.cost_usd + row.judge_cost_usd for row in rows)
    budget.charge(Cost(total, total, CostState.KNOWN), sum(row.prompt_tokens + row.completion_tokens for row in rows))


def _spent_words(budget: Budget) -> str:
    if budget.max_tokens is not None and budget.tokens >= budget.max_tokens:
        return f"budget.max_tokens ({budget.max_tokens}) is spent"
    return f"budget.max_cost_usd ({budget.max_cost_usd}) is spent"


def _too_many(failures: int, planned: int, allowed: float | None) -> bool:
    if allowed is None:
        return False
    return failures > (allowed * planned if allowed < 1 else allowed)


def _cannot_write(error: OSError) -> str:
    return f"the run folder cannot be written: {error.strerror or error}"
