"""Renamed keys and classes, so that older configuration files and run folders keep working."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from rlm.models.client.endpoint import RENAMED

# The dotted names that `_target_` had in version 0.1, with the current names.
TARGETS = {
    "benchmarks.browsecomp_plus.BrowseCompPlus": "benchmarks.suites.browsecomp_plus.BrowseCompPlus",
    "benchmarks.codeqa.CodeQA": "benchmarks.suites.codeqa.CodeQA",
    "benchmarks.executors.local.LocalExecutor": "benchmarks.running.executors.local.LocalExecutor",
    "benchmarks.executors.ray.RayExecutor": "benchmarks.running.executors.ray.RayExecutor",
    "benchmarks.oolong.Oolong": "benchmarks.suites.oolong.Oolong",
    "benchmarks.oolong_pairs.OolongPairs": "benchmarks.suites.oolong_pairs.OolongPairs",
    "benchmarks.reference.Floor": "benchmarks.running.reference_rows.Floor",
    "benchmarks.reference.Oracle": "benchmarks.running.reference_rows.Oracle",
    "benchmarks.sniah.SNIAH": "benchmarks.suites.sniah.SNIAH",
    "rlm.methods.agent_cli.AgentCli": "rlm.methods.agents.AgentCli",
    "rlm.methods.base.BaseModel": "rlm.methods.base.PlainModel",
    "rlm.methods.recursive.RLM": "rlm.methods.rlm.RLM",
    "rlm.methods.recursive_bm25.RLMBm25": "rlm.methods.rlm.RLMBm25",
    "rlm.methods.retrieval.BaseBm25": "rlm.methods.base.BaseBm25",
}
_FIRST = {new: old for old, new in TARGETS.items()}


def words_today(words: Sequence[str]) -> list[str]:
    """Rename former keys in overrides of a command line, with a warning on standard error."""
    return [_word_today(word) for word in words]


def _word_today(word: str) -> str:
    found = re.match(r"([+~]*(?:model|judge)\.endpoint\.)(\w+)(?==|$)", word)
    if found is None or found[2] not in RENAMED:
        return word
    key = found[1].lstrip("+~")
    _warn(f"{key}{found[2]} is deprecated: the key is now {key}{RENAMED[found[2]]}")
    return found[1] + RENAMED[found[2]] + word[found.end() :]


def today(name: str) -> str:
    """Return the current dotted name of a class."""
    return TARGETS.get(name, name)


def first(name: str) -> str:
    """Return the first dotted name of a class, over which configurations are hashed, so that a move keeps the hash."""
    return _FIRST.get(today(name), name)


def with_targets(settings: Any, rename: Callable[[str, str], str], where: str = "") -> Any:
    """Return settings in which each `_target_` is renamed by `rename(key, name)`."""
    if not isinstance(settings, Mapping):
        return settings
    renamed = {}
    for key, value in settings.items():
        full = f"{where}.{key}" if where else str(key)
        is_name = key == "_target_" and isinstance(value, str)
        renamed[key] = rename(full, value) if is_name else with_targets(value, rename, full)
    return renamed


def today_with_warning(key: str, name: str) -> str:
    """Return the current dotted name of a class, with a warning on standard error for a former one."""
    if today(name) != name:
        _warn(f"{key}={name} is deprecated: the class is now {today(name)}")
    return today(name)


@cache
def _warn(line: str) -> None:
    # Warn once a process, although a configuration may be composed several times.
    print(f"rlm-eval: {line}", file=sys.stderr)
