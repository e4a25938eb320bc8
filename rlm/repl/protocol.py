"""The Repl protocol: the interface of a Python session in a separate process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol

from annotated_types import Ge, Gt

from rlm.validation import make

HostFunction = Callable[..., Awaitable[Any]]
# The third is for machines on which namespaces must not be used, and for tests without them.
Confinement = Literal["confined", "unsafe", "confined-without-namespaces"]
# The part of a long output that is kept: both ends, or its beginning alone.
OutputCut = Literal["head_tail", "head"]


class CellStatus(StrEnum):
    """The end of a cell. After `killed`, the session has been restarted with its context and without its variables."""

    OK = "ok"
    ERROR = "error"
    SYNTAX_ERROR = "syntax_error"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    KILLED = "killed"


@dataclass(frozen=True)
class ReplLimits:
    """The limits of a session. Times are in seconds, sizes in bytes, except for max_output_chars.

    cell_s: the time after which a cell is interrupted; grace_s: the further time after which it is killed. The time
    that a cell waits for host functions counts.
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
    """The result of a cell.

    stdout (with the value of a last bare expression, as in an interactive session) and stderr are each shortened to
    max_output_chars, with a line in place of the missing characters that states their number; stdout_chars and
    stderr_chars are the full lengths. error: the traceback, limited to lines of cells. variables: the names that cells
    have set, with a short type such as `list[120]`. final: this cell succeeded and set FINAL, FINAL_VAR or a ready
    `answer`; `Repl.final` has the text. notice: a sentence for the model, if the session was interrupted or restarted.
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
    """A session could not be started, or does not answer."""


class UnknownVariable(ReplError):
    """A variable that does not exist. `names`: the variables that exist."""

    def __init__(self, name: str, names: tuple[str, ...]) -> None:
        super().__init__(f"there is no variable {name!r}; known: {', '.join(names) or 'none'}")
        self.names = names


class Repl(Protocol):
    """One session, made by `rlm.repl.open_repl`. It serves one task at a time."""

    async def run(self, code: str, *, timeout_s: float | None = None) -> CellResult:
        """Run a cell. Every outcome of the cell is a CellResult. Raises ReplError if the session cannot continue."""
        ...

    async def value(self, name: str) -> str:
        """Return a variable as text, by str(). Raises UnknownVariable or ReplError."""
        ...

    async def final(self) -> str:
        """Return the final answer that a cell has set. Raises ReplError if none is set."""
        ...

    async def aclose(self) -> None:
        """End the process and remove everything that it left."""
        ...
