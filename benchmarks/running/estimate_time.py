"""Estimates how long a run takes, roughly, by the rates at which models read and write.

- The embedded model computes all of its calls on two CPUs, so concurrency does not shorten it; its weights have
  measured rates. Calls are bounded by `limits`, prompts by the window, replies by the cap. llama.cpp keeps the
  part of a conversation that it has read, so the turns of a root read it once; each writes at most 120 tokens.
- An endpoint is assumed to take 1 s for a call, 1 s for each 10,000 prompt tokens and 1 s for each 60 reply tokens.
  The calls of a root follow each other, sub-calls run at the method's concurrency and samples at concurrency.samples;
  the endpoint's max_concurrency bounds all of them. Rate limits, retries and hidden reasoning make a run longer.
- The time of any other model is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlm.limits import Limits
from rlm.tree import COMPACTOR

if TYPE_CHECKING:
    from benchmarks.config.schema import RunConfig
    from benchmarks.running.estimate import Calls

ENDPOINT_CALL_S, ENDPOINT_READS_A_SECOND, ENDPOINT_WRITES_A_SECOND = 1.0, 10_000, 60
_SUB_CALLS_AT_ONCE = 16
# The replies of Qwen2.5-Coder-1.5B as an RLM's root have 20 to 90 tokens.
_EMBEDDED_TURN = 120


def cell_hours(samples: Sequence[Sequence[Calls]], method: Any, config: RunConfig) -> float:
    """Estimate the hours of one method's samples, each given by its calls; NaN if a model's time is unknown."""
    from rlm.models.client.model import OpenAIModel
    from rlm.models.embedded.model import EmbeddedModel

    computed = longest = total = 0.0
    most, at_once = math.inf, getattr(method, _concurrency_key(method), _SUB_CALLS_AT_ONCE)
    roots_at_once = min(method.k, method.programs_concurrency) if hasattr(method, "programs_concurrency") else 1
    for calls in (calls for sample in samples for calls in sample):
        model = model_of(method, calls)
        if isinstance(model, EmbeddedModel):
            computed += embedded_seconds(calls, model, config.limits)
        elif isinstance(model, OpenAIModel):
            one = _endpoint_seconds(calls)
            total += calls.calls * one
            longest += one * math.ceil(calls.calls / (at_once if calls.role == "sub" else roots_at_once))
            most = min(most, model.endpoint.max_concurrency)
        else:
            return math.nan
    together = max(1, min(config.concurrency.samples, len(samples) * config.epochs))
    return config.epochs * (computed + max(longest / together, total / most)) / 3600


def _concurrency_key(method: Any) -> str:
    """Return the setting that bounds the sub-calls of one completion."""
    if not hasattr(method, "children_concurrency"):
        return "concurrency"
    return "children_concurrency" if method.max_depth > 1 else "sub_call_concurrency"


def model_of(method: Any, calls: Calls) -> Any:
    """Return the model that makes these calls of a method."""
    if calls.role == "root":
        return method.model
    return getattr(method, COMPACTOR, method.sub_model) if calls.role == COMPACTOR else method.sub_model


def embedded_seconds(calls: Calls, model: Any, limits: Limits) -> float:
    """Estimate the seconds of one sample's calls in one role."""
    bounds = [limits.max_calls, limits.max_turns if calls.role == "root" else limits.max_sub_calls]
    made = min([calls.calls, *(bound for bound in bounds if bound is not None)])
    prompt = min(calls.prompt_tokens / max(calls.calls, 1), model.context_window)
    reply = min(calls.completion_tokens / max(calls.calls, 1), model.sampling.max_output_tokens)
    reads, writes = model.settings.tokens_a_second
    if calls.role == "root" and calls.calls > 1:
        # The last prompt of a growing conversation has about twice the tokens of the mean.
        return min(2 * prompt, model.context_window) / reads + made * min(reply, _EMBEDDED_TURN) / writes
    return made * (prompt / reads + reply / writes)


def _endpoint_seconds(calls: Calls) -> float:
    """Estimate the seconds of one call."""
    count = max(calls.calls, 1)
    reads, writes = calls.prompt_tokens / count, calls.completion_tokens / count
    return ENDPOINT_CALL_S + reads / ENDPOINT_READS_A_SECOND + writes / ENDPOINT_WRITES_A_SECOND


def in_words(hours: float) -> str:
    """Format hours roughly: `under a minute`, `12 min`, `3 h`, `unknown`."""
    if math.isnan(hours):
        return "unknown"
    minutes = 60 * hours
    if minutes < 1:
        return "under a minute"
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:,.0f} h"
