"""The open connections to an endpoint: one client and one limiter an event loop, shared by all models of the endpoint.

Requests go out by the HTTP client that the OpenAI SDK runs on, over aiohttp, without the SDK around it. Of that nothing
could be used: the limiter has to know of each attempt, and endpoints that are only nearly compatible would not fit its
types; and it took as much processor time as all the rest of a call.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from rlm.models.client.endpoint import Endpoint
from rlm.models.client.faults import Fault, transport_fault
from rlm.models.client.limiter import Limiter

if TYPE_CHECKING:
    import httpx2

# An idle connection is dropped before the usual server drops it, so that no request meets a closed one.
KEEP_ALIVE_S = 4.0
_HEADERS = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "rlm-eval"}


class Response(NamedTuple):
    """Status, headers (in any case) and whole body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """The client and the limiter of one endpoint on one event loop.

    reached: whether the endpoint has ever sent a response here.
    """

    def __init__(self, client: httpx2.AsyncClient, address: httpx2.URL, limiter: Limiter, key: str | None) -> None:
        self.limiter = limiter
        self.reached = False
        self._client = client
        self._address = address
        self._key = key
        self._users: set[int] = set()
        self._lifetime: AsyncGenerator[Connection, None] | None = None

    async def post(self, endpoint: Endpoint, content: bytes) -> Response:
        """Send a request body and take the whole response. Raises Fault where none comes."""
        from httpx2 import Timeout

        timeout = Timeout(endpoint.first_byte_s, connect=endpoint.connect_s, pool=None)
        try:
            async with asyncio.timeout(endpoint.total_s):
                response = await self._client.post(
                    self._address, content=content, timeout=timeout, follow_redirects=False
                )
        except Fault:
            raise
        except Exception as error:
            # Which exceptions hostile bytes call forth is for the HTTP library to choose.
            raise transport_fault(error, endpoint.total_s) from error
        self.reached = True
        return Response(response.status_code, response.headers, response.content)

    def redact(self, body: bytes) -> bytes:
        """A body without the key, which some endpoints repeat in their errors."""
        return body.replace(self._key.encode(), b"***") if self._key else body

    @classmethod
    async def of(cls, endpoint: Endpoint, user: object) -> Connection:
        """The running loop's connection to an endpoint, opened where there is none, for `user`.

        It is closed when its last user leaves, or with the loop. Raises FatalModelError where the key is missing.
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
        """Say that `user` needs the running loop's connection no more."""
        connection = _connections.get(_place(endpoint))
        if connection is not None:
            connection._users.discard(id(user))
            if not connection._users and connection._lifetime is not None:
                await connection._lifetime.aclose()


# Endpoints at one address with one key share connections and limiter, whatever else differs in their configuration.
_Place = tuple[asyncio.AbstractEventLoop, str, str | None, str | None, str | None]
_connections: dict[_Place, Connection] = {}


@atexit.register
def _close_all() -> None:
    """Close what is open on loops that still run in threads of their own when the program ends."""
    for (loop, *_), connection in list(_connections.items()):
        if loop.is_running() and connection._lifetime is not None:
            with contextlib.suppress(Exception):
                asyncio.run_coroutine_threadsafe(connection._lifetime.aclose(), loop).result(timeout=1.0)


def _place(endpoint: Endpoint) -> _Place:
    loop = asyncio.get_running_loop()
    return loop, endpoint.base_url, endpoint.api_key_env, endpoint.organization, endpoint.project


async def _lifetime(place: _Place, endpoint: Endpoint) -> AsyncGenerator[Connection, None]:
    # A loop closes its asynchronous generators before it ends, so the client is closed even if nobody asks for it.
    import httpx2
    from openai import DefaultAioHttpClient

    from rlm.models.client.bounded import bound

    key = endpoint.api_key()
    optional = {
        "Authorization": key and f"Bearer {key}",
        "OpenAI-Organization": endpoint.organization,
        "OpenAI-Project": endpoint.project,
    }
    client = DefaultAioHttpClient(
        headers=_HEADERS | {name: value for name, value in optional.items() if value},
        # 0 is no limit: the limiter bounds the connections.
        limits=httpx2.Limits(max_connections=0, keepalive_expiry=KEEP_ALIVE_S),
        event_hooks={"response": [bound]},
    )
    address = httpx2.URL(f"{endpoint.base_url.rstrip('/')}/chat/completions")
    limiter = Limiter(endpoint.max_concurrency, endpoint.patience_s, endpoint.backoff_s)
    try:
        connection = _connections[place] = Connection(client, address, limiter, key)
        yield connection
    finally:
        _connections.pop(place, None)
        await client.aclose()
