"""The metering endpoint serves a call tree's models to another process, in OpenAI's format on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlm.completion import Completion, StopReason, Usage, one_line
from rlm.limits import LimitReached, Limits
from rlm.methods.base import read_answer
from rlm.methods.subcalls import SubCallFailed, check_prompt_size
from rlm.models.chat import ChatModel, ContextOverflow, FatalModelError, ModelError
from rlm.prompt import Message
from rlm.trajectory import OnEvent, Trajectory
from rlm.tree import ROOT, SUB, CallTree

ROOT_MODEL, SUB_MODEL = "root", "sub"
# Concurrency is limited by the model client.
_MANY = 100_000


class MeteredCalls:
    """Passes incoming calls to the tree: calls to `root` at depth 0, calls to `sub` at depth 1.

    ended: set when no later call can succeed; `end` is the reason. overflow: set if the root's last call was too long.
    """

    def __init__(self, tree: CallTree, root: ChatModel, sub: ChatModel) -> None:
        self.tree = tree
        self.models = {ROOT_MODEL: root, SUB_MODEL: sub}
        self.ended = asyncio.Event()
        self.end: LimitReached | FatalModelError | None = None
        self.overflow: ContextOverflow | None = None
        self._turn: int | None = None
        self._turns = 0

    async def call(self, name: str, messages: Sequence[Message]) -> Completion:
        """Make one call. A failure returns a completion without an answer, which the server reports as an error.

        The call continues if its client disconnects, because it is already paid for.
        """
        return await self.tree.shielded(self._call(name, messages))

    async def _call(self, name: str, messages: Sequence[Message]) -> Completion:
        is_root = name == ROOT_MODEL
        if is_root:
            self._turns += 1
            self._turn = self.tree.trajectory.record("turn", turn=self._turns)
            self.tree.counts.turns += 1
            self.overflow = None
        role, depth = (ROOT, 0) if is_root else (SUB, 1)
        try:
            if not is_root:
                check_prompt_size("".join(message["content"] for message in messages), self.tree.meter.limits)
            # Nothing is reserved for a last call, because the other library does not make one.
            reply = await self.tree.call(
                self.models[name], messages, role=role, depth=depth, parent=self._turn, closing=True
            )
        except (LimitReached, FatalModelError) as end:
            self.end = self.end or end
            self.ended.set()
            return _failed(StopReason.ERROR, end)
        except ContextOverflow as overflow:
            self.overflow = overflow if is_root else self.overflow
            return _failed(StopReason.CONTEXT_OVERFLOW, overflow)
        except SubCallFailed as refused:
            # Clients do not repeat a request that is too long.
            return _failed(StopReason.CONTEXT_OVERFLOW, refused)
        except ModelError as error:
            return _failed(StopReason.ERROR, error)
        answer = read_answer(reply)
        return Completion(
            reply.text or None, answer.stop_reason, Usage(reply.usage, reply.cost), Trajectory(),
            truncated=answer.truncated,
        )  # fmt: skip


@dataclass(frozen=True)
class MeteringEndpoint:
    """The address and key of a metering endpoint, and its calls. base_url ends in /v1."""

    base_url: str
    api_key: str
    calls: MeteredCalls


@contextlib.asynccontextmanager
async def metering_endpoint(tree: CallTree, root: ChatModel, sub: ChatModel) -> AsyncIterator[MeteringEndpoint]:
    """Serve the models `root` and `sub` on a free port of 127.0.0.1, with a new key, until the block ends."""
    import uvicorn

    from rlm.server.app import make_app

    calls, key = MeteredCalls(tree, root, sub), secrets.token_hex(16)
    methods = {name: _OneCall(calls, name) for name in calls.models}
    app = make_app(methods, api_key=key, max_requests=_MANY)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))
    # Keep the run's handling of Ctrl-C.
    vars(server)["capture_signals"] = _no_signals
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not (server.started or serving.done()):
                await asyncio.sleep(0.005)
            yield MeteringEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", key, calls)
        finally:
            server.should_exit = server.force_exit = True
            await serving


def _failed(reason: StopReason, error: Exception) -> Completion:
    return Completion(None, reason, Usage(), Trajectory(), error=one_line(error))


class _OneCall:
    """A method for the server: each completion is one call of the tree."""

    limits = Limits()

    def __init__(self, calls: MeteredCalls, name: str) -> None:
        self._calls = calls
        self._name = name

    async def acompletion(
        self, messages: Sequence[Message], *, limits: Limits | None = None, on_event: OnEvent | None = None
    ) -> Any:
        return await self._calls.call(self._name, messages)


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    yield
