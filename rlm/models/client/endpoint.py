"""Settings of an OpenAI-compatible endpoint: address, credentials, timeouts and retries."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, MinLen

from rlm.models.chat import FatalModelError

Seconds = Annotated[float, Gt(0)]
# Former names of settings, which version 0.2 still accepts.
RENAMED = {"first_byte_s": "read_timeout_s", "patience_s": "max_outage_wait_s"}
# A header value that starts with this is the name of an environment variable.
FROM_ENVIRONMENT = "env:"


@dataclass(frozen=True)
class Endpoint:
    """Settings of one endpoint. Models with equal endpoints share connections and the limit on concurrent requests.

    kind: `azure` puts the model's name (its deployment) into the path and sends the key as `api-key`. api_key_env: the
    environment variable that holds the key; None for an endpoint without a key. headers: further request headers; a
    value `env:NAME` is read from an environment variable. stream: ask for a stream of events, since gateways close
    connections that are silent for some minutes. connect_s, read_timeout_s, total_s: seconds to connect, between two
    reads, and for one attempt. max_retries: further attempts after a temporary failure. backoff_s, max_backoff_s:
    first and longest wait between attempts. max_outage_wait_s: seconds that one call waits while the endpoint is rate
    limited or down. max_tokens_key: the request field that caps output tokens; None takes `max_completion_tokens` for
    OpenAI and Azure and `max_tokens` elsewhere. cache_control: mark prompts, for an endpoint that caches only those.
    window_from: the API that reports a model's window. free: calls cost nothing. batch: a run sends the root's requests
    of methods with one call in batches. batch_discount: the discount on a batched request, as a fraction of its price.
    batch_poll_s: seconds between the first two polls of a batch; later waits grow to ten times as much.
    batch_max_requests, batch_max_bytes: limits of one batch; more requests are split into several.
    """

    base_url: str
    api_key_env: Annotated[str, MinLen(1)] | None = None
    kind: Literal["openai", "azure"] = "openai"
    api_version: Annotated[str, MinLen(1)] | None = None
    organization: Annotated[str, MinLen(1)] | None = None
    project: Annotated[str, MinLen(1)] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    stream: bool = False
    max_concurrency: Annotated[int, Ge(1)] = 64
    connect_s: Seconds = 10.0
    read_timeout_s: Seconds = 900.0
    total_s: Seconds = 1800.0
    max_retries: Annotated[int, Ge(0)] = 6
    backoff_s: Seconds = 0.5
    max_backoff_s: Seconds = 30.0
    max_outage_wait_s: Seconds = 300.0
    max_tokens_key: Annotated[str, MinLen(1)] | None = None
    cache_control: bool = False
    window_from: Literal["models", "llama_cpp", "ollama"] | None = None
    free: bool = False
    batch: bool = False
    batch_discount: Annotated[float, Ge(0), Le(1)] = 0.5
    batch_poll_s: Seconds = 30.0
    batch_max_requests: Annotated[int, Ge(1)] = 50_000
    batch_max_bytes: Annotated[int, Ge(1)] = 200_000_000

    def __post_init__(self) -> None:
        _check_address(self.base_url, self.api_key_env)
        if self.kind == "azure" and self.api_version is None:
            raise ValueError("api_version is null: expected a version such as 2024-10-21 for kind azure")
        if self.kind != "azure" and self.api_version is not None:
            raise ValueError(f"api_version is {self.api_version!r}: expected null unless kind is azure")
        for name in ("organization", "project"):
            value = getattr(self, name)
            if value is not None and not _fits_header(value):
                raise ValueError(f"{name} is {value!r}: expected printable ASCII characters")
        for name, value in (self.headers or {}).items():
            if not (_fits_header(name) and name and _fits_header(value)):
                raise ValueError(f"headers.{name} is not a header: expected printable ASCII characters")

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_local(self) -> bool:
        """True if the endpoint is on this machine, so that no proxy is used."""
        host = self.host.rstrip(".")
        try:
            address: Any = ip_address(host)
        except ValueError:
            return host.rpartition(".")[2] == "localhost"
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or address.is_unspecified

    @property
    def output_limit_key(self) -> str:
        if self.max_tokens_key:
            return self.max_tokens_key
        return "max_completion_tokens" if self.kind == "azure" or self.host == "api.openai.com" else "max_tokens"

    def api_key(self) -> str | None:
        """Return the key, None for an endpoint without one.

        Raises FatalModelError for an unset or unusable variable.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise FatalModelError(f"no API key for {self.base_url}: set the environment variable {self.api_key_env}")
        if not _fits_header(key):
            raise FatalModelError(f"{self.api_key_env} holds characters that no request header can carry: not a key")
        return key

    def header_values(self) -> dict[str, str]:
        """Return the configured headers with their values. Raises FatalModelError for an unset environment variable."""
        return {name: _header_value(name, value) for name, value in (self.headers or {}).items()}

    def secrets(self) -> list[str]:
        """Return the values that no message may show: the key, and headers from environment variables."""
        from_environment = [name for name, value in (self.headers or {}).items() if value.startswith(FROM_ENVIRONMENT)]
        values = self.header_values() if from_environment else {}
        return [secret for secret in (self.api_key(), *(values[name] for name in from_environment)) if secret]


def with_current_names(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Rename former keys of endpoint settings, with a warning on standard error."""
    renamed = {}
    for key, value in settings.items():
        if key in RENAMED:
            _warn(f"{where}.{key} is deprecated: the key is now {where}.{RENAMED[key]}")
        renamed[RENAMED.get(key, key)] = value
    return renamed


@cache
def _warn(line: str) -> None:
    # Warn once a process, although several models may share the settings.
    print(f"rlm-eval: {line}", file=sys.stderr)


def _check_address(base_url: str, api_key_env: str | None) -> None:
    shown = repr(base_url)
    if isinstance(base_url, str) and "@" in re.split(r"[/?#]", re.sub(r"^[^@]*?:?//", "", base_url))[0]:
        # The address is written into manifests and messages, so it must not hold a password. It is checked first,
        # because later messages show the address.
        variable = f"the environment variable {api_key_env}" if api_key_env else "an environment variable"
        raise ValueError(
            f"base_url holds a user name or password: expected an address without one; put the key into {variable}"
            f"{'' if api_key_env else ' and name it in api_key_env'}, or send it in headers"
        )
    if not isinstance(base_url, str) or not base_url.startswith(("http://", "https://")):
        raise ValueError(f"base_url is {shown}: expected an address that starts with http:// or https://")
    try:
        address = urlsplit(base_url)
        host, _ = address.hostname, address.port
    except ValueError as error:
        raise ValueError(f"base_url is {shown}: expected a valid address ({error})") from None
    if not host or not base_url.isprintable() or " " in base_url:
        raise ValueError(f"base_url is {shown}: expected an address with a host and without spaces")
    if address.query or address.fragment or "?" in base_url:
        raise ValueError(
            f"base_url is {base_url.partition('?')[0]!r} with a query: expected an address without one; for "
            "Azure set endpoint.kind=azure and endpoint.api_version"
        )
    if address.path.rstrip("/").endswith("/chat/completions"):
        raise ValueError(f"base_url is {shown}: expected the address without /chat/completions")


def _header_value(name: str, value: str) -> str:
    if not value.startswith(FROM_ENVIRONMENT):
        return value
    variable = value.removeprefix(FROM_ENVIRONMENT)
    found = os.environ.get(variable, "").strip()
    if not found:
        raise FatalModelError(f"no value for the header {name}: set the environment variable {variable}")
    if not _fits_header(found):
        raise FatalModelError(f"{variable} holds characters that no request header can carry")
    return found


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable()
