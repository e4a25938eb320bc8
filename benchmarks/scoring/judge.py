"""The judge: a model that says whether a response gives the correct answer, with calls and a budget of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlm.limits import Budget, LimitReached, Limits, Meter
from rlm.models.chat import ChatModel, ContextOverflow
from rlm.prompts import PromptFile, load_prompt
from rlm.trajectory import CallRecord, Trajectory
from rlm.tree import JUDGE, CallTree

DEFAULT_PROMPT = "judge-v1"
_FOLDER = Path(__file__).parent / "prompts"
# A judge reads an answer, never a context. Of one that is longer it reads the end, where final answers stand.
_RESPONSE_CHARS = 200_000
_TAG = re.compile(r"<(/?(?:response|question|correct_answer)\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What a judge made of a response.

    correct: None when no verdict could be read from the reply. extracted: the final answer it found in the response.
    confidence: 0 to 100, as stated by the response; None where the judge gave none. reply: the judge's whole reply.
    """

    correct: bool | None
    extracted: str = ""
    reasoning: str = ""
    confidence: float | None = None
    reply: str = ""


class LlmJudge:
    """Judges with a model, a prompt file with the parts `system` and `user`, and limits for each response judged."""

    def __init__(self, model: ChatModel, prompt: str = DEFAULT_PROMPT, limits: Limits | None = None) -> None:
        self.model = model
        self.prompt = _prompt(prompt)
        self._limits = limits or Limits(max_calls=8)

    def open(self, epoch: int = 0, budget: Budget | None = None) -> tuple[OpenJudge, list[CallRecord]]:
        """A judge for one response, and the list that its calls will stand in. budget: dollars shared with others."""
        tree = CallTree(Meter(self._limits, budget), Trajectory(), epoch, self.prompt.sha256)
        return OpenJudge(self.model, self.prompt, tree), tree.calls

    def describe(self) -> dict[str, Any]:
        """Model, sampling and prompt, for a run's manifest."""
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
    """Judges one response through a call tree of its own, so that what it costs is counted apart."""

    model: ChatModel
    prompt: PromptFile
    tree: CallTree

    async def __call__(self, question: str, response: str, correct_answer: str) -> Verdict:
        """Ask the model once. Raises ModelError when the call fails: a response is not wrong for that."""
        # The response stays between its tags: it must not pass for words of the grader's.
        shown = _TAG.sub(r"< \1", response[-_RESPONSE_CHARS:])
        texts = {"question": question, "response": shown, "correct_answer": correct_answer}
        messages = [{"role": role, "content": self.prompt.render(role, **texts)} for role in ("system", "user")]
        try:
            reply = await self.tree.call(self.model, messages, role=JUDGE)
        except (LimitReached, ContextOverflow) as refused:
            return Verdict(None, reply=f"not judged: {refused}")
        return parse_verdict(reply.text)


def build_judge(config: Mapping[str, Any], prices: Mapping[str, Any] | None = None, **options: Any) -> LlmJudge | None:
    """The judge of a configuration (conf/judge/): None for kind `none`.

    Its keys are those of a model's configuration, the judging model as `root`, with `prompt` and `limits` besides.
    options: handed to rlm.models.build.build_models. Raises ValueError, one line.
    """
    if config.get("kind") == "none":
        return None
    from rlm.models.build import build_models

    settings = dict(config)
    prompt, limits = settings.pop("prompt", DEFAULT_PROMPT), settings.pop("limits", None)
    if not isinstance(prompt, str):
        raise ValueError(f"judge.prompt is {prompt!r}: wanted the name of a prompt, or a path")
    try:
        models = build_models(settings, prices=prices, **options)
        return LlmJudge(models["root"], prompt, Limits(**limits) if limits else None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"judge: {str(error).replace('model.', 'judge.')}") from error


def parse_verdict(reply: str) -> Verdict:
    """The four fields of a judge's reply.

    Strict: `correct` must stand at the start of a line with yes or no and nothing more, and if it stands there twice
    both must agree. Thoughts in <think> tags are not part of a reply.
    """
    # A template may have opened the tag; thoughts that were cut off have no verdict after them.
    opened, _, text = reply.rpartition("</think>")
    text = "" if not opened and text.lstrip().startswith("<think>") else text
    verdicts = {found.lower() for found in _CORRECT.findall(text)}
    confidence = _last(_CONFIDENCE, text)
    return Verdict(
        correct=verdicts == {"yes"} if len(verdicts) == 1 else None,
        extracted=_last(_EXTRACTED, text) or "",
        reasoning=_last(_REASONING, text) or "",
        confidence=float(confidence) if confidence is not None and float(confidence) <= 100 else None,
        reply=reply,
    )


def _field(name: str, value: str) -> re.Pattern[str]:
    # Models set field names in bold, in quotes or as list items.
    return re.compile(rf"^[ \t>*_\"'`-]*{name}[ \t*_\"'`]*:{value}$", re.I | re.M)


_CORRECT = _field("correct", r"[ \t*_\"'`]*(yes|no)[ \t\r*_\"'`,.]*")
_CONFIDENCE = _field("confidence", r"[ \t*_\"'`]*(\d{1,3}(?:\.\d+)?)[ \t]*%?[ \t\r*_\"'`,.]*")
_EXTRACTED = _field("extracted_final_answer", r"(.*)")
_REASONING = _field("reasoning", r"(.*)")


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return found[-1].lstrip(" \t*_\"'`").rstrip(" \t\r*_\"'`,.") if found else None


def _prompt(name: str) -> PromptFile:
    inside = _FOLDER / f"{name}.md"
    return replace(load_prompt(str(inside)), name=name) if inside.is_file() else load_prompt(name)
