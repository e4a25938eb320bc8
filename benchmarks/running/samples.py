"""The samples of a run. Benchmarks are checked once; samples are built and measured once for all methods."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import RunConfig
from benchmarks.config.targets import Target
from benchmarks.running.contained import contained
from benchmarks.running.rows import RowError, SampleRow, columns
from benchmarks.running.spread import spread_order
from benchmarks.sample import Benchmark, Sample, SampleInfo
from rlm.completion import one_line
from rlm.models.tokens import count_tokens


@dataclass(frozen=True)
class BuiltSample:
    """A sample with its context, its measured tokens, and its target as canonical JSON with a hash."""

    sample: Sample
    tokens: int
    target: str
    target_sha256: str


class SampleCache:
    """Builds each sample once for adjacent methods, and keeps the last few samples."""

    def __init__(self, benchmarks: Mapping[str, Benchmark], keep: int) -> None:
        self._benchmarks = benchmarks
        self._keep = keep
        self._built: OrderedDict[tuple[str, str], asyncio.Task[BuiltSample]] = OrderedDict()

    async def get(self, benchmark: str, sample_id: str) -> BuiltSample:
        """Build a sample, or return it from the cache. Raises what the benchmark raises."""
        key = benchmark, sample_id
        if key not in self._built:
            self._built[key] = asyncio.create_task(
                asyncio.to_thread(contained, built_sample, self._benchmarks[benchmark], sample_id)
            )
            while len(self._built) > self._keep:
                self._built.popitem(last=False)
        self._built.move_to_end(key)
        return await asyncio.shield(self._built[key])


def built_sample(benchmark: Benchmark, sample_id: str) -> BuiltSample:
    """Build a sample and measure it."""
    sample = benchmark.sample(sample_id)
    target = benchmark.target_bytes(sample.target)
    return BuiltSample(sample, prompt_tokens(sample), target.decode(), hashlib.sha256(target).hexdigest())


def prompt_tokens(sample: Sample) -> int:
    """Count the tokens of the context and the query together."""
    context = sample.prompt.context
    documents = [context] if isinstance(context, str) else context
    return sum(map(count_tokens, documents)) + count_tokens(sample.prompt.query)


def load_benchmarks(
    config: RunConfig, before: Mapping[str, Iterable[str]] | None = None, *, may_be_empty: bool = False
) -> tuple[dict[str, Benchmark], dict[str, dict[str, SampleInfo]]]:
    """Load the benchmarks of a configuration and, for each, the samples of the run by id. Raises ConfigError.

    before: the ids of each benchmark that a run already has, which a limit takes first.
    """
    benchmarks = {name: _suite(target) for name, target in config.benchmark.items()}
    infos = {}
    for name, benchmark in benchmarks.items():
        try:
            infos[name] = _infos(benchmark, config.limit, (before or {}).get(name, ()))
            if not infos[name] and not may_be_empty:
                raise ConfigError(f"benchmark.{name} has no samples: expected data, as in benchmark.{name}.source=FILE")
        except ConfigError:
            raise
        except RowError as error:
            raise ConfigError(f"benchmark.{name}: {error}") from error
        except (ValueError, ArithmeticError, OSError) as error:
            where = "" if str(error).startswith(f"benchmark.{name}.") else f"benchmark.{name}: "
            raise ConfigError(f"{where}{error}") from error
        except Exception as error:
            # The benchmark can be a plug-in, which may raise any exception.
            raise ConfigError(f"benchmark.{name}: infos() raised {one_line(error)}") from error
    return benchmarks, infos


def _suite(target: Target) -> Benchmark:
    # The target of a run folder's configuration could be any function, such as one that runs a command.
    if lacking := [name for name in ("infos", "sample", "score") if not hasattr(target.target, name)]:
        raise ConfigError(
            f"{target.where}._target_ is {target.name!r}: expected the class of a suite, which has {', '.join(lacking)}"
        )
    suite: Benchmark = target.build()
    return suite


def check_judge(benchmarks: Mapping[str, Benchmark], judge: object | None) -> None:
    """Raise ConfigError if a benchmark needs a judge and there is none."""
    for name, benchmark in benchmarks.items():
        if judge is None and getattr(benchmark, "needs_judge", False):
            raise ConfigError(f"judge is none: expected a judge, such as judge=gpt_4_1, which benchmark.{name} needs")


def _infos(benchmark: Benchmark, limit: int | None, before: Iterable[str]) -> dict[str, SampleInfo]:
    """Return the samples of a benchmark by id. Raises RowError for a repeated id or an invalid property.

    Without a limit they have the benchmark's order. A limit takes the start of `spread_order`, after the samples that a
    run already has: versions before 0.2 took the first samples of a benchmark.
    """
    given = contained(lambda: list(benchmark.infos()))
    _check(benchmark, given)
    infos = {info.sample_id: info for info in given}
    if len(infos) < len(given):
        twice = next(name for name, n in Counter(info.sample_id for info in given).items() if n > 1)
        raise RowError(f"infos() returned sample_id {twice!r} more than once: expected one sample for each id")
    if limit is None:
        return infos
    order = spread_order([info.length for info in given], [info.task_group for info in given])
    kept = [sample_id for sample_id in before if sample_id in infos]
    ids = dict.fromkeys([*kept, *(given[place].sample_id for place in order)])
    return {sample_id: infos[sample_id] for sample_id in list(ids)[:limit]}


def _check(benchmark: Benchmark, infos: Iterable[SampleInfo]) -> None:
    """Raise RowError for a property that would make an invalid row."""
    for name in ("metric", "scorer", "protected"):
        columns(SampleRow)[name].checked(getattr(benchmark, name))
    checks = {one.name: columns(SampleRow)[one.name] for one in fields(SampleInfo)}
    for info in infos:
        for name, column in checks.items():
            column.checked(getattr(info, name))
