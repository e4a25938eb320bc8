"""Checks the layers of confinement that this machine offers, for `rlm-eval doctor` and before a run."""

from __future__ import annotations

import array
import json
import os
import platform
import socket
import sys
from typing import Any

from rlm.repl.forkserver import ForkServer
from rlm.repl.memory import outbox
from rlm.repl.protocol import ReplError, ReplLimits
from rlm.repl.sandbox import seccomp, wire

_TRIAL_S = 60.0


def layers() -> list[tuple[str, bool, str]]:
    """Return the layers of confinement as (name, available, details).

    Starts a trial session, which takes about a second.
    """
    if not sys.platform.startswith("linux"):
        return [("linux", False, f"sessions need Linux, this is {sys.platform}")]
    try:
        state, refused = _trial()
    except ReplError as error:
        return [("session", False, str(error))]
    separate, version = state["namespaces"] is None, state["landlock"]
    machine = platform.machine()
    return [
        ("namespaces", separate, "separate root, users, processes, network" if separate else state["namespaces"]),
        ("landlock", version > 0, f"version {version} of its interface" if version else "not offered by this kernel"),
        ("seccomp", machine in seccomp.ARCHITECTURES, f"allow list for {machine}"),
        ("session", refused is None, refused or "a confined session started"),
    ]


def check_platform() -> None:
    """Raise ReplError on a platform without sessions, confined or not."""
    if not sys.platform.startswith("linux"):
        raise ReplError(f"sessions need Linux, this is {sys.platform}: run in a Linux container or virtual machine")


def check_confinement() -> None:
    """Raise ReplError if sessions cannot be confined on this machine."""
    check_platform()
    refused = _trial()[1]
    if refused is not None:
        raise ReplError(
            f"sessions cannot be confined on this machine: {refused}; `rlm-eval doctor` lists the layers, and "
            "repl=unsafe runs model-written code without protection"
        )


def _trial() -> tuple[dict[str, Any], str | None]:
    """Start a confined session and end it. Returns the fork server's state, and the reason if it refused."""
    server = ForkServer(confined=True)
    ours, theirs = socket.socketpair()
    memory = outbox()
    try:
        with ours:
            ours.settimeout(_TRIAL_S)
            with theirs:
                server.ask(ReplLimits(), (theirs.fileno(), memory, memory))
            line, ancillary, _, _ = ours.recvmsg(4096, socket.CMSG_SPACE(4))
            for _, _, data in ancillary:
                os.close(array.array("i", data)[0])
            if not line:
                raise ReplError("the fork server could not be started")
            state = json.loads(line)
            if "failed" in state:
                raise ReplError(state["failed"])
            ours.sendall(wire.encode(empty_start()))
            head, text = wire.sizes(_exactly(ours, wire.SIZES.size))
            reply = wire.decode(_exactly(ours, head), _exactly(ours, text))
        return state, None if reply["t"] == "ready" else str(reply.get("message"))
    except OSError as error:
        raise ReplError(f"a trial session failed: {error}") from error
    finally:
        os.close(memory)
        server.close()


def empty_start() -> dict[str, Any]:
    """Return the first message to a session without context, functions and data."""
    return {"t": "start", "functions": [], "data": {}, "answer": "none", "context": None, "max_output_chars": 0}


def _exactly(channel: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = channel.recv(size - len(got))
        if not part:
            raise ConnectionError("it ended at once")
        got += part
    return got
