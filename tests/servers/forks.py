"""Python programs as forks of one process that has imported the packages: each begins in milliseconds.

`Forks.start` is for tests as `subprocess.Popen([sys.executable, "-c", code, ...])` is: a process of its own with its
own environment, folder, arguments and output. Run as a script, this file is the process that forks.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Commands of rlm-eval and the servers of tests import these; none of them reads the environment when it is imported.
PRELOADED = (
    "aiohttp.web", "pandas", "pyarrow.dataset", "scipy.special", "hydra._internal.core_plugins", "openai",
    "matplotlib.backends.backend_agg", "matplotlib.pyplot", "rich", "benchmarks.commands.run", "benchmarks.running.run",
    "benchmarks.running.estimate", "benchmarks.report.build", "benchmarks.suites.sniah", "rlm.models.client",
    "rlm.methods.rlm",
)  # fmt: skip
LARGEST_REQUEST = 1 << 20
PR_SET_PDEATHSIG = 1


class Fork:
    """A running program, with the part of the interface of subprocess.Popen that tests use."""

    def __init__(self, status: socket.socket, stdout: int, stderr: int) -> None:
        self._status = status
        self.pid = int(status.recv(64))
        self.returncode: int | None = None
        self.stdout, self.stderr = os.fdopen(stdout, encoding="utf-8"), os.fdopen(stderr, encoding="utf-8")

    def poll(self) -> int | None:
        """The exit code, or None while the program runs."""
        with contextlib.suppress(BlockingIOError, TimeoutError):
            return self._read(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises TimeoutError."""
        return self._read(timeout)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; returns the rest of both outputs. Raises TimeoutError."""
        texts = ["", ""]

        def read(place: int, file: Any) -> None:
            texts[place] = file.read()

        threads = [threading.Thread(target=read, args=one) for one in enumerate((self.stdout, self.stderr))]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the program at once."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill the program and all of its process group, and close the files."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(60)
        for file in (self._status, self.stdout, self.stderr):
            file.close()

    def _read(self, timeout: float | None) -> int:
        if self.returncode is None:
            self._status.settimeout(timeout)
            self.returncode = os.waitstatus_to_exitcode(int(self._status.recv(64) or signal.SIGKILL))
        return self.returncode


class Forks:
    """The process that forks; `start`, `run` and `command` are available until `close`."""

    # The command line, as the code of a program.
    RLM_EVAL = "import sys; from benchmarks.cli import main; sys.exit(main(sys.argv[1:]))"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="forks-"))
        self._address = str(self._folder / "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._address)
            listener.listen(64)
            # It ends when its standard input does.
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                pass_fds=[listener.fileno()], stdin=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip

    def start(
        self, code: str, *words: str, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
    ) -> Fork:
        """Start `code` with the arguments `words`, in this process's environment and folder by default."""
        request = {"code": code, "words": words, "env": dict(os.environ if env is None else env)}
        status = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status.connect(self._address)
        (out, theirs_out), (err, theirs_err) = os.pipe(), os.pipe()
        files = [os.open(os.devnull, os.O_RDONLY), theirs_out, theirs_err]
        message = json.dumps(request | {"cwd": str(cwd or Path.cwd())}).encode()
        socket.send_fds(status, [message], files)
        for file in files:
            os.close(file)
        return Fork(status, out, err)

    def run(self, code: str, *words: str, timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `code` to its end; the options are those of `start`."""
        fork = self.start(code, *words, **options)
        try:
            stdout, stderr = fork.communicate(timeout)
            return subprocess.CompletedProcess(words, fork.wait(), stdout, stderr)
        finally:
            fork.close()

    def command(self, name: str, code: str) -> Path:
        """Return a folder for the PATH with a command `name` that runs `code`."""
        file = self._folder / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!{sys.executable} -IS\nADDRESS, CODE = {self._address!r}, {code!r}\n{COMMAND}")
        file.chmod(0o755)
        return file.parent

    def close(self) -> None:
        """End the process; it waits for no program."""
        self._process.stdin.close()
        self._process.wait(60)
        shutil.rmtree(self._folder)


# The command that `Forks.command` writes: it hands its arguments, environment, folder, files and signals to a fork.
COMMAND = """
import json, os, signal, socket, sys
status = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
status.connect(ADDRESS)
request = {"code": CODE, "words": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}
socket.send_fds(status, [json.dumps(request).encode()], [0, 1, 2])
pid = int(status.recv(64))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(pid, number))
code = os.waitstatus_to_exitcode(int(status.recv(64)))
sys.exit(code if code >= 0 else 128 - code)
"""


def serve(listener: socket.socket) -> Mapping[str, Any] | None:
    """Fork for each connection. Returns None when standard input ends, and in a fork its request."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    ready = selectors.DefaultSelector()
    for file in (0, listener, woken):
        ready.register(file, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj == 0:
                return None
            if key.fileobj == woken:
                os.read(woken, 4096)
                continue
            status = listener.accept()[0]
            message, files, *_ = socket.recv_fds(status, LARGEST_REQUEST, 3)
            # Libraries have threads that are idle here, of which Python 3.12 warns.
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for place, file in enumerate(files):
                    os.dup2(file, place)
                os.setsid()
                # It ends with the process that forks, which ends with the tests.
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                # From now on it can be signalled.
                status.send(str(os.getpid()).encode())
                for other in (listener, status, ready, *running.values()):
                    other.close()
            for file in (*files, *((woken, wake) if pid == 0 else ())):
                os.close(file)
            if pid == 0:
                return json.loads(message)
            running[pid] = status
        while running:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            with contextlib.suppress(OSError), running.pop(pid) as status:
                status.send(str(code).encode())


def main() -> None:
    """Import the packages, fork for each request, and carry the request out in the fork."""
    for name in PRELOADED:
        importlib.import_module(name)
    importlib.import_module("rlm.models.tokens").encoder()
    # A collection in a fork would copy the memory of all that is imported.
    gc.freeze()
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    if request is None:
        os._exit(0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["-c", *request["words"]]
    sys.path[:1] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os._exit(exit_code(request["code"]))


def exit_code(code: str) -> int:
    """Run a program and what it has registered for its end. The interpreter's own end would take half a second."""
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        result = 0
    except SystemExit as ended:
        result = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        result = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    return result


if __name__ == "__main__":
    main()
