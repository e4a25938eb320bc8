"""Reads token counts from response bodies, whose shape differs between providers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rlm.models.chat import TokenUsage

# No model reads or writes this many tokens in one call, so a higher count is a provider's error.
MAX_TOKENS = 1_000_000_000
# No call costs as much, so a higher cost is a provider's error, whose sums could become infinite.
_MAX_USD = 1_000_000.0
# A prompt counts as cut if the endpoint reports less than this fraction of the tokens counted here. Tokenizers differ
# by less than this for ASCII text, and by more for other scripts. A chat template only adds tokens. Reported counts
# include cached tokens.
CUT_PART_ASCII = 0.6
CUT_PART_OTHER = 0.4
# A prompt with fewer tokens never counts as cut.
CUT_LEAST_TOKENS = 500
# With at most this many characters per reported token, the prompt's tokens need not be counted.
CUT_CHARS_PER_TOKEN = 5.0


def reported_usage(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the usage of a body or chunk. Moonshot puts it into the choice, Groq into `x_groq`."""
    choices = body.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    return (
        _mapping(body.get("usage"))
        or _mapping(choice.get("usage"))
        or _mapping(_mapping(body.get("x_groq")).get("usage"))
    )


def token_usage(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> TokenUsage | None:
    """Read the tokens of one call from its response body and headers; None if the body reports none.

    prompt_tokens always includes cached_tokens and completion_tokens always includes reasoning_tokens, whatever the
    provider's own convention is; if that is ambiguous, its `total_tokens` decides. Impossible counts (negative, not
    numbers, more cached than sent) are corrected and set `clamped`. Never raises.
    """
    usage = reported_usage(body)
    read = _Reader()
    prompt, completion = read.count(usage, "prompt_tokens"), read.count(usage, "completion_tokens")
    if prompt is None and completion is None:
        prompt, completion = _anthropic_shape(usage, read), read.count(usage, "output_tokens")
        if prompt is None and completion is None:
            return None
    prompt, completion = prompt or 0, completion or 0
    cached = _cached(body, usage, headers or {}, read)
    details = _mapping(usage.get("completion_tokens_details")) or _mapping(usage.get("output_tokens_details"))
    reasoning = read.count(details, "reasoning_tokens")
    if reasoning is None:
        reasoning = read.count(usage, "reasoning_tokens") or 0

    unexplained = (read.count(usage, "total_tokens") or 0) - prompt - completion
    if unexplained > 0:
        if unexplained == cached and cached > prompt:
            prompt += cached
        elif reasoning in (0, unexplained):
            # xAI and Gemini bill reasoning in addition to completion_tokens; Gemini includes it only in the total.
            read.clamped |= not reasoning
            completion, reasoning = completion + unexplained, unexplained
    if cached > prompt:
        cached, read.clamped = prompt, True
    if reasoning > completion:
        reasoning, read.clamped = completion, True
    return TokenUsage(prompt, cached, completion, reasoning, read.clamped)


def provider_cost(body: Mapping[str, Any]) -> float | None:
    """Return the dollars that the provider reports for the call, None if it reports nothing usable.

    OpenRouter sends `usage.cost`; with the user's key for the upstream provider (`is_byok`), this is only OpenRouter's
    fee.
    """
    usage = reported_usage(body)
    cost = usage.get("cost")
    if isinstance(cost, Mapping):
        cost = cost.get("total_cost")
    dollars = _dollars(cost)
    if dollars is not None and usage.get("is_byok") is True:
        dollars += _dollars(_mapping(usage.get("cost_details")).get("upstream_inference_cost")) or 0.0
    return dollars


def prompt_is_unreported(usage: TokenUsage | None) -> bool:
    """True if the prompt's tokens are missing or 0, which no prompt has."""
    return usage is None or usage.prompt_tokens == 0


def reply_is_unreported(usage: TokenUsage | None, text: str) -> bool:
    """True if the completion tokens are missing or 0 although the reply has a text."""
    return usage is None or (usage.completion_tokens == 0 and bool(text))


def is_prompt_cut(reported: int, counted: int, text: str) -> bool:
    """True if the reported prompt tokens are so far below our own count that a part of the prompt was dropped."""
    others = 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))
    part = CUT_PART_ASCII if others * 20 <= len(text) else CUT_PART_OTHER
    return counted >= CUT_LEAST_TOKENS and reported < part * counted


class _Reader:
    """Reads counts and records impossible ones."""

    def __init__(self) -> None:
        self.clamped = False

    def count(self, holder: Mapping[str, Any], key: str) -> int | None:
        value = holder.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = math.nan
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_TOKENS:
            self.clamped = True
            return None
        if value < 0:
            self.clamped = True
            return 0
        return int(value)


def _anthropic_shape(usage: Mapping[str, Any], read: _Reader) -> int | None:
    # Anthropic's input_tokens do not include the tokens read from and written to the cache.
    prompt = read.count(usage, "input_tokens")
    if prompt is None:
        return None
    beside = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return prompt + sum(read.count(usage, key) or 0 for key in beside)


def _cached(body: Mapping[str, Any], usage: Mapping[str, Any], headers: Mapping[str, str], read: _Reader) -> int:
    places = (
        (_mapping(usage.get("prompt_tokens_details")), "cached_tokens"),
        (_mapping(usage.get("input_tokens_details")), "cached_tokens"),
        (usage, "prompt_cache_hit_tokens"),
        (usage, "cache_read_input_tokens"),
        (usage, "cached_tokens"),
        (_mapping(body.get("timings")), "cache_n"),
        (headers, "fireworks-cached-prompt-tokens"),
    )
    return max((read.count(holder, key) or 0 for holder, key in places), default=0)


def _dollars(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        dollars = float(value)
    except (ValueError, OverflowError):
        return None
    return dollars if 0 <= dollars <= _MAX_USD else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
