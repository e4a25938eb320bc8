"""Asks a server for the names of its models, and for their windows if it states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm.models.client.endpoint import Endpoint
from rlm.models.client.error_body import MAX_TEXT
from rlm.models.environment import UnusableEnvironment, client_environment
from rlm.structure import parsed_json

# Fields of an entry of /models with the maximum tokens of prompt and answer together, or only of the prompt.
_WINDOW_KEYS = (
    "max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens",
)  # fmt: skip
# The window of Ollama if neither the model nor the server states one.
OLLAMA_DEFAULT = 4096
_TIMEOUT_S = 30.0
# Ollama loads the model before it reports its window.
_LOAD_S = 600.0


class NotServed(ValueError):
    """The server cannot be reached, or its answer cannot be used. The message is one line."""


@dataclass(frozen=True)
class ServedModel:
    """A model that a server lists; context_window: None if the list does not state it."""

    name: str
    context_window: int | None = None


def served_models(endpoint: Endpoint) -> list[ServedModel]:
    """Read the models in `/models` of an endpoint. Raises NotServed, and FatalModelError for a missing key."""
    with _client(endpoint) as client:
        return read_models_list(_json(client, "GET", f"{endpoint.base_url.rstrip('/')}/models"))


def served_window(endpoint: Endpoint, name: str) -> int | None:
    """Ask the API that `endpoint.window_from` names for a model's window; None if it is not reported.

    Raises NotServed, and FatalModelError for a missing key.
    """
    base = endpoint.base_url.rstrip("/")
    root = base.removesuffix("/v1")
    if endpoint.window_from is None:
        return None
    with _client(endpoint) as client:
        if endpoint.window_from == "llama_cpp":
            return read_props(_json(client, "GET", f"{root}/props"))
        if endpoint.window_from == "ollama":
            return _ollama_window(client, root, name)
        models = read_models_list(_json(client, "GET", f"{base}/models"))
    return next((model.context_window for model in models if model.name == name), None)


def read_models_list(body: object) -> list[ServedModel]:
    """Read the models in the body of `/models`, each name once with its smallest window.

    Raises NotServed for a body of another form.
    """
    entries = body.get("data") if isinstance(body, Mapping) else body
    if not isinstance(entries, list):
        raise NotServed("/models has no list of models")
    found: dict[str, ServedModel] = {}
    for entry in entries:
        if isinstance(entry, Mapping) and isinstance(name := entry.get("id"), str) and name:
            places = (entry, _mapping(entry.get("top_provider")))
            stated = [_count(place.get(key)) for place in places for key in _WINDOW_KEYS]
            stated.append(_count(_mapping(entry.get("meta")).get("n_ctx")))
            windows = [window for window in stated if window]
            # Gateways list a model once for each of its servers.
            if name in found:
                windows += [window for window in [found[name].context_window] if window]
            found[name] = ServedModel(name, min(windows) if windows else None)
    return list(found.values())


def read_props(body: object) -> int | None:
    """Read the window of one slot in the body of llama.cpp's `/props`."""
    props = _mapping(body)
    return _count(_mapping(props.get("default_generation_settings")).get("n_ctx")) or _count(props.get("n_ctx"))


def read_show(body: object) -> tuple[int | None, int | None]:
    """Read the window that an Ollama model sets (`num_ctx`), and the longest that it supports, from `/api/show`."""
    show = _mapping(body)
    lines = str(show.get("parameters") or "").splitlines()
    words = [line.split() for line in lines]
    own = next((_count(pair[1]) for pair in words if len(pair) == 2 and pair[0] == "num_ctx"), None)
    longest = [_count(value) for key, value in _mapping(show.get("model_info")).items() if _is_length(key)]
    return own, next((length for length in longest if length), None)


def read_loaded(body: object, name: str) -> int | None:
    """Read the window of a loaded Ollama model from `/api/ps`."""
    entries = _mapping(body).get("models")
    for entry in map(_mapping, entries if isinstance(entries, list) else []):
        if name in (entry.get("name"), entry.get("model")) or f"{name}:latest" == entry.get("name"):
            return _count(entry.get("context_length"))
    return None


def _ollama_window(client: Any, root: str, name: str) -> int | None:
    own, longest = read_show(_json(client, "POST", f"{root}/api/show", {"model": name}))
    if own:
        return min(own, longest or own)
    loaded = read_loaded(_json(client, "GET", f"{root}/api/ps"), name)
    if loaded is None:
        # A request without a prompt loads the model; only then its window is known.
        _json(client, "POST", f"{root}/api/generate", {"model": name, "stream": False}, timeout_s=_LOAD_S)
        loaded = read_loaded(_json(client, "GET", f"{root}/api/ps"), name)
    return loaded or min(OLLAMA_DEFAULT, longest or OLLAMA_DEFAULT)


def _client(endpoint: Endpoint) -> Any:
    import httpx2

    headers = {"accept-encoding": "identity", **endpoint.header_values()}
    if key := endpoint.api_key():
        headers |= {"api-key": key} if endpoint.kind == "azure" else {"authorization": f"Bearer {key}"}
    try:
        with client_environment():
            return httpx2.Client(headers=headers, timeout=_TIMEOUT_S, trust_env=not endpoint.is_local)
    except UnusableEnvironment as error:
        raise NotServed(f"{endpoint.base_url}: {error}") from error


def _json(client: Any, verb: str, url: str, body: Any = None, timeout_s: float = _TIMEOUT_S) -> Any:
    import httpx2

    from rlm.models.client.bounded import bounded_body

    try:
        with client.stream(verb, url, json=body, timeout=timeout_s) as response:
            content = bounded_body(response, timeout_s)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise NotServed(f"nothing answers at {url}: {error}") from error
    except ValueError as error:
        raise NotServed(f"{url} cannot be read: {error}") from error
    if response.status_code != 200:
        text = " ".join(content[:MAX_TEXT].decode("utf-8", "replace").split())[:200]
        raise NotServed(f"{url} answers with status {response.status_code}: {text}")
    try:
        return parsed_json(content)
    except (ValueError, RecursionError) as error:
        raise NotServed(f"{url} does not answer with JSON") from error


def _is_length(key: object) -> bool:
    return isinstance(key, str) and key.endswith(".context_length")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int | None:
    """Read a positive integer, also from text or from a float without a fraction; None for any other value."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
