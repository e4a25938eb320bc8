"""reference: RLM implementations by others, each in an environment of its own, on our models and under our meter."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rlm.completion import StopReason
from rlm.limits import LimitReached
from rlm.methods.agents.process import Finished, run_command
from rlm.methods.method import Answer, Method
from rlm.methods.reference.metering import ROOT_MODEL, SUB_MODEL, Endpoint, metering_endpoint
from rlm.models.chat import ModelError
from rlm.prompt import Prompt
from rlm.tree import CallTree

LIBRARIES = ("rlms", "dspy")
_DRIVERS = Path(__file__).parent / "drivers"
_NO_LIMIT_S = 1e8
_MANY = 1_000_000


@dataclass(kw_only=True)
class Reference(Method):
    """Another implementation of the RLM, driven in a process of its own; scripts/setup_reference makes it ready.

    library: `rlms`, the reference implementation of the paper's authors, or `dspy`, dspy.RLM.
    Its calls come to a metering endpoint on loopback, so that models, limits and records are ours; when a limit is hit
    the process is ended, without a last call. Its own prompts and answer protocol stay as they are.

    confinement: must be `unsafe`, since both run model-written code without a sandbox (dspy with its interpreter
    LocalInterpreter: the default one needs Deno). python: of the environment; None is where setup_reference puts it.
    max_depth: of rlms; dspy has depth 1. max_iterations: of the root; None is the library's default.
    """

    library: str
    confinement: str = "confined"
    python: str | None = None
    max_depth: int = 1
    max_iterations: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.library not in LIBRARIES:
            raise ValueError(f"library is {self.library!r}: wanted one of {', '.join(LIBRARIES)}")
        if self.confinement != "unsafe":
            raise ValueError(
                f"confinement is {self.confinement!r}: {self.library} runs model-written code without a sandbox, "
                "so it needs confinement=unsafe"
            )
        if self.library == "dspy" and self.max_depth != 1:
            raise ValueError(f"max_depth is {self.max_depth}: dspy.RLM has depth 1 only")
        if not self.interpreter.is_file():
            raise ValueError(
                f"there is no {self.interpreter}: run scripts/setup_reference {self.library}, or set python"
            )

    @property
    def interpreter(self) -> Path:
        """The Python of the library's environment."""
        if self.python:
            # Absolute, for the process has a folder of its own; not resolved, for a link is what makes an environment.
            return Path(self.python).expanduser().absolute()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        return cache / "rlm-eval" / "reference" / self.library / "bin" / "python"

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        folder = Path(tempfile.mkdtemp(prefix="rlm-reference-"))
        try:
            async with metering_endpoint(tree, self.model, self.sub_model) as endpoint:
                finished = await self._drive(prompt, tree, endpoint, folder)
            return _answer(self.library, finished, endpoint)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _drive(self, prompt: Prompt, tree: CallTree, endpoint: Endpoint, folder: Path) -> Finished:
        """Run the driver to its end, or until no later call can succeed: then raise why."""
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
            "max_sub_calls": limits.max_sub_calls or _MANY,
        }
        driver = _DRIVERS / f"{self.library}_driver.py"
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        run = asyncio.create_task(
            run_command(
                [str(self.interpreter), str(driver)], stdin=json.dumps(job), folder=folder, environment=environment,
                timeout_s=_NO_LIMIT_S if tree.meter.remaining_s is None else tree.meter.remaining_s,
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


def _answer(library: str, finished: Finished, endpoint: Endpoint) -> Answer:
    if finished.returncode is None:
        raise LimitReached(StopReason.MAX_WALL, f"{library} did not end in time")
    lines = finished.stdout.strip().splitlines()
    try:
        said = json.loads(lines[-1])
        answer, error = said.get("answer"), said.get("error")
    except (IndexError, ValueError, AttributeError):
        last = (finished.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        answer, error = None, f"its driver ended with exit code {finished.returncode}: {last[:300]}"
    if error and endpoint.calls.overflow is not None:
        raise endpoint.calls.overflow
    if error:
        raise ModelError(f"{library}: {error}")
    return Answer(answer if isinstance(answer, str) else None)
