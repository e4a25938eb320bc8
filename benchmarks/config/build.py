"""Objects out of a configuration: what `_target_` names, models behind their store, methods, the judge."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.compose import Config, ConfigError, limits_of
from benchmarks.config.kinds import misfit
from benchmarks.config.plugins import conf_dir
from benchmarks.config.renamed import today
from rlm.methods.method import Method
from rlm.models.chat import ChatModel, FatalModelError

if TYPE_CHECKING:
    from benchmarks.scoring.judge import LlmJudge
    from rlm.models.cache.model import CallStore


def build(settings: Mapping[str, Any], where: str, **given: Any) -> Any:
    """Make what `_target_` names from its keys and what is given. Raises ConfigError naming the key `where`."""
    target = _class(settings, where)
    keys = {key: value for key, value in settings.items() if key != "_target_"}
    if wrong := misfit(target, keys):
        raise ConfigError("{}.{} is {!r}: wanted {}".format(where, *wrong))
    try:
        return target(**keys, **given)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}".replace(f"{target.__name__}.__init__() ", "")) from error
    except (ValueError, ArithmeticError, OSError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(told if told.startswith(where) else f"{where}: {told}") from error


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


class ModelSet:
    """The models and the judge of a configuration, behind one store of recorded responses.

    store: the file of that store unless cache.path names one; None records nothing. read_also: further ones.
    """

    def __init__(self, config: Config, store: Path | None, read_also: Sequence[Path] = ()) -> None:
        self._config = config
        self._mode = config["cache"]["mode"]
        self._store = _open_store(config, store, read_also)
        self._wrapped: dict[int, ChatModel] = {}
        self._bare: list[ChatModel] = []

    def roles(self) -> dict[str, ChatModel]:
        """The models of `model` by role: root, sub, compactor. Raises ConfigError."""
        from rlm.models.build import build_models

        try:
            bare = _own_models(self._config["model"]) or build_models(
                self._config["model"], prices=self._config.get("prices"), replay=self._mode == "replay"
            )
        except ConfigError:
            raise
        except (ValueError, OSError, FatalModelError) as error:
            told = str(error)
            raise ConfigError(told if told.startswith("model.") else f"model: {told}") from error
        return {role: self._behind_store(model) for role, model in bare.items()}

    def judge(self) -> LlmJudge | None:
        """The judge of `judge`; None for judge=none. Raises ConfigError."""
        from benchmarks.scoring.judge import build_judge

        try:
            judge = build_judge(self._config["judge"], self._config.get("prices"), replay=self._mode == "replay")
        except (ValueError, OSError, FatalModelError) as error:
            raise ConfigError(str(error)) from error
        if judge is not None:
            judge.model = self._behind_store(judge.model)
        return judge

    async def aclose(self) -> None:
        for model in self._bare:
            await model.aclose()
        if self._store is not None:
            self._store.close()

    def _behind_store(self, model: ChatModel) -> ChatModel:
        from rlm.models.cache.model import CachedModel

        if id(model) not in self._wrapped:
            self._bare.append(model)
            self._wrapped[id(model)] = model if self._store is None else CachedModel(model, self._store, self._mode)
        return self._wrapped[id(model)]


def _own_models(section: Mapping[str, Any]) -> dict[str, ChatModel]:
    """The models whose roles name a class of their own; none where the root does not. Raises ConfigError."""
    from rlm.models.build import ROLES

    if "_target_" not in (section.get("root") or {}):
        return {}
    for key in section:
        if key not in ROLES:
            raise ConfigError(f"model.{key}: wanted {', '.join(ROLES)}, where model.root names a class of its own")
    models = {role: build(keys, f"model.{role}") for role, keys in section.items() if keys is not None}
    return {role: models.get(role, models["root"]) for role in ROLES}


def _open_store(config: Config, store: Path | None, read_also: Sequence[Path]) -> CallStore | None:
    from rlm.models.cache.model import CallStore

    mode, path = config["cache"]["mode"], config["cache"]["path"]
    if mode == "off" or (path is None and store is None):
        return None
    recorded = path is not None and str(path).endswith(".jsonl.gz")
    if recorded and (mode != "replay" or store is None):
        raise ConfigError(f"cache.path={path} is a recording: it can be read in a run with cache.mode=replay only")
    try:
        opened = CallStore(Path(store if recorded else path or store), read_also)
        if recorded:
            opened.import_(recording(path))
    except (ValueError, OSError, FatalModelError) as error:
        raise ConfigError(f"cache.path: {error}") from error
    return opened


def recording(path: str) -> Path:
    """A file of recorded responses: below the current folder, else among those that come with the project."""
    return Path(path) if Path(path).is_absolute() or Path(path).exists() else conf_dir().parent / path


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
