"""agent_cli: any command-line agent as a method, given the prompt as text or the context as a file."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm.completion import StopReason
from rlm.limits import LimitReached
from rlm.methods.agents.output import Said, read_output, read_rules
from rlm.methods.agents.process import Finished, run_command
from rlm.methods.base import read_answer
from rlm.methods.method import Answer, Method
from rlm.models.chat import ContextOverflow, FailedAttempt, ModelError, Reply, Sampling
from rlm.prompt import Prompt
from rlm.tree import CallTree

PROMPT, FILE = "prompt", "file"
# The kernel takes no longer argument of a command.
_LONGEST_ARGUMENT = 131_071


class AgentTimedOut(ModelError):
    """The agent did not end in time and was killed; `failures` holds what it had told of its usage."""


@dataclass(kw_only=True)
class AgentCli(Method):
    """Runs an agent once, in an empty folder of its own that is deleted afterwards.

    command: its arguments, in which `{prompt}`, `{query}`, `{context_file}`, `{folder}` and `{model}` are filled in;
    a command without `{prompt}` gets the prompt on its standard input. context: `prompt`, the context stands in the
    prompt, in the benchmark's layout; `file`, it lies in context_file, and the prompt names the file in its place.
    agent_model: the model's name as the agent knows it; None is the configured model's. environment: names of the
    variables that the agent gets; it gets no others. timeout_s: seconds until it is killed, at most what the
    completion has left. output: where answer and usage stand in what it prints, see agent_output.read_rules.
    overflow_pattern: a regular expression for the message of a failed agent whose prompt was too long.

    The agent's own calls are not seen: they count as one call of the root, with the tokens and dollars that it tells.
    """

    command: Sequence[str]
    context: str = PROMPT
    context_file: str = "context.txt"
    agent_model: str | None = None
    environment: Sequence[str] = ("PATH", "HOME")
    timeout_s: float = 3600.0
    output: Mapping[str, Any] = field(default_factory=dict)
    overflow_pattern: str = r"(?i)(prompt|input|context)[\w ]* (is )?too (long|large)|context[_ ](length|window)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.command, str) or not self.command:
            raise ValueError(f"command is {self.command!r}: wanted a list of arguments")
        program, *arguments = map(str, self.command)
        # A path is meant from here, and the agent runs in a folder of its own.
        program = str(Path(program).expanduser().absolute()) if os.sep in program else program
        self.command = (program, *arguments)
        if self.context not in (PROMPT, FILE):
            raise ValueError(f"context is {self.context!r}: wanted {PROMPT} or {FILE}")
        if Path(self.context_file).name != self.context_file:
            raise ValueError(f"context_file is {self.context_file!r}: wanted the name of a file, without a folder")
        if self.timeout_s <= 0:
            raise ValueError(f"timeout_s is {self.timeout_s}: wanted a number above 0")
        try:
            re.compile(self.overflow_pattern)
        except re.error as error:
            raise ValueError(f"overflow_pattern is {self.overflow_pattern!r}: {error}") from error
        self.format, self.rules = read_rules(self.output)

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        folder = Path(tempfile.mkdtemp(prefix="rlm-agent-"))
        try:
            messages = prompt.messages()
            if self.context == FILE:
                (folder / self.context_file).write_text(prompt.context_text, encoding="utf-8", errors="replace")
                messages = prompt.messages(f"[The text is in the file {self.context_file} in the current folder.]")
            remaining = tree.meter.remaining_s
            timeout_s = self.timeout_s if remaining is None else min(self.timeout_s, remaining)
            agent = Agent(self, prompt.question, folder, timeout_s)
            return read_answer(await tree.call(agent, messages))
        except AgentTimedOut as late:
            raise LimitReached(StopReason.MAX_WALL, str(late)) from late
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class Agent:
    """A ChatModel whose one call is a run of the agent."""

    context_window = None
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
                "the prompt is too long for an argument of a command: leave {prompt} out of `command`, so that it "
                "comes by standard input"
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
        # In a thread, for an agent may print very much.
        said = await asyncio.to_thread(read_output, self._method.format, self._method.rules, finished.stdout)
        self._check(finished, said)
        return Reply(
            said.answer or "", said.finish_reason, usage=said.usage, cost=said.cost, model=said.model or self.name,
            latency_s=time.perf_counter() - started,
        )  # fmt: skip

    async def aclose(self) -> None:
        """There is nothing to give back."""

    def _check(self, finished: Finished, said: Said) -> None:
        """Raise what a failed run means, with what it was billed."""
        if finished.returncode is None:
            message, kind = f"the agent did not end within {self._timeout_s:.0f} s", AgentTimedOut
        elif finished.returncode or said.error:
            last = (finished.stderr.strip() or finished.stdout.strip() or "it printed nothing").splitlines()[-1][:300]
            message = f"the agent ended with exit code {finished.returncode}: {said.error or last}"
            told = f"{said.error or ''}\n{said.answer or ''}\n{finished.stderr}"
            kind = ContextOverflow if re.search(self._method.overflow_pattern, told) else ModelError
        else:
            return
        raise kind(message, [FailedAttempt("agent", message, usage=said.usage, cost=said.cost)])

    def _filled(self, argument: str, text: str) -> str:
        values = {
            "prompt": text, "query": self._query, "context_file": self._method.context_file,
            "folder": str(self._folder), "model": self.name,
        }  # fmt: skip
        return re.sub(r"\{(\w+)\}", lambda mark: values.get(mark[1], mark[0]), argument)
