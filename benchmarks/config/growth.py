"""Finds the changes of a configuration that add samples to a run folder and leave its finished ones unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.identity import changes, complete, described
from benchmarks.config.several import sections_of
from benchmarks.config.targets import Target

Plain = Mapping[str, Any]

MOVED = "moved"
# The groups to which choices can be added in an existing run.
_GROUPS = ("benchmark", "method")


def growth(before: Plain, after: Plain) -> tuple[dict[str, Any], list[str]]:
    """Return the additions of `after` to a run of `before`, and a line `key: before -> after` for each other change.

    Additions are [before, after] by key for `limit`, `epochs` and the settings in a suite's `grows_by`, and the new
    names for `benchmark`, `method` and `model`. With a limit, a suite's settings do not grow, because the limit would
    then choose other samples.
    """
    added: dict[str, Any] = {}
    refused = []
    models = _added_models(before, after)
    if models == MOVED:
        return {}, ["model: the models of the run come first in the list, in their order"]
    for key, (old, new) in changes(before, after).items():
        group, _, rest = key.partition(".")
        if group == "model" and models is not None:
            continue
        name, _, setting = rest.partition(".")
        if group in _GROUPS and name in (after.get(group) or {}) and name not in (before.get(group) or {}):
            added[group] = list(dict.fromkeys([*added.get(group, []), name]))
        elif _is_more(key, old, new) or (
            group == "benchmark" and _grows(before, after[group].get(name), setting, old, new)
        ):
            added[key] = [old, new]
        else:
            refused.append(described(key, old, new))
    return added | ({"model": models} if models else {}), refused


def _added_models(before: Plain, after: Plain) -> list[str] | str | None:
    """Return the names of further models, None if a model of the run is missing or has changed, or MOVED.

    MOVED: the models of the run do not come first, but recorded responses belong to the first model of their name.
    """
    old, new = (sections_of(complete(one).get("model")) for one in (before, after))
    if any(section not in new.values() for section in old.values()):
        return None
    if list(new.values())[: len(old)] != list(old.values()):
        return MOVED
    return list(new)[len(old) :]


def _is_more(key: str, old: Any, new: Any) -> bool:
    """True if a limit is raised or removed, or if epochs are added."""
    if not isinstance(old, int):
        return False
    return key in ("limit", "epochs") and (new is None or new > old)


def _grows(before: Plain, suite: Any, setting: str, old: Any, new: Any) -> bool:
    """True if a suite has all its former samples, unchanged, and more with the new value of the setting."""
    if suite is None or before.get("limit") is not None:
        return False
    try:
        grows_by = getattr(Target.of(suite, "").target, "grows_by", ())
    except ConfigError:
        # The class belongs to a plug-in that is not installed.
        return False
    if setting not in grows_by:
        return False
    if isinstance(old, int) and isinstance(new, int):
        return new > old
    return isinstance(old, list) and isinstance(new, list) and all(one in new for one in old)
