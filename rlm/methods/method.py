"""What all methods share: building the call tree, and turning every way it can end into a Completion."""

from __future__ import annotations

import asyncio
import math
import traceback
from dataclasses import dataclass, field, replace
from typing import ClassVar

from rlm.blocking import run_blocking
from rlm.completion import Completion, StopReason, Usage, one_line
from rlm.limits import Budget, LimitReached, Limits, Meter
from rlm.models import load_model
from rlm.models.chat import ChatModel, ContextOverflow, Cost, FatalModelError, ModelError
from rlm.prompt import Prompt, PromptLike
from rlm.prompts import PromptError, load_prompt
from rlm.repl.protocol import ReplError
from rlm.trajectory import CallRecord, OnEvent, Trajectory
from rlm.tree import ROOT, SUB, CallTree


@dataclass(frozen=True)
class Answer:
    """How a method's own loop ended: its answer, if any, and why it stopped."""

    text: str | None
    stop_reason: StopReason = StopReason.ANSWER
    truncated: bool = False


@dataclass(kw_only=True)
class Method:
    """Base of every method: a subclass sets its settings as fields and writes `answer`.

    model, sub_model: a ChatModel or a name such as `openai/gpt-5`; without a sub_model, model takes its part.
    limits: the defaults of each completion.
    """

    # Which entry of a model configuration the runner hands in as sub_model.
    sub_role: ClassVar[str] = SUB

    model: ChatModel | str
    sub_model: ChatModel | str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.model = load_model(self.model)
        self.sub_model = self.model if self.sub_model is None else load_model(self.sub_model)

    @property
    def prompt_file_sha256(self) -> str | None:
        """Hash of the prompt file that the field `prompt` names, None for a method without one."""
        name = getattr(self, "prompt", None)
        try:
            return load_prompt(name).sha256 if name else None
        except PromptError:
            return None

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        """Answer the prompt with calls through `tree`; what it raises ends the completion with a stop_reason."""
        raise TypeError(f"{type(self).__name__} does not define answer(prompt, tree)")

    async def acompletion(
        self,
        prompt: PromptLike,
        query: str | None = None,
        *,
        limits: Limits | None = None,
        epoch: int = 0,
        budget: Budget | None = None,
        on_event: OnEvent | None = None,
    ) -> Completion:
        """Answer `query` over `prompt`; see Prompt.of for what a prompt may be.

        limits: in place of the method's own. epoch: which of several completions of one prompt this is; recorded
        responses are kept apart by it. budget: dollars shared with other completions. on_event: called with each event
        of the trajectory as it happens (turns, model calls, cells, children), on the event loop: it must not block.

        Limits, an input that is too long, endpoints that fail and a method's own faults end in a Completion with a
        stop_reason, so that what was paid is told. Raises FatalModelError (no later call can succeed) and what is wrong
        with the arguments. Cancellation passes through, after the calls on the wire have been dropped and the session's
        processes ended.
        """
        prompt = Prompt.of(prompt, query)
        meter = Meter(limits or self.limits, budget)
        tree = CallTree(meter, Trajectory(on_event), epoch, self.prompt_file_sha256)
        tree.trajectory.record("completion", method=type(self).__name__, chars=prompt.chars, query=prompt.query)
        error = None
        try:
            result = await self.answer(prompt, tree)
        except asyncio.CancelledError:
            await tree.drop()
            raise
        except LimitReached as limit:
            result = Answer(None, limit.reason)
        except ContextOverflow as overflow:
            result, error = Answer(None, StopReason.CONTEXT_OVERFLOW), one_line(overflow)
        except FatalModelError:
            await tree.settle()
            raise
        except (ModelError, ReplError) as failure:
            result, error = Answer(None, StopReason.ERROR), one_line(failure)
        except Exception as fault:
            result, error = Answer(None, StopReason.ERROR), one_line(fault)
            tree.trajectory.record("error", traceback=traceback.format_exc())
        # What was on the wire when a cell was stopped is paid for too.
        await tree.settle()
        return _completion(result, error, tree)

    def completion(
        self,
        prompt: PromptLike,
        query: str | None = None,
        *,
        limits: Limits | None = None,
        epoch: int = 0,
        budget: Budget | None = None,
        on_event: OnEvent | None = None,
    ) -> Completion:
        """Like acompletion, for code that is not asynchronous; also where an event loop already runs, as in a notebook.

        on_event is called in a thread of its own. KeyboardInterrupt cancels the whole completion before it passes.
        """
        work = self.acompletion(prompt, query, limits=limits, epoch=epoch, budget=budget, on_event=on_event)
        return run_blocking(work)


def _completion(result: Answer, error: str | None, tree: CallTree) -> Completion:
    text = result.text if result.text and result.text.strip() else None
    reason = result.stop_reason
    if text is None and reason == StopReason.ANSWER:
        reason = StopReason.NO_ANSWER
    tree.trajectory.record("answer", answer=text, stop_reason=str(reason), truncated=result.truncated, error=error)
    calls = _in_order(tree)
    roots = sum(call.role == ROOT and call.depth == 0 for call in calls)
    usage = Usage(
        tokens=tree.meter.tokens,
        # Sums that do not depend on which of several calls at once ended first.
        cost=Cost(
            math.fsum(call.cost.usd for call in calls),
            math.fsum(call.cost.uncached_usd for call in calls),
            tree.meter.cost.state,
        ),
        root_calls=roots,
        sub_calls=len(calls) - roots,
        max_depth_reached=tree.counts.max_depth,
        turns=tree.counts.turns,
        cells=tree.counts.cells,
        syntax_errors=tree.counts.syntax_errors,
        model_s=math.fsum(call.latency_s for call in calls),
    )
    return Completion(text, reason, usage, tree.trajectory, calls, result.truncated, error, tree.meter.wall_s)


def _in_order(tree: CallTree) -> tuple[CallRecord, ...]:
    """The calls of a tree, numbered as the events of its trajectory are once these are in order."""
    numbers = tree.trajectory.put_in_order()
    calls = (
        replace(
            call,
            call_id=numbers[call.call_id],
            parent_id=None if call.parent_id is None else numbers[call.parent_id],
        )
        for call in tree.calls
    )
    return tuple(sorted(calls, key=lambda call: call.call_id))
