"""The configuration: composed by Hydra, checked once here, plain dictionaries from then on."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from benchmarks.config.plugins import conf_dir, conf_dirs, conf_files, register
from benchmarks.config.renamed import first, today, today_with_warning, with_targets, words_today
from benchmarks.sources.settings import MOST, whole
from rlm.limits import Limits
from rlm.models.client.endpoint import RENAMED
from rlm.repl.protocol import ReplSettings
from rlm.validation import SettingError, make

Config = dict[str, Any]

# Keys that say how a run is carried out and not what it computes: they may differ between a run and its resumption.
OPERATIONAL = (
    "name", "run_dir", "resume", "retry_errors", "fail_on_error", "stop_grace_s", "concurrency", "executor", "budget",
    "cache", "report", "prices", "server",
)  # fmt: skip
OPERATIONAL_ENDPOINT = (
    "kind", "api_version", "headers", "stream", "max_concurrency", "connect_s", "read_timeout_s", "total_s",
    "max_retries", "backoff_s", "max_backoff_s", "max_outage_wait_s", "api_key_env", *RENAMED,
)  # fmt: skip
# Sections that a choice fills.
CHOSEN = ("model", "judge", "repl", "executor")
# Of the embedded model.
OPERATIONAL_MODEL = ("slots", "threads")


@dataclass(frozen=True, kw_only=True)
class BudgetSettings:
    """The section `budget` of a configuration."""

    max_cost_usd: Annotated[float, Ge(0)] | None = None
    max_tokens: Annotated[int, Ge(0)] | None = None
    unpriced: Literal["refuse", "allow"] = "refuse"


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one line that names the key."""


def compose(overrides: Sequence[str]) -> Config:
    """The configuration for these overrides, resolved and checked. Raises ConfigError."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    register()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = hydra_compose("config", overrides=words_today(overrides))
        return resolve(composed)
    except ConfigError:
        raise
    except Exception as error:
        raise explain(error, overrides) from error


def resolve(composed: Any) -> Config:
    """A composed configuration as plain data. Raises ConfigError."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for name in [name for name, value in os.environ.items() if name.endswith("_BASE_URL") and not value.strip()]:
        # An address that is set but empty counts as unset.
        del os.environ[name]
    try:
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error
    plain.pop("hydra", None)
    plain = with_targets(plain, today_with_warning)
    for group in ("benchmark", "method"):
        # An experiment's keys for a choice that the command line has replaced.
        known, chosen = conf_files(group), plain.get(group) or {}
        left_over = [
            n for n, keys in chosen.items() if isinstance(keys, dict) and "_target_" not in keys and n in known
        ]
        plain[group] = {name: keys for name, keys in chosen.items() if name not in left_over}
    check(plain)
    baseline = plain["report"]["baseline"]
    if baseline is not None and not isinstance(baseline, str):
        raise ConfigError(f"report.baseline is {baseline!r}: wanted the name of a method, or null")
    if baseline is not None and baseline not in plain["method"]:
        if baseline not in conf_files("method"):
            raise ConfigError(unknown("method for report.baseline", baseline, list(plain["method"])))
        # An experiment's baseline that the command line has left out.
        plain["report"]["baseline"] = None
    return plain


def check(config: Config) -> None:
    """Raise ConfigError for the first value that cannot be right."""
    _check_whole(config)
    for key, value in _flat(config).items():
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, float) and not math.isfinite(one) for one in values):
            raise ConfigError(f"{key} is {value!r}: wanted a number that is finite, or null where there is to be none")
    for group in ("benchmark", "method"):
        if not config.get(group):
            raise ConfigError(f"{group} is empty: choose at least one, as in '{group}=[...]'; see `rlm-eval list`")
    _whole(config, "epochs", least=1, most=MOST)
    _whole(config, "seed", least=0)
    _whole(config["concurrency"], "samples", least=1, prefix="concurrency.")
    if config["limit"] is not None:
        _whole(config, "limit", least=1)
    limits_of(config)
    _made(ReplSettings, config["repl"], "repl", max_output_chars=limits_of(config).max_output_chars)
    _made(BudgetSettings, config["budget"], "budget")
    _number(config, "fail_on_error")
    _number(config, "stop_grace_s")
    mode = config["cache"]["mode"]
    # YAML reads a bare `off` as false.
    config["cache"]["mode"] = mode = "off" if mode is False else mode
    if mode not in ("off", "read_write", "replay"):
        raise ConfigError(f"cache.mode is {mode!r}: wanted off, read_write or replay")
    for key in ("resume", "retry_errors"):
        if not isinstance(config[key], bool):
            raise ConfigError(f"{key} is {config[key]!r}: wanted true or false")
    for key, path in (("run_dir", config["run_dir"]), ("cache.path", config["cache"]["path"])):
        if path is not None and not (isinstance(path, str) and path.strip()):
            raise ConfigError(f"{key} is {path!r}: wanted a path, or null")
    name = config["name"]
    if name is not None and not re.fullmatch(r"[\w.+=,-]{1,200}", str(name)):
        raise ConfigError(f"name is {name!r}: wanted letters, digits and . _ - + = , only")


def limits_of(config: Config) -> Limits:
    """The limits of one completion. Raises ConfigError."""
    return _made(Limits, config["limits"], "limits")


def _made(target: type, settings: Any, where: str, **given: Any) -> Any:
    try:
        return make(target, settings, where, **given)
    except SettingError as error:
        raise ConfigError(str(error)) from error


def _check_whole(config: Config) -> None:
    """Raise ConfigError for what was deleted, and for a single value in the place of a section."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(OmegaConf.load(conf_dir() / "config.yaml"), resolve=False)
    wanted = {key: value for key, value in plain.items() if key not in ("defaults", "hydra")}
    for section in (*(key for key, value in wanted.items() if isinstance(value, dict)), *CHOSEN):
        if not isinstance(config.get(section), dict):
            raise ConfigError(f"{section} is {config.get(section)!r}: wanted a section with its keys")
    have = _flat(config).keys()
    for key in _flat(wanted):
        if key not in have and not any(name.startswith(f"{key}.") for name in have):
            raise ConfigError(f"{key} is missing: it can be set, to null for instance, and not deleted")


def identity(config: Config) -> Config:
    """The part of a configuration that determines what a run computes, classes under their first names."""
    kept = {key: value for key, value in config.items() if key not in OPERATIONAL}
    for section in ("model", "judge"):
        if isinstance(models := kept.get(section), Mapping):
            kept[section] = {key: value for key, value in models.items() if key not in OPERATIONAL_MODEL}
            if isinstance(endpoint := models.get("endpoint"), Mapping):
                kept[section]["endpoint"] = {k: v for k, v in endpoint.items() if k not in OPERATIONAL_ENDPOINT}
    return with_targets(kept, lambda _, name: first(name))


def config_hash(config: Config) -> str:
    """SHA-256 of the part of a configuration that determines what a run computes."""
    canonical = json.dumps(identity(config), sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def run_name(config: Config) -> str:
    """The name given, or one of benchmarks, methods, model and hash: the same command finds its run again."""
    if config["name"] is not None:
        return str(config["name"])
    model = model_name(config)
    parts = ["+".join(config["benchmark"]), "+".join(config["method"]), model]
    readable = re.sub(r"[^\w.+-]+", "-", "_".join(parts))
    return f"{readable[:120]}_{config_hash(config)[:8]}"


def run_dir(config: Config) -> Path:
    """The folder of the run."""
    return Path(config["run_dir"]) if config["run_dir"] else Path("results") / "runs" / run_name(config)


def model_name(config: Config) -> str:
    """Name of the root model, as in tables."""
    root = (config.get("model") or {}).get("root") or {}
    return str(root.get("name") or (config.get("model") or {}).get("kind") or "model")


def differences(before: Config, after: Config) -> list[str]:
    """Lines `key: before -> after` for what determines the results and differs."""
    old, new = (_flat(with_targets(identity(one), lambda _, name: today(name))) for one in (before, after))
    absent = "(absent)"
    return [
        f"{key}: {old.get(key, absent)!r} -> {new.get(key, absent)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, absent) != new.get(key, absent)
    ]


def unknown(what: str, got: str, known: Sequence[str]) -> str:
    """One line for a name that is not known, with the nearest that is."""
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
    return f"there is no {what} {got!r}; {hint}"


def explain(error: Exception, overrides: Sequence[str] = ()) -> ConfigError:
    """A Hydra or OmegaConf error as one line that names the key and the nearest good one."""
    message = str(error)
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", message) or re.search(
        r"In '[^']*': Could not (?:find|load) '([^']+)/([^'/]+)'", message
    ):
        group, choice = match.groups()
        return ConfigError(unknown(group, choice, list(conf_files(group))))
    match = re.search(r"is not in struct\s+full_key: (\S+)", f"{message}\n{error.__cause__}")
    match = match or re.search(r"Could not override '([^']+)'", message)
    if match:
        bad, written = match.group(1), [word.lstrip("+~").partition("=")[0] for word in overrides]
        full = next((key for key in written if key.startswith(f"{bad}.")), bad)
        if full in (known := _all_keys()):
            return ConfigError(f"{full} cannot be set: {'.'.join(full.split('.')[:2])} is not among what is chosen")
        return ConfigError(unknown("key", full, known))
    told = _one_line(error).replace("LexerNoViableAltException: ", "cannot be read: ")
    keys = [word.lstrip("+~").partition("=")[0] for word in overrides]
    named = any(key and key in told for key in keys)
    return ConfigError(told if named else f"{told} (in: {' '.join(overrides)[:200]})")


def _all_keys() -> list[str]:
    from omegaconf import OmegaConf

    keys = set(_flat(OmegaConf.to_container(OmegaConf.load(conf_dir() / "config.yaml"), resolve=False)))
    for path in (path for folder in conf_dirs() for path in folder.glob("*/*.yaml")):
        head = path.read_text(encoding="utf-8")[:200]
        package = re.search(r"@package\s+(\S+)", head)
        prefix = package.group(1) if package else path.parent.name
        if prefix != "_global_":
            loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
            keys.update(f"{prefix}.{key}" for key in _flat(loaded))
    parents = {key.rsplit(".", depth)[0] for key in keys for depth in range(1, key.count(".") + 1)}
    return sorted(key for key in keys | parents if "defaults" not in key and "_target_" not in key)


def _flat(config: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _whole(config: Mapping[str, Any], key: str, *, least: int, most: int | None = None, prefix: str = "") -> None:
    try:
        whole(f"{prefix}{key}", config[key], least, most)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _number(config: Mapping[str, Any], key: str, *, prefix: str = "") -> None:
    value = config[key]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
        raise ConfigError(f"{prefix}{key} is {value!r}: wanted a number of at least 0, or null")


def _one_line(error: Exception) -> str:
    causes = [str(error)] + ([str(error.__cause__)] if error.__cause__ else [])
    return " ".join(" ".join(causes).split())[:400]
