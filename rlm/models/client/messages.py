"""The parts of a request: texts of messages, their UTF-8 form, the kind of the request and its seed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from rlm.surrogates import without_surrogates


def content(message: Mapping[str, str]) -> str:
    """Return the text of a message."""
    text = message.get("content")
    return text if isinstance(text, str) else str(text or "")


def kind_of(name: str, messages: Sequence[Mapping[str, str]]) -> Hashable:
    """Return family and size. Requests of one kind should fail together if they, and not the endpoint, are at fault.

    The methods of a run differ in their model, in their system prompt and in the size of their prompts.
    """
    first = messages[0] if messages else {}
    system = content(first)[:200] if first.get("role") == "system" else ""
    size = sum(len(content(message)) for message in messages)
    return (name, system), size.bit_length() // 2


def seed_of(seed: int | None, epoch: int, occurrence: int) -> int | None:
    """Return the seed of a call: the configured one first, another one for each further epoch and occurrence."""
    if seed is None or not (epoch or occurrence):
        return seed
    return (seed + 1_000_003 * epoch + 7_919 * occurrence) % 2**31


def encodable(message: Mapping[str, str]) -> dict[str, Any]:
    """Make a message's texts valid UTF-8: a lone surrogate becomes a question mark."""
    return {key: without_surrogates(value) if isinstance(value, str) else value for key, value in message.items()}
