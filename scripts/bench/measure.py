"""Rows, sizes, the scripted endpoint, and contenders that run in turn, for all parts."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PYTHON = sys.executable
US, US_UNSAFE = "rlm-eval", "rlm-eval, repl=unsafe"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlm-eval"
_LIMIT_S = 1200


@dataclass(frozen=True)
class Row:
    """One measured figure: `values` of `measure` (with its unit) for a case and a contender.

    ideal: the bound that no harness can go below. aim: `at most X` or `at least X` of the median, with `times ours` of
    the median over that of rlm-eval. note: differences in the work, such as unconfined cells.
    """

    case: str
    who: str
    measure: str
    values: Sequence[float]
    note: str = ""
    ideal: float | None = None
    aim: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass
class Bench:
    """The arguments of a part. tiny: sizes that run in seconds; the figures mean nothing."""

    tiny: bool = False
    repeats: int = 3
    peers: bool = True
    address: str = ""
    say: Callable[[str], None] = field(default=lambda line: print(line, file=sys.stderr, flush=True))

    def size(self, full: Any, tiny: Any) -> Any:
        """The size to measure: tiny or full."""
        return tiny if self.tiny else full

    def url(self, script: str, latency_ms: float = 0) -> str:
        """base_url of the scripted endpoint for a script and a latency."""
        return f"{self.address}/{script}/{latency_ms:g}/v1"

    def in_turn(self, contenders: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
        """The measurements of each contender: in each of `repeats` rounds the contenders run one after the other."""
        measured: dict[str, list[Any]] = {who: [] for who in contenders}
        for _ in range(self.repeats):
            for who, measure in contenders.items():
                measured[who].append(measure())
        return measured


def ours(task: str, **job: Any) -> dict[str, Any]:
    """Run a task of ours.py in a separate process."""
    return _driven([PYTHON, "-m", "scripts.bench.ours", task, json.dumps(job)])


def peer(name: str, **job: Any) -> dict[str, Any]:
    """Run the driver of a peer in the peer's environment."""
    return _driven([str(peer_python(name)), str(HERE / "peers" / f"{name}_driver.py"), json.dumps(job)])


def peer_python(name: str) -> Path:
    """The Python of a peer's pinned environment, which is made on the first call."""
    if name == "inspect":
        done = subprocess.run([ROOT / "scripts" / "tool_env", name], check=True, capture_output=True, text=True)
        return Path(done.stdout.strip(), "bin", "python")
    subprocess.run([ROOT / "scripts" / "setup_reference", name], check=True, stdout=subprocess.DEVNULL)
    return _CACHE / "reference" / name / "bin" / "python"


def _driven(command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_S, env=_environment())
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise SystemExit(f"bench: {' '.join(command[:4])[-120:]} ended with {done.returncode}: {last[:500]}")
    return json.loads(done.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    # Without variables that would send a peer's requests elsewhere.
    return {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "INSPECT_"))}


@contextmanager
def endpoint() -> Iterator[str]:
    """The address of a scripted endpoint in a separate process, until the block ends."""
    command = [PYTHON, str(HERE / "server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def requests_a_second(address: str, requests: int, connections: int = 50) -> float:
    """Requests per second of the endpoint, measured with bare sockets over persistent connections."""
    host, port = address.removeprefix("http://").split(":")
    body = json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": "word " * 200}]}).encode()
    head = b"POST /base/0/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)

    class Client(asyncio.Protocol):
        def __init__(self, count: int) -> None:
            self.left, self.got, self.done = count, 0, asyncio.get_running_loop().create_future()

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            transport.write(head + body)

        def data_received(self, data: bytes) -> None:
            self.left -= 1
            if self.left:
                self.transport.write(head + body)
            else:
                self.transport.close()
                self.done.set_result(None)

    async def ask() -> float:
        loop, each = asyncio.get_running_loop(), max(1, requests // connections)
        started = time.perf_counter()
        made = [await loop.create_connection(lambda: Client(each), host, int(port)) for _ in range(connections)]
        await asyncio.gather(*(client.done for _, client in made))
        return each * connections / (time.perf_counter() - started)

    return asyncio.run(ask())


def walls(measured: Sequence[Mapping[str, Any]]) -> list[float]:
    """The seconds of all timed completions."""
    return [wall for one in measured for wall in one["walls"]]


def has_deno() -> bool:
    """True if dspy's default interpreter can run here."""
    return shutil.which("deno") is not None
