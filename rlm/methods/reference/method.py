"""reference: other RLM implementations, each in its own environment, with this project's models and meter."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from rlm.completion import StopReason
from rlm.limits import LimitReached
from rlm.methods.agents.process import CommandResult, run_command
from rlm.methods.method import Answer, Method
from rlm.methods.reference.metering import ROOT_MODEL, SUB_MODEL, MeteringEndpoint, metering_endpoint
from rlm.models.chat import ModelError
from rlm.paths import expand_home, user_cache
from rlm.prompt import Prompt
from rlm.tree import CallTree

_DRIVERS = Path(__file__).parent / "drivers"
_MANY = 1_000_000


@dataclass(kw_only=True)
class Reference(Method):
    """Another implementation of the RLM, run in its own process; scripts/setup_reference installs it.

    Its calls go to a metering endpoint on loopback, so that the models, limits and records of this project apply. At a
    limit, the process is ended without a last call. Its prompts and its answer protocol are unchanged.

    library: `rlms`, the reference implementation of the paper's authors, or `dspy`, dspy.RLM. confinement: must be
    `unsafe`, because both run model-written code without a sandbox (dspy with LocalInterpreter, as its default one
    needs Deno). python: the interpreter of the environment; None takes the one that setup_reference installs.
    max_depth: the depth of rlms; dspy has depth 1. max_iterations: the maximum number of root iterations; None is the
    library's default.
    """

    library: Literal["rlms", "dspy"]
    confinement: str = "confined"
    python: str | None = None
    max_depth: Annotated[int, Ge(0)] = 1
    max_iterations: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.confinement != "unsafe":
            raise ValueError(
                f"confinement is {self.confinement!r}: expected unsafe, because {self.library} runs model-written code "
                "without a sandbox"
            )
        if self.library == "dspy" and self.max_depth != 1:
            raise ValueError(f"max_depth is {self.max_depth}: expected 1, because dspy.RLM has no other depth")
        if not self.interpreter.is_file():
            raise ValueError(
                f"python is {str(self.interpreter)!r}: expected an existing file; run scripts/setup_reference "
                f"{self.library}, or set python"
            )

    @property
    def interpreter(self) -> Path:
        """Return the Python interpreter of the library's environment."""
        if self.python:
            # Absolute, because the process has another working directory. Not resolved, because a virtual environment
            # is found by the link to its interpreter.
            return expand_home(self.python).absolute()
        return user_cache() / "reference" / self.library / "bin" / "python"

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        with tempfile.TemporaryDirectory(prefix="rlm-reference-", ignore_cleanup_errors=True) as folder:
            async with metering_endpoint(tree, self.model, self.sub_model) as endpoint:
                finished = await self._drive(prompt, tree, endpoint, Path(folder))
            return _answer(self.library, finished, endpoint)

    async def _drive(self, prompt: Prompt, tree: CallTree, endpoint: MeteringEndpoint, folder: Path) -> CommandResult:
        """Run the driver until it ends. If no later call can succeed, kill it and raise the reason."""
        limits = tree.meter.limits
        job = {
            "context": prompt.context if isinstance(prompt.context, str) else list(prompt.context),
            "query": prompt.query,
            "base_url": endpoint.base_url,
            "api_key": endpoint.api_key,
            "root": ROOT_MODEL,
            "sub": SUB_MODEL,
            "max_depth": self.max_depth,
            "max_iterations": self.max_iterations,
            "max_sub_calls": _MANY if limits.max_sub_calls is None else limits.max_sub_calls,
        }
        driver = _DRIVERS / f"{self.library}_driver.py"
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        run = asyncio.create_task(
            run_command(
                [str(self.interpreter), str(driver)], stdin=json.dumps(job), folder=folder, environment=environment,
                timeout_s=tree.meter.remaining_s,
            )
        )  # fmt: skip
        ended = asyncio.create_task(endpoint.calls.ended.wait())
        try:
            await asyncio.wait({run, ended}, return_when=asyncio.FIRST_COMPLETED)
            if endpoint.calls.end is not None:
                raise endpoint.calls.end
            return run.result()
        finally:
            for task in (run, ended):
                task.cancel()
            await asyncio.wait({run, ended})


def _answer(library: str, finished: CommandResult, endpoint: MeteringEndpoint) -> Answer:
    if finished.returncode is None:
        raise LimitReached(StopReason.MAX_WALL, f"{library} did not end in time")
    lines = finished.stdout.strip().splitlines()
    try:
        result = json.loads(lines[-1])
        answer, error = result.get("answer"), result.get("error")
    except (IndexError, ValueError, AttributeError):
        last = (finished.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        answer, error = None, f"its driver ended with exit code {finished.returncode}: {last[:300]}"
    if error and endpoint.calls.overflow is not None:
        raise endpoint.calls.overflow
    if error:
        raise ModelError(f"{library}: {error}")
    return Answer(answer if isinstance(answer, str) else None)
