"""A session of combinators: it has the interface of a Python session, and runs programs on the host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from rlm.limits import LimitReached
from rlm.methods.combinators.bound import Bound, Checker, Room
from rlm.methods.combinators.evaluate import Ask, Evaluator, as_text
from rlm.methods.combinators.language import CostFault, ProgramError, Statement, SyntaxFault, read_program
from rlm.methods.combinators.shapes import Shape, Value, chars_of, measured, shape_of
from rlm.methods.subcalls import SubCallFailed
from rlm.models.chat import FatalModelError, ModelError
from rlm.repl.protocol import CellResult, CellStatus, OutputCut, ReplError, UnknownVariable
from rlm.repl.results import cut

_TYPES = {str: "text", bool: "yes or no", int: "number", tuple: "pair", list: "list"}


class CombinatorSession:
    """Holds the values of one root's programs. It implements `rlm.repl.protocol.Repl`.

    A program is read, checked and bounded before anything runs. admit: gets the bound, and raises CostFault if it
    exceeds what is left. ask: makes a sub-call. room: bounds of a sub-call and of the host's work; the values of a
    session together have no more characters than one program may handle.
    """

    def __init__(
        self,
        context: str | Sequence[str],
        query: str,
        ask: Ask,
        admit: Callable[[Bound], None],
        room: Room,
        *,
        max_output_chars: int,
        output_cut: OutputCut = "head_tail",
        max_value_bytes: int | None = None,
    ) -> None:
        self._values: dict[str, Value] = {
            "context": context if isinstance(context, str) else list(context),
            "query": query,
        }
        self._shapes: dict[str, Shape] = {}
        self._ask = ask
        self._admit = admit
        self._room = room
        self._max_chars = max_output_chars
        self._output_cut: OutputCut = output_cut
        self._max_bytes = max_value_bytes
        self._final: str | None = None

    async def run(self, code: str, *, timeout_s: float | None = None) -> CellResult:
        """Check and run a program. Raises FatalModelError."""
        started, shown = time.perf_counter(), list[str]()
        status, error, kind, notice = CellStatus.OK, None, None, None
        self._final = None
        try:
            statements = read_program(code)
            checker, bound = await asyncio.to_thread(self._checked, statements)
            self._admit(bound)
            async with asyncio.timeout(timeout_s):
                await self._execute(statements, Evaluator(self._ask, checker.known), shown)
        except TimeoutError:
            status, notice = CellStatus.TIMEOUT, f"The program was stopped after {timeout_s:g} s."
        except ProgramError as fault:
            is_syntax = isinstance(fault, SyntaxFault)
            status, kind = CellStatus.SYNTAX_ERROR if is_syntax else CellStatus.ERROR, fault.kind
            error = f"{kind}: {fault}"
        except FatalModelError:
            raise
        except (LimitReached, SubCallFailed, ModelError) as failure:
            status, kind = CellStatus.ERROR, "SubCallError"
            error = f"{kind}: {' '.join(str(failure).split())}"
        if status != CellStatus.OK:
            self._final = None
        text = "\n".join(shown)
        return CellResult(
            status, cut(text, text, len(text), self._max_chars, self._output_cut), stdout_chars=len(text),
            error=None if error is None else cut(error, error, len(error), self._max_chars), error_type=kind,
            variables={name: _type(value) for name, value in self._values.items() if name not in ("context", "query")},
            final=self._final is not None, notice=notice, wall_s=time.perf_counter() - started,
        )  # fmt: skip

    async def value(self, name: str) -> str:
        """Return a variable as text; a list has a line for each item. Raises UnknownVariable and ReplError."""
        if name not in self._values:
            raise UnknownVariable(name, tuple(self._values))
        return self._bounded(as_text(self._values[name]))

    async def final(self) -> str:
        """Return the answer that the last program gave. Raises ReplError if it gave none."""
        if self._final is None:
            raise ReplError("no final answer is set")
        return self._bounded(self._final)

    async def aclose(self) -> None:
        """Drop all values."""
        self._values.clear()
        self._shapes.clear()

    def _checked(self, statements: Sequence[Statement]) -> tuple[Checker, Bound]:
        for name, value in self._values.items():
            if name not in self._shapes:
                self._shapes[name] = shape_of(value)
        checker = Checker(self._values, self._shapes, self._room)
        return checker, checker.program(statements)

    async def _execute(self, statements: Sequence[Statement], evaluator: Evaluator, shown: list[str]) -> None:
        for statement in statements:
            value = await evaluator.value(statement.value, self._values)
            if measured(value, self._room.work) > self._room.work:
                raise CostFault(f"a value would have more than {self._room.work:,} characters, which is the maximum")
            if statement.final:
                self._final = as_text(value)
            elif statement.name is None:
                shown.append(_shown(value))
            else:
                await self._store(statement.name, value)

    async def _store(self, name: str, value: Value) -> None:
        # Tokens of long texts are counted in a thread.
        shapes: Mapping[str, Shape] = {**self._shapes, name: (shape := await asyncio.to_thread(shape_of, value))}
        stored = sum(chars_of(one) for key, one in shapes.items() if key not in ("context", "query"))
        if stored > self._room.work:
            raise CostFault(f"the variables would hold {stored:,} characters, and {self._room.work:,} are allowed")
        self._values[name], self._shapes[name] = value, shape

    def _bounded(self, text: str) -> str:
        size = len(text.encode("utf-8", "surrogatepass"))
        if self._max_bytes is not None and size > self._max_bytes:
            raise ReplError(
                f"the value has {size:,} bytes: expected at most {self._max_bytes:,} (limits.max_answer_bytes)"
            )
        return text


def _shown(value: Value) -> str:
    if not isinstance(value, list):
        return as_text(value)
    lines = [f"{number}: {as_text(item)}" for number, item in enumerate(value)]
    return "\n".join([f"a list of {len(value)}", *lines])


def _type(value: Value) -> str:
    size = f"[{len(value)}]" if isinstance(value, str | list) else ""
    return _TYPES[type(value)] + size
