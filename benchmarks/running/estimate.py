"""Estimates calls, tokens, dollars and time of a run by benchmark and method, before any call.

`estimate_calls` has the calls that each method is expected to make, `estimate_habits` their parameters and sources,
`estimate_time` the seconds. docs/reproducing.md states them, and the error on the costs that the paper published.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.models import ModelSection
from benchmarks.config.schema import RunConfig
from benchmarks.config.several import labels_of
from benchmarks.config.targets import Target
from benchmarks.running.batches import batch_notes, check_batches, is_batched
from benchmarks.running.estimate_calls import Calls, Sample, expected_calls
from benchmarks.running.estimate_habits import OOLONG_DECLARED, QWEN_ON_OOLONG, TASKS, Task
from benchmarks.running.estimate_time import cell_hours, embedded_hours_of, sample_seconds
from benchmarks.running.spread import spread_order
from benchmarks.sources.hub import HUB, HubError
from rlm.tree import COMPACTOR

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.sample import Benchmark, SampleInfo
    from rlm.models.chat import ChatModel
    from rlm.models.prices import PriceTable

# The number of contexts of each task group that are built and counted if no length is declared.
MEASURED = 3
# Sizes if the hub cannot be read. CodeQA: tokens of 18 of 20 rows drawn evenly over the lengths (a public run, see
# estimate_habits); two are over 1M tokens, and the longest has 4.2M (arXiv:2512.24601). A document of BrowseComp-Plus:
# the paper's example has 8.3M tokens in 1,000 documents.
CODEQA = [
    24_000, 30_400, 30_900, 46_700, 74_700, 93_100, 93_400, 97_200, 99_500, 114_500,
    115_500, 211_900, 255_500, 282_800, 384_400, 412_600, 701_500, 839_900, 1_900_000, 4_200_000,
]  # fmt: skip
CODEQA_ROWS = 50
DOCUMENT = 8_300


@dataclass(frozen=True)
class Cell:
    """One benchmark, method and model: its samples, and the calls expected for each (None: unknown).

    repeats_plain: an earlier method of the run makes the base model's call on these samples.
    """

    benchmark: str
    name: str
    model: str
    method: Any
    samples: Sequence[Sample]
    expected: Sequence[list[Calls] | None]
    repeats_plain: bool


def estimate(config: RunConfig, tell: Callable[[str], None] = lambda note: None) -> pd.DataFrame:
    """Return a row of samples, calls, tokens, dollars and hours for each benchmark, method and model, and their sums.

    usd and hours are null if a price or a model's time is unknown; usd is 0 if calls are free. sample_s is the seconds
    of a sample that is answered alone. The time of batches is unknown. `tell` is called with a line for each benchmark
    whose sizes are assumed because the hub cannot be read, and with lines about batches. Raises ConfigError.
    """
    import pandas as pd

    check_batches(config)
    for note in batch_notes(config):
        tell(note)
    models = replayed_models(config)
    labels = labels_of({name: roles["root"].name for name, roles in models.items()})
    rows = []
    for cell in cells(config, models, tell):
        names = {"benchmark": cell.benchmark, "method": cell.name, "model": labels[cell.model]}
        rows.append(names | _sum(cell, config, config.models[cell.model]))
    if not rows:
        raise ConfigError("method has only reference rows, which make no calls: choose a method to estimate")
    table = pd.DataFrame(rows)
    total = table.drop(columns="sample_s").sum(numeric_only=True, min_count=len(table)).to_dict()
    return pd.concat(
        [table, pd.DataFrame([{"benchmark": "all", "method": "", "model": ""} | total])], ignore_index=True
    )


def cells(
    config: RunConfig,
    models: Mapping[str, Mapping[str, ChatModel]],
    tell: Callable[[str], None] = lambda note: None,
) -> Iterator[Cell]:
    """Yield the cells of a run; reference rows, which make no calls, have none. Raises ConfigError."""
    from benchmarks.config.methods import build_methods
    from rlm.methods.method import Method

    built = {name: build_methods(config, dict(roles)) for name, roles in models.items()}
    for benchmark, target in config.benchmark.items():
        lengths, documents = _benchmark_tokens(config, benchmark, tell)
        task = TASKS.get(target.name.rpartition(".")[2], Task.QUESTION)
        for model, methods in built.items():
            plain = False
            for name, method in methods.items():
                if not isinstance(method, Method):
                    continue
                factor = _tokenizer(method.model.name, task)
                samples = [Sample(tokens * factor, documents, task) for tokens in lengths]
                known = {sample: expected_calls(method, sample) for sample in set(samples)}
                expected = [known[sample] for sample in samples]
                yield Cell(benchmark, name, model, method, samples, expected, plain and config.cache.mode != "off")
                plain = plain or any(call.plain for calls in expected for call in calls or [])


def _tokenizer(model: str, task: Task) -> float:
    """Return the tokens that a model counts for each token of o200k_base, where the difference is known."""
    return QWEN_ON_OOLONG if "qwen" in model.lower() and task in (Task.LABELS, Task.PAIRS) else 1.0


def replayed_models(config: RunConfig) -> dict[str, dict[str, ChatModel]]:
    """Build the models of each section as for a replay, which needs neither weights nor keys."""
    from benchmarks.running.model_set import ModelSet

    quiet = replace(config, cache=replace(config.cache, mode="replay", path=None))
    return ModelSet(quiet, None).all_roles()


def embedded_hours(config: RunConfig) -> float:
    """Estimate the hours that the embedded model would compute, over all of its roles. Raises ConfigError."""
    from rlm.models.embedded.model import EmbeddedModel

    models = replayed_models(config)
    if not any(isinstance(model, EmbeddedModel) for roles in models.values() for model in roles.values()):
        return 0.0
    found = cells(config, models)
    return config.epochs * sum(embedded_hours_of(_calls(cell), cell.method, cell.repeats_plain) for cell in found)


def _calls(cell: Cell) -> list[list[Calls]]:
    return [calls or [] for calls in cell.expected]


def _benchmark_tokens(config: RunConfig, name: str, tell: Callable[[str], None]) -> tuple[list[int], int]:
    from benchmarks.running.samples import load_benchmarks

    target = config.benchmark[name]
    try:
        benchmarks, infos = load_benchmarks(replace(config, benchmark={name: target}))
        lengths, documents = sample_tokens(benchmarks[name], list(infos[name].values()))
        return [round(length * _declared(target)) for length in lengths], documents
    except ConfigError as error:
        assumed = hub_tokens(target)
        if assumed is None or not isinstance(error.__cause__, HubError):
            raise
    lengths = [assumed[0][place] for place in spread_order(assumed[0], [""] * len(assumed[0]))][: config.limit]
    documents = assumed[1]
    smallest, largest = f"{min(lengths):,}", f"{max(lengths):,}"
    shown = smallest if smallest == largest else f"{smallest} to {largest}"
    tell(f"benchmark.{name}: the hub cannot be read; the estimate assumes {len(lengths)} samples of {shown} tokens")
    return lengths, documents


def _declared(target: Target) -> float:
    """Return the tokens of a sample for each token of its declared length."""
    real = target.settings.get("source") != "generated"
    return OOLONG_DECLARED if real and target.name.rpartition(".")[2] in ("Oolong", "OolongPairs") else 1.0


def hub_tokens(target: Target) -> tuple[list[int], int] | None:
    """Approximate the tokens of each sample and the number of documents; None for a custom benchmark."""
    kind, settings = target.name.rpartition(".")[2], target.settings
    if settings.get("source") != HUB:
        return None
    if kind == "CodeQA":
        return [CODEQA[place * len(CODEQA) // CODEQA_ROWS] for place in range(CODEQA_ROWS)], 0
    if kind == "BrowseCompPlus":
        sizes = settings["documents"]
        return [size * DOCUMENT for size in sizes for _ in range(settings["queries"])], max(sizes)
    if kind in ("Oolong", "OolongPairs"):
        lengths = [round(length * OOLONG_DECLARED) for length in settings["lengths"]]
        return [length for length in lengths for _ in range(settings["samples"])], 0
    return None


def sample_tokens(benchmark: Benchmark, infos: Sequence[SampleInfo]) -> tuple[list[int], int]:
    """Return the tokens of each sample, and the number of documents in a context.

    Tokens are the declared ones, or else the mean over a few samples of the task group, which are built for it.
    """
    from benchmarks.running.samples import prompt_tokens

    means: dict[str, int] = {}
    documents = 0
    for group in dict.fromkeys(info.task_group for info in infos if info.length is None):
        ids = [info.sample_id for info in infos if info.task_group == group][:MEASURED]
        built = [benchmark.sample(sample_id) for sample_id in ids]
        means[group] = round(sum(map(prompt_tokens, built)) / len(built))
        context = built[0].prompt.context
        documents = documents or (0 if isinstance(context, str) else len(context))
    return [info.length if info.length is not None else means[info.task_group] for info in infos], documents


def _sum(cell: Cell, config: RunConfig, section: ModelSection) -> dict[str, Any]:
    from rlm.models.prices import PriceTable

    epochs, method = config.epochs, cell.method
    known = [calls for sample in cell.expected if sample is not None for calls in sample]
    overflow = sum(sample == [] for sample in cell.expected)
    unknown = None in cell.expected
    unknown_time = unknown or _in_batches(method, section)
    hours = None if unknown_time else cell_hours(_calls(cell), method, config, cell.repeats_plain)
    return {
        "samples": len(cell.expected) * epochs,
        "over_window": overflow * epochs,
        "calls": epochs * sum(calls.calls for calls in known),
        "prompt_tokens": epochs * sum(calls.prompt_tokens for calls in known),
        "completion_tokens": epochs * sum(calls.completion_tokens for calls in known),
        "usd": None if unknown else dollars(known, method, section, PriceTable(config.prices)) * epochs,
        "hours": hours,
        "sample_s": None if unknown_time else sample_seconds(_calls(cell), method),
    }


def _in_batches(method: Any, section: ModelSection) -> bool:
    return getattr(method, "one_call", False) and is_batched(section)


def dollars(calls: Sequence[Calls], method: Any, section: ModelSection, prices: PriceTable) -> float:
    """Return the dollars of calls of a method's samples; NaN if a price is unknown."""
    from rlm.models.chat import CostState, TokenUsage

    total = 0.0
    for call, samples in Counter(calls).items():
        paid = section.paid_for(call.role if call.role in ("root", COMPACTOR) else method.sub_role)
        if paid is None or not call.calls:
            continue
        # Some prices depend on the length of the prompt, so each call is priced separately.
        count = max(1, round(call.calls))
        usage = TokenUsage(
            prompt_tokens=round(call.prompt_tokens / count),
            cached_tokens=round(call.cached_tokens / count),
            completion_tokens=round(call.completion_tokens / count),
        )
        share = 1.0 - paid.endpoint.batch_discount if _in_batches(method, section) else 1.0
        cost = prices.cost(paid.name, usage, paid.endpoint.base_url, share=share)
        if cost.state == CostState.UNKNOWN:
            return math.nan
        total += samples * count * cost.usd
    return total
