"""The C library, whose system calls confinement makes."""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str = "") -> int:
    """Return the result of a call of the C library. Raises OSError, which names `what` failed, if it is negative."""
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}" if what else os.strerror(error))
    return result
