"""Method: the base class of every method. It builds the call tree and turns every outcome into a Completion."""

from __future__ import annotations

import asyncio
import hashlib
import math
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

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
from rlm.validation import make, setting_types, validate


@dataclass(frozen=True)
class Answer:
    """The answer of a method, if any, and its stop reason. Completion documents truncated and untagged."""

    text: str | None
    stop_reason: StopReason = StopReason.ANSWER
    truncated: bool = False
    untagged: bool = False


if TYPE_CHECKING:

    class ModelField:
        """Descriptor of a field that accepts a model or its name and holds the model."""

        def __get__(self, method: object, owner: object) -> ChatModel: ...

        def __set__(self, method: object, value: ChatModel | str | None) -> None: ...


@dataclass(kw_only=True)
class Method:
    """Base class of every method: a subclass declares its settings as fields and implements `answer`.

    The values of the fields are checked against their annotations. model, sub_model: a ChatModel or a name such as
    `openai/gpt-5`; sub_model is model by default. limits: the default limits of each completion.
    """

    # The role in the model configuration whose model the runner passes as sub_model.
    sub_role: ClassVar[str] = SUB
    # The fields that hold a model. The runner passes a further one the model of the role that has its name.
    model_fields: ClassVar[tuple[str, ...]] = ("model", "sub_model")
    # The bundled file with the words of options, for methods whose prompt file it completes.
    prompt_options: ClassVar[str | None] = None
    # The method makes one call, unless the prompt does not fit, so that its requests can be sent in batches.
    one_call: ClassVar[bool] = False

    if TYPE_CHECKING:
        model: ModelField = ModelField()
        sub_model: ModelField = ModelField()
    else:
        model: ChatModel | str
        sub_model: ChatModel | str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        kind: Any = type(self)
        settings = {name: getattr(self, name) for name in setting_types(kind) if name not in self.model_fields}
        for name, value in validate(kind, settings).items():
            setattr(self, name, value)
        self.model = load_model(self.model)
        self.sub_model = self.model if self.sub_model is None else load_model(self.sub_model)

    @property
    def prompt_file_sha256(self) -> str | None:
        """Return the hash of the prompt file that the field `prompt` names; None for a method without one."""
        name = getattr(self, "prompt", None)
        try:
            return load_prompt(name).sha256 if name else None
        except PromptError:
            return None

    @property
    def option_prompts(self) -> tuple[str, ...]:
        """Return the names of the prompt files that the method uses besides the one in the field `prompt`."""
        return (self.prompt_options,) if self.prompt_options else ()

    @property
    def prompt_options_sha256(self) -> str | None:
        """Return the hash of the file in option_prompts, or a hash of the hashes of several; None if there is none."""
        digests = [load_prompt(name).sha256 for name in self.option_prompts]
        if len(digests) < 2:
            return digests[0] if digests else None
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        """Answer the prompt with calls through `tree`. An exception ends the completion with a stop_reason."""
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
        """Answer `query` over `prompt`; Prompt.of documents the types that a prompt may have.

        limits: replace the method's own. epoch: the number of this repetition of the prompt, which keeps its recorded
        responses apart from those of other repetitions. budget: the dollars and tokens that this completion shares with
        others. on_event: called on the event loop with each event of the trajectory when it happens (turns, model
        calls, cells, children); it must not block.

        A reached limit, an input that is too long, a failed endpoint or a bug in the method gives a Completion with a
        stop_reason and the usage so far. Raises FatalModelError if no later call can succeed, and ValueError or
        TypeError for invalid arguments. A cancellation propagates after the calls in flight have been dropped and the
        session's processes have ended.
        """
        prompt = Prompt.of(prompt, query)
        meter = Meter(self.limits if limits is None else make(Limits, limits, "limits"), budget)
        tree = CallTree(meter, Trajectory(on_event), epoch, self.prompt_file_sha256)
        tree.trajectory.record("completion", method=type(self).__name__, chars=prompt.chars, query=prompt.query)
        error = None
        try:
            result = _within_limits(await self.answer(prompt, tree), tree)
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
        # Calls that were in flight when a cell was stopped are also paid for.
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
        """Like acompletion, for synchronous code. It also works while an event loop is running, as in a notebook.

        on_event is called in another thread. KeyboardInterrupt cancels the completion before it propagates.
        """
        work = self.acompletion(prompt, query, limits=limits, epoch=epoch, budget=budget, on_event=on_event)
        return run_blocking(work)


def _within_limits(result: Answer, tree: CallTree) -> Answer:
    """Return the answer; if its calls have exceeded a limit, that limit becomes the stop_reason."""
    exceeded = tree.meter.exceeded
    if exceeded is None or result.stop_reason not in (StopReason.ANSWER, StopReason.TRUNCATED):
        return result
    tree.trajectory.record(
        "limit", reason=str(exceeded), text=f"{exceeded} was exceeded before the answer was complete"
    )
    return replace(result, stop_reason=exceeded)


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
        # Exact sums do not depend on the order in which concurrent calls ended.
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
    return Completion(
        text, reason, usage, tree.trajectory, calls, result.truncated, error, tree.meter.wall_s,
        untagged=result.untagged and text is not None, prompt_cut=tree.counts.prompt_cut,
    )  # fmt: skip


def _in_order(tree: CallTree) -> tuple[CallRecord, ...]:
    """Return the calls of a tree, numbered like the sorted events of its trajectory."""
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
