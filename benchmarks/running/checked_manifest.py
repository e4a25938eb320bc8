"""The manifest of a run as reports and comparisons read it: what another program or a person made of it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.config.compose import ConfigError
from benchmarks.running.run_folder import read_manifest

# Parts that are objects, and of which of them each value is one too.
_PARTS = ("config", "benchmarks", "methods", "models", "git", "packages", "judge")
_PARTS_OF_PARTS = ("benchmarks", "methods", "models")
_CONFIG_PARTS = ("method", "model", "report", "repl")
# Seconds since 1970 that every calendar has, and more samples than a run can have.
_LARGEST = 10**11


def checked_manifest(path: Path) -> dict[str, Any]:
    """run.json of a run folder; what reports read of it has the right kind. Raises ConfigError naming what has not."""
    found = read_manifest(path)
    where = str(path / "run.json")
    _wanted_object(found, where)
    assert found is not None
    for part in _PARTS:
        _wanted_object(found.get(part), f"{where}: {part}")
    for part in _PARTS_OF_PARTS:
        for name, value in (found.get(part) or {}).items():
            _wanted_object(value, f"{where}: {part}.{name}")
    for name, about in (found.get("benchmarks") or {}).items():
        _wanted_object((about or {}).get("data"), f"{where}: benchmarks.{name}.data")
    config = found.get("config") or {}
    for part in _CONFIG_PARTS:
        _wanted_object(config.get(part), f"{where}: config.{part}")
    _wanted_object((config.get("model") or {}).get("root"), f"{where}: config.model.root")
    for name, settings in (config.get("method") or {}).items():
        _wanted_object(settings, f"{where}: config.method.{name}")
    for name in ("samples_planned", "started_at", "ended_at"):
        value = found.get(name) or 0
        if not isinstance(value, int | float) or not 0 <= value < _LARGEST:
            raise ConfigError(f"{where}: {name} is {str(value)[:40]!r}: wanted a number from 0 to {_LARGEST:.0e}")
    return found


def _wanted_object(value: Any, where: str) -> None:
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(f"{where} is {str(value)[:40]!r}: wanted an object, as `rlm-eval run` writes it")
