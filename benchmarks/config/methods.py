"""Builds the methods of a configuration, and checks that the machine can confine their code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.targets import Target
from rlm.methods.method import Method
from rlm.models.chat import ChatModel
from rlm.repl import check_confinement, check_platform
from rlm.repl.protocol import ReplError

if TYPE_CHECKING:
    from benchmarks.config.schema import RunConfig


def check_method(target: Target) -> None:
    """Check the settings of a method or reference row. Raises ConfigError."""
    method: Any = target.target
    target.check((*method.model_fields, "limits", "repl") if _is_method(target) else ())


def build_methods(
    config: RunConfig, models: Mapping[str, ChatModel], batched: ChatModel | None = None
) -> dict[str, Any]:
    """Build the methods and reference rows of a configuration by name. Raises ConfigError.

    batched: the root model of methods with one call, which replaces the one in `models`; its calls may take a day.
    """
    return {name: _build(config, models, target, batched) for name, target in config.method.items()}


def _build(config: RunConfig, models: Mapping[str, ChatModel], target: Target, batched: ChatModel | None) -> Any:
    if not _is_method(target):
        return target.build()
    method: Any = target.target
    given: dict[str, Any] = {name: models[name] for name in method.model_fields if name in models}
    given |= {"model": models["root"], "sub_model": models[method.sub_role], "limits": config.limits}
    if method.one_call and batched is not None:
        given |= {"model": batched, "limits": dataclasses.replace(config.limits, max_wall_s=None)}
    if "repl" in {field.name for field in dataclasses.fields(method)}:
        _refuse_unconfined(config, target.where)
        given["repl"] = config.repl
    return target.build(**given)


def _is_method(target: Target) -> bool:
    return isinstance(target.target, type) and issubclass(target.target, Method)


def _refuse_unconfined(config: RunConfig, where: str) -> None:
    """Raise ConfigError if the machine cannot confine the method's code as configured."""
    hint = ""
    try:
        check_platform()
        hint = "; repl=unsafe runs it without confinement"
        if config.repl.confinement != "unsafe":
            check_confinement()
    except ReplError as error:
        raise ConfigError(f"{where} runs model-written code, and {error}{hint}") from error
