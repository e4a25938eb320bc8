"""Estimates how long a run takes, roughly, by the rates at which models read and write.

- The embedded model computes all of its calls on two CPUs, so concurrency does not shorten it; its weights have
  measured rates. llama.cpp keeps what it has read of a conversation and of a prompt that all samples begin with, so
  cached tokens take no time. A run makes the base model's call once for all methods that make it.
- An endpoint is assumed to take 1 s for a call, 1 s for each 40,000 prompt tokens and 1 s for each 80 reply tokens,
  reasoning included. The calls of a root follow each other, sub-calls run at the method's concurrency and samples at
  concurrency.samples; the endpoint's max_concurrency bounds all of them. Rate limits and retries make a run longer.
- The time of any other model is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.running.estimate_calls import Calls, model_of

if TYPE_CHECKING:
    from benchmarks.config.schema import RunConfig

# Within a factor of two of ten arms of a public run (estimate_habits), whose calls, tokens and seconds are known.
ENDPOINT_CALL_S, ENDPOINT_READS_A_SECOND, ENDPOINT_WRITES_A_SECOND = 1.0, 40_000, 80
_SUB_CALLS_AT_ONCE = 16


def cell_hours(
    samples: Sequence[Sequence[Calls]], method: Any, config: RunConfig, repeats_plain: bool = False
) -> float:
    """Estimate the hours of one method's samples, each given by its calls; NaN if a model's time is unknown.

    repeats_plain: plain calls were made by an earlier method.
    """
    from rlm.models.client.model import OpenAIModel
    from rlm.models.embedded.model import EmbeddedModel

    longest = total = 0.0
    most = math.inf
    for calls in (calls for sample in samples for calls in sample):
        model = model_of(method, calls)
        if isinstance(model, OpenAIModel):
            total += calls.calls * _endpoint_seconds(calls)
            longest += _in_turn(calls, method)
            most = min(most, model.endpoint.max_concurrency)
        elif not isinstance(model, EmbeddedModel):
            return math.nan
    together = max(1, min(config.concurrency.samples, len(samples) * config.epochs))
    hours = embedded_hours_of(samples, method, repeats_plain)
    return config.epochs * (hours + max(longest / together, total / most) / 3600)


def sample_seconds(samples: Sequence[Sequence[Calls]], method: Any) -> float:
    """Estimate the mean seconds of a sample that is answered alone, over those that fit; NaN if it is unknown."""
    from rlm.models.client.model import OpenAIModel
    from rlm.models.embedded.model import EmbeddedModel

    made = [sample for sample in samples if sample]
    seconds = 0.0
    for calls in (calls for sample in made for calls in sample):
        model = model_of(method, calls)
        if isinstance(model, EmbeddedModel):
            seconds += embedded_seconds(calls, model)
        elif isinstance(model, OpenAIModel):
            seconds += _in_turn(calls, method)
        else:
            return math.nan
    return seconds / len(made) if made else math.nan


def embedded_hours_of(samples: Sequence[Sequence[Calls]], method: Any, repeats_plain: bool) -> float:
    """Estimate the hours that embedded models compute for one method's samples."""
    from rlm.models.embedded.model import EmbeddedModel

    seconds = 0.0
    for calls in (calls for sample in samples for calls in sample):
        model = model_of(method, calls)
        if isinstance(model, EmbeddedModel) and not (calls.plain and repeats_plain):
            seconds += embedded_seconds(calls, model)
    return seconds / 3600


def embedded_seconds(calls: Calls, model: Any) -> float:
    """Estimate the seconds of one sample's calls in one role."""
    reads, writes = model.settings.tokens_a_second
    read = min(calls.prompt_tokens - calls.cached_tokens, max(calls.calls, 1) * model.context_window)
    return read / reads + calls.completion_tokens / writes


def _in_turn(calls: Calls, method: Any) -> float:
    """Estimate the seconds of one sample's calls of one role: a root's follow each other, sub-calls run together."""
    if calls.role == "sub":
        return _endpoint_seconds(calls) * math.ceil(calls.calls / _sub_calls_at_once(method))
    # Several programs of one sample run at the same time.
    programs = min(method.k, method.programs_concurrency) if hasattr(method, "programs_concurrency") else 1
    return _endpoint_seconds(calls) * calls.calls / programs


def _sub_calls_at_once(method: Any) -> int:
    """Return the bound on the sub-calls of one completion."""
    children = getattr(method, "max_depth", 1) > 1
    names = ("children_concurrency",) if children else ("sub_call_concurrency", "concurrency")
    return next((getattr(method, name) for name in names if hasattr(method, name)), _SUB_CALLS_AT_ONCE)


def _endpoint_seconds(calls: Calls) -> float:
    """Estimate the seconds of one call."""
    count = max(calls.calls, 1)
    reads, writes = (calls.prompt_tokens - calls.cached_tokens) / count, calls.completion_tokens / count
    return ENDPOINT_CALL_S + reads / ENDPOINT_READS_A_SECOND + writes / ENDPOINT_WRITES_A_SECOND


def in_words(hours: float) -> str:
    """Format hours roughly: `under a minute`, `12 min`, `3 h`, `unknown`."""
    if math.isnan(hours):
        return "unknown"
    minutes = 60 * hours
    if minutes < 1:
        return "under a minute"
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:,.0f} h"
