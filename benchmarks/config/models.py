"""The sections `model` and `judge` of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import MinLen

from benchmarks.config.errors import ConfigError
from benchmarks.config.targets import Target
from rlm.limits import Limits
from rlm.models.build import ROLES, EndpointModels, Models, build_models, read_models
from rlm.models.chat import ChatModel, FatalModelError
from rlm.models.client.endpoint import Endpoint
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
    """The section `model`, or the models of the section `judge`, not built yet."""

    where: str
    roles: Models | CustomModels

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint that requests go to; None for models that are not called over HTTP."""
        return getattr(self.roles, "endpoint", None)

    @property
    def names(self) -> dict[str, str]:
        """The names of the models at the endpoint by role; empty without an endpoint."""
        if not isinstance(self.roles, EndpointModels):
            return {}
        given = {role: getattr(self.roles, role) for role in ROLES}
        return {role: model.name for role, model in given.items() if model is not None}

    def shared(self, workers: int) -> ModelSection:
        """The section of one of several workers, which share the concurrency of the endpoint."""
        if not isinstance(self.roles, EndpointModels):
            return self
        endpoint = self.roles.endpoint
        part = replace(endpoint, max_concurrency=max(1, endpoint.max_concurrency // workers))
        return replace(self, roles=replace(self.roles, endpoint=part))

    def build(self, prices: Mapping[str, PriceSettings] | None, *, replay: bool) -> dict[str, ChatModel]:
        """The models by role: root, sub, compactor.

        replay: no call will be made, so no key and no weights are needed. Raises ConfigError.
        """
        if isinstance(self.roles, CustomModels):
            return self.roles.build()
        try:
            return build_models(self.roles, prices=prices, replay=replay, where=self.where)
        except (ValueError, OSError, FatalModelError) as error:
            text = " ".join(str(error).split())
            raise ConfigError(text if text.startswith(f"{self.where}.") else f"{self.where}: {text}") from error


@dataclass(frozen=True)
class JudgeSettings:
    """The section `judge`. limits: those of judging one response; None is the defaults, with at most 8 calls."""

    models: ModelSection
    prompt: Annotated[str, MinLen(1)] = "judge-v1"
    limits: Limits | None = None


def read_model_section(section: object, where: str = "model") -> ModelSection:
    """The section `model`. Raises ConfigError or SettingError."""
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where} is {shown(section)}: expected a section of keys and values")
    if not isinstance(root := section.get("root"), Mapping) or "_target_" not in root:
        return ModelSection(where, read_models(section, where))
    for key in section:
        if key not in ROLES:
            raise ConfigError(f"{where}.{key}: expected {', '.join(ROLES)}, since {where}.root names a custom class")
    roles = {role: Target.of(keys, f"{where}.{role}") for role, keys in section.items() if keys is not None}
    for target in roles.values():
        target.check()
    return ModelSection(where, CustomModels(roles))


def read_judge(section: object) -> JudgeSettings | None:
    """The section `judge`; None for `kind: none`. Raises ConfigError or SettingError."""
    if isinstance(section, Mapping) and section.get("kind") == "none":
        return None
    if not isinstance(section, Mapping):
        raise ConfigError(f"judge is {shown(section)}: expected a section of keys and values")
    own: dict[str, Any] = {key: value for key, value in section.items() if key in ("prompt", "limits")}
    models = read_model_section({key: value for key, value in section.items() if key not in own}, "judge")
    judge: JudgeSettings = make(JudgeSettings, own, "judge", models=models)
    return judge
