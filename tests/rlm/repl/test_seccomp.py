"""Decisions of the filter of system calls, found by running its program as the kernel does."""

import os
import struct

import pytest

from rlm.repl.sandbox import seccomp

PID = 4242
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {
    "x86_64": {"read": 0, "openat": 257, "clone": 56, "clone3": 435, "kill": 62, "fcntl": 72, "socketpair": 53,
               "sendto": 44, "truncate": 76, "socket": 41, "ptrace": 101, "execve": 59, "memfd_create": 319,
               "close_range": 436},
    "aarch64": {"read": 63, "openat": 56, "clone": 220, "clone3": 435, "kill": 129, "fcntl": 25, "socketpair": 199,
                "sendto": 206, "truncate": 45, "socket": 198, "ptrace": 117, "execve": 221, "memfd_create": 279,
                "close_range": 436},
}  # fmt: skip
MACHINES = pytest.mark.parametrize("machine", ARCHITECTURES)


def decide(machine, number, *arguments, own_files=False, architecture=None):
    """`allowed`, `refused` or `killed`."""
    six = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *six)
    instructions = list(struct.iter_unpack("<HBBI", seccomp.program(PID, own_files=own_files, machine=machine)))
    at = value = 0
    while True:
        operation, yes, no, constant = instructions[at]
        at += 1
        if operation == 0x20:
            (value,) = struct.unpack_from("<I", data, constant)
        elif operation == 0x54:
            value &= constant
        elif operation == 0x06:
            return {0x7FFF0000: "allowed", 0x80000000: "killed"}.get(constant, "refused")
        else:
            holds = {0x15: value == constant, 0x35: value >= constant}[operation]
            at += yes if holds else no


def call(machine, name, *arguments, **options):
    return decide(machine, NUMBERS[machine][name], *arguments, **options)


@MACHINES
@pytest.mark.parametrize("more", [0, os.O_CREAT, os.O_CLOEXEC | os.O_NONBLOCK])
@pytest.mark.parametrize(
    ("access", "outcome"), [(os.O_RDONLY, "refused"), (os.O_WRONLY, "allowed"), (os.O_RDWR, "allowed"), (3, "refused")]
)
def test_without_a_separate_root_only_an_opening_for_writing_truncates(machine, access, outcome, more):
    assert call(machine, "openat", 0, 0, access | more | os.O_TRUNC) == outcome
    assert call(machine, "openat", 0, 0, access | more) == "allowed"
    assert call(machine, "openat", 0, 0, access | more | os.O_TRUNC, own_files=True) == "allowed"


@MACHINES
def test_calls_allowed_for_some_arguments_only(machine):
    other = PID + 1
    assert call(machine, "kill", PID, 9) == "allowed"
    assert {call(machine, "kill", pid, 9) for pid in (other, 0, 1, 2**32 - 1)} == {"refused"}
    assert [call(machine, "clone", flags) for flags in (0x10400, 0x3D0F00, 17)] == ["allowed", "allowed", "refused"]
    # A thread with a table of descriptors of its own would have a limit of its own on open files.
    assert [call(machine, "clone", flags) for flags in (0x10000, 0x400)] == ["refused", "refused"]
    assert [call(machine, "close_range", 3, 9, flags) for flags in (0, 4, 2, 6)] == [
        "allowed",
        "allowed",
        "refused",
        "refused",
    ]
    assert [call(machine, "fcntl", 3, command) for command in (3, 8, 10, 1031)] == ["allowed", *["refused"] * 3]
    assert [call(machine, "socketpair", *pair) for pair in ((1, 1), (1, 2), (1, 5), (2, 1))] == [
        "allowed", "refused", "refused", "refused",
    ]  # fmt: skip
    assert call(machine, "sendto", 3, 0, 1, 0, 0) == "allowed"
    assert {call(machine, "sendto", 3, 0, 1, 0, address) for address in (1, 1 << 32)} == {"refused"}


@MACHINES
@pytest.mark.parametrize("own_files", [True, False])
def test_calls_on_no_list_are_refused(machine, own_files):
    for name in ("socket", "ptrace", "execve", "memfd_create", "clone3"):
        assert call(machine, name, own_files=own_files) == "refused"
    assert decide(machine, 9999, own_files=own_files) == "refused"
    assert call(machine, "read", own_files=own_files) == "allowed"


@MACHINES
def test_changes_by_path_need_a_separate_root(machine):
    assert (call(machine, "truncate"), call(machine, "truncate", own_files=True)) == ("refused", "allowed")


@MACHINES
def test_calls_of_another_architecture_end_the_session(machine):
    assert call(machine, "read", architecture=0x40000003) == "killed"
    if machine == "x86_64":
        assert decide(machine, 0x40000000) == "killed"
