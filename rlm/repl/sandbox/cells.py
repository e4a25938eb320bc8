"""Runs cells one after the other in one namespace, as an interactive session does."""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import io
import linecache
import sys
import traceback
import types
from collections.abc import Mapping
from typing import Any, NoReturn

from .output import Output

_FLAGS = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_MAX_NAMES = 500
# The number of last frames of a traceback that are kept. A cell that raises the recursion limit can make a million.
_MAX_FRAMES = 2000
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset, range)
_AS_ARRAYS = ("numpy", "pandas")


class BudgetExceeded(BaseException):
    """The budget of this task is spent, so no further call can be made. A BaseException, so that the cell ends."""

    __module__ = "builtins"


class SubCallError(RuntimeError):
    """A call to a host function failed."""

    __module__ = "builtins"


class Cells:
    """The namespace of a session, its output streams and its final answer.

    answer: `final_tags` defines FINAL and FINAL_VAR, `answer_variable` the variable `answer`, `none` neither.
    show_vars: defines SHOW_VARS.
    """

    def __init__(
        self, variables: Mapping[str, Any], answer: str, max_output_chars: int, show_vars: bool = False
    ) -> None:
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.namespace = module.__dict__
        self.final: str | None = None
        self._max_output_chars = max_output_chars
        self._answer = answer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._out, self._err = Output(max_output_chars), Output(max_output_chars)
        self._set_builtins()
        self.namespace |= {"BudgetExceeded": BudgetExceeded, "SubCallError": SubCallError}
        if answer == "final_tags":
            self.namespace |= {"FINAL": self._make_final(), "FINAL_VAR": self._make_final_var()}
        elif answer == "answer_variable":
            self.namespace["answer"] = {"content": "", "ready": False}
        if show_vars:
            self.namespace["SHOW_VARS"] = self._make_show_vars()
        self.namespace |= variables
        self._given = dict(self.namespace)

    def run(self, number: int, code: str) -> dict[str, Any]:
        """Run a cell; returns the body of the message `done`."""
        name = f"<cell {number}>"
        sys.stdout, sys.stderr = self._out, self._err
        self.final = None
        status, error = "ok", None
        try:
            body, last = _compile(code, name)
            self._run(body)
            if last is not None:
                value = self._run(last)
                if value is not None:
                    self.namespace["_"] = value
                    print(repr(value))
            self._take_answer()
        except _Unparsable as unparsable:
            status, error = "syntax_error", unparsable.__cause__
        except MemoryError as caught:
            status, error = "memory", caught
        except BaseException as caught:
            status, error = "error", caught
        if error is not None:
            self._forget_answer()
        try:
            return {
                "status": status,
                "error": None if error is None else self._kept(self._explain(error)),
                "error_type": None if error is None else type(error).__name__[:200],
                "final": self.final is not None,
                "variables": self._variables(),
                "stdout": list(self._out.take()),
                "stderr": list(self._err.take()),
            }
        finally:
            del error

    def _kept(self, text: str) -> list[Any]:
        """Return a text in the form of an output: head, tail and number of characters. The host shortens it."""
        output = Output(self._max_output_chars)
        output.write(text)
        return list(output.take())

    def unreported(self, error: Exception) -> dict[str, Any]:
        """Return the body of `done` for a cell whose result could not be made, as after a change of a builtin."""
        nothing = ["", "", 0]
        return {
            "status": "error",
            "error": self._kept(f"the cell ended, and its result could not be reported: {_described(error)}"),
            "error_type": None,
            "final": False,
            "variables": {},
            "stdout": nothing,
            "stderr": nothing,
        }

    def names(self) -> list[str]:
        """Return the names of the variables: `context` and those that cells have set."""
        items = self.namespace.copy().items()
        return sorted(name for name, value in items if self._is_variable(name, value))[:_MAX_NAMES]

    def text_of(self, name: str) -> str:
        """Return a variable as text. Raises KeyError, and the exceptions of its str()."""
        return _as_text(self.namespace[name])

    def _run(self, code: types.CodeType | None) -> Any:
        if code is None:
            return None
        if not code.co_flags & inspect.CO_COROUTINE:
            return eval(code, self.namespace)
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        try:
            return self._loop.run_until_complete(eval(code, self.namespace))
        except (KeyboardInterrupt, SystemExit):
            # The loop was interrupted in the middle of a step and cannot be used again.
            self._loop = None
            raise

    def _take_answer(self) -> None:
        if self._answer == "answer_variable":
            answer = self._answer_variable()
            if answer.get("ready"):
                self.final = _as_text(answer.get("content"))
                answer["ready"] = False

    def _forget_answer(self) -> None:
        """Discard the answer of a cell that failed, so that none is ready for the next cell."""
        self.final = None
        if self._answer == "answer_variable":
            self._answer_variable()["ready"] = False

    def _answer_variable(self) -> dict[Any, Any]:
        """Return the dictionary `answer`. If code has replaced it by another value, that value becomes its content."""
        answer = self.namespace.get("answer")
        if not isinstance(answer, dict):
            answer = self.namespace["answer"] = {"content": answer, "ready": False}
        return answer

    def _make_final(self) -> Any:
        def FINAL(value: Any) -> None:
            """Give the final answer: a text, or any value as str() shows it."""
            self.final = _as_text(value)

        FINAL.__qualname__ = "FINAL"
        return FINAL

    def _make_final_var(self) -> Any:
        def FINAL_VAR(name: Any) -> None:
            """Give the value of a variable as the final answer: its name as a string, or the variable itself."""
            if type(name) is not str:
                self.final = _as_text(name)
            elif name in self.namespace:
                self.final = self.text_of(name)
            elif name.isidentifier() and not any(value is name for value in self.namespace.values()):
                # An identifier that is not the value of a variable must be the name of a missing variable.
                names = ", ".join(self.names()) or "none"
                raise NameError(f"FINAL_VAR: there is no variable {name!r}. There are: {names}")
            else:
                self.final = name

        FINAL_VAR.__qualname__ = "FINAL_VAR"
        return FINAL_VAR

    def _make_show_vars(self) -> Any:
        def SHOW_VARS() -> str:
            """The names and types of the variables that the code of this session has set."""
            return ", ".join(f"{name} ({kind})" for name, kind in self._variables().items()) or "no variables yet"

        SHOW_VARS.__qualname__ = "SHOW_VARS"
        return SHOW_VARS

    def _set_builtins(self) -> None:
        from _sitebuiltins import _Helper  # noqa: PLC2701

        def no_input(prompt: object = "") -> NoReturn:
            raise RuntimeError("input() is not available: nobody is at the keyboard")

        def no_exit(code: object = None) -> NoReturn:
            raise RuntimeError("exit() and quit() do not end this session; end the reply instead")

        self.namespace["__builtins__"] = builtins
        builtins.input = no_input
        vars(builtins).update(exit=no_exit, quit=no_exit)
        builtins.help = _Helper()
        sys.breakpointhook = no_input

    def _is_variable(self, name: object, value: object) -> bool:
        # globals() takes keys of any type.
        if type(name) is not str or name.startswith("_"):
            return False
        if name in ("context", "answer"):
            return True
        return name not in self._given or value is not self._given[name]

    def _variables(self) -> dict[str, str]:
        given = ("context", "answer")
        # A copy, because a thread that a cell has left may change the namespace.
        shown = [
            (name, value)
            for name, value in self.namespace.copy().items()
            if self._is_variable(name, value)
            and not (name in given and value is self._given.get(name))
            and len(name) <= 200
        ]
        return {name: _short_type(value) for name, value in shown[:_MAX_NAMES]}

    def _explain(self, error: BaseException) -> str:
        if isinstance(error, SystemExit):
            return "SystemExit: the session goes on; sys.exit() does not end it"
        try:
            trace = traceback.TracebackException.from_exception(error, limit=-_MAX_FRAMES)
            _keep_cells(trace, set())
            return "".join(trace.format())
        except BaseException as failure:
            return f"{type(error).__name__}: its traceback could not be made ({type(failure).__name__})"


class _Unparsable(Exception):
    """A cell is not Python; the cause of this exception gives the reason."""


def _compile(code: str, name: str) -> tuple[types.CodeType | None, types.CodeType | None]:
    """Compile the cell without a last bare expression, and that expression."""
    # Split only at Python's line ends; str.splitlines splits at more. Without the last one, carets would be off by one.
    lines = io.StringIO(f"{code}\n", newline=None).readlines()
    linecache.cache[name] = (len(code), None, lines, name)
    try:
        tree = compile(code, name, "exec", _FLAGS, dont_inherit=True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        body = compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True) if tree.body else None
        if last is None:
            return body, None
        value = compile(ast.Expression(last.value), name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return body, value
    except (SyntaxError, ValueError, OverflowError, RecursionError) as error:
        raise _Unparsable from error


def _keep_cells(trace: traceback.TracebackException, seen: set[int]) -> None:
    """Keep only the frames of cells in an exception, its causes and its contexts."""
    if id(trace) in seen:
        return
    seen.add(id(trace))
    trace.stack = traceback.StackSummary.from_list([f for f in trace.stack if f.filename.startswith("<cell ")])
    for other in (trace.__cause__, trace.__context__, *(getattr(trace, "exceptions", None) or ())):
        if other is not None:
            _keep_cells(other, seen)


def _described(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except Exception:
        return "an error that cannot be shown"


def _short_type(value: Any) -> str:
    try:
        kind = type(value)
        name = kind.__name__[:80]
        if kind in _SIZED:
            return f"{name}[{len(value)}]"
        if kind.__module__.partition(".")[0] in _AS_ARRAYS and isinstance(getattr(value, "shape", None), tuple):
            return f"{name}[{'x'.join(map(str, value.shape))}]"[:200]
        return name
    except Exception:
        return "object"


def _as_text(value: Any) -> str:
    """Convert a value to the text of an answer; None is empty.

    Returns a plain str, even if __str__ returns a subclass.
    """
    return "" if value is None else str.__str__(str(value))
