"""`rlm-eval serve`: serves the selected methods as an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Sequence

from benchmarks.commands.parser import Parser
from benchmarks.config.errors import ConfigError
from benchmarks.config.identity import model_name
from benchmarks.config.outside_runs import compose_outside_runs
from benchmarks.config.schema import RunConfig, ServerSettings
from benchmarks.config.several import sections_of

SERVER_LIMITS = ("max_body_bytes", "max_requests", "body_timeout_s")


def main(argv: Sequence[str]) -> int:
    """Serve until interrupted; prints `listening: http://HOST:PORT`. Raises ConfigError."""
    parser = Parser(
        prog="rlm-eval serve",
        description="Serve methods as an OpenAI-compatible endpoint, each as METHOD/MODEL, such as rlm/gpt-5. "
        "Keys: server.host, server.port (0 takes a free one), server.api_key_env; see docs/server.md.",
    )
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="KEY=VALUE", help="configuration, as for `rlm-eval run`"
    )
    words = parser.parse_intermixed_args(argv)
    config = compose_outside_runs(words.overrides)
    key = api_key(config.server)
    bound = bind(config.server)
    # The server raises a signal again after it has ended. A supervisor's TERM then ends this process like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with bound:
        return asyncio.run(_serve(config, bound, key))


def api_key(settings: ServerSettings) -> str | None:
    """Return the key that clients must send; None on loopback if none is configured. Raises ConfigError."""
    from rlm.server.app import is_loopback

    variable = settings.api_key_env
    key = os.environ.get(variable or "", "").strip()
    if variable and not key:
        raise ConfigError(f"server.api_key_env names {variable}, which is not set")
    if not key and not is_loopback(settings.host):
        raise ConfigError(
            f"server.host={settings.host} is not loopback: set server.api_key_env to the variable that holds a key"
        )
    return key or None


def bind(settings: ServerSettings) -> socket.socket:
    """Open a listening socket. Raises ConfigError if the port is taken or not allowed."""
    host, port = settings.host, settings.port
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        why = getattr(error, "strerror", None) or error
        hint = (
            "; server.port=0 takes a free port"
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            else ""
        )
        raise ConfigError(f"server.host={host} server.port={port}: {why}{hint}") from error
    bound.listen(512)
    return bound


async def _serve(config: RunConfig, bound: socket.socket, key: str | None) -> int:
    from benchmarks.config.methods import build_methods
    from benchmarks.running.model_set import ModelSet
    from rlm.methods.method import Method
    from rlm.server.app import make_app
    from rlm.server.connections import make_server

    models = ModelSet(config, None)
    try:
        roles = models.all_roles()
        served = {
            f"{name}/{model_name({'model': section})}": method
            for key, section in sections_of(config.plain["model"]).items()
            for name, method in build_methods(config, roles[key]).items()
            if isinstance(method, Method)
        }
        if not served:
            raise ConfigError("method: reference rows cannot be served; choose a method")
        app = make_app(served, api_key=key, **{name: getattr(config.server, name) for name in SERVER_LIMITS})
        server = make_server(app)
        running = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        print(f"serving: {', '.join(served)}", file=sys.stderr)
        print(f"listening: {_address(bound)}", flush=True)
        await running
    finally:
        await models.aclose()
    return 0


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
