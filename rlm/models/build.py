"""Models out of names and configurations: which provider stands for what, and whether its key is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from rlm.models.chat import ChatModel, FatalModelError, Sampling
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel
from rlm.models.prices import PriceTable

ROLES = ("root", "sub", "compactor")


@dataclass(frozen=True)
class Provider:
    """Address and key of a provider; base_url_env is a variable that overrides the address."""

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

    Raises ValueError for a provider that is not known, FatalModelError for a key that is not set.
    """
    if name == "local":
        from rlm.models.embedded.model import EmbeddedModel

        return EmbeddedModel()
    prefix, _, model = name.partition("/")
    if prefix not in PROVIDERS or not model:
        known = ", ".join(f"{provider}/NAME" for provider in PROVIDERS)
        raise ValueError(f"there is no model {name!r}: wanted local or one of {known}")
    provider = PROVIDERS[prefix]
    base_url = os.environ.get(provider.base_url_env or "") or provider.base_url
    endpoint = Endpoint(base_url, provider.api_key_env, free=provider.free)
    endpoint.api_key()
    return OpenAIModel(model, endpoint)


def build_models(
    config: Mapping[str, Any], *, prices: Mapping[str, Any] | None = None, replay: bool = False
) -> dict[str, ChatModel]:
    """The models of a configuration (conf/model/) by role: root, sub and compactor; absent roles are the root's model.

    A judge is among them where the configuration has one. prices: overrides as in conf/prices.yaml, None for those
    that come with the project. replay: no call will be made, so no key and no weights are needed. Raises
    ValueError, one line, for a key that is not known, a value that is not wanted, or an API key that is not set.
    """
    kind = config.get("kind", "openai")
    if kind == "embedded":
        from rlm.models import embedded

        return embedded.build(config, replay=replay)
    if kind == "scripted":
        from rlm.models import scripted

        return scripted.build(config)
    if kind != "openai":
        raise ValueError(f"model.kind is {kind!r}: wanted openai, embedded or scripted")
    roles = (*ROLES, "judge")
    _refuse_unknown(config, ("kind", "endpoint", *roles), "model")
    endpoint = _endpoint(_section(config, "endpoint"))
    if not replay:
        try:
            endpoint.api_key()
        except FatalModelError as error:
            raise ValueError(str(error)) from None
    table = None if prices is None else PriceTable(prices)
    given = {role: config[role] for role in roles if config.get(role) is not None}
    models: dict[str, ChatModel] = {role: _model(role, given[role], endpoint, table) for role in given}
    if "root" not in models:
        raise ValueError("model.root is missing: wanted at least root.name")
    return {role: models.get(role, models["root"]) for role in ROLES} | models


def _endpoint(section: Mapping[str, Any]) -> Endpoint:
    _refuse_unknown(section, [field.name for field in fields(Endpoint)], "model.endpoint")
    if not section.get("base_url"):
        raise ValueError("model.endpoint.base_url is missing: wanted an address such as http://127.0.0.1:8000/v1")
    try:
        return Endpoint(**section)
    except ValueError as error:
        raise ValueError(f"model.{error}") from None


_SAMPLING = [field.name for field in fields(Sampling)]


def _model(role: str, section: Any, endpoint: Endpoint, prices: PriceTable | None) -> OpenAIModel:
    if not isinstance(section, Mapping):
        raise ValueError(f"model.{role} is {section!r}: wanted a section with at least a name")
    _refuse_unknown(section, ("name", "context_window", *_SAMPLING), f"model.{role}")
    name = section.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"model.{role}.name is {name!r}: wanted the model's name at the endpoint")
    settings = {key: section[key] for key in _SAMPLING if section.get(key) is not None}
    for key, (kind, least, wanted) in _WANTED.items():
        value = section.get(key)
        fits = isinstance(value, kind) and not isinstance(value, bool) and (least is None or value >= least)
        if value is not None and not fits:
            raise ValueError(f"model.{role}.{key} is {value!r}: wanted {wanted}")
    return OpenAIModel(
        name, endpoint, context_window=section.get("context_window"), sampling=Sampling(**settings), prices=prices
    )


# Kind and smallest value of each key.
_WANTED: dict[str, tuple[Any, float | None, str]] = {
    "context_window": (int, 1, "a number of tokens, or null"),
    "max_output_tokens": (int, 1, "a number of tokens, or null"),
    "seed": (int, None, "a whole number, or null"),
    "temperature": (int | float, 0, "a number of at least 0, or null"),
    "top_p": (int | float, 0, "a number of at least 0, or null"),
    "reasoning_effort": (str, None, "a word such as medium, or null"),
    "extra": (Mapping, None, "a mapping of request fields"),
}


def _section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = config.get(key)
    if not isinstance(section, Mapping):
        raise ValueError(f"model.{key} is {section!r}: wanted a section")
    return section


def _refuse_unknown(section: Mapping[str, Any], known: Any, where: str) -> None:
    unknown = sorted(str(key) for key in section if key not in known)
    if unknown:
        raise ValueError(f"{where} has no key {unknown[0]!r}; it has {', '.join(known)}")
