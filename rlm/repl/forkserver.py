"""The host's handle of the fork server, which starts the sessions. There is one server per process and confinement."""

from __future__ import annotations

import array
import atexit
import contextlib
import importlib.machinery
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from rlm.repl.protocol import ReplError, ReplLimits

# Packages that a cell may import besides the standard library, and the packages that these import.
PACKAGES = ("numpy", "pandas", "dateutil", "six", "pytz", "tzdata")
_EXTRAS = ("/usr/share/zoneinfo",)
_START = "import sys; sys.path.insert(0, sys.argv[1]); from sandbox.server import main; main(sys.argv[2])"
_ENVIRONMENT = {
    # Limit linear algebra to one thread, because the server must have no other thread when it forks.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Each arena reserves 64 MB of the address space that memory_bytes bounds.
    "MALLOC_ARENA_MAX": "2",
    # Huge pages, if the kernel has them, halve the time to load a long context.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
_END_S = 5.0


class ForkServer:
    """A fork server process, safe to use from several threads and event loops: a request is one message."""

    def __init__(self, *, confined: bool, namespaces: bool = True) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        packages, extras = _packages()
        config = {
            "control": theirs.fileno(),
            "host_pid": os.getpid(),
            "confined": confined,
            "namespaces": namespaces,
            "packages": packages,
            "extras": [*extras, *_EXTRAS],
        }
        command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _START]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(Path(__file__).parent), json.dumps(config)],
                env=_ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in a terminal reaches only the runner, which ends its sessions.
                start_new_session=True,
            )
        ours.setblocking(False)
        self._control = ours
        self._owner = os.getpid()

    @property
    def alive(self) -> bool:
        """False if the server has ended, and in a fork of the host, which needs a separate server."""
        return self._owner == os.getpid() and self._process.poll() is None

    def ask(self, limits: ReplLimits, descriptors: Sequence[int]) -> None:
        """Request a session. descriptors: its channel, context and outbox.

        Raises BlockingIOError if the server has too many requests, and OSError if it has ended.
        """
        request = json.dumps({"limits": asdict(limits)}).encode()
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        self._control.sendmsg([request], [rights])

    def close(self) -> None:
        """End the server and every session it started."""
        if self._owner != os.getpid():
            return
        self._control.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# The kind of a server: (confined, with separate namespaces).
_MODES = {"confined": (True, True), "confined-without-namespaces": (True, False), "unsafe": (False, False)}
_servers: dict[str, ForkServer] = {}
_lock = threading.Lock()


def check_platform() -> None:
    """Raise ReplError on a platform without sessions, confined or not."""
    if not sys.platform.startswith("linux"):
        raise ReplError(f"sessions need Linux, this is {sys.platform}: run in a Linux container or virtual machine")


def server_for(confinement: str) -> ForkServer:
    """Return the running server for a kind of confinement, started if necessary."""
    check_platform()
    with _lock:
        server = _servers.get(confinement)
        if server is None or not server.alive:
            if server is not None:
                server.close()
            confined, namespaces = _MODES[confinement]
            server = _servers[confinement] = ForkServer(confined=confined, namespaces=namespaces)
        return server


@atexit.register
def close_servers() -> None:
    """End all fork servers of this process. The next session starts a new one."""
    with _lock:
        while _servers:
            with contextlib.suppress(OSError):
                _servers.popitem()[1].close()


@cache
def _packages() -> tuple[dict[str, str], list[str]]:
    """Return the paths of the importable packages, and the folders with their shared libraries."""
    packages, extras = {}, []
    for name in PACKAGES:
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        packages[name] = str(origin.parent if spec.submodule_search_locations else origin)
        libraries = origin.parent.parent / f"{name}.libs"
        if libraries.is_dir():
            extras.append(str(libraries))
    return packages, extras
