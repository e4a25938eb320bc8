"""Landlock: the kernel interface by which a process gives up access to all files except those it names."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from .libc import checked, libc

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_DEVICES = 1 << 6 | 1 << 9 | 1 << 11  # make a character device, a socket, a block device
_IOCTL_DEV, _TRUNCATE = 1 << 15, 1 << 14
# The file rights of each version of the interface; bit 13 is REFER, 14 TRUNCATE, 15 IOCTL_DEV.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_ALL_NET, _ALL_SCOPES = 0b11, 0b11
_EXECUTE = 1
_RIGHTS_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

LIST = _READ_DIR
READ = _READ_FILE | _READ_DIR
DEVICE = _READ_FILE | _WRITE_FILE
WRITE = ((1 << 15) - 1) & ~_EXECUTE & ~_DEVICES


def abi() -> int:
    """Return the version of the interface that the kernel offers; 0 if there is none."""
    return max(0, libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1))


def restrict(rules: Iterable[tuple[str, int]]) -> None:
    """Restrict the calling thread to the named paths, each with its rights, which apply below a directory as well.

    If the kernel's version supports it, TCP, signals to other processes and abstract unix sockets are also refused.
    Requires no_new_privs. Raises OSError.
    """
    version = abi()
    handled = _FILE_RIGHTS[min(version, 5)] if version else 0
    attributes = struct.pack("<QQQ", handled, _ALL_NET, _ALL_SCOPES)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = checked(libc.syscall(_CREATE, attributes, ctypes.c_size_t(size), 0), "landlock")
    try:
        for path, rights in rules:
            _add(ruleset, path, rights & handled)
        checked(libc.syscall(_RESTRICT, ruleset, 0), "landlock")
    finally:
        os.close(ruleset)


def _add(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _RIGHTS_OF_A_FILE
        rule = struct.pack("<Qi", rights, parent)
        checked(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), "landlock")
    finally:
        os.close(parent)
