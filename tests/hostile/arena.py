"""The world outside the sessions. It runs the attacks in one session and checks for damage after each.

A script, run by the user whose rights are tested. Arguments: an empty folder, the kind of confinement, the project, the
names of attacks. It prints a JSON object with the damage of each attack, null for none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from attacks import ATTACKS, PRELUDE

from rlm.limits import LimitReached, StopReason
from rlm.repl import open_repl
from rlm.repl.protocol import CellResult, CellStatus, Repl, ReplError, ReplLimits

LIMITS = ReplLimits(
    cell_s=20.0, grace_s=0.3, memory_bytes=1 << 30, cpu_s=20, processes=16, file_bytes=16 << 20, scratch_bytes=32 << 20,
    max_output_chars=20_000, max_value_bytes=64 << 20,
)  # fmt: skip
BUDGET = 100
# Seconds after which an attack is stopped.
ATTACK_S = 0.6
# The seconds that a program started by an attack sleeps, as an integer.
NAP_S = 30
# The key of the kernel objects that attacks create.
KEY = 0x524C4D
# The largest memory of all processes together during one attack.
MEMORY_BYTES = 3 << 30
NUMBERS = {
    "x86_64": {"ptrace": 101, "clone": 56, "socket": 41, "shmget": 29, "keyctl": 250, "syslog": 103, "init_module": 175,
               "reboot": 169, "kexec_load": 246, "perf_event_open": 298, "userfaultfd": 323, "bpf": 321, "seccomp": 317,
               "process_vm_readv": 310, "tgkill": 234, "tkill": 200, "rt_sigqueueinfo": 129, "finit_module": 313,
               "pivot_root": 155, "io_setup": 206, "name_to_handle_at": 303, "open_by_handle_at": 304, "semget": 64,
               "msgget": 68, "mq_open": 240, "personality": 135, "inotify_init1": 294, "fanotify_init": 300,
               "ioprio_set": 251, "sched_setattr": 314},
    "aarch64": {"ptrace": 117, "clone": 220, "socket": 198, "shmget": 194, "keyctl": 219, "syslog": 116,
                "init_module": 105, "reboot": 142, "kexec_load": 104, "perf_event_open": 241, "userfaultfd": 282,
                "bpf": 280, "seccomp": 277, "process_vm_readv": 270, "tgkill": 131, "tkill": 130,
                "rt_sigqueueinfo": 138, "finit_module": 273, "pivot_root": 41, "io_setup": 0, "name_to_handle_at": 264,
                "open_by_handle_at": 265, "semget": 190, "msgget": 186, "mq_open": 180, "personality": 92,
                "inotify_init1": 26, "fanotify_init": 262, "ioprio_set": 30, "sched_setattr": 274},
}  # fmt: skip
NEW_NUMBERS = {"io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "pidfd_open": 434, "clone3": 435,
               "openat2": 437, "pidfd_getfd": 438}  # fmt: skip


class Errors(logging.Handler):
    """Keeps what the host logs as an error, such as an exception in the event loop."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record with its traceback."""
        self.lines.append(self.format(record))


ERRORS = Errors()


class Arena:
    """Files, servers, processes and a neighbour that no attack may touch."""

    def __init__(self, home: Path, confinement: str, number: int) -> None:
        self.confinement = confinement
        self.canary = os.environ["CANARY_KEY"]
        self.folder = home / f"run-{number}"
        self.folder.mkdir()
        self.secret, self.journal = self.folder / "secret", self.folder / "journal"
        self.secret.write_text(self.canary)
        self.journal.write_text("one line\n")
        (self.folder / self.canary).touch()
        self.stdlib = Path(sysconfig.get_path("stdlib"))
        self.leaked = os.open(self.secret, os.O_RDONLY)
        os.set_inheritable(self.leaked, True)
        self.received: list[str] = []
        self.calls = 0
        self.open_calls = 0

    async def start(self) -> None:
        """Open the servers, the victim and the neighbour."""
        loop = asyncio.get_running_loop()

        async def seen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.received.append("a connection")
            writer.close()

        tcp = await asyncio.start_server(seen, "127.0.0.1", 0)
        self.port = tcp.sockets[0].getsockname()[1]
        self.servers = [tcp]
        self.path = str(self.folder / "socket")
        self.servers.append(await asyncio.start_unix_server(seen, self.path))
        self.abstract = f"hostile-{os.getpid()}-{self.folder.name}"
        self.servers.append(await asyncio.start_unix_server(seen, "\0" + self.abstract))
        arena = self

        class Datagrams(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                arena.received.append("a datagram")

        udp, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
        self.udp_port = udp.get_extra_info("sockname")[1]
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        plain.bind(self.path + ".dgram")
        await loop.create_datagram_endpoint(Datagrams, sock=plain)
        self.victim = subprocess.Popen(["sleep", "600"])
        self.neighbour = await self.open("the neighbour's context")
        made = await self.neighbour.run(f"kept = 'kept'\nopen('note', 'w').write({self.canary!r})")
        # Without namespaces a session has no scratch folder.
        self.has_scratch = made.status == CellStatus.OK
        self.attacker = await self.open("the attacker's context")
        self.before = self.state()

    async def open(self, context: str) -> Repl:
        """A session with one function that has a budget and one without."""

        async def llm_query(prompt: str) -> str:
            """Ask."""
            if self.calls >= BUDGET:
                raise LimitReached(StopReason.MAX_SUB_CALLS, "max_sub_calls (100) is reached")
            self.calls += 1
            self.open_calls += 1
            try:
                await asyncio.sleep(0.01)
            finally:
                self.open_calls -= 1
            return "answer"

        async def echo(prompt: str) -> str:
            """Say it again."""
            return prompt

        names = {
            "SECRET": str(self.secret), "FOLDER": str(self.folder), "JOURNAL": str(self.journal), "PORT": self.port,
            "UDP_PORT": self.udp_port, "SOCKET_PATH": self.path, "ABSTRACT": self.abstract, "VICTIM": self.victim.pid,
            "HOST": os.getpid(), "GROUP": os.getpgid(0), "PROJECT": sys.argv[3], "STDLIB": str(self.stdlib),
            "NEIGHBOUR": "/tmp/note", "KEY": KEY, "NR": NUMBERS[platform.machine()] | NEW_NUMBERS,
        }  # fmt: skip
        functions = {"llm_query": llm_query, "echo": echo}
        return await open_repl(context, functions, limits=LIMITS, data=names, confinement=self.confinement)

    def state(self) -> dict[str, Any]:
        """The state that must not change."""
        files = {
            name: (file.read_text(), s.st_mode, s.st_uid, s.st_mtime, s.st_nlink, sorted(os.listxattr(file)))
            for name, file in (("secret", self.secret), ("journal", self.journal))
            for s in [file.stat()]
        }
        pid = self.victim.pid
        return {
            "files": files,
            "folder": sorted(path.name for path in self.folder.iterdir()),
            "stdlib": sorted(path.name for path in self.stdlib.iterdir()),
            "os.py": (self.stdlib / "os.py").stat().st_size,
            "received": list(self.received),
            "victim": (self.victim.poll(), os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid),
                       sorted(os.sched_getaffinity(pid)), resource.prlimit(pid, resource.RLIMIT_CPU)),
            "kernel objects": [kind.name for kind in Path("/proc/sysvipc").glob("*") if f" {KEY} " in kind.read_text()],
            "host name": socket.gethostname(),
            "sleeping programs": sleepers(),
            "errors of the host": list(ERRORS.lines),
        }  # fmt: skip

    async def attack(self, name: str) -> str | None:
        """Run an attack; returns None, or the damage."""
        self.calls = 0
        result = await self.attacker.run(PRELUDE + ATTACKS[name], timeout_s=ATTACK_S)
        made = self.calls
        with contextlib.suppress(ReplError, TimeoutError):
            await asyncio.wait_for(self.attacker.final() if result.final else self.attacker.value("value"), 5)
        # A signal or a call may arrive a moment later.
        await asyncio.sleep(0.03)
        if self.calls != made:
            return f"{self.calls - made} calls were made after the cell"
        return await self.damage(result)

    async def damage(self, result: CellResult) -> str | None:
        """The first fault in the attacker's result or in the world."""
        texts = [result.stdout, result.stderr, result.error or "", result.error_type or ""]
        shown = " ".join([*texts, *result.variables, *result.variables.values()])
        if self.canary in shown:
            return "it read the canary"
        if "BREACH" in result.stdout:
            return f"a forbidden action succeeded: {result.stdout[:200]}"
        if len(shown) > 100_000:
            return "its result is too long"
        if self.calls > BUDGET or self.open_calls:
            return f"{self.calls} calls were made, {self.open_calls} are in progress"
        after = self.state()
        for key, value in self.before.items():
            if after[key] != value:
                return f"{key} changed from {value} to {after[key]}"
        tree = own_tree()
        threads = sum(thread_count(pid) for pid in tree)
        if len(tree) > 8 or threads > 80:
            return f"{len(tree)} processes and {threads} threads are left"
        if (used := sum(map(memory, tree))) > MEMORY_BYTES:
            return f"the processes hold {used >> 20} MB"
        note = "open('note').read()[:6]" if self.has_scratch else "'canary'"
        near = await self.neighbour.run(f"print(kept, {note})")
        if near.stdout != "kept canary\n":
            return f"the neighbour has changed: {near}"
        again = await self.attacker.run("1 + 1")
        if again.stdout != "2\n":
            # A cell may break its own session for good; the next session must work.
            await self.attacker.aclose()
            self.attacker = await self.open("the attacker's context")
            again = await self.attacker.run("1 + 1")
        if again.status != CellStatus.OK or again.stdout != "2\n":
            return f"no session works: {again}"
        return None

    async def close(self) -> None:
        """Close everything that `start` opened."""
        await self.attacker.aclose()
        await self.neighbour.aclose()
        self.victim.kill()
        self.victim.wait()
        for server in self.servers:
            server.close()


def own_tree(root: int | None = None) -> set[int]:
    """A process, by default this one, and its descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    tree = {root or os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def thread_count(pid: int) -> int:
    """Threads of a process."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def sleepers() -> int:
    """Running programs that only an attack on this runner starts."""
    count, command = 0, f"sleep\0{NAP_S}.{os.getpid()}\0".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            count += (folder / "cmdline").read_bytes() == command
        except OSError:
            continue
    return count


async def main(home: Path, confinement: str, names: list[str]) -> dict[str, str | None]:
    """Run the named attacks one after the other; after damage the next one gets a new arena."""
    arena, done = None, {}
    for number, name in enumerate(names):
        if arena is None:
            arena = Arena(home, confinement, number)
            await arena.start()
        try:
            async with asyncio.timeout(30):
                done[name] = await arena.attack(name)
        except Exception as error:
            done[name] = f"the runner met {type(error).__name__}: {error}"
        if done[name] is not None:
            await arena.close()
            arena = None
    if arena is not None:
        await arena.close()
    return done


if __name__ == "__main__":
    logging.getLogger().addHandler(ERRORS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[4])))))
