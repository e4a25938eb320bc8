"""The identity of a run: the part of its configuration that determines the results, its hash and its name."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.renamed import first, today, with_targets
from benchmarks.config.several import sections_of, with_sections
from benchmarks.config.targets import Target
from rlm.models.build import ROLES
from rlm.models.client.endpoint import RENAMED

Plain = Mapping[str, Any]

# Keys that affect the execution of a run but not its results. They may change when a run is resumed.
OPERATIONAL = (
    "name", "run_dir", "resume", "retry_errors", "save_contexts", "fail_on_error", "stop_grace_s", "concurrency",
    "executor", "budget", "cache", "report", "prices", "server",
)  # fmt: skip
OPERATIONAL_ENDPOINT = (
    "kind", "api_version", "headers", "stream", "max_concurrency", "connect_s", "read_timeout_s", "total_s",
    "max_retries", "backoff_s", "max_backoff_s", "max_outage_wait_s", "api_key_env", "cache_control", "window_from",
    "batch", "batch_discount", "batch_poll_s", "batch_max_requests", "batch_max_bytes", *RENAMED,
)  # fmt: skip
# Keys of the embedded model.
OPERATIONAL_MODEL = ("slots", "threads")


def identity(config: Plain) -> dict[str, Any]:
    """Return the part of a configuration that determines the results, with classes under their first names."""
    kept = {key: value for key, value in config.items() if key not in OPERATIONAL}
    if "model" in kept:
        kept["model"] = with_sections(kept["model"], lambda section, _: _section_identity(section))
    if "judge" in kept:
        kept["judge"] = _section_identity(kept["judge"])
    renamed: dict[str, Any] = with_targets(kept, lambda _, name: first(name))
    return renamed


def _section_identity(models: Any) -> Any:
    if not isinstance(models, Mapping):
        return models
    roles = {role: _model_identity(models[role]) for role in ROLES if isinstance(models.get(role), Mapping)}
    return _model_identity(models) | roles


def _model_identity(settings: Plain) -> dict[str, Any]:
    """Return the part of a section of models, or of one role, that determines the results."""
    # A custom class may have settings of these names that determine its results.
    dropped = () if "_target_" in settings else OPERATIONAL_MODEL
    kept = {key: value for key, value in settings.items() if key not in dropped}
    if isinstance(endpoint := settings.get("endpoint"), Mapping):
        kept["endpoint"] = {key: value for key, value in endpoint.items() if key not in OPERATIONAL_ENDPOINT}
    return kept


def config_hash(config: Plain) -> str:
    """Return the SHA-256 of the identity of a configuration."""
    canonical = json.dumps(identity(config), sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def run_name(config: Plain) -> str:
    """Return the name of a run: the key `name`, or benchmarks, methods, model and a hash."""
    if config["name"] is not None:
        return str(config["name"])
    parts = ["+".join(config["benchmark"]), "+".join(config["method"]), model_name(config)]
    readable = re.sub(r"[^\w.+-]+", "-", "_".join(parts))
    return f"{readable[:120]}_{config_hash(config)[:8]}"


def model_name(config: Plain) -> str:
    """Return the name of the root model, as in tables; those of several models are joined by +."""
    return "+".join(map(_root_name, sections_of(config.get("model") or {}).values()))


def _root_name(model: Plain) -> str:
    return str((model.get("root") or {}).get("name") or model.get("name") or model.get("kind") or "model")


def changes(before: Plain, after: Plain) -> dict[str, tuple[Any, Any]]:
    """Return the values before and after of each differing key that determines the results.

    If only a newer version has a key, the other configuration counts as having its default.
    """
    stated = {key for one in (before, after) for key in flat(identity(one))}
    old, new = (flat(complete(one)) for one in (before, after))
    return {
        key: (old.get(key, "(absent)"), new.get(key, "(absent)"))
        for key in sorted(stated)
        if old.get(key) != new.get(key)
    }


def differences(before: Plain, after: Plain) -> list[str]:
    """Return a line `key: before -> after` for each of the changes."""
    return [described(key, old, new) for key, (old, new) in changes(before, after).items()]


def described(key: str, old: Any, new: Any) -> str:
    """Return the line of a change."""
    return f"{key}: {old!r} -> {new!r}"


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested keys by joining them with dots."""
    joined: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            joined.update(flat(value, f"{prefix}{key}."))
        else:
            joined[f"{prefix}{key}"] = value
    return joined


def complete(config: Plain) -> dict[str, Any]:
    """Return the identity of a configuration with defaults for missing keys and the current names of classes."""
    from rlm.limits import Limits
    from rlm.models.client.endpoint import Endpoint
    from rlm.repl.protocol import ReplSettings

    filled: dict[str, Any] = with_targets(identity(config), lambda _, name: today(name))
    for group in ("benchmark", "method"):
        for settings in (filled.get(group) or {}).values():
            if isinstance(settings, dict):
                _fill(settings, _target_defaults(settings))
    for name, kind in (("limits", Limits), ("repl", ReplSettings)):
        if isinstance(section := filled.get(name), dict):
            _fill(section, _defaults(kind))
    endpoint_defaults = {key: one for key, one in _defaults(Endpoint).items() if key not in OPERATIONAL_ENDPOINT}
    for models in [*sections_of(filled.get("model")).values(), filled.get("judge")]:
        for one in [models, *(models.get(role) for role in ROLES)] if isinstance(models, dict) else []:
            if isinstance(one, dict) and isinstance(endpoint := one.get("endpoint"), dict):
                _fill(endpoint, endpoint_defaults)
    return filled


def _fill(settings: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    settings.update({key: value for key, value in defaults.items() if key not in settings})


def _target_defaults(settings: Plain) -> dict[str, Any]:
    try:
        return _defaults(Target.of(settings, "").target)
    except ConfigError:
        # The class belongs to a plug-in that is not installed.
        return {}


def _defaults(kind: Callable[..., Any]) -> dict[str, Any]:
    """Return the defaults of a class that a configuration could hold, which are plain data."""
    parameters = inspect.signature(kind).parameters.values()
    given = {one.name: list(one.default) if isinstance(one.default, tuple) else one.default for one in parameters}
    return {name: value for name, value in given.items() if isinstance(value, str | int | float | list | None)}
