"""Separate namespaces for the fork server: a root with only Python's files, no network, no other processes."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
from collections.abc import Sequence
from pathlib import Path

from .libc import checked, libc

# Candidates for the scratch folder. The first one that hides no file of Python is used.
_SCRATCHES = ("/tmp", "/scratch")

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_KEPT_FLAGS = {_NOSUID: _NOSUID, _NODEV: _NODEV, _NOEXEC: _NOEXEC, 1024: 1024, 2048: 2048, 4096: 1 << 21}
_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
# The new root is built on this directory, which every system has and this program does not need.
_BUILD = "/proc"
_SCRATCH_FILES = 10_000


def enter() -> None:
    """Leave the host's namespaces; the next child is process 1 of the new ones. Raises OSError if not permitted.

    A privileged process needs no user namespace, so that each session can get a separate user id.
    """
    flags = _NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS
    user, group = os.geteuid(), os.getegid()
    try:
        _unshare(flags)
    except PermissionError:
        _unshare(flags | _NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def scratch_for(readable: Sequence[str]) -> str:
    """Return the path of the scratch folder in a root with the readable paths."""
    return next(path for path in _SCRATCHES if not any(f"{other}/".startswith(f"{path}/") for other in readable))


def build_root(readable: Sequence[str], hidden: Sequence[str]) -> None:
    """Make the file system of the sessions: the readable paths, read-only, without the hidden paths below them.

    Raises OSError.
    """
    socket.sethostname("repl")
    _mount(None, "/", None, _REC | _PRIVATE)
    _mount("tmpfs", _BUILD, "tmpfs", _NOSUID | _NODEV, "mode=755,size=4m")
    covers = []
    for path in sorted(readable, key=len):
        for cover in sorted(hidden, key=len):
            if cover not in covers and path.startswith(cover + "/"):
                _cover(cover)
                covers.append(cover)
        _bind(path, without=_NOSUID | _NODEV)
    for cover in hidden:
        if cover not in covers and Path(_BUILD + cover).is_dir():
            _cover(cover)
            covers.append(cover)
    for cover in covers:
        _mount(None, _BUILD + cover, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    # Read-only, so that a session cannot change the device's times. The device itself can still be written.
    _bind(os.devnull, without=_NOSUID | _NOEXEC)
    scratch = scratch_for(readable)
    Path(_BUILD + scratch).mkdir()
    # The C library puts semaphores there, which multiprocessing.pool.ThreadPool needs.
    if not Path(_BUILD + "/dev/shm").exists():
        Path(_BUILD + "/dev/shm").symlink_to(scratch)
    os.chdir(_BUILD)
    checked(libc.syscall(_PIVOT_ROOT[platform.machine()], b".", b"."))
    checked(libc.umount2(b".", _DETACH))
    os.chdir("/")
    _mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def own_scratch(path: str, size: int) -> None:
    """Give the calling process a private scratch folder, which disappears with the process. Raises OSError."""
    _unshare(_NEWNS)
    options = f"size={size},nr_inodes={_SCRATCH_FILES},mode=777"
    _mount("scratch", path, "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)
    os.chdir(path)


def own_user(user: int) -> None:
    """Become a user whose processes are counted separately. Raises OSError."""
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        _unshare(_NEWUSER)


def available(readable: Sequence[str], hidden: Sequence[str]) -> str | None:
    """Try all of the above in a separate process. Returns None, or the reason why it does not work."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            enter()
            if (grandchild := os.fork()) == 0:
                _try(readable, hidden, writing)
            os.waitpid(grandchild, 0)
        except OSError as error:
            os.write(writing, str(error).encode()[:500])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        reason = stream.read().decode(errors="replace")
    os.waitpid(child, 0)
    return None if reason == "works" else reason or "the trial ended early"


def _try(readable: Sequence[str], hidden: Sequence[str], writing: int) -> None:
    try:
        build_root(readable, hidden)
        own_scratch(scratch_for(readable), 1 << 20)
        own_user(1 << 30)
        os.write(writing, b"works")
    except OSError as error:
        os.write(writing, str(error).encode()[:500])
    finally:
        os._exit(0)


def _bind(path: str, *, without: int) -> None:
    """Make a path of the host visible in the new root, read-only and with the mount flags `without`."""
    target = Path(_BUILD + path)
    if Path(path).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif Path(path).exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    else:
        return
    _mount(path, str(target), None, _BIND | _REC)
    # The restrictions of an outer mount cannot be removed and must be repeated.
    flags = os.statvfs(target).f_flag
    kept = sum(mount for stat, mount in _KEPT_FLAGS.items() if flags & stat and not without & mount)
    _mount(None, str(target), None, _REMOUNT | _BIND | _RDONLY | without | kept)


def _cover(path: str) -> None:
    _mount("tmpfs", _BUILD + path, "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m")


def _unshare(flags: int) -> None:
    checked(libc.unshare(flags))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    text = [None if part is None else part.encode() for part in (source, target, kind, options)]
    checked(libc.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3]), target)
