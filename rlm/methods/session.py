"""MethodSession: a method's REPL, which counts and records cells and formats their output for the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlm.limits import Limits
from rlm.methods.subcalls import PaidReplies
from rlm.repl import AnswerProtocol, open_repl
from rlm.repl.protocol import CellResult, CellStatus, HostFunction, Repl, ReplSettings
from rlm.syntax import parsed_cell
from rlm.tree import CallTree

NO_OUTPUT = "(no output)"
# A reply of a megabyte may hold 80,000 cells, each of which leaves an output and an event.
MAX_CELLS = 100


class MethodSession:
    """The REPL of one loop. paid: the replies that the session's functions have paid for."""

    def __init__(self, repl: Repl, tree: CallTree, paid: PaidReplies) -> None:
        self.repl = repl
        self._tree = tree
        self._paid = paid

    @classmethod
    async def open(
        cls,
        settings: ReplSettings | Mapping[str, Any],
        limits: Limits,
        tree: CallTree,
        paid: PaidReplies,
        context: str | Sequence[str],
        functions: Mapping[str, HostFunction],
        *,
        answer: AnswerProtocol = "none",
        **options: Any,
    ) -> MethodSession:
        """Start a REPL with a method's settings; options: those of `open_repl`, such as data. Raises ReplError."""
        checked = ReplSettings.of(settings, limits.max_output_chars)
        if limits.max_answer_bytes is not None:
            checked = replace(checked, max_value_bytes=min(checked.max_value_bytes, limits.max_answer_bytes))
        repl = await open_repl(
            context, functions, limits=checked, confinement=checked.confinement, answer=answer, **options
        )
        return cls(repl, tree, paid)

    async def run(
        self,
        code: str,
        *,
        parent: int | None,
        depth: int = 0,
        timeout_s: float | None = None,
        tool_code: str | None = None,
    ) -> CellResult:
        """Run a cell, count it and record it as an event `cell`.

        timeout_s: by default the time that the tree has left. tool_code: the code of the reply's tool call, if it had
        one; a cell with this code is recorded as such.
        """
        remaining = self._tree.meter.remaining_s
        try:
            result = await self.repl.run(code, timeout_s=remaining if timeout_s is None else timeout_s)
        except BaseException:
            self._paid.cell_ended(failed=True)
            raise
        self._paid.cell_ended(failed=result.status != CellStatus.OK)
        self._tree.counts.cells += 1
        self._tree.counts.syntax_errors += result.status == CellStatus.SYNTAX_ERROR
        self._tree.trajectory.record(
            "cell", parent=parent, depth=depth, code=code, status=str(result.status), stdout=result.stdout,
            stderr=result.stderr, error=result.error, stdout_chars=result.stdout_chars,
            stderr_chars=result.stderr_chars, variables=dict(result.variables), final=result.final,
            notice=result.notice, wall_s=result.wall_s, **({"tool_call": True} if code == tool_code else {}),
        )  # fmt: skip
        return result

    async def run_until_failure(self, codes: Sequence[str], **options: Any) -> AsyncIterator[CellResult]:
        """Run the first MAX_CELLS cells of one reply in order, up to the first that fails.

        A cell that is not Python does not stop later cells if one of these is Python, because replies quote faulty code
        before they correct it. options: those of `run`.
        """
        codes, last_python = codes[:MAX_CELLS], None
        for number, code in enumerate(codes):
            result = await self.run(code, **options)
            yield result
            if result.status == CellStatus.SYNTAX_ERROR:
                if last_python is None:
                    last_python = await asyncio.to_thread(_last_python, codes)
                if number < last_python:
                    continue
            if result.status != CellStatus.OK:
                return

    async def aclose(self) -> None:
        """End the session's process."""
        await self.repl.aclose()


def _last_python(codes: Sequence[str]) -> int:
    """Return the index of the last cell that is Python, or -1."""
    return next((number for number in reversed(range(len(codes))) if parsed_cell(codes[number])), -1)


def shown_output(result: CellResult) -> str:
    """Return the text that a cell printed and raised, as the model sees it."""
    parts = [result.stdout, result.stderr, result.error or "", result.notice or ""]
    return "\n".join(part.rstrip() for part in parts if part.strip()) or NO_OUTPUT
