"""Estimates calls, tokens and dollars of a run by benchmark and method, from a simple model of each method's calls.

Let T be the tokens of a sample's prompt, W the root's window and S the sub-model's window:

- base: one root call over T; none if T does not fit W. base_truncated and base_bm25: one root call over min(T, 0.9 W).
- compaction: one root call over T if it fits; else T / (0.9 S - 2,000) compactor calls over 0.9 S that each write
  1,500 tokens, and a root call over the last summary.
- codeact, react: 6 turns over T and a history that grows by 1,000 tokens a turn; with sub-calls 10 of 2,000 tokens.
  With search over documents the turns are over 1,000 tokens in place of T, and the history grows by 6,000.
- rlm: 8 turns over a prompt of 2,500 tokens and a history that grows by 1,500 a turn; its code reads T once by
  sub-calls of at most S / 4 tokens that each write 400. Without sub-calls (max_depth 0) there are 12 turns. With
  max_depth 2 and more, sub-calls are children of 4 turns.
- rlm_compacted: as rlm; when the history would exceed its share of W, the compactor reads it and writes 1,500 tokens.
- rlm_selfconsistency: k times rlm. rlm_combinators: as rlm with 4 turns.
- map_reduce: one sub-call for each window of S / 2 tokens that writes 150, and a root call over the notes.

The prompts of sub-calls are also bounded by limits.max_sub_prompt_tokens.
An answer has 500 tokens, a turn 600. No prompt is assumed to be cached, and the calls of a judge are not counted.
Of the 60 costs in the paper's Table 1, 15 are within a factor of two, 40 within five and 48 within ten.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.models import ModelSection
from benchmarks.config.schema import RunConfig
from benchmarks.config.several import labels_of
from benchmarks.config.targets import Target
from benchmarks.running.estimate_time import cell_hours, embedded_seconds, model_of
from benchmarks.running.spread import spread_order
from benchmarks.sources.hub import HUB, HubError
from rlm.limits import Limits
from rlm.methods.base import BaseBm25, BaseTruncated, PlainModel
from rlm.methods.codeact.loop import CodeAct
from rlm.methods.combinators import RLMCombinators
from rlm.methods.compaction import Compaction
from rlm.methods.map_reduce import MapReduce
from rlm.methods.rlm import RLM, RLMCompacted
from rlm.methods.selfconsistency import RLMSelfConsistency
from rlm.tree import COMPACTOR

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.sample import Benchmark, SampleInfo
    from rlm.models.chat import ChatModel

ANSWER, TURN = 500, 600
UNKNOWN_WINDOW = 128_000
# The sums in a Calls.
SUMS = ("calls", "prompt_tokens", "completion_tokens")
# The number of contexts of each task group that are built and counted if no length is declared.
MEASURED = 3
# Assumed sizes if the hub cannot be read: CodeQA's prompts have 23K to 4.2M tokens, a thousand documents of
# BrowseComp-Plus 6M to 11M (arXiv:2512.24601).
CODEQA = [131_072] * 50
DOCUMENT = 7_000


@dataclass(frozen=True)
class Calls:
    """The calls of one role in one completion: their number, and the sums of their prompt and completion tokens."""

    role: str
    calls: float
    prompt_tokens: float
    completion_tokens: float


def expected_calls(method: Any, tokens: int, documents: int = 0) -> list[Calls] | None:
    """Estimate the calls that a method makes for a sample of `tokens` tokens; None for an unknown method.

    documents: the number of documents in the context, 0 for a single text. A custom method can define
    `expected_calls(tokens)`, which returns a list of Calls.
    """
    if hasattr(method, "expected_calls"):
        return method.expected_calls(tokens)
    root = method.model.context_window or UNKNOWN_WINDOW
    sub = method.sub_model.context_window or UNKNOWN_WINDOW
    if isinstance(method, BaseTruncated | BaseBm25):
        return [Calls("root", 1, min(tokens, 0.9 * root), ANSWER)]
    if isinstance(method, PlainModel):
        return [Calls("root", 1, tokens, ANSWER)] if tokens + ANSWER <= root else []
    if isinstance(method, Compaction):
        return _compaction(tokens, root, sub)
    if isinstance(method, CodeAct):
        if documents and "search" in method.actions:
            return [Calls("root", 6, 6 * 1000 + 6000 * sum(range(6)), 5 * TURN + ANSWER)]
        return _codeact(tokens, root, "llm_query" in method.actions)
    if isinstance(method, MapReduce):
        windows = max(1, math.ceil(tokens / (_bounded(sub, method.limits) / 2)))
        reads = Calls("sub", windows, tokens * 1.1, windows * 150)
        return [reads, Calls("root", 1, min(windows * 150 + 300, 0.9 * root), ANSWER)]
    if isinstance(method, RLMCombinators):
        return _rlm(tokens, _bounded(sub / 4, method.limits), turns=4)
    if isinstance(method, RLM):
        calls = _rlm(tokens, _bounded(sub / 4, method.limits), method.max_depth)
        if isinstance(method, RLMSelfConsistency):
            return [replace(one, **{name: method.k * getattr(one, name) for name in SUMS}) for one in calls]
        return _compacted(calls, method.compact_at * root) if isinstance(method, RLMCompacted) else calls
    return None


def _bounded(tokens: float, limits: Limits) -> float:
    """Return the tokens of a sub-call's prompt within the limits."""
    return min(tokens, limits.max_sub_prompt_tokens or tokens)


def _compaction(tokens: int, root: int, sub: int) -> list[Calls]:
    if tokens <= 0.9 * root:
        return [Calls("root", 1, tokens, ANSWER)]
    pieces = math.ceil(tokens / max(0.9 * sub - 2000, 0.45 * sub))
    return [
        Calls("compactor", pieces, pieces * 0.9 * sub, pieces * 1500),
        Calls("root", 1, 2000, ANSWER),
    ]


def _codeact(tokens: int, root: int, sub_calls: bool) -> list[Calls]:
    if tokens + TURN > root:
        return []
    turns = 6
    calls = [Calls("root", turns, turns * tokens + 1000 * sum(range(turns)), (turns - 1) * TURN + ANSWER)]
    return [*calls, Calls("sub", 10, 10 * 2000, 10 * 300)] if sub_calls else calls


def _rlm(tokens: int, piece: float, max_depth: int = 1, turns: int = 8) -> list[Calls]:
    turns = 12 if max_depth == 0 else turns
    root = Calls("root", turns, 2500 * turns + 1500 * sum(range(turns)), (turns - 1) * TURN + ANSWER)
    if max_depth == 0:
        return [root]
    reads = math.ceil(tokens / piece)
    if max_depth == 1:
        return [root, Calls("sub", reads, tokens, reads * 400)]
    child_turns = 4
    prompt = reads * (2500 * child_turns + 1500 * sum(range(child_turns))) + tokens
    return [root, Calls("sub", reads * (child_turns + 1), prompt, reads * (child_turns * TURN + 400))]


def _compacted(calls: list[Calls], room: float) -> list[Calls]:
    """Return the calls of an RLM whose root compacts its history at `room` tokens; a summary of a quarter is kept."""
    root, *others = calls
    longest = 2500 + 1500 * (root.calls - 1)
    if longest <= room:
        return calls
    times = math.ceil((longest - room) / max(1500.0, 0.75 * (room - 2500)))
    prompts = min(root.prompt_tokens, root.calls * max(room, 4000))
    compactor = Calls("compactor", times, times * min(longest, max(room, 2500)), times * 1500)
    return [replace(root, prompt_tokens=prompts), *others, compactor]


def estimate(config: RunConfig, tell: Callable[[str], None] = lambda note: None) -> pd.DataFrame:
    """Return a row of samples, calls, tokens, dollars and hours for each benchmark, method and model, and their sums.

    usd and hours are null if a price or a model's time is unknown; usd is 0 if calls are free. `tell` is called with a
    line for each benchmark whose sizes are assumed because the hub cannot be read. Raises ConfigError.
    """
    import pandas as pd

    from benchmarks.config.methods import build_methods
    from rlm.methods.method import Method

    models = _models(config)
    labels = labels_of({name: roles["root"].name for name, roles in models.items()})
    built = {name: build_methods(config, roles) for name, roles in models.items()}
    rows = []
    for benchmark in config.benchmark:
        lengths, documents = _benchmark_tokens(config, benchmark, tell)
        for model, methods in built.items():
            for name, method in methods.items():
                if not isinstance(method, Method):
                    continue
                expected = [expected_calls(method, tokens, documents) for tokens in lengths]
                names = {"benchmark": benchmark, "method": name, "model": labels[model]}
                rows.append(names | _sum(expected, method, config, config.models[model]))
    if not rows:
        raise ConfigError("method has only reference rows, which make no calls: choose a method to estimate")
    table = pd.DataFrame(rows)
    total = table.sum(numeric_only=True, min_count=len(table)).to_dict()
    return pd.concat(
        [table, pd.DataFrame([{"benchmark": "all", "method": "", "model": ""} | total])], ignore_index=True
    )


def _models(config: RunConfig) -> dict[str, dict[str, ChatModel]]:
    """Build the models of each section as for a replay, which needs neither weights nor keys."""
    from benchmarks.running.model_set import ModelSet

    quiet = replace(config, cache=replace(config.cache, mode="replay", path=None))
    return ModelSet(quiet, None).all_roles()


def embedded_hours(config: RunConfig) -> float:
    """Estimate the hours that the embedded model would compute, over all of its roles.

    Calls are bounded by `limits`, prompts by the model's window and replies by its cap. Raises ConfigError.
    """
    from benchmarks.config.methods import build_methods
    from rlm.methods.method import Method
    from rlm.models.embedded.model import EmbeddedModel

    models = _models(config).values()
    if not any(isinstance(model, EmbeddedModel) for roles in models for model in roles.values()):
        return 0.0
    methods = [one for roles in models for one in build_methods(config, roles).values() if isinstance(one, Method)]
    seconds = 0.0
    for benchmark in config.benchmark:
        lengths, documents = _benchmark_tokens(config, benchmark, lambda note: None)
        for method in methods:
            for tokens, count in Counter(lengths).items():
                for calls in expected_calls(method, tokens, documents) or []:
                    model = model_of(method, calls)
                    if isinstance(model, EmbeddedModel):
                        seconds += count * embedded_seconds(calls, model, config.limits)
    return seconds * config.epochs / 3600


def _benchmark_tokens(config: RunConfig, name: str, tell: Callable[[str], None]) -> tuple[list[int], int]:
    from benchmarks.running.samples import load_benchmarks

    target = config.benchmark[name]
    try:
        benchmarks, infos = load_benchmarks(replace(config, benchmark={name: target}))
        return sample_tokens(benchmarks[name], list(infos[name].values()))
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


def hub_tokens(target: Target) -> tuple[list[int], int] | None:
    """Approximate `sample_tokens` for a benchmark of the hub; None for a custom benchmark."""
    kind, settings = target.name.rpartition(".")[2], target.settings
    if settings.get("source") != HUB:
        return None
    if kind == "CodeQA":
        return list(CODEQA), 0
    if kind == "BrowseCompPlus":
        sizes = settings["documents"]
        return [size * DOCUMENT for size in sizes for _ in range(settings["queries"])], max(sizes)
    if kind in ("Oolong", "OolongPairs"):
        return [length for length in settings["lengths"] for _ in range(settings["samples"])], 0
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


def _sum(
    expected: Sequence[list[Calls] | None], method: Any, config: RunConfig, section: ModelSection
) -> dict[str, Any]:
    epochs = config.epochs
    known = [calls for sample in expected if sample is not None for calls in sample]
    overflow = sum(sample == [] for sample in expected)
    return {
        "samples": len(expected) * epochs,
        "over_window": overflow * epochs,
        "calls": epochs * sum(calls.calls for calls in known),
        "prompt_tokens": epochs * sum(calls.prompt_tokens for calls in known),
        "completion_tokens": epochs * sum(calls.completion_tokens for calls in known),
        "usd": None if None in expected else _usd(known, method, config, section) * epochs,
        "hours": None if None in expected else cell_hours([one or [] for one in expected], method, config),
    }


def _usd(calls: Sequence[Calls], method: Any, config: RunConfig, section: ModelSection) -> float:
    from rlm.models.chat import CostState, TokenUsage
    from rlm.models.prices import PriceTable

    table, total = PriceTable(config.prices), 0.0
    for call in calls:
        paid = section.paid_for(call.role if call.role in ("root", COMPACTOR) else method.sub_role)
        if paid is None:
            continue
        # Some prices depend on the length of the prompt, so each call is priced separately.
        count = max(1, round(call.calls))
        usage = TokenUsage(
            prompt_tokens=round(call.prompt_tokens / count), completion_tokens=round(call.completion_tokens / count)
        )
        cost = table.cost(paid.name, usage, paid.endpoint.base_url)
        if cost.state == CostState.UNKNOWN:
            return math.nan
        total += count * cost.usd
    return total
