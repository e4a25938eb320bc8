"""What the root is told of a context in place of the context: its type, its sizes, a bounded look at its ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from rlm.limits import Limits
from rlm.models.chat import ChatModel
from rlm.prompt import Prompt

# Characters for a sub-model whose window is not known.
_UNKNOWN_CAPACITY = 150_000
# With no question apart from the context, so much of each end is shown, where the question mostly stands.
END_CHARS = 500
_LENGTHS = 12


def describe(prompt: Prompt, prefix_chars: int = 0) -> dict[str, Any]:
    """The variables of a prompt's part `first`, of a size that does not grow with the context.

    prefix_chars: how much of the context's beginning is shown. A prompt without a query shows both ends.
    """
    text = prompt.context if isinstance(prompt.context, str) else None
    documents = () if text is not None else prompt.context
    first, last = (text, text) if text is not None else (documents[0], documents[-1]) if documents else ("", "")
    head_chars = max(prefix_chars, 0 if prompt.query else END_CHARS)
    tail_chars = 0 if prompt.query else END_CHARS
    if text is not None and len(text) <= head_chars + tail_chars:
        head_chars, tail_chars = len(text), 0
    return {
        "documents": None if text is not None else len(documents),
        "chars": prompt.chars,
        "lines": None if text is None else text.count("\n") + 1,
        "lengths": _lengths([len(document) for document in documents]),
        "turns": len(prompt.history) if prompt.query else 0,
        "head": first[:head_chars],
        "tail": last[-tail_chars:] if tail_chars else "",
        "query": prompt.question,
    }


def _lengths(lengths: Sequence[int]) -> str:
    if not lengths:
        return ""
    shown = ", ".join(map(str, lengths[:_LENGTHS]))
    if len(lengths) <= _LENGTHS:
        return f"Their lengths: {shown}."
    return (
        f"Their lengths: {shown}, and so on; the shortest is {min(lengths)}, the longest {max(lengths)}, "
        f"the median {median(lengths):.0f}."
    )


def capacity(model: ChatModel) -> int:
    """Characters that fit into a sub-call: 500,000 for a window of 400,000 tokens, as the paper tells its models."""
    if model.context_window is None:
        return _UNKNOWN_CAPACITY
    chars = model.context_window * 5 // 4
    unit = 10 ** max(0, len(str(chars)) - 2)
    return max(1, chars // unit * unit)


def bounded(limits: Limits, model: ChatModel) -> Limits:
    """The limits with an output of a cell that takes no more than about an eighth of the model's window."""
    if model.context_window is None:
        return limits
    return replace(limits, max_output_chars=min(limits.max_output_chars, max(200, model.context_window // 2)))
