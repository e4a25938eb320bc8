"""ModelSet: the models and the judge of a configuration, with one store of recorded responses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config.errors import ConfigError
from benchmarks.config.models import ModelSection
from benchmarks.config.plugins import conf_dir
from benchmarks.config.schema import RunConfig
from benchmarks.running.batches import FOLDER, Batches, check_batches, is_batched
from rlm.models.chat import ChatModel, FatalModelError

if TYPE_CHECKING:
    from benchmarks.scoring.judge import LlmJudge
    from rlm.models.cache.model import CallStore


class ModelSet:
    """Builds models and judge, and closes them with their store.

    store: the file of recorded responses, unless cache.path names one; None records nothing. read_also: further files
    that are only read.
    """

    def __init__(self, config: RunConfig, store: Path | None, read_also: Sequence[Path] = ()) -> None:
        self._config = config
        self._replay = config.cache.mode == "replay"
        self._store = _open_store(config, store, read_also)
        self._wrapped: dict[int, ChatModel] = {}
        self._bare: list[ChatModel] = []
        self._roles: dict[str, dict[str, ChatModel]] = {}
        sections = [section for section in config.models.values() if is_batched(section)]
        if sections and store is None and not self._replay:
            key = f"{sections[0].where}.endpoint.batch"
            raise ConfigError(f"{key} is true: expected false, since only runs use batches")
        if not self._replay:
            check_batches(config)
        # None if no request is batched.
        self.batches: Batches | None = None
        if sections and store is not None and not self._replay:
            self.batches = Batches(store.parent / FOLDER, config.concurrency.samples)

    def roles(self) -> dict[str, ChatModel]:
        """Build the only model by role: root, sub, compactor. Raises ConfigError, also if there are several models."""
        return self._built(self._config.model)

    def all_roles(self) -> dict[str, dict[str, ChatModel]]:
        """Build the models by the names of their sections, and by role. Raises ConfigError."""
        return {name: self._built(section) for name, section in self._config.models.items()}

    def batched(self) -> dict[str, ChatModel]:
        """Build the roots whose requests are batched, by the names of their sections."""
        from rlm.models.batch.model import GatheredModel

        built: dict[str, ChatModel] = {}
        for name, section in self._config.models.items():
            if self.batches is not None and is_batched(section):
                part = self._part(section)
                model = self._behind_store(self.batches.model(self._bare_roles(section)["root"], part), part)
                built[name] = GatheredModel(model, self.batches.gathering)
        return built

    def judge(self) -> LlmJudge | None:
        """Build the judge of the section `judge`; None for judge=none. Raises ConfigError."""
        from benchmarks.scoring.judge import build_judge

        judge = build_judge(self._config.judge, self._config.prices, replay=self._replay)
        if judge is not None:
            judge.model = self._behind_store(judge.model)
        return judge

    def _built(self, section: ModelSection) -> dict[str, ChatModel]:
        bare = self._bare_roles(section)
        return {role: self._behind_store(model, self._part(section)) for role, model in bare.items()}

    def _bare_roles(self, section: ModelSection) -> dict[str, ChatModel]:
        if section.where not in self._roles:
            self._roles[section.where] = section.build(self._config.prices, replay=self._replay)
        return self._roles[section.where]

    def _part(self, section: ModelSection) -> str:
        # Each of several models has its own replies, even if another one has the same name.
        return section.where if len(self._config.models) > 1 else ""

    async def aclose(self) -> None:
        for model in self._bare:
            await model.aclose()
        if self._store is not None:
            self._store.close()

    def _behind_store(self, model: ChatModel, part: str = "") -> ChatModel:
        from rlm.models.cache.model import CachedModel

        if id(model) not in self._wrapped:
            self._bare.append(model)
            # `is None`, because a new store without calls is false.
            if self._store is not None:
                self._wrapped[id(model)] = CachedModel(model, self._store, self._config.cache.mode, part)
            else:
                self._wrapped[id(model)] = model
        return self._wrapped[id(model)]


def _open_store(config: RunConfig, store: Path | None, read_also: Sequence[Path]) -> CallStore | None:
    from rlm.models.cache.model import CallStore

    mode, path, key = config.cache.mode, config.cache.path, "cache.path"
    if mode == "replay" and path is None and store is not None:
        path, key = config.cache.recording, "cache.recording"
    if mode == "off" or (path is None and store is None):
        return None
    recording_name = path if path and (path.endswith(".jsonl.gz") or key == "cache.recording") else None
    if recording_name and (mode != "replay" or store is None):
        raise ConfigError(
            f"cache.path={path} is a recording: expected cache.mode=replay, because recordings are read-only"
        )
    try:
        opened = CallStore(Path(str(store if recording_name else path or store)), read_also)
        if recording_name:
            opened.import_(recording(recording_name))
    except (ValueError, OSError, FatalModelError) as error:
        raise ConfigError(f"{key}: {error}") from error
    return opened


def recording(path: str) -> Path:
    """Resolve the path of a recording: relative to the current folder, or else a bundled recording."""
    bundled = conf_dir().parent / path
    return bundled if bundled.exists() and not Path(path).exists() else Path(path)
