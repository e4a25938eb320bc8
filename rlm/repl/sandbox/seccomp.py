"""The system calls that a confined session may make: an allow list as a seccomp filter in classic BPF."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from .libc import checked, libc

ARCHITECTURES = ("x86_64", "aarch64")

# name: number on x86_64, number on aarch64; None if an architecture has no such call.
# No epoll: its watches are counted against a quota of the user, and six sessions could use up that of the seventh.
_ALWAYS: dict[str, tuple[int | None, int | None]] = {
    # descriptors
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "lseek": (8, 62),
    "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69),
    "pwritev": (296, 70), "preadv2": (327, 286), "pwritev2": (328, 287), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24), "pipe": (22, None), "pipe2": (293, 59), "sendfile": (40, 71), "copy_file_range": (326, 285),
    "flock": (73, 32), "fsync": (74, 82), "fdatasync": (75, 83), "ftruncate": (77, 46), "fallocate": (285, 47),
    "fadvise64": (221, 223), "readahead": (187, 213), "select": (23, None), "pselect6": (270, 72), "poll": (7, None),
    "ppoll": (271, 73), "eventfd2": (290, 19),
    "timerfd_create": (283, 85), "timerfd_settime": (286, 86), "timerfd_gettime": (287, 87),
    # files, restricted by Landlock or the mount namespace
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "stat": (4, None), "lstat": (6, None),
    "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44),
    "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "readlink": (89, None),
    "readlinkat": (267, 78), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "link": (86, None), "linkat": (265, 37),
    "unlink": (87, None), "unlinkat": (263, 35), "symlink": (88, None), "symlinkat": (266, 36), "umask": (95, 166),
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216),
    "msync": (26, 227), "mincore": (27, 232), "madvise": (28, 233), "membarrier": (324, 283),
    # own signals, threads and time
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "pause": (34, None),
    "futex": (202, 98), "futex_waitv": (449, 449), "set_tid_address": (218, 96), "set_robust_list": (273, 99),
    "get_robust_list": (274, 100), "rseq": (334, 293), "restart_syscall": (219, 128), "sched_yield": (24, 124),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "getitimer": (36, 102),
    "setitimer": (38, 103), "alarm": (37, None), "exit": (60, 93), "exit_group": (231, 94), "wait4": (61, 260),
    "waitid": (247, 95), "arch_prctl": (158, None),
    # facts about the process itself
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getpgrp": (111, None), "getpgid": (121, 155),
    "getsid": (124, 156), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getresuid": (118, 148), "getresgid": (120, 150), "getgroups": (115, 158), "getrlimit": (97, 163),
    "getrusage": (98, 165), "getpriority": (140, 141), "sched_getparam": (143, 121), "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126), "sched_getaffinity": (204, 123),
    "getcpu": (309, 168), "getrandom": (318, 278), "uname": (63, 160), "sysinfo": (99, 179),
    # its own end of a pair of sockets; sendmsg could keep more descriptors in flight than the limit on open files
    "recvfrom": (45, 207), "recvmsg": (47, 212), "shutdown": (48, 210),
    "getsockname": (51, 204), "getpeername": (52, 205),
}  # fmt: skip

# Landlock does not restrict these. They are allowed only if a mount namespace holds only the session's files.
_OWN_FILES: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "utimensat": (280, 88),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "truncate": (76, 45), "creat": (85, None),
}  # fmt: skip

# Allowed for some arguments only; see _conditions.
_OPEN, _OPENAT = (2, None), (257, 56)
_CLONE, _CLONE3, _OPENAT2 = (56, 220), (435, 435), (437, 437)
_FCNTL, _IOCTL, _PRCTL, _PRLIMIT = (72, 25), (16, 29), (157, 167), (302, 261)
_KILL, _TGKILL = (62, 129), (234, 131)
_CLOSE_RANGE = (436, 436)
_SOCKETPAIR, _SENDTO, _GETSOCKOPT = (53, 199), (44, 206), (55, 209)

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_CLONE_THREAD, _CLONE_FILES = 0x00010000, 0x00000400
_CLOSE_RANGE_FLAGS = (0, 4)  # without a flag, CLOSE_RANGE_CLOEXEC
# Not allowed: F_SETOWN and F_SETSIG, which can send any signal to any process of the same user, and F_SETPIPE_SZ.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
_IOCTL_COMMANDS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIO(N)CLEX
_PRCTL_OPTIONS = (3, 15, 16, 0x53564D41)  # PR_GET_DUMPABLE PR_SET_NAME PR_GET_NAME PR_SET_VMA
_SOCKET_OPTIONS = (3, 4, 7, 8, 30, 38, 39)  # SO_TYPE SO_ERROR SO_SNDBUF SO_RCVBUF SO_ACCEPTCONN SO_PROTOCOL SO_DOMAIN

_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2

Instruction = tuple[int, int, int, int]


def _refuse(error: int) -> Instruction:
    return (_RETURN, 0, 0, 0x00050000 | error)


def _low(argument: int) -> Instruction:
    return (_LOAD, 0, 0, 16 + 8 * argument)


def _high(argument: int) -> Instruction:
    return (_LOAD, 0, 0, 20 + 8 * argument)


def _one_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    """Allow the call if the low half of an argument is one of the values; the kernel reads the argument as an int."""
    tests = [(_JUMP_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [_low(argument), *tests, _refuse(errno.EPERM), (_RETURN, 0, 0, _ALLOW)]


def _conditions(pid: int, own_files: bool) -> list[tuple[tuple[int | None, int | None], list[Instruction]]]:
    allow = (_RETURN, 0, 0, _ALLOW)
    refuse = _refuse(errno.EPERM)
    # Threads must share one table of descriptors, so that the limit on open files bounds all of them together.
    thread = _CLONE_THREAD | _CLONE_FILES
    thread_only = [_low(0), (_AND, 0, 0, thread), (_JUMP_EQUAL, 1, 0, thread), refuse, allow]
    # Only a pair of connected stream sockets, because a datagram socket can send to any address.
    stream_pair = [
        _low(0), (_JUMP_EQUAL, 0, 3, 1),
        _low(1), (_AND, 0, 0, 0xF), (_JUMP_EQUAL, 1, 0, 1), refuse, allow,
    ]  # fmt: skip
    no_address = [_low(4), (_JUMP_EQUAL, 0, 2, 0), _high(4), (_JUMP_EQUAL, 1, 0, 0), refuse, allow]

    # Before ABI 3, Landlock misses a truncation by an open() without write access, such as access mode 3.
    def truncates(flags: int) -> list[Instruction]:
        return [
            _low(flags), (_AND, 0, 0, os.O_ACCMODE | os.O_TRUNC),
            (_JUMP_EQUAL, 1, 0, os.O_TRUNC), (_JUMP_EQUAL, 0, 1, os.O_ACCMODE | os.O_TRUNC), refuse, allow,
        ]  # fmt: skip

    opens = [(_OPEN, [allow] if own_files else truncates(1)), (_OPENAT, [allow] if own_files else truncates(2))]
    return [
        *opens,
        (_CLONE, thread_only),
        (_CLOSE_RANGE, _one_of(2, _CLOSE_RANGE_FLAGS)),
        # The C library falls back to clone and openat only if these calls do not exist.
        (_CLONE3, [_refuse(errno.ENOSYS)]),
        (_OPENAT2, [_refuse(errno.ENOSYS)]),
        (_FCNTL, _one_of(1, _FCNTL_COMMANDS)),
        (_IOCTL, _one_of(1, _IOCTL_COMMANDS)),
        (_PRCTL, _one_of(0, _PRCTL_OPTIONS)),
        (_PRLIMIT, _one_of(0, (0, pid))),
        (_KILL, _one_of(0, (pid,))),
        (_TGKILL, _one_of(0, (pid,))),
        (_SOCKETPAIR, stream_pair),
        (_SENDTO, no_address),
        (_GETSOCKOPT, _one_of(2, _SOCKET_OPTIONS)),
    ]


def program(pid: int, *, own_files: bool, machine: str | None = None) -> bytes:
    """Return the filter for the process `pid`.

    own_files: a mount namespace hides all files that the process may not use. Raises OSError (ENOSYS) for an unknown
    architecture.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no seccomp filter for {machine}")
    column = ARCHITECTURES.index(machine)
    code: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, 0),
    ]
    if machine == "x86_64":
        code += [(_JUMP_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL_PROCESS)]
    for numbers, block in _conditions(pid, own_files):
        if (number := numbers[column]) is not None:
            code += [(_JUMP_EQUAL, 0, len(block), number), *block]
    for numbers in (_ALWAYS | (_OWN_FILES if own_files else {})).values():
        if (number := numbers[column]) is not None:
            code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    code.append(_refuse(errno.EPERM))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(code: bytes) -> None:
    """Put the calling thread and its future children under the filter. Requires no_new_privs; raises OSError."""
    arguments = _Program(len(code) // 8, code)
    checked(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(arguments), 0, 0), "seccomp")
