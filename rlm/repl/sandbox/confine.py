"""Confines the process of a session before it runs any code: limits, files, privileges, system calls."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import landlock, namespaces, seccomp
from .libc import checked, libc

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 1, 8, 38
_DAC_READ_SEARCH = 1 << 2
_CAPABILITY_VERSION = 0x20080522
_FIRST_USER, _USERS = 0x70000000, 1 << 28
# This also bounds pipes, sockets and the kernel memory of their buffers, of about 200 KB for each socket.
_OPEN_FILES = 128
# The number of threads of a session besides those of its cells: the main thread and the one that reads the channel.
_OWN_THREADS = 2


@dataclass(frozen=True)
class Layout:
    """The files of Python that a session may read.

    folders: those of the standard library. hidden: folders below them that sessions may not read. packages: paths by
    name.
    """

    folders: tuple[str, ...]
    hidden: tuple[str, ...]
    packages: dict[str, str]
    extras: tuple[str, ...]

    @property
    def readable(self) -> tuple[str, ...]:
        return (*self.folders, *self.packages.values(), *self.extras)

    @property
    def scratch(self) -> str:
        """The folder that a session may write to, if it has a separate root."""
        return namespaces.scratch_for(self.readable)


@dataclass(frozen=True)
class Layers:
    """The available layers. namespaces: None, or the reason why they do not work.

    landlock: its version, 0 if absent.
    """

    namespaces: str | None
    landlock: int

    @property
    def has_namespaces(self) -> bool:
        return self.namespaces is None


def find_layout(packages: dict[str, str], extras: list[str]) -> Layout:
    """Return the layout for this interpreter and the given third-party packages."""
    folders = tuple(folder for folder in sys.path if Path(folder).is_dir())
    hidden = tuple(f"{folder}/{name}" for folder in folders for name in ("site-packages", "dist-packages"))
    return Layout(folders, tuple(path for path in hidden if Path(path).is_dir()), packages, tuple(extras))


def limit(limits: dict[str, int], *, base_bytes: int, threads: int | None) -> None:
    """Set the resource limits. base_bytes: address space already in use. threads: None if they cannot be counted."""
    values = {
        resource.RLIMIT_AS: base_bytes + limits["memory_bytes"],
        resource.RLIMIT_CPU: limits["cpu_s"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    if threads is not None:
        values[resource.RLIMIT_NPROC] = threads
    for which, value in values.items():
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))
    # If the signal is ignored, a write past the file size limit raises OSError.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def confine(layers: Layers, layout: Layout, limits: dict[str, int], *, base_bytes: int, number: int) -> None:
    """Confine the calling process, session `number`, permanently. Raises OSError if a layer fails."""
    separate = layers.has_namespaces
    count = limits["processes"] + _OWN_THREADS
    if separate:
        namespaces.own_scratch(layout.scratch, limits["scratch_bytes"])
        namespaces.own_user(_own_user(number))
        threads: int | None = count
        capabilities = 0
    else:
        os.chdir("/")
        threads, capabilities = _user_without_namespaces(layout, number, count)
    limit(limits, base_bytes=base_bytes, threads=threads)
    # Set after the change of user, which clears it.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _keep_capabilities(capabilities)
    if layers.landlock:
        landlock.restrict(_separate_root(layout) if separate else _readable_only(layout))
    seccomp.install(seccomp.program(os.getpid(), own_files=separate))


def _own_user(number: int) -> int:
    return _FIRST_USER + number % _USERS


def _separate_root(layout: Layout) -> list[tuple[str, int]]:
    return [("/", landlock.READ), (layout.scratch, landlock.WRITE), (os.devnull, landlock.DEVICE)]


def _readable_only(layout: Layout) -> Iterator[tuple[str, int]]:
    yield os.devnull, landlock.DEVICE
    for path in (*layout.packages.values(), *layout.extras):
        yield path, landlock.READ
    for folder in layout.folders:
        # Rights apply to everything below a folder. To exclude hidden folders, all other entries are listed.
        yield folder, landlock.LIST
        for entry in os.scandir(folder):
            if entry.path not in layout.hidden:
                yield entry.path, landlock.READ


def _user_without_namespaces(layout: Layout, number: int, count: int) -> tuple[int | None, int]:
    """Become a separate user if the process is root; returns the limit on threads and the capabilities to keep.

    The kernel counts threads by user, except those of root. If only root may read Python's files, the new user keeps
    the capability to read, which Landlock bounds.
    """
    if os.geteuid() != 0:
        return _threads_of(os.geteuid()) + count, 0
    keep = 0 if all(map(_open_to_all, layout.readable)) else _DAC_READ_SEARCH
    if keep & ~_permitted():
        return None, 0
    user = _own_user(number)
    try:
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return None, 0
    return count, keep


def _open_to_all(path: str) -> bool:
    folders = [Path(path), *Path(path).parents]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders if folder.is_dir())


def _threads_of(user: int) -> int:
    threads = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == user:
                threads += sum(1 for _ in os.scandir(f"{entry.path}/task"))
        except OSError:
            continue
    return threads


def _permitted() -> int:
    data = (ctypes.c_uint32 * 6)()
    checked(libc.capget((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), data))
    return data[1]


def _keep_capabilities(keep: int) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    checked(libc.capset(header, (ctypes.c_uint32 * 6)(keep, keep)))


def _prctl(option: int, value: int) -> None:
    checked(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def missing(layers: Layers, machine: str) -> str | None:
    """Return the reason why this machine lacks the minimum confinement, in one line; None if it has it."""
    if machine not in seccomp.ARCHITECTURES:
        return f"no seccomp filter is known for {machine}"
    if not layers.has_namespaces and not layers.landlock:
        return f"the kernel offers no Landlock, and no namespaces either: {layers.namespaces}"
    return None


def die_with_parent() -> None:
    """Ask the kernel to kill the calling process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
