"""Models built from names such as `openai/gpt-5` and from configurations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen

from rlm.models.chat import ChatModel, FatalModelError, Sampling
from rlm.models.client.endpoint import Endpoint, with_current_names
from rlm.models.client.model import OpenAIModel
from rlm.models.embedded.model import EmbeddedModel, EmbeddedModels
from rlm.models.prices import PriceTable
from rlm.models.scripted import ScriptedModels
from rlm.validation import SettingError, make, shown

ROLES = ("root", "sub", "compactor")


@dataclass(frozen=True)
class Provider:
    """Address and key of a provider; base_url_env names a variable that replaces the address."""

    base_url: str
    api_key_env: str | None
    base_url_env: str | None = None
    free: bool = False


PROVIDERS = {
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "fireworks": Provider("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "deepseek": Provider("https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    "together": Provider("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "groq": Provider("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "xai": Provider("https://api.x.ai/v1", "XAI_API_KEY"),
    "mistral": Provider("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "gemini": Provider("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "anthropic": Provider("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "vllm": Provider("http://127.0.0.1:8000/v1", None, "VLLM_BASE_URL", free=True),
    "ollama": Provider("http://127.0.0.1:11434/v1", None, "OLLAMA_BASE_URL", free=True),
}


def model_of_name(name: str) -> ChatModel:
    """Build the model with a name such as `openai/gpt-5`, `openrouter/qwen/qwen3-coder` or `local`.

    Raises ValueError for an unknown provider, FatalModelError for a key that is not set.
    """
    if name == "local":
        return EmbeddedModel()
    prefix, _, model = name.partition("/")
    if prefix not in PROVIDERS or not model:
        known = ", ".join(f"{provider}/NAME" for provider in PROVIDERS)
        raise ValueError(f"there is no model {name!r}: expected local or one of {known}")
    provider = PROVIDERS[prefix]
    # A variable that is set but empty counts as unset.
    base_url = os.environ.get(provider.base_url_env or "", "").strip() or provider.base_url
    endpoint = Endpoint(base_url, provider.api_key_env, free=provider.free)
    endpoint.api_key()
    return OpenAIModel(model, endpoint)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Sampling):
    """Settings of the model of one role, such as `model.root`."""

    name: Annotated[str, MinLen(1)]
    context_window: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True, kw_only=True)
class EndpointModels:
    """Models at one endpoint; a missing role uses the root's model."""

    kind: Literal["openai"] = "openai"
    endpoint: Endpoint
    root: ModelSettings
    sub: ModelSettings | None = None
    compactor: ModelSettings | None = None

    def build(self, prices: PriceTable | None, *, replay: bool) -> dict[str, ChatModel]:
        """Build the models by role. Raises SettingError for an API key that is not set, except for a replay."""
        if not replay:
            try:
                self.endpoint.secrets()
            except FatalModelError as error:
                raise SettingError(str(error)) from None
        given = {role: settings for role in ROLES if (settings := getattr(self, role)) is not None}
        models = {role: self._model(settings, prices) for role, settings in given.items()}
        return {role: models.get(role, models["root"]) for role in ROLES}

    def _model(self, settings: ModelSettings, prices: PriceTable | None) -> ChatModel:
        sampling = Sampling(**{field.name: getattr(settings, field.name) for field in fields(Sampling)})
        return OpenAIModel(
            settings.name, self.endpoint, context_window=settings.context_window, sampling=sampling, prices=prices
        )


Models = EndpointModels | EmbeddedModels | ScriptedModels
_KINDS = {"openai": EndpointModels, "embedded": EmbeddedModels, "scripted": ScriptedModels}


def read_models(section: object, where: str = "model") -> Models:
    """Read the section `model` of a configuration without building it. where: the section's name in messages.

    Raises SettingError for an unknown key or a value that does not fit.
    """
    kind = section.get("kind", "openai") if isinstance(section, Mapping) else "openai"
    if kind not in _KINDS:
        raise SettingError(f"{where}.kind is {shown(kind)}: expected openai, embedded or scripted")
    if kind == "openai" and isinstance(section, Mapping):
        section = _endpoint_section(section, where)
    models: Models = make(_KINDS[kind], section, where)
    return models


def build_models(
    section: object, *, prices: Mapping[str, Any] | None = None, replay: bool = False, where: str = "model"
) -> dict[str, ChatModel]:
    """Build the models of the section `model` by role: root, sub and compactor.

    section: the mapping, or the result of read_models. prices: overrides as in conf/prices.yaml, None for the bundled
    prices. replay: no call will be made, so no key and no weights are needed. Raises ValueError, one line.
    """
    models = section if isinstance(section, Models) else read_models(section, where)
    if isinstance(models, EndpointModels):
        return models.build(None if prices is None else PriceTable(prices), replay=replay)
    return {**(models.build(replay=replay) if isinstance(models, EmbeddedModels) else models.build())}


def _endpoint_section(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Replace former names of keys, and remove nulls that mean a default."""
    settings = {
        key: {name: one for name, one in value.items() if one is not None}
        if key in ROLES and isinstance(value, Mapping)
        else value
        for key, value in section.items()
    }
    if isinstance(endpoint := section.get("endpoint"), Mapping):
        settings["endpoint"] = endpoint = with_current_names(endpoint, f"{where}.endpoint")
        if not endpoint.get("base_url"):
            raise SettingError(
                f"{where}.endpoint.base_url is missing: expected an address such as http://127.0.0.1:8000/v1"
            )
        if endpoint.get("headers") is None:
            endpoint.pop("headers", None)
    return settings
