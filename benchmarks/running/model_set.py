"""The models and the judge of a configuration, behind one store of recorded responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.build import build
from benchmarks.config.compose import Config, ConfigError
from benchmarks.config.plugins import conf_dir
from rlm.models.chat import ChatModel, FatalModelError

if TYPE_CHECKING:
    from benchmarks.scoring.judge import LlmJudge
    from rlm.models.cache.model import CallStore


class ModelSet:
    """Builds models and judge, and closes them with their store.

    store: file of recorded responses unless cache.path names one; None records nothing. read_also: further files that
    are read and not written.
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
    """Models of custom classes; empty unless model.root names one by `_target_`. Raises ConfigError."""
    from rlm.models.build import ROLES

    if "_target_" not in (section.get("root") or {}):
        return {}
    for key in section:
        if key not in ROLES:
            raise ConfigError(f"model.{key}: expected {', '.join(ROLES)}, since model.root names a custom class")
    models = {role: build(keys, f"model.{role}") for role, keys in section.items() if keys is not None}
    return {role: models.get(role, models["root"]) for role in ROLES}


def _open_store(config: Config, store: Path | None, read_also: Sequence[Path]) -> CallStore | None:
    from rlm.models.cache.model import CallStore

    mode, path = config["cache"]["mode"], config["cache"]["path"]
    if mode == "off" or (path is None and store is None):
        return None
    recorded = path is not None and str(path).endswith(".jsonl.gz")
    if recorded and (mode != "replay" or store is None):
        raise ConfigError(
            f"cache.path={path} is a recording: expected cache.mode=replay, since recordings are read-only"
        )
    try:
        opened = CallStore(Path(str(store if recorded else path or store)), read_also)
        if recorded:
            opened.import_(recording(path))
    except (ValueError, OSError, FatalModelError) as error:
        raise ConfigError(f"cache.path: {error}") from error
    return opened


def recording(path: str) -> Path:
    """Path of a recording: relative to the current folder, or else one of the bundled recordings."""
    return Path(path) if Path(path).is_absolute() or Path(path).exists() else conf_dir().parent / path
