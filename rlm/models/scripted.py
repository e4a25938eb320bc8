"""ScriptedModel: a ChatModel that answers from a list, a function or a file of rules, for tests and CI."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen

from rlm.models.chat import ContextOverflow, Cost, CostState, ModelError, Reply, Sampling, TokenUsage
from rlm.models.tokens import count_tokens
from rlm.paths import expand_home
from rlm.reading import read_text
from rlm.validation import SettingError, make

Messages = Sequence[Mapping[str, str]]
# One answer of a script: a text, a complete reply, or an exception to raise.
Scripted = str | Reply | Exception

ROLES = ("root", "sub", "compactor")
# The characters of a prompt above which its tokens are counted in a thread.
_MANY_CHARS = 1_000_000
_MAX_SCRIPT_BYTES = 64 << 20
_EXAMPLE = '{"match": "capital of (\\\\w+)", "reply": "I do not know \\\\1"}'


class ScriptExhausted(ModelError):
    """All replies of the list have been used."""


class ScriptedModel:
    """Answers with `replies` in order, or with what `replies(messages)` returns or raises.

    An exception among the replies is raised. A prompt that leaves no token of context_window for the reply raises
    ContextOverflow and uses up no reply. latency_s: seconds that each call takes. usd_per_million: dollars per million
    input and output tokens; None is free. requests: the message lists of all calls, in order.
    """

    def __init__(
        self,
        replies: Sequence[Scripted] | Callable[[Messages], Scripted],
        name: str = "scripted",
        context_window: int | None = None,
        latency_s: float = 0.0,
        usd_per_million: tuple[float, float] | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self.name = name
        self.context_window = context_window
        self.sampling = sampling or Sampling()
        self.requests: list[list[dict[str, str]]] = []
        self._answer = replies if callable(replies) else _in_order(replies)
        self._latency_s = latency_s
        self._usd_per_million = usd_per_million

    @property
    def priced(self) -> bool:
        """True if tokens have a price above 0."""
        return any(self._usd_per_million or ())

    async def complete(self, messages: Messages, *, epoch: int = 0, occurrence: int = 0) -> Reply:
        """Answer. Raises ContextOverflow, ScriptExhausted, and the exceptions of the script."""
        self.requests.append([dict(message) for message in messages])
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        texts = [message["content"] for message in messages]
        if sum(map(len, texts)) <= _MANY_CHARS:
            # Without a pause, the replies keep the order of the requests.
            prompt_tokens = sum(map(count_tokens, texts))
        else:
            prompt_tokens = sum(await asyncio.to_thread(lambda: [count_tokens(text) for text in texts]))
        if self.context_window is not None and prompt_tokens >= self.context_window:
            raise ContextOverflow(f"{self.name}: {prompt_tokens} tokens do not fit into {self.context_window}")
        answer = self._answer(messages)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            text, finish_reason = self._cut(answer, prompt_tokens)
            usage = TokenUsage(prompt_tokens, 0, count_tokens(text))
            answer = Reply(text, finish_reason, usage=usage, cost=self._cost(usage))
        return replace(answer, model=answer.model or self.name, latency_s=answer.latency_s or self._latency_s)

    async def aclose(self) -> None:
        """Do nothing: a script holds no resources."""

    def _cut(self, text: str, prompt_tokens: int) -> tuple[str, str]:
        """Cut a reply at max_output_tokens and at the end of the window, as a model's endpoint does."""
        room = [self.sampling.max_output_tokens]
        if self.context_window is not None:
            room.append(self.context_window - prompt_tokens)
        most = min((limit for limit in room if limit is not None), default=None)
        if most is None or count_tokens(text) <= most:
            return text, "stop"
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if count_tokens(text[:middle]) <= most else (low, middle - 1)
        return text[:low], "length"

    def _cost(self, usage: TokenUsage) -> Cost:
        if self._usd_per_million is None:
            return Cost()
        dollars_in, dollars_out = self._usd_per_million
        usd = (usage.prompt_tokens * dollars_in + usage.completion_tokens * dollars_out) / 1e6
        return Cost(usd, usd, CostState.KNOWN)


@dataclass(frozen=True, kw_only=True)
class ScriptRule:
    """One line of a script: the reply to a call whose last message matches and whose role is `role`.

    match: a regular expression searched in the last message; the reply can refer to its groups as `\\1` or `\\g<name>`.
    role: None matches any role. times: the number of calls that the rule answers; None is no limit. error: raise a
    context overflow or an error instead of a reply.
    """

    match: str | None = None
    reply: str | None = None
    role: Literal["root", "sub", "compactor"] | None = None
    times: Annotated[int, Ge(1)] | None = None
    error: Literal["context_overflow", "error"] | None = None
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        if (self.reply is None) == (self.error is None):
            raise ValueError("expected either `reply` or `error`")
        try:
            pattern = re.compile(self.match or "", re.DOTALL)
        except re.error as problem:
            raise ValueError(f"match is {self.match!r}: expected a regular expression ({problem})") from None
        try:
            # This checks the template without searching any text.
            pattern.sub(self.reply or "", "")
        except (re.error, IndexError) as problem:
            raise ValueError(f"reply is {self.reply!r}: expected a template for match ({problem})") from None
        object.__setattr__(self, "pattern", pattern)


@dataclass
class Script:
    """Rules in order; the first that matches answers."""

    rules: Sequence[ScriptRule]
    source: str = "script"
    used: dict[int, int] = field(default_factory=dict)

    def answer(self, role: str, messages: Messages) -> Scripted:
        """Answer a call in that role. Raises ModelError if no rule matches."""
        last = messages[-1]["content"] if messages else ""
        for number, rule in enumerate(self.rules):
            if rule.role not in (None, role) or (rule.times is not None and self.used.get(number, 0) >= rule.times):
                continue
            found = rule.pattern.search(last)
            if found is None:
                continue
            self.used[number] = self.used.get(number, 0) + 1
            if rule.error == "context_overflow":
                return ContextOverflow(f"{self.source}, rule {number + 1}: context overflow")
            if rule.error:
                return ModelError(f"{self.source}, rule {number + 1}: {rule.error}")
            return found.expand(rule.reply or "")
        start = " ".join(last[:80].split())
        return ModelError(f"{self.source}: no rule matches the call of role {role} whose last message begins {start!r}")


def read_script(path: Path) -> Script:
    """Read a script from JSON lines `{match, reply, role, times, error}`; empty lines are skipped.

    Raises SettingError naming the line.
    """
    try:
        lines = read_text(path, _MAX_SCRIPT_BYTES).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise SettingError(f"model.script is {str(path)!r}: expected a file that can be read: {why}") from None
    rules = [_rule(line, f"{path.name}, line {i + 1}") for i, line in enumerate(lines) if line.strip()]
    if not rules:
        raise SettingError(f"model.script is {str(path)!r}: expected JSON lines such as {_EXAMPLE}")
    return Script(rules, path.name)


@dataclass(frozen=True, kw_only=True)
class ScriptedModels:
    """A configuration with `kind: scripted`: one script answers in every role."""

    script: Annotated[str, MinLen(1)]
    kind: Literal["scripted"] = "scripted"
    context_window: Annotated[int, Ge(1)] | None = None
    max_output_tokens: Annotated[int, Ge(1)] | None = None
    latency_s: Annotated[float, Ge(0)] | None = None
    # For a million input tokens and a million output tokens.
    usd_per_million: tuple[Annotated[float, Ge(0)], Annotated[float, Ge(0)]] | None = None

    def build(self) -> dict[str, ScriptedModel]:
        """Build the models by role. Raises ValueError, one line, for a script that cannot be read."""
        script = read_script(expand_home(self.script))
        return {
            role: ScriptedModel(
                _for_role(script, role),
                context_window=self.context_window,
                latency_s=self.latency_s or 0.0,
                usd_per_million=self.usd_per_million,
                sampling=Sampling(max_output_tokens=self.max_output_tokens),
            )
            for role in ROLES
        }


def build(config: Mapping[str, Any]) -> dict[str, ScriptedModel]:
    """Build the models of a section `model` with `kind: scripted`, by role. Raises ValueError, one line."""
    settings: ScriptedModels = make(ScriptedModels, config, "model")
    return settings.build()


def _rule(line: str, where: str) -> ScriptRule:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{where} is not JSON: {error}") from None
    rule: ScriptRule = make(ScriptRule, row, where)
    return rule


def _for_role(script: Script, role: str) -> Callable[[Messages], Scripted]:
    return lambda messages: script.answer(role, messages)


def _in_order(replies: Iterable[Scripted]) -> Callable[[Messages], Scripted]:
    queue = iter(list(replies))

    def answer(messages: Messages) -> Scripted:
        return next(queue, ScriptExhausted("the script has no more replies"))

    return answer
