"""The samples and settings that a session adds to an existing run, for the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sample import SampleInfo


def additions(
    before: Mapping[str, Any], keys: Mapping[str, Any], infos: Mapping[str, Mapping[str, SampleInfo]]
) -> dict[str, Any]:
    """Return the additions of a configuration, and `samples`: [before, now] of each benchmark that gets further ones.

    before: the previous manifest. keys: the additions by key, empty for a resumption. infos: the samples of the run.
    """
    had = sample_ids(before)
    more = {
        name: [len(had[name]), len(ids)] for name, ids in infos.items() if name in had and set(ids) - set(had[name])
    }
    return {**keys, **({"samples": more} if more else {})} if keys else {}


def sample_ids(manifest: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Return the sample ids of each benchmark in a manifest, which is empty for a new run."""
    benchmarks = manifest.get("benchmarks") or {}
    return {name: (described or {}).get("sample_ids") or [] for name, described in benchmarks.items()}


def samples_added_at(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Return the start of the last session that added samples to a benchmark, by benchmark."""
    found: dict[str, float] = {}
    for session in manifest.get("sessions") or ():
        found |= dict.fromkeys((session.get("added") or {}).get("samples") or (), session["started_at"])
    return found
