"""Objects out of a configuration: what `_target_` names, and methods."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from benchmarks.config.compose import Config, ConfigError, limits_of
from benchmarks.config.renamed import today
from rlm.methods.method import Method
from rlm.models.chat import ChatModel
from rlm.validation import SettingError, located, make


def build(settings: Mapping[str, Any], where: str, **given: Any) -> Any:
    """Make the class that `_target_` names from its settings and what is given. Raises ConfigError."""
    target = _class(settings, where)
    keys = {key: value for key, value in settings.items() if key != "_target_"}
    try:
        return make(target, keys, where, **given)
    except ConfigError:
        raise
    except SettingError as error:
        raise ConfigError(str(error)) from error
    except (ArithmeticError, OSError) as error:
        raise ConfigError(located(error, target, where)) from error


def _class(settings: Mapping[str, Any], where: str) -> type:
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{where} is {settings!r}: wanted a section of keys")
    path = settings.get("_target_")
    if not isinstance(path, str) or "." not in path:
        raise ConfigError(f"{where} has no _target_: wanted the dotted name of a class")
    module, name = today(path).rsplit(".", 1)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}._target_ is {path!r}: {error}") from error


def build_methods(config: Config, models: Mapping[str, ChatModel]) -> dict[str, Any]:
    """The methods and reference rows of a configuration by name. Raises ConfigError."""
    return {name: _method(config, models, name, settings) for name, settings in config["method"].items()}


def _method(config: Config, models: Mapping[str, ChatModel], name: str, settings: Mapping[str, Any]) -> Any:
    target = _class(settings, f"method.{name}")
    if not issubclass(target, Method):
        return build(settings, f"method.{name}")
    given = {"model": models["root"], "sub_model": models[target.sub_role], "limits": limits_of(config)}
    if "repl" in target.__dataclass_fields__:
        _check_confinement(config, name)
        given["repl"] = config["repl"]
    return build(settings, f"method.{name}", **given)


def _check_confinement(config: Config, method: str) -> None:
    from rlm.repl import check_confinement, check_platform
    from rlm.repl.protocol import ReplError

    try:
        check_platform()
    except ReplError as error:
        raise ConfigError(f"method.{method} runs code that a model writes, and {error}") from error
    if config["repl"]["confinement"] == "unsafe":
        return
    try:
        check_confinement()
    except ReplError as error:
        raise ConfigError(
            f"method.{method} runs code that a model writes, and {error}; repl=unsafe runs it all the same"
        ) from error
