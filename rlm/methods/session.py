"""A method's REPL session: its settings, its cells in the trajectory, and their output as the model sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlm.limits import Limits
from rlm.repl import open_repl
from rlm.repl.protocol import CellResult, CellStatus, HostFunction, Repl, ReplSettings
from rlm.tree import CallTree

NO_OUTPUT = "(no output)"


async def start_session(
    settings: ReplSettings | Mapping[str, Any],
    limits: Limits,
    context: str | Sequence[str],
    functions: Mapping[str, HostFunction],
    **options: Any,
) -> Repl:
    """open_repl with the settings of a method; options: `answer` and `data`. Raises ReplError."""
    checked = ReplSettings.of(settings, limits.max_output_chars)
    return await open_repl(context, functions, limits=checked, confinement=checked.confinement, **options)


async def run_cell(
    repl: Repl, tree: CallTree, code: str, *, parent: int | None, depth: int = 0, timeout_s: float | None = None
) -> CellResult:
    """Run a cell, count it and record it as an event `cell`. timeout_s: None is what is left of the tree's time."""
    result = await repl.run(code, timeout_s=tree.meter.remaining_s if timeout_s is None else timeout_s)
    tree.counts.cells += 1
    tree.counts.syntax_errors += result.status == CellStatus.SYNTAX_ERROR
    tree.trajectory.record(
        "cell", parent=parent, depth=depth, code=code, status=str(result.status), stdout=result.stdout,
        stderr=result.stderr, error=result.error, stdout_chars=result.stdout_chars, stderr_chars=result.stderr_chars,
        variables=dict(result.variables), final=result.final, notice=result.notice, wall_s=result.wall_s,
    )  # fmt: skip
    return result


def shown_output(result: CellResult) -> str:
    """What a cell printed and raised, as the model is shown it."""
    parts = [result.stdout, result.stderr, result.error or "", result.notice or ""]
    return "\n".join(part.rstrip() for part in parts if part.strip()) or NO_OUTPUT
