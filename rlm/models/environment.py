"""The environment's proxies and certificates, which an HTTP client reads when it is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UnusableEnvironment(ValueError):
    """Variables with which no HTTP client can be made. The message is one line."""


@contextmanager
def client_environment() -> Iterator[None]:
    """Report errors of making an HTTP client, such as an unknown kind of proxy, as UnusableEnvironment."""
    try:
        yield
    except (ValueError, ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UnusableEnvironment(
            "the proxies or certificates of the environment cannot be used "
            f"(HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE): {reason}"
        ) from error
