"""Models built from names such as `openai/gpt-5` and from configurations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from annotated_types import Ge, MinLen

from rlm.models.chat import ChatModel, FatalModelError, Sampling
from rlm.models.client.endpoint import Endpoint, with_current_names
from rlm.models.client.model import OpenAIModel
from rlm.models.prices import PriceTable
from rlm.validation import SettingError, make, unknown

ROLES = ("root", "sub", "compactor")
KINDS = ("openai", "embedded", "scripted")


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
    """The model of a name such as `openai/gpt-5`, `openrouter/qwen/qwen3-coder` or `local`.

    Raises ValueError for an unknown provider, FatalModelError for a key that is not set.
    """
    if name == "local":
        from rlm.models.embedded.model import EmbeddedModel

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


def build_models(
    config: Mapping[str, Any], *, prices: Mapping[str, Any] | None = None, replay: bool = False
) -> dict[str, ChatModel]:
    """The models of a configuration (conf/model/) by role: root, sub and compactor; missing roles use the root's model.

    The result has a judge if the configuration has one. prices: overrides as in conf/prices.yaml, None for the prices
    that come with the project. replay: no call will be made, so no key and no weights are needed. Raises SettingError,
    one line, for an unknown key, a value that does not fit, or an API key that is not set.
    """
    kind = config.get("kind", "openai")
    if kind == "embedded":
        from rlm.models import embedded

        return {**embedded.build(config, replay=replay)}
    if kind == "scripted":
        from rlm.models import scripted

        return {**scripted.build(config)}
    if kind != "openai":
        raise SettingError(f"model.kind is {kind!r}: expected {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    roles = (*ROLES, "judge")
    keys = ("kind", "endpoint", *roles)
    for key in config:
        if key not in keys:
            raise SettingError(unknown("key", f"model.{key}", [f"model.{known}" for known in keys]))
    endpoint = _endpoint(config.get("endpoint"))
    if not replay:
        try:
            endpoint.secrets()
        except FatalModelError as error:
            raise SettingError(str(error)) from None
    if config.get("root") is None:
        raise SettingError("model.root is missing: expected at least model.root.name")
    table = None if prices is None else PriceTable(prices)
    models = {
        role: _model(config[role], f"model.{role}", endpoint, table) for role in roles if config.get(role) is not None
    }
    return {role: models.get(role, models["root"]) for role in ROLES} | models


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Sampling):
    """Settings of the model of one role, such as `model.root`."""

    name: Annotated[str, MinLen(1)]
    context_window: Annotated[int, Ge(1)] | None = None


def _model(section: object, where: str, endpoint: Endpoint, prices: PriceTable | None) -> ChatModel:
    if isinstance(section, Mapping):
        section = {key: value for key, value in section.items() if value is not None}
    settings: ModelSettings = make(ModelSettings, section, where)
    sampling = Sampling(**{field.name: getattr(settings, field.name) for field in fields(Sampling)})
    return OpenAIModel(
        settings.name, endpoint, context_window=settings.context_window, sampling=sampling, prices=prices
    )


def _endpoint(section: object) -> Endpoint:
    if isinstance(section, Mapping):
        section = with_current_names(section, "model.endpoint")
        if not section.get("base_url"):
            raise SettingError(
                "model.endpoint.base_url is missing: expected an address such as http://127.0.0.1:8000/v1"
            )
        if section.get("headers") is None:
            section.pop("headers", None)
    endpoint: Endpoint = make(Endpoint, section, "model.endpoint")
    return endpoint
