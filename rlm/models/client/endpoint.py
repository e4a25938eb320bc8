"""Where an endpoint that speaks OpenAI's protocol is, which key it takes, and how patiently it is asked."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields

from rlm.models.chat import FatalModelError


@dataclass(frozen=True)
class Endpoint:
    """Where requests go and how patiently.

    api_key_env: the environment variable with the key, None for an endpoint without one. connect_s, first_byte_s,
    total_s: seconds for the connection, between two reads, and for one whole attempt. max_retries: further attempts
    after faults that may pass. backoff_s, max_backoff_s: first and longest wait between attempts. patience_s: how
    long an endpoint that refuses (429) or answers nobody is waited for. max_tokens_key: how the cap on output tokens
    is called; None takes `max_completion_tokens` for OpenAI itself and `max_tokens` elsewhere. free: its calls cost
    nothing.
    """

    base_url: str
    api_key_env: str | None = None
    organization: str | None = None
    project: str | None = None
    max_concurrency: int = 64
    connect_s: float = 10.0
    first_byte_s: float = 900.0
    total_s: float = 1800.0
    max_retries: int = 6
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    patience_s: float = 300.0
    max_tokens_key: str | None = None
    free: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.base_url, str) or not self.base_url.startswith(("http://", "https://")):
            raise ValueError(f"endpoint.base_url is {self.base_url!r}: wanted an address with http:// or https://")
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if field.type == "float" and not (number and 0 < value < math.inf):
                raise ValueError(f"endpoint.{field.name} is {value!r}: wanted seconds above 0")
            if field.type == "int" and not (number and isinstance(value, int) and value >= 0):
                raise ValueError(f"endpoint.{field.name} is {value!r}: wanted a whole number of at least 0")
            if field.type == "str | None" and value is not None and not (isinstance(value, str) and value.strip()):
                raise ValueError(f"endpoint.{field.name} is {value!r}: wanted a text, or null")
            if field.type == "bool" and not isinstance(value, bool):
                raise ValueError(f"endpoint.{field.name} is {value!r}: wanted true or false")
        for name in ("organization", "project"):
            value = getattr(self, name)
            if value is not None and not _fits_header(value):
                raise ValueError(f"endpoint.{name} is {value!r}: wanted printable ASCII, as a request can carry it")
        if self.max_concurrency < 1:
            raise ValueError("endpoint.max_concurrency is 0: wanted at least 1")

    @property
    def output_limit_key(self) -> str:
        if self.max_tokens_key:
            return self.max_tokens_key
        return "max_completion_tokens" if "api.openai.com" in self.base_url else "max_tokens"

    def api_key(self) -> str | None:
        """The key, None where none is wanted. Raises FatalModelError naming the variable where it is not one."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise FatalModelError(f"no API key for {self.base_url}: set the environment variable {self.api_key_env}")
        if not _fits_header(key):
            raise FatalModelError(f"{self.api_key_env} holds characters that no request can carry: it is not a key")
        return key


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable()
