"""RayExecutor: distributes samples over a Ray cluster. Each worker is an actor with its own models and REPLs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import RunConfig
from benchmarks.running.executors import ExecutorError, Stop
from benchmarks.running.executors.loop import run_samples
from benchmarks.running.rows import Key
from rlm.limits import Budget
from rlm.models.chat import Cost, CostState, FatalModelError
from rlm.reading import read_bounded
from rlm.structure import bounded_json

if TYPE_CHECKING:
    from benchmarks.running.harness import FinishedSample, Harness


# A million samples take 50 MB.
_PLACEMENT_BYTES = 256 << 20
# Seconds that the workers may take to close their stores.
_CLOSE_S = 30


class RayExecutor:
    """Runs samples on `workers` actors. A worker that is lost is replaced, and its samples run again.

    address: the address of a running cluster; null starts one on this machine. cpus: the number of CPUs that an actor
    requests from Ray. store_dir: the folder for the recorded responses of each worker; null is the run folder, which
    all nodes must then share. max_losses: the number of times that a sample may lose its worker. The max_concurrency of
    an endpoint is divided among the workers; all workers charge one ledger, which enforces the limits of the budget.
    Raises ConfigError without Ray.
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
    ) -> AsyncGenerator[FinishedSample, None]:
        """Yield samples as they finish, like LocalExecutor; `concurrency` is the total over all workers."""
        ray = self._ray
        started = not ray.is_initialized()
        if started:
            await asyncio.to_thread(ray.init, address=self._address, log_to_driver=False, logging_level="error")
        ledger = ray.remote(num_cpus=0)(Ledger).remote(harness.budget.cost.usd, harness.budget.tokens)
        pool = _Pool(self, harness, ledger)
        waiting = _Waiting(keys, harness.store.parent / "placement.jsonl", self._workers)
        places = [place for place in range(self._workers) for _ in range(max(1, concurrency // self._workers))]
        samples = run_samples(places, waiting.next_for, lambda place, key: pool.run(place, key, stop), stop)
        try:
            async with contextlib.aclosing(samples):
                async for sample in samples:
                    yield sample
        finally:
            try:
                # The totals also include samples that did not finish. A lost ledger leaves those of the last message.
                with contextlib.suppress(ray.exceptions.RayError):
                    usd, harness.budget.tokens = await ledger.charge.remote(0.0, 0)
                    harness.budget.cost = Cost(usd, 0.0, CostState.KNOWN)
            finally:
                await pool.aclose()
                if started:
                    await asyncio.to_thread(ray.shutdown)


class _Waiting:
    """The keys that have not run, in the order of the plan.

    All methods of a sample run on one worker, so its context is built once, and calls that two methods share are made
    once, because each worker has its own store. `file` records the workers, so that a resumed run finds the responses
    that it has paid for.
    """

    def __init__(self, keys: Sequence[Key], file: Path, places: int) -> None:
        self._keys = dict.fromkeys(keys)
        self._file = file
        self._places: dict[tuple[str, str, int], int] = {}
        lines = read_bounded(file, _PLACEMENT_BYTES).splitlines() if file.exists() else ()
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                *sample, place = bounded_json(line)
                if isinstance(place, int) and 0 <= place < places:
                    self._places[tuple(sample)] = place

    def next_for(self, place: int) -> Key | None:
        """Take the first key whose sample belongs to this worker, or to no worker yet."""
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


class _Pool:
    """The actors by number."""

    def __init__(self, executor: RayExecutor, harness: Harness, ledger: Any) -> None:
        self._executor = executor
        self._config = _share(harness.config, executor._workers)
        self._stores = Path(executor._store_dir or harness.store.parent).absolute()
        self._ledger = ledger
        self._samples = {name: list(infos) for name, infos in harness.infos.items()}
        # Stores to which no worker writes: those of sessions with more workers or without Ray.
        others = {harness.store.absolute(), *self._stores.glob("calls-worker*.sqlite")}
        others -= {self._store(place) for place in range(executor._workers)}
        self._read_also = sorted(str(path) for path in others if path.exists())
        self._actors = [self._start(place) for place in range(executor._workers)]

    async def run(self, place: int, key: Key, stop: Stop) -> FinishedSample | None:
        """Run a sample, and repeat it if its worker is lost; None if the run is stopped in the meantime."""
        for losses in itertools.count(1):
            actor = self._actors[place]
            try:
                return await actor.run_sample.remote(key)
            except Exception as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, FatalModelError | ExecutorError):
                    raise type(cause)(str(cause)) from None
                if isinstance(cause, self._executor._ray.exceptions.RayError):
                    raise ExecutorError(f"the actor that adds up the budget is lost: {cause}") from None
                if not _is_loss(error):
                    raise
                if losses > self._executor._max_losses:
                    reason = " ".join(str(error).split())[:300]
                    raise ExecutorError(f"sample {key.sample_id} lost its worker {losses} times: {reason}") from error
            if self._actors[place] is actor:
                # Another sample of the lost actor may have replaced it. A second actor would repeat its calls.
                self._actors[place] = self._start(place)
            if stop.is_set():
                break
        return None

    async def aclose(self) -> None:
        """End the actors. Each closes its store first, which folds the write-ahead log into the file."""
        closing = [asyncio.ensure_future(actor.aclose.remote()) for actor in self._actors]
        await asyncio.wait(closing, timeout=_CLOSE_S)
        for task in closing:
            # The store of an actor that is lost is folded when it is opened again.
            if not task.cancel():
                task.exception()
        for actor in self._actors:
            self._executor._ray.kill(actor)

    def _start(self, place: int) -> Any:
        ray = self._executor._ray
        actor = ray.remote(num_cpus=self._executor._cpus, max_concurrency=10_000)(Worker)
        keys, store = _keys(self._config), str(self._store(place))
        return actor.remote(self._config, store, self._read_also, self._ledger, keys, self._samples)

    def _store(self, place: int) -> Path:
        return self._stores / f"calls-worker{place}.sqlite"


class Worker:
    """A harness in its own process, on any node."""

    def __init__(
        self,
        config: RunConfig,
        store: str,
        read_also: Sequence[str],
        ledger: Any,
        keys: Mapping[str, str],
        samples: Mapping[str, Sequence[str]],
    ) -> None:
        from benchmarks.running.budget import run_budget
        from benchmarks.running.harness import Harness

        os.environ.update(keys)
        self._budget = SharedBudget(run_budget(config), ledger)
        others = [Path(other) for other in read_also]
        self._harness = Harness(config, Path(store), self._budget, others, samples)

    async def run_sample(self, key: Key) -> FinishedSample | None:
        await self._budget.refresh()
        return await self._harness.run_sample(Key(*key))

    async def aclose(self) -> None:
        await self._harness.aclose()


class Ledger:
    """Dollars and tokens that all workers have spent together; an actor."""

    def __init__(self, usd: float, tokens: int) -> None:
        self._usd = usd
        self._tokens = tokens

    def charge(self, usd: float, tokens: int) -> tuple[float, int]:
        """Add to the totals and return them."""
        self._usd += usd
        self._tokens += tokens
        return self._usd, self._tokens


class SharedBudget(Budget):
    """A budget with the totals of the ledger, which lag behind the calls of other workers by one message."""

    def __init__(self, budget: Budget, ledger: Any) -> None:
        super().__init__(budget.max_cost_usd, budget.max_tokens)
        self._ledger = ledger
        self._messages: set[asyncio.Task[None]] = set()

    def charge(self, cost: Cost, tokens: int = 0) -> None:
        super().charge(cost, tokens)
        if self._is_limited and (cost.usd or tokens):
            task = asyncio.ensure_future(self.refresh(cost.usd, tokens))
            self._messages.add(task)
            task.add_done_callback(self._messages.discard)

    async def refresh(self, usd: float = 0.0, tokens: int = 0) -> None:
        """Charge the ledger and copy its totals."""
        if self._is_limited:
            all_usd, all_tokens = await self._ledger.charge.remote(usd, tokens)
            self.cost = Cost(max(all_usd, self.cost.usd), self.cost.uncached_usd, self.cost.state)
            self.tokens = max(all_tokens, self.tokens)

    @property
    def _is_limited(self) -> bool:
        return self.max_cost_usd is not None or self.max_tokens is not None


def _is_loss(error: Exception) -> bool:
    """True if a worker or its node is gone: killed, out of memory or unreachable.

    An exception in a worker is not a loss.
    """
    from ray.exceptions import RayError, RayTaskError

    return isinstance(error, RayError) and not isinstance(error, RayTaskError)


def _keys(config: RunConfig) -> dict[str, str]:
    """Return the API keys that a configuration names, for nodes whose environment lacks them."""
    hosted = [model for section in config.model_sections for model in section.hosted.values()]
    names = {model.endpoint.api_key_env for model in hosted}
    return {name: os.environ[name] for name in names if name and name in os.environ}


def _share(config: RunConfig, workers: int) -> RunConfig:
    """Return the configuration of one worker, with its share of the endpoints' concurrency."""
    judge = config.judge and replace(config.judge, models=config.judge.models.shared(workers))
    models = {name: section.shared(workers) for name, section in config.models.items()}
    return replace(config, models=models, judge=judge)
