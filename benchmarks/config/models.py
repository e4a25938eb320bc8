"""Reads the sections `model` and `judge` of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import MinLen

from benchmarks.config.errors import ConfigError
from benchmarks.config.targets import Target
from rlm.limits import Limits
from rlm.models.build import ROLES, HostedModel, Models, build_models, read_models
from rlm.models.chat import ChatModel, FatalModelError
from rlm.models.prices import PriceSettings
from rlm.validation import make, shown


@dataclass(frozen=True)
class CustomModels:
    """Models of custom classes, by role; a missing role uses the root's model."""

    roles: Mapping[str, Target]

    def build(self) -> dict[str, ChatModel]:
        models = {role: target.build() for role, target in self.roles.items()}
        return {role: models.get(role, models["root"]) for role in ROLES}


@dataclass(frozen=True)
class ModelSection:
    """The validated section `model`, or the models of the section `judge`; `build` makes the models."""

    where: str
    roles: Models | CustomModels

    @property
    def hosted(self) -> Mapping[str, HostedModel]:
        """The models behind endpoints by role; a role without settings is not in it."""
        return self.roles.hosted if isinstance(self.roles, Models) else {}

    @property
    def paid(self) -> dict[str, HostedModel]:
        """The models behind endpoints whose calls cost something, by role."""
        return {role: model for role, model in self.hosted.items() if not model.endpoint.free}

    def paid_for(self, role: str) -> HostedModel | None:
        """Return the model of a role if its calls cost something; a role without a model uses the root's."""
        local = self.roles.local if isinstance(self.roles, Models) else {}
        return self.paid.get(role if role in self.hosted or role in local else "root")

    def shared(self, workers: int) -> ModelSection:
        """Return the section for one of several workers, which share the concurrency of the endpoints."""
        if not isinstance(self.roles, Models):
            return self
        hosted = {}
        for role, model in self.hosted.items():
            part = max(1, model.endpoint.max_concurrency // workers)
            hosted[role] = replace(model, endpoint=replace(model.endpoint, max_concurrency=part))
        return replace(self, roles=replace(self.roles, hosted=hosted))

    def build(self, prices: Mapping[str, PriceSettings] | None, *, replay: bool) -> dict[str, ChatModel]:
        """Build the models by role: root, sub, compactor.

        replay: no call will be made, so no key and no weights are needed. Raises ConfigError.
        """
        if isinstance(self.roles, CustomModels):
            return self.roles.build()
        try:
            return build_models(self.roles, prices=prices, replay=replay, where=self.where)
        except (ValueError, OSError, FatalModelError) as error:
            text = " ".join(str(error).split())
            raise ConfigError(
                text if text.startswith((f"{self.where}.", f"{self.where}:")) else f"{self.where}: {text}"
            ) from error


@dataclass(frozen=True)
class JudgeSettings:
    """The section `judge`. limits: the limits for judging one response; None is the defaults, with at most 8 calls."""

    models: ModelSection
    prompt: Annotated[str, MinLen(1)] = "judge-v1"
    limits: Limits | None = None


def read_model_section(section: object, where: str = "model", *, replay: bool = False) -> ModelSection:
    """Read the section `model`. replay: no call will be made. Raises ConfigError or SettingError."""
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where} is {shown(section)}: expected a section of keys and values")
    if not isinstance(root := section.get("root"), Mapping) or "_target_" not in root:
        return ModelSection(where, read_models(section, where, replay=replay))
    for key in section:
        if key not in ROLES:
            raise ConfigError(f"{where}.{key}: expected {', '.join(ROLES)}, since {where}.root names a custom class")
    roles = {role: Target.of(keys, f"{where}.{role}") for role, keys in section.items() if keys is not None}
    for target in roles.values():
        target.check()
    return ModelSection(where, CustomModels(roles))


def read_judge(section: object, *, replay: bool = False) -> JudgeSettings | None:
    """Read the section `judge`; None for `kind: none`. replay: no call will be made.

    Raises ConfigError, SettingError.
    """
    if isinstance(section, Mapping) and section.get("kind") == "none":
        return None
    if not isinstance(section, Mapping):
        raise ConfigError(f"judge is {shown(section)}: expected a section of keys and values")
    own: dict[str, Any] = {key: value for key, value in section.items() if key in ("prompt", "limits")}
    models = read_model_section(
        {key: value for key, value in section.items() if key not in own}, "judge", replay=replay
    )
    judge: JudgeSettings = make(JudgeSettings, own, "judge", models=models)
    return judge
