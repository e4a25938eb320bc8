"""The fork server: a warm Python process that starts each session as a child, in a few milliseconds.

The host starts it as a separate process that shares only one socket with it. The first process stays outside the
namespaces and ends the others when the host ends; its child is the server.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import platform
import select
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NoReturn

from . import confine, landlock, namespaces, wire
from .worker import Worker

# Modules that cells commonly use, imported once and shared by all sessions.
_WARM = (
    "re json math cmath collections itertools functools operator datetime time random statistics string textwrap csv "
    "io concurrent.futures asyncio threading queue difflib heapq bisect copy decimal fractions dataclasses enum typing "
    "pprint hashlib base64 unicodedata html html.parser urllib.parse xml.etree.ElementTree ast inspect traceback "
    "tempfile pathlib contextlib glob fnmatch shutil struct zlib gzip pickle uuid types abc calendar locale logging "
    "warnings pydoc sqlite3 zoneinfo argparse numpy encodings.idna encodings.utf_16 encodings.latin_1 encodings.cp1252 "
    "multiprocessing.pool concurrent.futures.thread concurrent.futures.process codecs platform secrets array"
)
_MAX_REQUEST_BYTES = 1 << 16
_DESCRIPTORS = 3


class _PackageFinder:
    """Finds only the third-party packages that a cell may import."""

    def __init__(self, packages: dict[str, str]) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        where = self._packages.get(name)
        if where is None:
            return None
        if where.endswith(".py"):
            return importlib.util.spec_from_file_location(name, where)
        return importlib.util.spec_from_file_location(name, f"{where}/__init__.py", submodule_search_locations=[where])


@dataclass(frozen=True)
class _Plan:
    """The confinement of sessions on this machine. missing: the reason why it is below the minimum, or None."""

    confined: bool
    layers: confine.Layers
    layout: confine.Layout
    missing: str | None

    @property
    def has_namespaces(self) -> bool:
        return self.confined and not self.missing and self.layers.has_namespaces


def main(arguments: str) -> None:
    """Serve until the host closes the control socket or ends. arguments: JSON from the host."""
    config = json.loads(arguments)
    # Cells must not import from the folder of this module.
    del sys.path[0]
    control = socket.socket(fileno=config["control"])
    host = os.pidfd_open(config["host_pid"])
    if os.getppid() != config["host_pid"]:
        return
    with contextlib.suppress(OSError):
        # If the machine runs out of memory, the kernel ends sessions first.
        Path("/proc/self/oom_score_adj").write_text("800")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    layout = confine.find_layout(config["packages"], config["extras"])
    sys.meta_path.append(_PackageFinder(layout.packages))
    _warm_up(layout)
    plan = _make_plan(layout, config)
    if plan.has_namespaces:
        namespaces.enter()
    server = os.fork()
    if server == 0:
        confine.die_with_parent()
        os.close(host)
        # Sessions of different runners get different user ids.
        _serve(control, plan, config["host_pid"] << 12)
        os._exit(0)
    control.close()
    _watch(host, server)


def _make_plan(layout: confine.Layout, config: dict[str, Any]) -> _Plan:
    if not config["confined"]:
        return _Plan(False, confine.Layers("not used", 0), layout, None)
    reason = namespaces.available(layout.readable, layout.hidden) if config["namespaces"] else "switched off"
    layers = confine.Layers(reason, landlock.abi())
    return _Plan(True, layers, layout, confine.missing(layers, platform.machine()))


def _watch(host: int, server: int) -> None:
    """Wait for the end of the server; end it when the host ends."""
    child = os.pidfd_open(server)
    poll = select.poll()
    poll.register(host, select.POLLIN)
    poll.register(child, select.POLLIN)
    if host in [descriptor for descriptor, _ in poll.poll()]:
        signal.pidfd_send_signal(child, signal.SIGKILL)
    os.waitpid(server, 0)


def _warm_up(layout: confine.Layout) -> None:
    names = _WARM.split()
    for folder in layout.folders:
        # Imported now, because their shared libraries are outside Python's folders and could not be loaded later.
        names += [path.name.partition(".")[0] for path in Path(folder).glob("lib-dynload/*.so")]
        names += [path.name.partition(".")[0] for path in Path(folder).glob("*.so")]
    for name in names:
        if not name.startswith(("_test", "_xx", "xx", "_tkinter", "_ctypes_test")):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    # Sessions may not use epoll, which is the default of asyncio.
    vars(selectors)["DefaultSelector"] = selectors.PollSelector


def _serve(control: socket.socket, plan: _Plan, number: int) -> None:
    base_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    if plan.has_namespaces:
        namespaces.build_root(plan.layout.readable, plan.layout.hidden)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    state = {"missing": plan.missing, "namespaces": plan.layers.namespaces, "landlock": plan.layers.landlock}
    sys.path[:] = list(plan.layout.folders)
    # Hidden, because the command line shows the project's path.
    sys.argv[:] = sys.orig_argv[:] = [""]
    gc.collect()
    gc.freeze()
    while True:
        request, descriptors = _receive(control)
        if request is None:
            return
        number += 1
        try:
            child = os.fork()
        except OSError as error:
            # Too little memory or too many processes: running sessions continue.
            _send_line(descriptors[0], {"failed": f"no process could be made: {error.strerror}"}, [])
        else:
            if child == 0:
                control.close()
                _become_session(request["limits"], descriptors, plan, base_bytes, number)
            _announce(descriptors[0], child, state)
        for descriptor in descriptors:
            os.close(descriptor)


def _receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    while True:
        raw, ancillary, _, _ = control.recvmsg(_MAX_REQUEST_BYTES, socket.CMSG_SPACE(4 * _DESCRIPTORS))
        if not raw:
            return None, []
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        if len(descriptors) == _DESCRIPTORS:
            return json.loads(raw), list(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _announce(channel: int, child: int, state: dict[str, Any]) -> None:
    """Send the host a descriptor for signals to the session, and the state of confinement, before any other message."""
    try:
        pidfd = os.pidfd_open(child)
    except OSError as error:
        _send_line(channel, {"failed": f"its process cannot be opened: {error.strerror}"}, [])
        return
    _send_line(channel, state | {"pid": child}, [pidfd])
    os.close(pidfd)


def _send_line(channel: int, line: dict[str, Any], descriptors: list[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(channel)) as end:
        end.sendmsg([json.dumps(line).encode() + b"\n"], rights)


def _become_session(
    limits: dict[str, int], descriptors: list[int], plan: _Plan, base_bytes: int, number: int
) -> NoReturn:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        channel = _only_descriptors(descriptors)
        try:
            if plan.missing:
                raise OSError(plan.missing)
            if plan.confined:
                confine.confine(plan.layers, plan.layout, limits, base_bytes=base_bytes, number=number)
            else:
                os.setsid()
                confine.limit(limits, base_bytes=base_bytes, threads=None)
                confine.die_with_parent()
        except OSError as error:
            # Wait for the first message of the host, which comes after the server's announcement.
            channel.recv(1)
            channel.sendall(wire.encode({"t": "refused", "message": str(error)}))
            os._exit(1)
        os.environ.clear()
        Worker(channel, 4, 5).serve()
    finally:
        os._exit(1)


def _only_descriptors(descriptors: list[int]) -> socket.socket:
    """Close everything except empty standard streams, the channel as 3, and the memory as 4 and 5."""
    null = os.open(os.devnull, os.O_RDWR)
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 100) for descriptor in descriptors]
    for target in (0, 1, 2):
        os.dup2(null, target)
    for target, descriptor in enumerate(high, start=3):
        os.dup2(descriptor, target, inheritable=False)
    os.closerange(3 + _DESCRIPTORS, 1 << 16)
    return socket.socket(fileno=3)
