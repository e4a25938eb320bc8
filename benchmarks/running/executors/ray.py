"""Samples spread over a Ray cluster: one actor a worker, each with models and REPLs of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import RunConfig
from benchmarks.running.executors import ExecutorError, Stop
from benchmarks.running.rows import Key
from rlm.limits import Budget
from rlm.models.chat import Cost, CostState, FatalModelError

if TYPE_CHECKING:
    from benchmarks.running.harness import FinishedSample, Harness


class RayExecutor:
    """Runs samples on `workers` actors; a worker that is lost is replaced and its samples run again.

    address: of a running cluster; null starts one on this machine. cpus: what an actor asks Ray for. store_dir: folder
    for each worker's recorded responses, null for the run folder, which the nodes must then share. An endpoint's
    max_concurrency is divided among the workers and the dollar limit is kept by a ledger that all of them charge.
    Raises ConfigError where ray is not installed.
    """

    def __init__(
        self,
        workers: Annotated[int, Ge(1)] = 2,
        address: str | None = None,
        cpus: Annotated[float, Ge(0)] = 1.0,
        store_dir: str | None = None,
        max_losses: Annotated[int, Ge(0)] = 3,
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("executor=ray needs Ray: pip install 'rlm-eval[ray]'") from error
        self._ray = ray
        self._workers = workers
        self._address = address
        self._cpus = cpus
        self._store_dir = store_dir
        self._max_losses = max_losses

    async def execute(
        self, keys: Sequence[Key], harness: Harness, *, concurrency: int, stop: Stop
    ) -> AsyncIterator[FinishedSample]:
        """Yield samples as they finish, as LocalExecutor does; `concurrency` is the total over all workers."""
        ray = self._ray
        started = not ray.is_initialized()
        if started:
            await asyncio.to_thread(ray.init, address=self._address, log_to_driver=False, logging_level="error")
        ledger = ray.remote(num_cpus=0)(Ledger).remote(harness.budget.cost.usd)
        pool = _Pool(self, harness, ledger)
        waiting = _Waiting(keys, harness.store.parent / "placement.jsonl", self._workers)
        losses = dict.fromkeys(keys, 0)
        running: dict[asyncio.Task[FinishedSample | None], tuple[Key, int]] = {}
        places = [place for place in range(self._workers) for _ in range(max(1, concurrency // self._workers))]
        fatal: BaseException | None = None
        try:
            while True:
                for place in () if stop.is_set() else tuple(places):
                    if (key := waiting.next_for(place)) is not None:
                        places.remove(place)
                        running[asyncio.create_task(pool.run(place, key))] = key, place
                if not running:
                    break
                for task in await stop.first_finished(running.keys()):
                    key, place = running.pop(task)
                    places.append(place)
                    if task.cancelled():
                        continue
                    error = task.exception()
                    if _is_loss(error):
                        losses[key] += 1
                        if losses[key] > self._max_losses:
                            reason = " ".join(str(error).split())[:300]
                            error = ExecutorError(
                                f"sample {key.sample_id} lost its worker {losses[key]} times: {reason}"
                            )
                        else:
                            await pool.replace(place)
                            waiting.again(key)
                            continue
                    if error is not None:
                        fatal = fatal or error
                        stop.set()
                    elif (sample := task.result()) is not None:
                        yield sample
            if fatal:
                raise fatal
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            # Samples that were cut short have been paid for too.
            harness.budget.cost = Cost(await ledger.charge.remote(0.0), 0.0, CostState.KNOWN)
            pool.close()
            if started:
                await asyncio.to_thread(ray.shutdown)


class _Waiting:
    """Keys that have not run, in the order of the plan.

    All methods of a sample run at one place: its context is built there once, and calls that two methods have in common
    are made once, since each worker has a store of its own. `file` keeps the places, so that a run which goes on finds
    what it has paid for.
    """

    def __init__(self, keys: Sequence[Key], file: Path, places: int) -> None:
        self._keys = dict.fromkeys(keys)
        self._file = file
        self._places: dict[tuple[str, str, int], int] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            with contextlib.suppress(ValueError):
                *sample, place = json.loads(line)
                if place < places:
                    self._places[tuple(sample)] = place

    def next_for(self, place: int) -> Key | None:
        """The first key whose sample is of this place, or of none yet."""
        for key in self._keys:
            sample = key[0], key[2], key[3]
            if sample not in self._places:
                self._places[sample] = place
                with self._file.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps([*sample, place]) + "\n")
            if self._places[sample] == place:
                del self._keys[key]
                return key
        return None

    def again(self, key: Key) -> None:
        self._keys = {key: None, **self._keys}


class _Pool:
    """The actors, by place."""

    def __init__(self, executor: RayExecutor, harness: Harness, ledger: Any) -> None:
        self._executor = executor
        self._config = _share(harness.config, executor._workers)
        self._stores = Path(executor._store_dir or harness.store.parent).absolute()
        self._ledger = ledger
        # Stores that no worker writes to: of sessions with more workers, or on one machine.
        others = {harness.store.absolute(), *self._stores.glob("calls-worker*.sqlite")}
        others -= {self._store(place) for place in range(executor._workers)}
        self._read_also = sorted(str(path) for path in others if path.exists())
        self._actors = [self._start(place) for place in range(executor._workers)]

    async def run(self, place: int, key: Key) -> FinishedSample | None:
        try:
            return await self._actors[place].run_sample.remote(key)
        except self._executor._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, FatalModelError | ExecutorError):
                raise type(error.cause)(str(error.cause)) from None
            raise

    async def replace(self, place: int) -> None:
        """Start another actor where one was lost, unless another of its samples has had that done already."""
        try:
            await self._actors[place].alive.remote()
        except Exception as error:
            if not _is_loss(error):
                raise
            self._actors[place] = self._start(place)

    def close(self) -> None:
        for actor in self._actors:
            self._executor._ray.kill(actor)

    def _start(self, place: int) -> Any:
        ray = self._executor._ray
        actor = ray.remote(num_cpus=self._executor._cpus, max_concurrency=10_000)(Worker)
        return actor.remote(self._config, str(self._store(place)), self._read_also, self._ledger, _keys(self._config))

    def _store(self, place: int) -> Path:
        return self._stores / f"calls-worker{place}.sqlite"


class Worker:
    """A harness in a process of its own, on any node."""

    def __init__(
        self, config: RunConfig, store: str, read_also: Sequence[str], ledger: Any, keys: Mapping[str, str]
    ) -> None:
        from benchmarks.running.harness import Harness

        os.environ.update(keys)
        self._budget = SharedBudget(config.budget.max_cost_usd, ledger)
        self._harness = Harness(config, Path(store), self._budget, [Path(other) for other in read_also])

    async def alive(self) -> bool:
        return True

    async def run_sample(self, key: Key) -> FinishedSample | None:
        await self._budget.refresh()
        return await self._harness.run_sample(Key(*key))


class Ledger:
    """Dollars spent by all workers together; an actor."""

    def __init__(self, usd: float) -> None:
        self._usd = usd

    def charge(self, usd: float) -> float:
        self._usd += usd
        return self._usd


class SharedBudget(Budget):
    """A Budget whose total is kept by the ledger: it is a message behind what others spend at this moment."""

    def __init__(self, max_cost_usd: float | None, ledger: Any) -> None:
        super().__init__(max_cost_usd)
        self._ledger = ledger
        self._telling: set[asyncio.Task[None]] = set()

    def charge(self, cost: Cost) -> None:
        super().charge(cost)
        if self.max_cost_usd is not None and cost.usd:
            task = asyncio.ensure_future(self.refresh(cost.usd))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def refresh(self, usd: float = 0.0) -> None:
        """Tell the ledger of `usd` dollars and take over its total."""
        if self.max_cost_usd is not None:
            total = await self._ledger.charge.remote(usd)
            self.cost = Cost(max(total, self.cost.usd), self.cost.uncached_usd, self.cost.state)


def _is_loss(error: BaseException | None) -> bool:
    """Whether a worker or its node is gone (killed, out of memory, unreachable); what its code raises is no loss."""
    from ray.exceptions import RayError, RayTaskError

    return isinstance(error, RayError) and not isinstance(error, RayTaskError)


def _keys(config: RunConfig) -> dict[str, str]:
    """The API keys that a configuration names: the nodes' own environment may lack them."""
    names = [section.endpoint.api_key_env for section in config.model_sections if section.endpoint]
    return {name: os.environ[name] for name in names if name and name in os.environ}


def _share(config: RunConfig, workers: int) -> RunConfig:
    """The configuration of one of `workers` workers, with its part of the endpoints' concurrency."""
    judge = config.judge and replace(config.judge, models=config.judge.models.shared(workers))
    return replace(config, model=config.model.shared(workers), judge=judge)
