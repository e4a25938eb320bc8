"""Models built from names such as `openai/gpt-5` and from configurations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen

from rlm.models.chat import ChatModel, FatalModelError, Sampling
from rlm.models.client.endpoint import Endpoint, with_current_names
from rlm.models.client.model import OpenAIModel
from rlm.models.embedded.model import EmbeddedModel
from rlm.models.embedded.section import EmbeddedModels
from rlm.models.embedded.weights import known_weights
from rlm.models.prices import PriceTable
from rlm.models.scripted import ScriptedModels
from rlm.validation import SettingError, located, make, shown

ROLES = ("root", "sub", "compactor")
# The address of an endpoint without one in a replay, which sends no request.
NO_ADDRESS = "http://no-address.invalid"


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
    "llama_cpp": Provider("http://127.0.0.1:8080/v1", None, "LLAMA_CPP_BASE_URL", free=True),
    "ollama": Provider("http://127.0.0.1:11434/v1", None, "OLLAMA_BASE_URL", free=True),
}

# The weights of the model `local`, and its window.
CODER = "qwen2.5-coder-1.5b"
CODER_WINDOW = 8192


def model_of_name(name: str) -> ChatModel:
    """Build the model with a name such as `openai/gpt-5`, `openrouter/qwen/qwen3-coder`, `local` or `local/WEIGHTS`.

    Raises ValueError for an unknown provider, FatalModelError for a key that is not set.
    """
    if name == "local":
        return EmbeddedModel(weights=CODER, context_window=CODER_WINDOW)
    prefix, _, model = name.partition("/")
    if prefix == "local" and model in known_weights():
        return EmbeddedModel(weights=model)
    if prefix not in PROVIDERS or not model:
        known = ", ".join(f"{provider}/NAME" for provider in PROVIDERS)
        weights = ", ".join(f"local/{weights}" for weights in known_weights())
        raise ValueError(f"there is no model {name!r}: expected local, {weights} or one of {known}")
    provider = PROVIDERS[prefix]
    # A variable that is set but empty counts as unset.
    base_url = os.environ.get(provider.base_url_env or "", "").strip() or provider.base_url
    endpoint = Endpoint(base_url, provider.api_key_env, free=provider.free)
    endpoint.api_key()
    return OpenAIModel(model, endpoint)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Sampling):
    """Settings of the model of one role, such as `model.root`.

    name: None takes the name of the section. endpoint: None takes the endpoint of the section.
    """

    name: Annotated[str, MinLen(1)] | None = None
    context_window: Annotated[int, Ge(1)] | None = None
    endpoint: Endpoint | None = None


@dataclass(frozen=True, kw_only=True)
class HostedModel:
    """The validated settings of a model behind an endpoint; `build` makes the model."""

    name: str
    endpoint: Endpoint
    settings: ModelSettings

    def build(self, prices: PriceTable | None) -> OpenAIModel:
        sampling = Sampling(**{field.name: getattr(self.settings, field.name) for field in fields(Sampling)})
        return OpenAIModel(
            self.name, self.endpoint, context_window=self.settings.context_window, sampling=sampling, prices=prices
        )


@dataclass(frozen=True, kw_only=True)
class EndpointModels:
    """Models behind endpoints. name: that of roles which set none. A role without settings uses the root's model."""

    kind: Literal["openai"] = "openai"
    name: Annotated[str, MinLen(1)] | None = None
    endpoint: Endpoint | None = None
    root: ModelSettings | None = None
    sub: ModelSettings | None = None
    compactor: ModelSettings | None = None

    def hosted(self, where: str) -> dict[str, HostedModel]:
        """Build the models of the roles that have settings. Raises SettingError for a missing name or endpoint."""
        found = {}
        for role in ROLES:
            if (settings := getattr(self, role)) is None:
                continue
            endpoint = settings.endpoint or self.endpoint
            if endpoint is None:
                raise SettingError(f"{where}.endpoint is missing: expected a section of keys and values")
            name = settings.name or self.name
            if name is None and settings.endpoint is None and self.root is not None and self.root.endpoint is None:
                name = self.root.name
            if name is None:
                raise SettingError(
                    f"{where}.{role}.name is missing: expected the name of a model at {endpoint.base_url}"
                )
            found[role] = HostedModel(name=name, endpoint=endpoint, settings=settings)
        return found


@dataclass(frozen=True, kw_only=True)
class Models:
    """The models of a section by role, not built yet. A role without a model uses the root's.

    hosted: roles behind endpoints, each with its own. local: roles on this machine, embedded or scripted.
    """

    hosted: Mapping[str, HostedModel]
    local: Mapping[str, EmbeddedModels | ScriptedModels]

    def build(self, prices: PriceTable | None = None, *, replay: bool = False) -> dict[str, ChatModel]:
        """Build the models by role. Raises SettingError for an API key that is not set, except for a replay."""
        if not replay:
            for model in self.hosted.values():
                try:
                    model.endpoint.secrets()
                except FatalModelError as error:
                    raise SettingError(str(error)) from None
        models: dict[str, ChatModel] = {role: model.build(prices) for role, model in self.hosted.items()}
        # Roles of one section are built together and share its server or its script.
        for section in {id(one): one for one in self.local.values()}.values():
            built = section.build(replay=replay) if isinstance(section, EmbeddedModels) else section.build()
            models |= {role: built[role] for role, one in self.local.items() if one is section}
        return {role: models.get(role, models["root"]) for role in ROLES}


_KINDS = {"openai": EndpointModels, "embedded": EmbeddedModels, "scripted": ScriptedModels}
Section = EndpointModels | EmbeddedModels | ScriptedModels


def read_models(section: object, where: str = "model", *, replay: bool = False) -> Models:
    """Read the section `model` of a configuration without building it. where: the section's name in messages.

    A role that states a `kind` is read separately, with the keys of that kind. replay: no call will be made, so an
    endpoint needs no address. Raises SettingError for an unknown key or a value that does not fit.
    """
    if not isinstance(section, Mapping):
        make(EndpointModels, section, where)
    assert isinstance(section, Mapping)
    shared = {key: value for key, value in section.items() if not (key in ROLES and _is_apart(value, section))}
    hosted: dict[str, HostedModel] = {}
    local: dict[str, EmbeddedModels | ScriptedModels] = {}

    def take(part: Section, roles: Iterable[str], place: str) -> None:
        if isinstance(part, EndpointModels):
            hosted.update(part.hosted(place))
        else:
            local.update(dict.fromkeys(roles, part))

    apart = [role for role in ROLES if role in section and role not in shared]
    take(_read_section(shared, where, replay), [role for role in ROLES if role not in apart], where)
    for role in apart:
        place = f"{where}.{role}"
        try:
            one = _read_section(_as_section(section[role], role), place, replay)
            take(one, [role], place)
        except SettingError as error:
            # The keys of the role stand directly in its section.
            raise SettingError(str(error).replace(f"{place}.{role}.", f"{place}.")) from error
    if "root" not in hosted and "root" not in local:
        raise SettingError(f"{where}.root is missing: expected a section of keys and values")
    return Models(hosted=hosted, local=local)


def build_models(
    section: object, *, prices: Mapping[str, Any] | None = None, replay: bool = False, where: str = "model"
) -> dict[str, ChatModel]:
    """Build the models of the section `model` by role: root, sub and compactor.

    section: the mapping, or the result of read_models. prices: overrides as in conf/prices.yaml, None for the bundled
    prices. replay: no call will be made, so no key, address or weights are needed. Raises ValueError, one line.
    """
    models = section if isinstance(section, Models) else read_models(section, where, replay=replay)
    try:
        return models.build(None if prices is None else PriceTable(prices), replay=replay)
    except ValueError as error:
        raise SettingError(located(error, EmbeddedModels, where)) from error


def _is_apart(role: object, section: Mapping[str, Any]) -> bool:
    """True for a role whose models are of another kind than those of the section, or which states its own kind."""
    if not isinstance(role, Mapping):
        return False
    shared = section.get("kind") or "openai"
    return bool(role.get("kind")) or (shared != "openai" and role.get("endpoint") is not None)


def _as_section(role: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the section of one role from its flat keys."""
    kind = role.get("kind") or "openai"
    own = {field.name for field in fields(_KINDS[kind])} - {"name"} if kind in _KINDS else set(role)
    rest = {key: value for key, value in role.items() if key not in own}
    if kind == "scripted":
        return dict(role)
    return {key: value for key, value in role.items() if key in own} | {name: rest}


def _read_section(section: Mapping[str, Any], where: str, replay: bool) -> Section:
    kind = section.get("kind") or "openai"
    if kind not in _KINDS:
        raise SettingError(f"{where}.kind is {shown(kind)}: expected openai, embedded or scripted")
    if kind == "openai":
        section = _endpoint_section(section, where, replay)
    elif section.get("name") is not None:
        raise SettingError(f"{where}.name is {shown(section['name'])}: expected null for models of kind {kind}")
    else:
        section = {key: value for key, value in section.items() if key != "name"}
    read: Section = make(_KINDS[kind], section, where)
    return read


def _endpoint_section(section: Mapping[str, Any], where: str, replay: bool) -> dict[str, Any]:
    """Replace former names of keys, and remove nulls that mean a default."""
    settings = dict(section)
    for role in ROLES:
        if isinstance(value := section.get(role), Mapping):
            given = {key: one for key, one in value.items() if one is not None}
            if isinstance(endpoint := given.get("endpoint"), Mapping):
                given["endpoint"] = _endpoint(endpoint, f"{where}.{role}.endpoint", replay)
            settings[role] = given
    if isinstance(endpoint := section.get("endpoint"), Mapping):
        settings["endpoint"] = _endpoint(endpoint, f"{where}.endpoint", replay)
    if settings.get("name") is not None and settings.get("root") is None:
        settings["root"] = {}
    return settings


def _endpoint(settings: Mapping[str, Any], where: str, replay: bool) -> dict[str, Any]:
    endpoint = with_current_names(settings, where)
    if not endpoint.get("base_url"):
        example = "https://NAME.openai.azure.com" if endpoint.get("kind") == "azure" else "http://127.0.0.1:8000/v1"
        if not replay and endpoint.keys() <= {field.name for field in fields(Endpoint)}:
            raise SettingError(f"{where}.base_url is missing: expected an address such as {example}")
        endpoint["base_url"] = NO_ADDRESS
    if endpoint.get("headers") is None:
        endpoint.pop("headers", None)
    return endpoint
