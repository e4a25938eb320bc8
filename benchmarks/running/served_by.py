"""Counts which providers, system fingerprints and returned model names served a run, and reports changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.running.rows import CallRow

_COLUMNS = {"provider": "provider", "system_fingerprint": "system fingerprint", "returned_model": "returned model name"}


class ServedBy:
    """Counts the calls of each model by provider, by system fingerprint and by returned name."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)

    def add(self, calls: Iterable[CallRow]) -> list[str]:
        """Count calls. Returns a line for each new value of a model that had another value before."""
        lines = []
        for call in calls:
            for column in _COLUMNS:
                if (value := getattr(call, column)) is None:
                    continue
                seen = self._counts[call.model, call.role, column]
                if seen and value not in seen:
                    lines.append(
                        f"{call.model} ({call.role}): the {_COLUMNS[column]} has changed from {_listed(list(seen))} to "
                        f"{value}: scores of this run mix them"
                    )
                seen[value] += 1
        return lines

    def described(self) -> list[dict[str, Any]]:
        """Return the calls by provider, fingerprint and returned name for each model and role, for the manifest."""
        by_model: dict[tuple[str, str], dict[str, Any]] = {}
        for (model, role, column), counts in sorted(self._counts.items()):
            entry = by_model.setdefault((model, role), {"model": model, "role": role})
            entry[column] = dict(sorted(counts.items()))
        return list(by_model.values())


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values[:3]) + (f" and {len(values) - 3} others" if len(values) > 3 else "")
