"""agent_cli: runs any command-line agent, which gets the prompt as text or the context as a file."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt, Len

from rlm.completion import StopReason
from rlm.limits import LimitReached
from rlm.methods.agents.output import AgentOutput, read_output, read_rules
from rlm.methods.agents.process import CommandResult, run_command
from rlm.methods.base import read_answer
from rlm.methods.method import Answer, Method
from rlm.models.chat import ContextOverflow, FailedAttempt, ModelError, Reply, Sampling
from rlm.paths import expand_home
from rlm.prompt import Prompt
from rlm.tree import CallTree

# The kernel rejects a longer argument of a command.
_LONGEST_ARGUMENT = 131_071


class AgentTimedOut(ModelError):
    """The agent timed out and was killed. `failures` holds the usage that it reported."""


@dataclass(kw_only=True)
class AgentCli(Method):
    """Runs an agent once, in an empty folder that is deleted afterwards.

    The agent's own calls are not visible: they count as one root call with the tokens and dollars that it reports.

    command: the program and its arguments, in which `{prompt}`, `{query}`, `{context_file}`, `{folder}` and `{model}`
    are filled in; a command without `{prompt}` gets the prompt on standard input. context: `prompt` puts the context
    into the prompt, in the benchmark's layout; `file` writes it to context_file, whose name the prompt states.
    agent_model: the agent's name for the model; None is the configured model's name. environment: the names of the
    variables that the agent gets. timeout_s: seconds until the agent is killed; the completion's remaining time also
    applies. output: the rules that read its output, see `read_rules`. overflow_pattern: a regular expression for the
    error message of an agent whose prompt was too long.
    """

    command: Annotated[Sequence[str], Len(1)]
    context: Literal["prompt", "file"] = "prompt"
    context_file: str = "context.txt"
    agent_model: str | None = None
    environment: Sequence[str] = ("PATH", "HOME")
    timeout_s: Annotated[float, Gt(0)] = 3600.0
    output: Mapping[str, Any] = field(default_factory=dict)
    overflow_pattern: str = r"(?i)(prompt|input|context)[\w ]* (is )?too (long|large)|context[_ ](length|window)"

    def __post_init__(self) -> None:
        super().__post_init__()
        program, *arguments = self.command
        # A path is relative to the current folder, and the agent runs in another one.
        program = str(expand_home(program).absolute()) if os.sep in program else program
        self.command = (program, *arguments)
        if Path(self.context_file).name != self.context_file:
            raise ValueError(f"context_file is {self.context_file!r}: expected the name of a file, without a folder")
        try:
            re.compile(self.overflow_pattern)
        except re.error as error:
            raise ValueError(
                f"overflow_pattern is {self.overflow_pattern!r}: expected a regular expression ({error})"
            ) from error
        self.format, self.rules = read_rules(self.output)

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        with tempfile.TemporaryDirectory(prefix="rlm-agent-", ignore_cleanup_errors=True) as name:
            folder, messages = Path(name), prompt.messages()
            if self.context == "file":
                (folder / self.context_file).write_text(prompt.context_text, encoding="utf-8", errors="replace")
                messages = prompt.messages(f"[The text is in the file {self.context_file} in the current folder.]")
            remaining = tree.meter.remaining_s
            timeout_s = self.timeout_s if remaining is None else min(self.timeout_s, remaining)
            agent = Agent(self, prompt.question, folder, timeout_s)
            try:
                return read_answer(await tree.call(agent, messages, closing=True))
            except AgentTimedOut as late:
                raise LimitReached(StopReason.MAX_WALL, str(late)) from late


class Agent:
    """A ChatModel that makes one call by running the agent."""

    context_window: int | None = None
    sampling = Sampling()

    def __init__(self, method: AgentCli, query: str, folder: Path, timeout_s: float) -> None:
        self.name = method.agent_model or method.model.name
        self._method = method
        self._query = query
        self._folder = folder
        self._timeout_s = timeout_s

    async def complete(self, messages: Sequence[Mapping[str, str]], *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Run the agent on the messages' texts. Raises AgentTimedOut, ContextOverflow or ModelError."""
        text = "\n\n".join(message["content"] for message in messages)
        takes_prompt = any("{prompt}" in argument for argument in self._method.command)
        command = [self._filled(argument, text) for argument in self._method.command]
        if max(len(argument.encode("utf-8", "replace")) for argument in command) > _LONGEST_ARGUMENT:
            raise ModelError(
                "the prompt is too long for a command-line argument: remove {prompt} from `command`, so that the agent "
                "gets it on standard input"
            )
        environment = {name: os.environ[name] for name in self._method.environment if name in os.environ}
        started = time.perf_counter()
        try:
            finished = await run_command(
                command, stdin="" if takes_prompt else text, folder=self._folder, environment=environment,
                timeout_s=self._timeout_s,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise ModelError(f"the agent {command[0]!r} could not be started: {error}") from error
        # In a thread, because the output may be very long.
        output = await asyncio.to_thread(read_output, self._method.format, self._method.rules, finished.stdout)
        self._check(finished, output)
        return Reply(
            output.answer or "", output.finish_reason, usage=output.usage, cost=output.cost, model=output.model or
            self.name, latency_s=time.perf_counter() - started,
        )  # fmt: skip

    async def aclose(self) -> None:
        """Do nothing: an agent holds no resources between calls."""

    def _check(self, finished: CommandResult, output: AgentOutput) -> None:
        """Raise the error of a failed run, with the cost that it reported."""
        if finished.returncode is None:
            message = f"the agent did not end within {self._timeout_s:.0f} s"
            kind: type[ModelError] = AgentTimedOut
        elif finished.returncode or output.error:
            last = (finished.stderr.strip() or finished.stdout.strip() or "it printed nothing").splitlines()[-1][:300]
            message = f"the agent ended with exit code {finished.returncode}: {output.error or last}"
            text = f"{output.error or ''}\n{output.answer or ''}\n{finished.stderr}"
            kind = ContextOverflow if re.search(self._method.overflow_pattern, text) else ModelError
        else:
            return
        raise kind(message, [FailedAttempt("agent", message, usage=output.usage, cost=output.cost)])

    def _filled(self, argument: str, text: str) -> str:
        values = {
            "prompt": text, "query": self._query, "context_file": self._method.context_file,
            "folder": str(self._folder), "model": self.name,
        }  # fmt: skip
        return re.sub(r"\{(\w+)\}", lambda mark: values.get(mark[1], mark[0]), argument)
