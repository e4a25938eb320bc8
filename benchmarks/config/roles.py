"""Resolves the roles of a section `model`: from other choices, at other endpoints, completed from servers' reports."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.plugins import conf_files
from benchmarks.config.several import model_words
from rlm.models.build import ROLES
from rlm.validation import shown, unknown

_ROLE = "|".join(ROLES)
_CHOICE = re.compile(rf"model\.({_ROLE})=([A-Za-z][\w,-]*)")
_ENDPOINT = re.compile(rf"\+*model\.({_ROLE})\.endpoint=([^{{\s].*)")
_WORDS = ("null", "true", "false")


def role_words(words: Sequence[str]) -> list[str]:
    """Rewrite overrides of models and their roles in the form that Hydra accepts. Raises ConfigError.

    `model=[A,B]` chooses several models, whose keys are `model.A.KEY`; see `model_words`.
    """
    return model_words(words, _words_of_one)


def _words_of_one(words: Sequence[str]) -> list[str]:
    """Rewrite overrides of the roles of one model.

    `model.sub=NAME` takes a role from the choice NAME of `model`; keys of a role need no plus. `model.name=NAME` sets
    all roles. Another name for all roles, or another endpoint for one, drops the windows and the sampling that the
    choice states for its own models.
    """
    plain = [word.lstrip("+") for word in words]
    starts = ("model.name=", *(f"model.{{}}.endpoint{key}=" for key in ("", ".base_url")))
    reset = {
        role
        for role in ROLES
        for word in plain
        if word.startswith(tuple(start.format(role) for start in starts)) and word != "model.name=null"
    }
    # The order on the command line does not matter: a choice or an address is set first, then the keys of the role.
    written = [f"++model.{role}=null" for role in ROLES if role in reset]
    endpoints: list[str] = []
    others: list[str] = []
    for word in words:
        found, endpoint = _CHOICE.fullmatch(word), _ENDPOINT.fullmatch(word)
        if found and found[2] not in _WORDS:
            written += [f"++model.{found[1]}=null", f"++model.{found[1]}.use={found[2]}"]
        elif endpoint and endpoint[2] not in _WORDS:
            place = f"++model.{endpoint[1]}.endpoint"
            endpoints += [f"{place}=null", f"{place}.use={endpoint[2]}"]
        elif re.match(rf"model\.(?:name=|(?:{_ROLE})(?:\.[\w.]+)?=)", word):
            others.append(f"++{word}")
        else:
            others.append(word)
    return [*written, *endpoints, *others]


def with_roles(section: Any, where: str = "model") -> Any:
    """Return a model's section with the keys of each role that names a choice or an endpoint. Raises ConfigError."""
    if not isinstance(section, Mapping):
        return section
    roles = {role: _role(section[role], role, f"{where}.{role}") for role in ROLES if role in section}
    return {**section, **roles}


def with_served(section: Any, where: str = "model") -> Any:
    """Return a model's section with names and windows from servers, for roles that state none.

    The server is asked for a name if neither the role nor the section states one, and for a window if
    `endpoint.window_from` is set. Raises ConfigError.
    """
    if not isinstance(section, Mapping) or "root" not in section:
        return section
    completed = dict(section)
    for role in ROLES:
        settings = completed.get(role)
        if settings is None and role == "root" and (section.get("kind") or "openai") == "openai":
            settings = {}
        if isinstance(settings, Mapping) and "_target_" not in settings:
            completed[role] = _served(completed, role, settings, where)
    return completed


def _role(settings: Any, role: str, where: str) -> Any:
    if isinstance(settings, str):
        settings = {"use": settings}
    if not isinstance(settings, Mapping):
        return settings
    own = {key: value for key, value in settings.items() if key != "use"}
    if (name := settings.get("use")) is not None:
        taken = _from_choice(name, role, where)
        before, after = taken.get("endpoint"), own.get("endpoint")
        if isinstance(before, Mapping) and isinstance(after, Mapping) and "use" not in after:
            own["endpoint"] = {**before, **after}
        own = taken | own
    if isinstance(endpoint := own.get("endpoint"), str) or (isinstance(endpoint, Mapping) and "use" in endpoint):
        own["endpoint"] = _endpoint(endpoint, f"{where}.endpoint")
    return own


def _endpoint(given: str | Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the keys of an endpoint that is given as an address or a choice, with further keys beside `use`."""
    named, keys = (given, {}) if isinstance(given, str) else (given["use"], given)
    is_address = isinstance(named, str) and named.startswith(("http://", "https://"))
    found = {"base_url": named} if is_address else _choice(named, where).get("endpoint")
    if found is None:
        raise ConfigError(f"{where} is {named!r}: model={named} has no endpoint")
    return {**found, **{key: value for key, value in keys.items() if key != "use"}}


def _from_choice(name: object, role: str, where: str) -> dict[str, Any]:
    """Return the keys of a role in another choice of `model`."""
    choice = _choice(name, where)
    one = choice.get(role) or choice.get("root") or {}
    if "_target_" in one:
        return dict(one)
    if (choice.get("kind") or "openai") == "openai":
        return {"endpoint": choice.get("endpoint"), **one, "name": one.get("name") or choice.get("name")}
    shared = {key: value for key, value in choice.items() if key not in ROLES and value != "???"}
    return shared | dict(one)


def _choice(name: object, where: str) -> dict[str, Any]:
    from omegaconf import OmegaConf

    files = conf_files("model")
    if not isinstance(name, str) or name not in files:
        raise ConfigError(f"{where} is {shown(name)}: {unknown('model', str(name), files)}")
    loaded: Any = OmegaConf.to_container(OmegaConf.load(files[name]), resolve=True)
    return loaded


def _served(section: Mapping[str, Any], role: str, settings: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    own = settings.get("endpoint")
    where = f"{model}.{role}.endpoint" if own is not None else f"{model}.endpoint"
    shared_kind = section.get("kind") or "openai"
    endpoint = own if own is not None else section.get("endpoint") if shared_kind == "openai" else None
    if (settings.get("kind") or "openai") != "openai" or not isinstance(endpoint, Mapping):
        return settings
    if not endpoint.get("base_url"):
        return settings
    name = settings.get("name") or section.get("name")
    root = section.get("root") or {}
    if name is None and own is None and root.get("endpoint") is None:
        name = root.get("name")
    if name is not None and (settings.get("context_window") is not None or endpoint.get("window_from") is None):
        return settings
    return {**settings, **_ask(endpoint, where, f"{model}.{role}", name, settings.get("context_window"))}


def _ask(settings: Mapping[str, Any], where: str, role: str, name: str | None, window: int | None) -> dict[str, Any]:
    from rlm.models.chat import FatalModelError
    from rlm.models.client.endpoint import Endpoint, with_current_names
    from rlm.models.served import NotServed, served_models, served_window
    from rlm.validation import SettingError, make

    try:
        endpoint: Endpoint = make(Endpoint, with_current_names(settings, where), where)
        if name is None:
            served = served_models(endpoint)
            if len(served) != 1:
                names = ", ".join(model.name for model in served[:8]) + (", ..." if len(served) > 8 else "")
                some = f"one of {names}" if served else "a name; the server lists no model"
                raise ConfigError(
                    f"{role}.name is null and {endpoint.base_url} has {len(served)} models: expected {some}"
                )
            name, window = served[0].name, window or served[0].context_window
        window = window or served_window(endpoint, name)
    except SettingError as error:
        raise ConfigError(str(error)) from error
    except FatalModelError as error:
        if name is None:
            raise ConfigError(str(error)) from error
        # The missing key is reported before the first call.
        return {"name": name}
    except NotServed as error:
        hint = f"start the server, or set {role}.name and {role}.context_window"
        raise ConfigError(f"{where}: {error}; {hint}") from error
    if window is None and endpoint.window_from is not None:
        print(f"rlm-eval: {endpoint.base_url} does not report the window of {name}: set {role}.context_window",
              file=sys.stderr)  # fmt: skip
    return {"name": name, "context_window": window}
