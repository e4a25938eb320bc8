"""Runs model-written Python code in sessions, each in a separate, confined process."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from rlm.repl.doctor import check_confinement, layers
from rlm.repl.forkserver import check_platform
from rlm.repl.protocol import Confinement, HostFunction, OutputCut, Repl, ReplLimits
from rlm.repl.sandbox import wire
from rlm.repl.session import Session

__all__ = ["check_confinement", "check_platform", "layers", "open_repl"]

AnswerProtocol = Literal["final_tags", "answer_variable", "none"]
ANSWERS = get_args(AnswerProtocol)
CONFINEMENTS = get_args(Confinement)


async def open_repl(
    context: str | Sequence[str],
    functions: Mapping[str, HostFunction],
    *,
    limits: ReplLimits = ReplLimits(),  # noqa: B008
    answer: AnswerProtocol = "final_tags",
    data: Mapping[str, Any] | None = None,
    confinement: Confinement = "confined",
    output_cut: OutputCut = "head_tail",
    show_vars: bool = False,
) -> Repl:
    """Start a session.

    context: the variable `context`, a str or a list of str. functions: async functions of the host by name. Cells call
    them as plain functions, from any thread; arguments and results are plain data. answer: `final_tags` defines FINAL
    and FINAL_VAR, `answer_variable` defines the variable `answer`. data: further variables, plain data. confinement:
    `confined`, or `unsafe` for a process that only has resource limits. output_cut: the part of a long output that is
    kept. show_vars: defines SHOW_VARS, which returns the names and types of the variables.

    Raises ReplError if the session cannot be started, for example because the machine cannot confine it; ValueError and
    TypeError for invalid arguments.
    """
    if answer not in ANSWERS:
        raise ValueError(f"answer is {answer!r}: expected {', '.join(ANSWERS)}")
    if confinement not in CONFINEMENTS:
        raise ValueError(f"repl is {confinement!r}: expected {', '.join(CONFINEMENTS)}")
    documents = context if isinstance(context, str) else tuple(context)
    if not isinstance(context, str) and not all(isinstance(document, str) for document in documents):
        raise TypeError("context is invalid: expected a str or a sequence of str")
    for name, function in functions.items():
        if not name.isidentifier() or not inspect.iscoroutinefunction(_called(function)):
            raise TypeError(f"functions[{name!r}] is invalid: expected an async function under the name of a variable")
    wire.encode({"data": dict(data or {})})
    check_platform()
    session = Session(documents, functions, limits, answer, data or {}, confinement, output_cut, show_vars)
    await session.start()
    return session


def _called(function: HostFunction) -> Any:
    while hasattr(function, "func"):
        function = function.func
    plain = inspect.isroutine(function) or inspect.isclass(function)
    return function if plain else type(function).__call__
