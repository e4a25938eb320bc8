"""Prints the current step of a command at regular intervals during steps that print nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

# The maximum number of seconds for which a command prints nothing.
QUIET_S = 4.0
_POLL_S = 0.25


class Heartbeat:
    """Prints `line()` on standard error whenever nothing was printed for QUIET_S seconds; used as a context manager.

    A thread prints, so that a busy event loop does not delay the lines.
    """

    def __init__(self, line: Callable[[], str | None]) -> None:
        self._line = line
        self._said_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def say(self, text: str) -> None:
        """Print a line at once."""
        self._said_at = time.monotonic()
        print(text, file=sys.stderr, flush=True)

    def _beat(self) -> None:
        while not self._ended.wait(_POLL_S):
            if time.monotonic() - self._said_at >= QUIET_S and (text := self._line()):
                self.say(text)


class Busy:
    """Shows the current step of a command on standard error: at once on a terminal, elsewhere every few seconds.

    Used as a context manager. step: a text such as `reading the runs`; None shows nothing.
    """

    def __init__(self, step: str | None = None) -> None:
        self._step = step
        self._began = time.monotonic()
        self._status: Status | None = None
        self._heartbeat = Heartbeat(self._line)

    def __enter__(self) -> Busy:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.status import Status

            self._status = Status("", console=Console(stderr=True))
            self.step(self._step)
        else:
            self._heartbeat.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status:
            self._status.stop()
        else:
            self._heartbeat.__exit__()

    def step(self, step: str | None) -> None:
        """Show another step."""
        self._step = step
        if self._status and step is None:
            self._status.stop()
        elif self._status:
            self._status.update(step)
            self._status.start()

    def _line(self) -> str | None:
        return None if self._step is None else f"{self._step}, {time.monotonic() - self._began:.0f} s"
