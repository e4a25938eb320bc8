"""rlm_selfconsistency: K programs for each prompt, each a complete RLM; one of their answers is chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Ge, Le

from rlm.completion import StopReason, one_line
from rlm.limits import LimitReached
from rlm.methods.method import Answer
from rlm.methods.rlm.loop import Loop
from rlm.methods.rlm.method import RLM
from rlm.methods.rlm.reply import RootReply
from rlm.methods.selfconsistency.selection import Choice, Program, choose, stated_confidence, without_confidence
from rlm.methods.subcalls import SubCalls
from rlm.models.chat import ContextOverflow, FatalModelError, ModelError, Reply
from rlm.prompt import Prompt
from rlm.prompts import load_prompt
from rlm.repl.protocol import ReplError
from rlm.tree import CallTree

_WORDS = "options/selfconsistency-v1"
# Calls of a program are recorded under an epoch of its own, which no repetition of a sample has.
_EPOCHS = 10_000_000


class ProgramLoop(Loop):
    """The root's loop of one program. may_finish: True if it may make a last call after a limit of the tree."""

    rlm: RLMSelfConsistency

    def __init__(self, *given: Any, may_finish: Callable[[], bool] = lambda: True, **options: Any) -> None:
        super().__init__(*given, **options)
        self.confidences: list[float | None] = []
        self.tokens = 0
        self._may_finish = may_finish
        self._states_confidence = self.rlm.confidence and not self.depth
        if self._states_confidence:
            system = self.talk.messages[0]
            system["content"] = f"{system['content']}\n\n{load_prompt(_WORDS).render('confidence')}"

    async def _read(self, reply: Reply) -> RootReply:
        self.tokens += reply.usage.completion_tokens
        read = await super()._read(reply)
        if not self._states_confidence:
            return read
        self.confidences.append(stated_confidence(read.text))
        return replace(read, prose=without_confidence(read.prose))

    async def _last_turn(self, limit: LimitReached) -> Answer:
        # One reply is reserved for a completion, not one for each of its programs.
        if self.tree.meter.stopped and not self.depth and not self._may_finish():
            raise limit
        return await super()._last_turn(limit)


@dataclass(kw_only=True)
class RLMSelfConsistency(RLM):
    """Self-reflective program search (SRLM, arXiv:2603.15653): k complete RLMs for a prompt; one of them is chosen.

    The programs are sampled independently: their requests are equal until replies differ, and each has a seed of its
    own if the model has one. All share the limits. Those whose answer most others share are the candidates; among them,
    the largest product of log confidence and length decides, see `selection`. k: the number of programs; one is the
    method `rlm`. confidence: the root begins each reply with a confidence of 0 to 100; without it, the shortest
    candidate is chosen. programs_concurrency: the number of programs that run at the same time.
    """

    k: Annotated[int, Ge(1), Le(1000)] = 8
    confidence: bool = True
    programs_concurrency: Annotated[int, Ge(1)] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k > 1 and self.model.sampling.temperature == 0:
            raise ValueError(
                f"k is {self.k}: expected 1, because the root's temperature is 0 and all programs would be equal; set "
                "model.root.temperature above 0"
            )

    @property
    def option_prompts(self) -> tuple[str, ...]:
        return (*super().option_prompts, _WORDS) if self.k > 1 and self.confidence else super().option_prompts

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        if self.k == 1:
            return await super().answer(prompt, tree)
        run = _Programs(self, prompt, tree)
        programs = await run.all()
        choice = choose(programs)
        _record(tree, programs, choice)
        if not any(program.answer.text for program in programs) and len(run.failures) == len(programs):
            raise run.failures[0]
        answer = choice.program.answer
        # Programs are missing if a limit of the tree stopped them, regardless of the others' answers.
        return replace(answer, stop_reason=tree.meter.stopped) if tree.meter.stopped else answer


class _Programs:
    """The programs of one completion. failures: the errors of programs that an endpoint or a session ended."""

    def __init__(self, method: RLMSelfConsistency, prompt: Prompt, tree: CallTree) -> None:
        self.failures: list[ModelError | ReplError] = []
        self._method = method
        self._prompt = prompt
        self._tree = tree
        self._calls = SubCalls(tree, method.sub_model, method.sub_call_concurrency)
        self._slots = asyncio.Semaphore(method.programs_concurrency)
        self._answered = False

    async def all(self) -> list[Program]:
        """Run all programs and return them in order. Raises FatalModelError."""
        events = [self._tree.trajectory.record("program", number=number) for number in range(self._method.k)]
        ended = await asyncio.gather(*(self._one(*pair) for pair in enumerate(events)), return_exceptions=True)
        faults = [one for one in ended if isinstance(one, BaseException)]
        for fault in sorted(faults, key=lambda one: not isinstance(one, FatalModelError)):
            raise fault
        return [one for one in ended if isinstance(one, Program)]

    async def _one(self, number: int, event: int) -> Program:
        async with self._slots:
            tree = self._tree.branch(self._tree.epoch + _EPOCHS * number)
            loop = ProgramLoop(
                self._method, self._prompt, tree, self._calls.within(tree), self._method.model, parent=event,
                may_finish=self._may_finish,
            )  # fmt: skip
            try:
                answer = await loop.run()
            except LimitReached as limit:
                answer = Answer(None, limit.reason)
            except FatalModelError:
                raise
            except ContextOverflow as overflow:
                answer = self._failed(overflow, event, StopReason.CONTEXT_OVERFLOW)
            except (ModelError, ReplError) as failure:
                answer = self._failed(failure, event, StopReason.ERROR)
            self._answered |= answer.text is not None
            return Program(number, answer, tuple(loop.confidences), loop.tokens)

    def _failed(self, error: ModelError | ReplError, event: int, reason: StopReason) -> Answer:
        self.failures.append(error)
        self._tree.trajectory.record("limit", parent=event, reason=str(reason), text=one_line(error))
        return Answer(None, reason)

    def _may_finish(self) -> bool:
        """True once, and only if no program has answered."""
        may, self._answered = not self._answered, True
        return may


def _record(tree: CallTree, programs: list[Program], choice: Choice) -> None:
    tree.trajectory.record(
        "selection", chosen=choice.program.number, why=str(choice.why), votes=max(choice.votes),
        programs=[
            {
                "number": program.number, "votes": votes, "log_confidence": program.log_confidence,
                "tokens": program.tokens, "score": program.score, "confidences": list(program.confidences),
                "answer": program.answer.text, "stop_reason": str(program.answer.stop_reason),
            }
            for program, votes in zip(programs, choice.votes, strict=True)
        ],
    )  # fmt: skip
