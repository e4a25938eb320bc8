"""Checks the layers of confinement that this machine offers, for `rlm-eval doctor` and before a run."""

from __future__ import annotations

import asyncio
import os
import platform
from typing import Any

from rlm.blocking import run_blocking
from rlm.repl.forkserver import check_platform
from rlm.repl.memory import outbox
from rlm.repl.process import Process
from rlm.repl.protocol import ReplError, ReplLimits
from rlm.repl.results import reason_of
from rlm.repl.sandbox import seccomp

_TRIAL_S = 60.0


def layers() -> list[tuple[str, bool, str]]:
    """Return the layers of confinement as (name, available, details).

    Starts a trial session, which takes about a second.
    """
    layer = "linux"
    try:
        check_platform()
        layer = "session"
        state, refused = run_blocking(_trial())
    except ReplError as error:
        return [(layer, False, str(error))]
    separate, version = state["namespaces"] is None, state["landlock"]
    machine = platform.machine()
    return [
        ("namespaces", separate, "separate root, users, processes, network" if separate else state["namespaces"]),
        ("landlock", version > 0, f"version {version} of its interface" if version else "not offered by this kernel"),
        ("seccomp", machine in seccomp.ARCHITECTURES, f"allow list for {machine}"),
        ("session", refused is None, refused or "a confined session started"),
    ]


def check_confinement() -> None:
    """Raise ReplError if sessions cannot be confined on this machine."""
    check_platform()
    _, refused = run_blocking(_trial())
    if refused is not None:
        raise ReplError(
            f"sessions cannot be confined on this machine: {refused}; `rlm-eval doctor` lists the layers, and "
            "repl=unsafe runs model-written code without protection"
        )


async def _trial() -> tuple[dict[str, Any], str | None]:
    """Start a confined session and end it. Returns the layers as the fork server reports them, and a refusal."""
    start: dict[str, Any] = {
        "t": "start",
        "functions": [],
        "data": {},
        "answer": "none",
        "context": None,
        "max_output_chars": 0,
    }
    memory = outbox()
    try:
        process = await Process.start(ReplLimits(), {}, "confined", memory, memory)
        try:
            reply = process.ask(start, "ready", "refused")
            await asyncio.wait({reply}, timeout=_TRIAL_S)
            answer = reply.result() if reply.done() else None
        finally:
            await process.aclose()
    except OSError as error:
        raise ReplError(f"a trial session failed: {error}") from error
    finally:
        os.close(memory)
    if answer is None:
        raise ReplError("a trial session ended without an answer")
    return process.state, reason_of(answer) if answer["t"] == "refused" else None
