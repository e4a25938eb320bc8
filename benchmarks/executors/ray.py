"""Samples spread over a Ray cluster: one actor a worker, each with models and REPLs of its own."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config import Config, ConfigError
from benchmarks.executors import ExecutorError
from benchmarks.journal import Key
from rlm.limits import Budget
from rlm.models.chat import Cost, CostState, FatalModelError

if TYPE_CHECKING:
    from benchmarks.harness import Finished, Harness


class RayExecutor:
    """Runs samples on `workers` actors; a worker that is lost is replaced and its samples run again.

    address: of a running cluster; null starts one on this machine. cpus: what an actor asks Ray for. store_dir: folder
    for each worker's recorded responses, null for the run folder, which the nodes must then share. An endpoint's
    max_concurrency is divided among the workers and the dollar limit is kept by a ledger that all of them charge.
    Raises ConfigError where ray is not installed.
    """

    def __init__(
        self,
        workers: int = 2,
        address: str | None = None,
        cpus: float = 1.0,
        store_dir: str | None = None,
        max_losses: int = 3,
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("executor=ray needs Ray: pip install 'rlm-eval[ray]'") from error
        if workers < 1:
            raise ConfigError(f"executor.workers is {workers}: wanted at least 1")
        self._ray = ray
        self._workers = workers
        self._address = address
        self._cpus = cpus
        self._store_dir = store_dir
        self._max_losses = max_losses

    async def execute(
        self, keys: Sequence[Key], harness: Harness, *, concurrency: int, stop: asyncio.Event
    ) -> AsyncIterator[Finished]:
        """Yield samples as they finish; `concurrency` is over all workers. Raises FatalModelError."""
        ray = self._ray
        started = not ray.is_initialized()
        if started:
            await asyncio.to_thread(ray.init, address=self._address, log_to_driver=False, logging_level="error")
        ledger = ray.remote(num_cpus=0)(Ledger).remote(harness.budget.cost.usd)
        pool = _Pool(self, harness, ledger)
        waiting, losses = list(reversed(keys)), dict.fromkeys(keys, 0)
        finished: set[asyncio.Task[Finished | None]] = set()
        running: dict[asyncio.Task[Finished | None], tuple[Key, int]] = {}
        places = [place for place in range(self._workers) for _ in range(max(1, concurrency // self._workers))]
        try:
            while True:
                while places and waiting and not stop.is_set():
                    key, place = waiting.pop(), places.pop()
                    running[asyncio.create_task(pool.run(place, key))] = key, place
                if not running:
                    return
                finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    key, place = running.pop(task)
                    places.append(place)
                    if isinstance(task.exception(), ray.exceptions.RayActorError):
                        losses[key] += 1
                        if losses[key] > self._max_losses:
                            told = " ".join(str(task.exception()).split())[:300]
                            raise ExecutorError(f"sample {key[2]} lost its worker {losses[key]} times: {told}")
                        await pool.replace(place)
                        waiting.append(key)
                    elif (sample := task.result()) is not None:
                        yield sample
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, *finished, return_exceptions=True)
            # Samples that were cut short have been paid for too.
            harness.budget.cost = Cost(await ledger.charge.remote(0.0), 0.0, CostState.KNOWN)
            pool.close()
            if started:
                await asyncio.to_thread(ray.shutdown)


class _Pool:
    """The actors, by place."""

    def __init__(self, executor: RayExecutor, harness: Harness, ledger: Any) -> None:
        self._executor = executor
        self._config = _share(harness.config, executor._workers)
        self._stores = Path(executor._store_dir or harness.store.parent).absolute()
        self._ledger = ledger
        self._actors = [self._start(place) for place in range(executor._workers)]

    async def run(self, place: int, key: Key) -> Finished | None:
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
        except self._executor._ray.exceptions.RayActorError:
            self._actors[place] = self._start(place)

    def close(self) -> None:
        for actor in self._actors:
            self._executor._ray.kill(actor)

    def _start(self, place: int) -> Any:
        ray = self._executor._ray
        actor = ray.remote(num_cpus=self._executor._cpus, max_concurrency=10_000)(Worker)
        store = self._stores / f"calls-worker{place}.sqlite"
        return actor.remote(self._config, str(store), self._ledger, _keys(self._config))


class Worker:
    """A harness in a process of its own, on any node."""

    def __init__(self, config: Config, store: str, ledger: Any, keys: Mapping[str, str]) -> None:
        from benchmarks.harness import Harness

        os.environ.update(keys)
        self._budget = SharedBudget(config["budget"]["max_cost_usd"], ledger)
        self._harness = Harness(config, Path(store), self._budget)

    async def alive(self) -> bool:
        return True

    async def run_sample(self, key: Key) -> Finished | None:
        await self._budget.refresh()
        return await self._harness.run_sample(tuple(key))


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


def _keys(config: Config) -> dict[str, str]:
    """The API keys that a configuration names: the nodes' own environment need not have them."""
    sections = (config.get(name) or {} for name in ("model", "judge"))
    names = [(section.get("endpoint") or {}).get("api_key_env") for section in sections]
    return {name: os.environ[name] for name in names if name and name in os.environ}


def _share(config: Config, workers: int) -> Config:
    """The configuration of one of `workers` workers: its part of the endpoints' concurrency."""
    shared = copy.deepcopy(config)
    for name in ("model", "judge"):
        endpoint = (shared.get(name) or {}).get("endpoint")
        if endpoint and endpoint.get("max_concurrency"):
            endpoint["max_concurrency"] = max(1, endpoint["max_concurrency"] // workers)
    return shared
