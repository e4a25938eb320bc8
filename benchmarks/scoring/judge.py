"""The judge: a model that compares a response with the correct answer. Its calls and limits are separate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.models import JudgeSettings
from benchmarks.sample import Judgement
from benchmarks.scoring.judgement import parse_judgement
from rlm.limits import Budget, LimitReached, Limits, Meter
from rlm.models.chat import ChatModel, ContextOverflow
from rlm.models.prices import PriceSettings
from rlm.prompts import PromptFile, load_prompt
from rlm.trajectory import CallRecord, Trajectory
from rlm.tree import JUDGE, CallTree

DEFAULT_PROMPT = "judge-v1"
_FOLDER = Path(__file__).parent / "prompts"
# The judge reads only the end of a longer response, which holds the final answer.
_RESPONSE_CHARS = 200_000
# The prefix of stop reasons from the run's shared budget.
_RUN_LIMIT = "max_run_"
_TAG = re.compile(r"([<\[])(/?(?:response|question|correct_answer)\b)", re.IGNORECASE)

_RUBRIC = (
    "\n\nGrade by this rubric. Where it differs from other rules for grading, the rubric has precedence; the form of "
    "your reply stays as described.\n<rubric>\n{rubric}\n</rubric>"
)


class LlmJudge:
    """Judges with a model, a prompt file and limits for each response.

    The file has the block `user` and optionally `system`; each is a message. Raises ValueError for another file.
    """

    def __init__(self, model: ChatModel, prompt: str = DEFAULT_PROMPT, limits: Limits | None = None) -> None:
        self.model = model
        self.prompt = _prompt(prompt)
        if "user" not in self.prompt.parts:
            raise ValueError(f"{prompt!r} has no part `user`: expected a file with this part and, optionally, `system`")
        self.prompt.check(
            [role for role in ("system", "user") if role in self.prompt.parts],
            {"question": "question", "response": "response", "correct_answer": "answer"},
        )
        self._limits = limits or Limits(max_calls=8)

    def open(self, epoch: int = 0, budget: Budget | None = None) -> tuple[OpenJudge, list[CallRecord]]:
        """Return a judge for one response, and the list that records its calls.

        budget: shared with other completions.
        """
        tree = CallTree(Meter(self._limits, budget), Trajectory(), epoch, self.prompt.sha256)
        return OpenJudge(self.model, self.prompt, tree), tree.calls

    def describe(self) -> dict[str, Any]:
        """Return model, sampling and prompt, for the manifest of a run."""
        sampling = self.model.sampling
        settings = {name: getattr(sampling, name) for name in sampling.__dataclass_fields__}
        return {
            "model": self.model.name,
            "sampling": {name: value for name, value in settings.items() if value},
            "prompt": self.prompt.name,
            "prompt_sha256": self.prompt.sha256,
        }


@dataclass(frozen=True)
class OpenJudge:
    """Judges one response through a separate call tree, so that its cost is counted separately."""

    model: ChatModel
    prompt: PromptFile
    tree: CallTree

    async def __call__(self, question: str, response: str, correct_answer: str, rubric: str = "") -> Judgement:
        """Ask the model once. rubric: rules that are added to the first message.

        Raises ModelError if the call fails, and LimitReached if the run's budget is spent. The response is then not
        judged, and does not count as wrong.
        """
        # The response must not close its own tag and continue as the grader.
        shown = _TAG.sub(r"\1 \2", response[-_RESPONSE_CHARS:])
        texts = {"question": question, "response": shown, "correct_answer": correct_answer}
        messages = [
            {"role": role, "content": self.prompt.render(role, **texts)}
            for role in ("system", "user")
            if role in self.prompt.parts
        ]
        if rubric:
            messages[0]["content"] += _RUBRIC.format(rubric=rubric.strip())
        try:
            reply = await self.tree.call(self.model, messages, role=JUDGE)
        except LimitReached as refused:
            if refused.reason.startswith(_RUN_LIMIT):
                raise
            return Judgement(None, reply=f"not judged: {refused}")
        except ContextOverflow as refused:
            return Judgement(None, reply=f"not judged: {refused}")
        judgement = parse_judgement(reply.text)
        if judgement.correct is None and reply.reasoning and not reply.truncated:
            # Some endpoints return the complete reply as reasoning.
            return parse_judgement(reply.reasoning)
        return judgement


def build_judge(
    settings: JudgeSettings | None, prices: Mapping[str, PriceSettings] | None = None, *, replay: bool = False
) -> LlmJudge | None:
    """Build the judge of a configuration; None if it has none.

    prices: overrides as in conf/prices.yaml. replay: no call will be made, so no key is needed. Raises ConfigError.
    """
    if settings is None:
        return None
    model = settings.models.build(prices, replay=replay)["root"]
    try:
        return LlmJudge(model, settings.prompt, settings.limits)
    except ValueError as error:
        raise ConfigError(f"judge.prompt: {error}") from error


def _prompt(name: str) -> PromptFile:
    inside = _FOLDER / f"{name}.md"
    return replace(load_prompt(str(inside)), name=name) if inside.is_file() else load_prompt(name)
