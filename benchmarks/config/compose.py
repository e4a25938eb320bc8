"""Composes a configuration with Hydra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.explain import explain, with_cause
from benchmarks.config.plugins import conf_dir, conf_files, register
from benchmarks.config.renamed import today_with_warning, with_targets, words_today
from benchmarks.config.roles import role_words, with_roles, with_served
from benchmarks.config.schema import RunConfig, read_config
from benchmarks.config.several import with_sections
from benchmarks.config.words import check_words
from rlm.validation import shown, unknown


def compose(overrides: Sequence[str]) -> RunConfig:
    """Compose the configuration for these overrides. Raises ConfigError."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    check_words(overrides)
    register()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            words = words_today(role_words(overrides))
            composed = hydra_compose("config", overrides=words, return_hydra_config=True)
    except ConfigError:
        raise
    except Exception as error:
        raise explain(error, overrides) from error
    return resolve(composed)


def resolve(composed: Any) -> RunConfig:
    """Resolve Hydra's composed configuration. Raises ConfigError."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    # Hydra's own application keeps its section apart.
    choices = OmegaConf.select(composed, "hydra.runtime.choices") or HydraConfig.get().runtime.choices
    if not any(group.partition("@")[0] == "model" for group in choices):
        # Hydra names no choice for a list, whose files it merges into one section.
        raise ConfigError("model is a list in a configuration file: give it on the command line, as 'model=[A,B]'")
    own = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    try:
        plain: Any = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(with_cause(error)) from error
    plain = with_targets(plain, today_with_warning)
    for group in ("benchmark", "method"):
        _drop_left_over(plain, group)
    cache = plain.get("cache")
    if isinstance(cache, dict) and cache.get("mode") is False:
        # YAML reads `off` as false.
        cache["mode"] = "off"
    plain["model"] = with_sections(plain.get("model"), with_roles)
    if not (isinstance(cache, dict) and cache.get("mode") == "replay"):
        plain["model"] = with_sections(plain["model"], with_served)
    _check_baseline(plain)
    return read_config(plain)


def _drop_left_over(plain: dict[str, Any], group: str) -> None:
    """Remove an experiment's keys for a choice that the command line has replaced."""
    if not isinstance(chosen := plain.get(group), dict):
        return
    known = conf_files(group)
    plain[group] = {
        name: keys
        for name, keys in chosen.items()
        if not (isinstance(keys, dict) and "_target_" not in keys and name in known)
    }


def _check_baseline(plain: dict[str, Any]) -> None:
    """Raise ConfigError for a baseline that is not a method.

    Remove an experiment's baseline if the command line has dropped that method.
    """
    report, methods = plain.get("report"), plain.get("method")
    if not isinstance(report, dict) or not isinstance(methods, dict) or report.get("baseline") in (None, *methods):
        return
    baseline = report["baseline"]
    if not isinstance(baseline, str):
        raise ConfigError(f"report.baseline is {shown(baseline)}: expected the name of a method, or null")
    if baseline not in conf_files("method"):
        raise ConfigError(unknown("method for report.baseline", baseline, methods))
    report["baseline"] = None
