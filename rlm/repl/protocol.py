"""The Repl protocol: a Python session in a process of its own, as a method sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol

from annotated_types import Ge, Gt

from rlm.validation import make

HostFunction = Callable[..., Awaitable[Any]]
# The third is for machines whose namespaces must not be used, and for tests without them.
Confinement = Literal["confined", "unsafe", "confined-without-namespaces"]


class CellStatus(StrEnum):
    """How a cell ended. After `killed` the session is a new one: its context is back, its variables are gone."""

    OK = "ok"
    ERROR = "error"
    SYNTAX_ERROR = "syntax_error"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    KILLED = "killed"


@dataclass(frozen=True)
class ReplLimits:
    """The limits of a session. Times are in seconds, sizes in bytes, except for max_output_chars.

    cell_s: how long a cell may run before it is interrupted; grace_s: how long it then has before it is killed.
    The time that a cell waits for functions of the host counts.
    """

    cell_s: Annotated[float, Gt(0)] = 1800.0
    grace_s: Annotated[float, Gt(0)] = 3.0
    memory_bytes: Annotated[int, Gt(0)] = 4 << 30
    cpu_s: Annotated[int, Gt(0)] = 3600
    processes: Annotated[int, Gt(0)] = 64
    file_bytes: Annotated[int, Gt(0)] = 256 << 20
    scratch_bytes: Annotated[int, Gt(0)] = 512 << 20
    max_output_chars: Annotated[int, Ge(0)] = 20_000
    max_value_bytes: Annotated[int, Gt(0)] = 2 << 30


@dataclass(frozen=True)
class ReplSettings(ReplLimits):
    """The section `repl` of a configuration. max_output_chars is not a key of it: it comes from `limits`."""

    confinement: Confinement = "confined"

    @classmethod
    def of(cls, settings: ReplSettings | Mapping[str, Any], max_output_chars: int = 20_000) -> ReplSettings:
        """Check the settings of a session. Raises SettingError."""
        if isinstance(settings, ReplSettings):
            return replace(settings, max_output_chars=max_output_chars)
        made: ReplSettings = make(cls, settings, "repl", max_output_chars=max_output_chars)
        return made


@dataclass(frozen=True)
class CellResult:
    """What a cell did.

    stdout (with the value of a last bare expression, as an interactive session shows it) and stderr are cut to
    max_output_chars each, head and tail, with a line that says how much was cut; stdout_chars and stderr_chars are the
    full lengths. error is the traceback, cut to the cell's own lines. variables maps each name the cells have set to a
    short type such as `list[120]`. final: FINAL, FINAL_VAR or a ready `answer` was set by this cell, which ended well;
    `Repl.final` has the text. notice is a sentence for the model when the session was interrupted or started again.
    """

    status: CellStatus
    stdout: str = ""
    stderr: str = ""
    stdout_chars: int = 0
    stderr_chars: int = 0
    error: str | None = None
    error_type: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    final: bool = False
    notice: str | None = None
    wall_s: float = 0.0


class ReplError(Exception):
    """The session could not do what was asked: it could not be started, or it no longer answers."""


class UnknownVariable(ReplError):
    """A variable that does not exist; `names` are those that do."""

    def __init__(self, name: str, names: tuple[str, ...]) -> None:
        super().__init__(f"there is no variable {name!r}; there are: {', '.join(names) or 'none'}")
        self.names = names


class Repl(Protocol):
    """One session. Made by `rlm.repl.open_repl`; not for use from two tasks at once."""

    async def run(self, code: str, *, timeout_s: float | None = None) -> CellResult:
        """Run a cell. Whatever the cell does ends in a CellResult; ReplError is for a session that cannot go on."""
        ...

    async def value(self, name: str) -> str:
        """A variable as text: a str as it is, anything else by str(). Raises UnknownVariable or ReplError."""
        ...

    async def final(self) -> str:
        """The final answer that a cell has set. Raises ReplError where none is set."""
        ...

    async def aclose(self) -> None:
        """End the process and everything it left behind."""
        ...
