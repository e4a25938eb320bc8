"""Open connections to endpoints: one SDK client and one limiter per event loop, shared by all models of an endpoint.

The OpenAI SDK sends the requests: it knows proxies, Azure, credentials and headers. Its retries are off, because
retries, rate limits and accounting here need every attempt. Its responses stay raw, because those of many compatible
endpoints do not fit the SDK's types.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rlm.models.chat import FatalModelError
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.faults import Fault, transport_fault
from rlm.models.client.limiter import Limiter
from rlm.models.client.redaction import Redactor
from rlm.models.environment import UnusableEnvironment, client_environment

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Idle connections are closed before the usual server closes them, so that no request meets a closed connection.
KEEP_ALIVE_S = 4.0


class Response(NamedTuple):
    """Status, headers (case-insensitive) and complete body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """The client and the limiter of one endpoint on one event loop.

    reached: the endpoint has sent a response on this connection. redactor: removes credentials from messages.
    """

    def __init__(self, client: AsyncOpenAI, limiter: Limiter, endpoint: Endpoint) -> None:
        self.limiter = limiter
        self.redactor = Redactor(endpoint.secrets())
        self.reached = False
        self._client = client
        self._headers = request_headers(endpoint)
        self._users: set[int] = set()
        self._lifetime: AsyncGenerator[Connection, None] | None = None

    async def post(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Response:
        """Send a request and read the complete response. Raises Fault if no response arrives."""
        import httpx2
        from openai import APIStatusError

        timeout = httpx2.Timeout(endpoint.read_timeout_s, connect=endpoint.connect_s, pool=None)
        options: Any = {"timeout": timeout, "headers": self._headers}
        try:
            async with asyncio.timeout(endpoint.total_s):
                response = await self._client.post(
                    "/chat/completions", cast_to=httpx2.Response, body=body, options=options
                )
        except APIStatusError as error:
            response = error.response
        except Fault:
            raise
        except Exception as error:
            # Bytes that are not HTTP can make the HTTP libraries raise any exception.
            raise transport_fault(error, endpoint.total_s) from error
        self.reached = True
        return Response(response.status_code, response.headers, response.content)

    @classmethod
    async def of(cls, endpoint: Endpoint, user: object) -> Connection:
        """Return the running loop's connection to an endpoint, opened if necessary, and register `user`.

        It is closed when its last user leaves or when the loop ends. Raises FatalModelError if the key is missing.
        """
        place = _place(endpoint)
        connection = _connections.get(place)
        if connection is None:
            for other in [other for other in list(_connections) if other[0].is_closed()]:
                _connections.pop(other, None)
            lifetime = _lifetime(place, endpoint)
            connection = await anext(lifetime)
            connection._lifetime = lifetime
        elif connection.limiter.max_concurrency > endpoint.max_concurrency:
            connection.limiter.lower_to(endpoint.max_concurrency)
        connection._users.add(id(user))
        return connection

    @staticmethod
    async def leave(endpoint: Endpoint, user: object) -> None:
        """Unregister `user` from the running loop's connection."""
        connection = _connections.get(_place(endpoint))
        if connection is not None:
            connection._users.discard(id(user))
            if not connection._users and connection._lifetime is not None:
                await connection._lifetime.aclose()


# Endpoints with equal address and credentials share connections and limiter, even if other settings differ.
_Place = tuple[asyncio.AbstractEventLoop, tuple[Any, ...]]
_connections: dict[_Place, Connection] = {}


@atexit.register
def _close_all() -> None:
    """Close connections on loops that still run in threads of their own when the program ends."""
    for (loop, _), connection in list(_connections.items()):
        if loop.is_running() and connection._lifetime is not None:
            with contextlib.suppress(Exception):
                asyncio.run_coroutine_threadsafe(connection._lifetime.aclose(), loop).result(timeout=1.0)


def _place(endpoint: Endpoint) -> _Place:
    headers = tuple(sorted((endpoint.headers or {}).items()))
    return asyncio.get_running_loop(), (
        endpoint.base_url, endpoint.kind, endpoint.api_version, endpoint.api_key_env, endpoint.organization,
        endpoint.project, headers,
    )  # fmt: skip


async def _lifetime(place: _Place, endpoint: Endpoint) -> AsyncGenerator[Connection, None]:
    # A loop closes its asynchronous generators before it ends, so the client is closed even if nobody closes it.
    from rlm.models.client.bounded import bound

    client = open_client(endpoint, [bound])
    limiter = Limiter(endpoint.max_concurrency, endpoint.max_outage_wait_s, endpoint.backoff_s)
    try:
        connection = _connections[place] = Connection(client, limiter, endpoint)
        yield connection
    finally:
        _connections.pop(place, None)
        await client.close()


def open_client(endpoint: Endpoint, on_response: Sequence[Callable[..., Any]] = ()) -> AsyncOpenAI:
    """Open an SDK client without retries. on_response: called with each response before its body is read.

    Raises FatalModelError if the key is missing, or for proxies or certificates that cannot be used.
    """
    import httpx2
    from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAioHttpClient

    key = endpoint.api_key()
    try:
        with client_environment():
            http_client = DefaultAioHttpClient(
                # No limit, because the limiter bounds the connections.
                limits=httpx2.Limits(max_connections=0, keepalive_expiry=KEEP_ALIVE_S),
                event_hooks={"response": list(on_response)},
                follow_redirects=False,
                # These mounts replace those of HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.
                mounts={"http://": None, "https://": None, "all://": None} if endpoint.is_local else None,
            )
    except UnusableEnvironment as error:
        raise FatalModelError(f"{endpoint.base_url}: {error}") from error
    settings: dict[str, Any] = {
        # An empty string keeps the SDK from reading variables such as OPENAI_API_KEY, which belong to another endpoint.
        "api_key": key or "",
        "admin_api_key": "",
        "organization": endpoint.organization,
        "project": endpoint.project,
        "webhook_secret": "",
        "max_retries": 0,
        "http_client": http_client,
        "_enforce_credentials": False,
    }
    if endpoint.kind != "azure":
        return AsyncOpenAI(base_url=endpoint.base_url, **settings)
    # The SDK appends /openai to the address of a resource, but not to an address that has a path.
    has_path = "/" in endpoint.base_url.rstrip("/").split("://", 1)[1]
    settings["base_url" if has_path else "azure_endpoint"] = endpoint.base_url
    return AsyncAzureOpenAI(api_version=endpoint.api_version, **settings)


def request_headers(endpoint: Endpoint) -> dict[str, Any]:
    """Return the headers of every request, without those that the SDK would read from another endpoint's variables."""
    from openai import Omit

    headers: dict[str, Any] = {}
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
        headers[line.partition(":")[0].strip().lower()] = Omit()
    key = endpoint.api_key()
    headers |= {
        "accept": "application/json",
        # Those that `rlm.models.client.bounded` decompresses. The HTTP library may know more.
        "accept-encoding": "gzip, deflate",
        "content-type": "application/json",
        "user-agent": "rlm-eval",
        "openai-organization": endpoint.organization or Omit(),
        "openai-project": endpoint.project or Omit(),
        "authorization": f"Bearer {key}" if key and endpoint.kind == "openai" else Omit(),
    }
    if key and endpoint.kind == "azure":
        headers["api-key"] = key
    return headers | {name.lower(): value for name, value in endpoint.header_values().items()}
