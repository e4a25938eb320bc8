"""EmbeddedModel: small weights on the CPU behind llama.cpp's HTTP server, which starts with the first call."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Annotated

from annotated_types import Ge, Interval, MinLen

from rlm.models.chat import FatalModelError, ModelError, Reply, Sampling
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel
from rlm.models.embedded.weights import Weights, known_weights, sha256_of_parts
from rlm.paths import expand_home
from rlm.validation import check_fields

DEFAULT_WEIGHTS = "smollm2-135m"
INSTALL = "pip install 'rlm-eval[local]'"
START_S = 120.0
DEFAULT_SAMPLING = Sampling(temperature=0.0, max_output_tokens=512, seed=0)


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of a server process; models with equal settings share one.

    context_window: tokens of one slot, at most those that known weights were trained on. slots: requests answered at
    the same time. threads: None uses all CPUs that this process may use. weights: a name of `rlm-eval models`, or the
    path of a GGUF file.
    """

    context_window: Annotated[int, Ge(64)] = 4096
    slots: Annotated[int, Interval(ge=1, le=64)] = 2
    threads: Annotated[int, Interval(ge=1, le=512)] | None = None
    weights: Annotated[str, MinLen(1)] = DEFAULT_WEIGHTS

    def __post_init__(self) -> None:
        check_fields(self, "")
        if self.known is not None and self.context_window > self.known.context_window:
            raise ValueError(
                f"context_window is {self.context_window}: expected at most {self.known.context_window}, the window of "
                f"{self.known.name}"
            )

    @property
    def known(self) -> Weights | None:
        return known_weights().get(self.weights)

    @property
    def name(self) -> str:
        return self.known.model if self.known else Path(self.weights).stem

    @property
    def tokens_a_second(self) -> tuple[int, int]:
        """Tokens of prompts and replies per second on two CPUs. Other files get those of the slowest known weights."""
        known = [self.known] if self.known else known_weights().values()
        return min((one.reads, one.writes) for one in known)


class EmbeddedModel:
    """A ChatModel on this machine's CPU, without a key or a network; see ServerSettings for its settings.

    The server starts with the first call. It is restarted if it dies, and ends when the last model that uses it is
    closed or when this process ends. At temperature 0 equal calls in the same order get equal replies. llama.cpp adds
    numbers in another order for one token than for several, so the part of a prompt that it has cached, and with
    several slots the calls beside it, can change the last bits of the logits and, rarely, a word. Raises ValueError
    for a setting that does not fit.
    """

    def __init__(
        self,
        context_window: int = 4096,
        slots: int = 2,
        threads: int | None = None,
        weights: str = DEFAULT_WEIGHTS,
        sampling: Sampling | None = None,
    ) -> None:
        self.settings = ServerSettings(context_window=context_window, slots=slots, threads=threads, weights=weights)
        self.name = self.settings.name
        self.context_window: int | None = context_window
        self.sampling = sampling or DEFAULT_SAMPLING
        self._server: _Server | None = None
        self._client: OpenAIModel | None = None

    def __repr__(self) -> str:
        return f"EmbeddedModel({self.name!r}, context_window={self.context_window}, slots={self.settings.slots})"

    @cached_property
    def identity(self) -> str:
        """A part of this model's keys in the cache: its weights and window, without the port of its server."""
        known = self.settings.known
        file = known.sha256 if known else sha256_of_parts(expand_home(self.settings.weights))
        # Recordings of the default weights were made under a key without the sum.
        shown = "" if known and known.name == DEFAULT_WEIGHTS else f":{file[:16]}"
        return f"embedded:{self.name}{shown}:{self.context_window}"

    @property
    def weights_sha256(self) -> str | None:
        """The SHA-256 of known weights; None for another file."""
        return self.settings.known.sha256 if self.settings.known else None

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer. Raises ContextOverflow, FatalModelError (the server cannot be started) or ModelError."""
        client = await self._connected()
        try:
            return await client.complete(messages, epoch=epoch, occurrence=occurrence)
        except ModelError:
            if self._server is None or self._server.alive:
                raise
        client = await self._connected()
        return await client.complete(messages, epoch=epoch, occurrence=occurrence)

    async def aclose(self) -> None:
        """Release the server, which ends when no other model uses it."""
        client, self._client, self._server = self._client, None, None
        if client is not None:
            await client.aclose()
        await asyncio.to_thread(_release, self.settings, id(self))

    async def _connected(self) -> OpenAIModel:
        if self._client is None or self._server is None or not self._server.alive:
            server = await asyncio.to_thread(_acquire, self.settings, id(self))
            if server is not self._server or self._client is None:
                if self._client is not None:
                    await self._client.aclose()
                self._server = server
                endpoint = Endpoint(f"{server.url}/v1", max_concurrency=self.settings.slots, max_retries=2, free=True)
                self._client = OpenAIModel(
                    self.name, endpoint, context_window=self.context_window, sampling=self.sampling
                )
        return self._client


def find_weights(given: str = DEFAULT_WEIGHTS) -> Path:
    """Return the GGUF file with a name or a path; a known file is checked against its SHA-256.

    Raises ValueError with what to do if the file or llama.cpp is missing.
    """
    if find_spec("xllamacpp") is None:
        raise ValueError(f"the embedded model needs xllamacpp: {INSTALL}")
    if given in known_weights():
        return known_weights()[given].find()
    path = expand_home(given)
    if not _is_gguf(path):
        names = ", ".join(known_weights())
        raise ValueError(f"weights is {given!r}: expected one of {names}, or the path of a GGUF file")
    return path.resolve()


def _is_gguf(path: Path) -> bool:
    try:
        # Opening a pipe would wait for its writer.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


class _Server:
    """A running server process, and the ids of the models that use it."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.users: set[int] = set()
        arguments = {
            "weights": str(find_weights(settings.weights)),
            "name": settings.name,
            "n_ctx": settings.context_window * settings.slots,
            "slots": settings.slots,
            "threads": settings.threads or _cores(),
            "parent": os.getpid(),
        }
        program = Path(__file__).with_name("server.py")
        with tempfile.TemporaryFile() as log:
            # -P keeps Python from searching the program's own folder for modules.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(program), json.dumps(arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                # Threads that spin while they wait make the server a hundred times slower on a busy machine.
                env=os.environ | {"OMP_WAIT_POLICY": "passive"},
            )
            self.url = self._address(log)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _address(self, log: IO[bytes]) -> str:
        late = threading.Timer(START_S, self._process.kill)
        late.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
        finally:
            late.cancel()
        report = json.loads(line) if line else {}
        if "url" in report:
            return str(report["url"])
        status = self._process.wait()
        log.seek(0)
        lines = log.read().decode("utf-8", "replace").split("\n")
        last = next((text.strip() for text in reversed(lines) if text.strip()), f"it ended with status {status}")
        self.stop()
        raise FatalModelError(
            f"the embedded model's server did not start with weights={self.settings.weights}, "
            f"context_window={self.settings.context_window}, slots={self.settings.slots}: "
            f"{report.get('error', last)[:300]}"
        )


_servers: dict[ServerSettings, _Server] = {}
_servers_lock = threading.Lock()


def _acquire(settings: ServerSettings, user: int) -> _Server:
    """Return the running server with these settings, started if necessary."""
    with _servers_lock:
        server = _servers.get(settings)
        if server is not None and not server.alive:
            server.stop()
            server = None
        if server is None:
            try:
                server = _servers[settings] = _Server(settings)
            except (ValueError, OSError) as error:
                raise FatalModelError(str(error)) from error
        server.users.add(user)
        return server


def _release(settings: ServerSettings, user: int) -> None:
    with _servers_lock:
        server = _servers.get(settings)
        if server is not None:
            server.users.discard(user)
            if not server.users:
                del _servers[settings]
                server.stop()


@atexit.register
def _stop_all() -> None:
    with _servers_lock:
        while _servers:
            _servers.popitem()[1].stop()


def _cores() -> int:
    # sched_getaffinity exists only on Linux.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
