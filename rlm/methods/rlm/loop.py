"""The Recursive Language Model: a root that reaches its prompt by code in a REPL, and calls models from that code."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlm.completion import StopReason
from rlm.limits import LimitReached
from rlm.methods.method import Answer
from rlm.methods.rlm.answer import Acceptance
from rlm.methods.rlm.functions import child_functions, host_tools, tool_notes
from rlm.methods.rlm.prompt import Conversation, bounded, capacity, describe
from rlm.methods.rlm.reply import AnswerProtocol, Cells, Reason, Reminder, Step, parse_reply
from rlm.methods.rlm.strategy import Strategy
from rlm.methods.session import run_cell, start_session
from rlm.methods.subcalls import SubCallFailed, SubCalls, plain_functions
from rlm.models.chat import ChatModel, ContextOverflow, FatalModelError, ModelError, Reply
from rlm.prompt import Prompt
from rlm.prompts import load_prompt
from rlm.repl.protocol import CellStatus, HostFunction, Repl, ReplError
from rlm.tree import ROOT, SUB, CallTree

if TYPE_CHECKING:
    from rlm.methods.rlm.method import RLM

# Seconds of a cell in the last reply, which is there to name the answer.
_LAST_CELL_S = 20.0
_ANY_VARIABLE = (AnswerProtocol.FINAL_TAGS, "answer")
_MARK_READY = 'answer["ready"] = True'


class Loop:
    """One RLM at work, the root or a child: its session, its conversation, its turns.

    Whether what a reply or a cell gives is the answer is for its Acceptance to say. In the protocol `answer_variable`
    prose never counts.
    """

    def __init__(
        self,
        rlm: RLM,
        prompt: Prompt,
        tree: CallTree,
        calls: SubCalls,
        model: ChatModel,
        depth: int = 0,
        parent: int | None = None,
    ) -> None:
        self.rlm = rlm
        self.prompt = prompt
        self.tree = tree
        self.calls = calls
        self.model = model
        self.depth = depth
        self.parent = parent
        self.turn = parent
        self.guard = tree.loop()
        self.strategy = Strategy()
        self.tools = rlm.tools_for(prompt)
        self.limits = bounded(tree.meter.limits, model)
        self.talk = Conversation(load_prompt(rlm.prompt), self._settings(), describe(prompt, rlm.prefix_chars))
        self.acceptance = Acceptance(self.talk, self.strategy)
        self.repl: Repl | None = None
        self._child_slots = asyncio.Semaphore(rlm.children_concurrency)

    async def run(self) -> Answer:
        try:
            self.repl = self.acceptance.repl = await self._open()
            return await self._turns()
        except LimitReached as limit:
            return await self._last_turn(limit)
        except ContextOverflow:
            if self.guard.turns < 2:
                raise
            self.talk.forget()
            return await self._last_turn(LimitReached(StopReason.CONTEXT_OVERFLOW, "the conversation is too long"))
        finally:
            if self.repl:
                await self.repl.aclose()
            self._summarise()

    async def _turns(self) -> Answer:
        while True:
            self.guard.turn()
            self.tree.counts.turns += 1
            reply = await self._ask()
            parsed = parse_reply(reply.text, protocol=self.rlm.protocol, truncated=reply.truncated)
            self.talk.reply(parsed.said)
            answer = await self._take(_refused(reply) or parsed.step, reply)
            if answer:
                return replace(answer, truncated=answer.truncated or reply.truncated)
            self._send()
            # A limit that a sub-call met has stopped the tree, whatever the cell made of it.
            self.tree.meter.check()

    async def _take(self, step: Step, reply: Reply) -> Answer | None:
        """Do what a reply asks for and keep what is to be said of it; None is to go on."""
        self._record_step(step)
        if not isinstance(step, Cells):
            answer = await self.acceptance.of_reply(step, reply)
            if answer is None:
                self.guard.outcome(failed=True)
            return answer
        answer, failed = await self._run(step.codes)
        if answer is None and step.final:
            answer = await self.acceptance.beside_code(step.final, reply, failed=failed)
        if answer is None:
            self._watch(step, failed=failed)
        return answer

    async def _run(self, codes: Sequence[str], timeout_s: float | None = None) -> tuple[Answer | None, bool]:
        """Run cells up to the first that fails or sets the final answer; the answer, and whether one failed."""
        for number, code in enumerate(codes, 1):
            result = await run_cell(self.repl, self.tree, code, parent=self.turn, depth=self.depth, timeout_s=timeout_s)
            self.talk.output(result)
            if result.status != CellStatus.OK:
                self.talk.unrun = len(codes) - number
                if result.status == CellStatus.KILLED:
                    self.strategy.forget()
                return None, True
            self.strategy.ran(code, self.guard.turns)
            answer = await self.acceptance.of_cell() if result.final else None
            if answer:
                return answer, False
        return None, False

    async def _last_turn(self, limit: LimitReached) -> Answer:
        """The root's one call past a limit, if the reserve allows it; the limit stays the stop_reason."""
        if self.depth and self.tree.meter.stopped:
            raise limit
        self._record("limit", reason=str(limit.reason), text=str(limit))
        self.talk.note("last", why=str(limit))
        self._send()
        try:
            reply = await self._ask(last=True)
        except FatalModelError:
            raise
        except (LimitReached, ModelError):
            return await self._left_in_session(limit)
        parsed = parse_reply(reply.text, protocol=self.rlm.protocol, truncated=reply.truncated)
        step = final = _refused(reply) or parsed.step
        self._record_step(step)
        answer = None
        if isinstance(step, Cells):
            answer, _ = await self._run(step.codes, timeout_s=_LAST_CELL_S)
            final = step.final
        if answer is None and final:
            answer = await self.acceptance.of_reply(final, reply, last=True)
        if answer is None and final == Reminder(Reason.REFUSAL) and limit.reason == StopReason.MAX_CONSECUTIVE_ERRORS:
            limit = LimitReached(StopReason.REFUSAL, "the model declined")
        if answer is None:
            return await self._left_in_session(limit)
        return replace(answer, stop_reason=limit.reason, truncated=answer.truncated or reply.truncated)

    async def _left_in_session(self, limit: LimitReached) -> Answer:
        """What there is without a last word: the content of `answer`, ready or not, where that is the protocol."""
        if self.rlm.protocol == AnswerProtocol.ANSWER_VARIABLE:
            try:
                result = await self.repl.run(_MARK_READY, timeout_s=_LAST_CELL_S)
                text = await self.repl.final() if result.final else ""
                if text.strip():
                    return replace(self.acceptance.take(text, "unready"), stop_reason=limit.reason)
            except ReplError:
                pass
        return Answer(None, limit.reason)

    async def _ask(self, *, last: bool = False) -> Reply:
        """The next reply of this loop's model. Only the root has a call past a limit of the tree."""
        self.turn = self.tree.trajectory.record("turn", parent=self.parent, depth=self.depth, turn=self.guard.turns)
        call = self.tree.call(
            self.model,
            list(self.talk.messages),
            role=SUB if self.depth else ROOT,
            depth=self.depth,
            parent=self.turn,
            last=last and not self.depth,
        )
        return await self.tree.to_its_end(call)

    async def _open(self) -> Repl:
        functions: dict[str, HostFunction] = {}
        parent, depth = (lambda: self.turn), self.depth + 1
        if self.rlm.max_depth > 0:
            functions |= plain_functions(self.calls, parent=parent, depth=depth)
            functions |= child_functions(self._child)
        functions |= host_tools(self.tools, self.tree, parent=parent, depth=depth, timeout_s=self.rlm.tool_timeout_s)
        return await start_session(
            self.rlm.repl, self.limits, self.prompt.context, functions, answer=self.rlm.protocol, data=self.rlm.data
        )

    async def _child(self, prompt: Prompt) -> str:
        """A child RLM's answer, or that of a plain sub-call where the depth allows no child."""
        if not self._has_children:
            text = "\n\n".join(part for part in (prompt.context_text, prompt.query) if part)
            return await self.calls.ask(text, depth=self.depth + 1, parent=self.turn)
        async with self._child_slots:
            event = self.tree.trajectory.record(
                "child", parent=self.turn, depth=self.depth + 1, chars=prompt.chars, query=prompt.query
            )
            child = Loop(self.rlm, prompt, self.tree, self.calls, self.rlm.sub_model, self.depth + 1, event)
            answer = await child.run()
        if answer.text is None:
            raise SubCallFailed(f"rlm_query ended without an answer: {answer.stop_reason}")
        return answer.text

    @property
    def _has_children(self) -> bool:
        return self.depth + 1 < self.rlm.max_depth

    def _watch(self, step: Cells, *, failed: bool) -> None:
        """Tell of what goes wrong over several turns. Raises LimitReached where it has gone on for too long."""
        if step.cut:
            self.talk.note("note_cut")
        if self.guard.repeated("\n\n".join(step.codes), "\n".join(self.talk.outputs)):
            self.talk.note("note_repeated")
        turns = self.strategy.overdue(self.guard.turns)
        if turns:
            self.talk.note("note_ready", name=self.strategy.ready, turns=turns)
        # In the protocol of tags `answer` may be any variable.
        if self.strategy.is_stuck(self.guard.turns) and (self.rlm.protocol, self.strategy.ready) != _ANY_VARIABLE:
            raise LimitReached(StopReason.VERIFICATION_LOOP, f"`{self.strategy.ready}` has stood ready for too long")
        self.guard.outcome(failed=failed)

    def _send(self) -> None:
        for note in self.talk.send():
            self._record("notice", text=note)

    def _record_step(self, step: Step) -> None:
        reason = str(step.reason) if isinstance(step, Reminder) else None
        self._record("step", step=type(step).__name__, reason=reason)

    def _record(self, kind: str, **data: Any) -> None:
        self.tree.trajectory.record(kind, parent=self.turn, depth=self.depth, **data)

    def _settings(self) -> dict[str, Any]:
        """What every part of the prompt file may name."""
        return {
            "protocol": str(self.rlm.protocol),
            "sub_calls": self.rlm.max_depth > 0,
            "children": self._has_children,
            "sub_chars": self.rlm.sub_context_chars or capacity(self.rlm.sub_model),
            "tools": tool_notes(self.tools),
            "data": {name: type(value).__name__ for name, value in self.rlm.data.items()},
            "output_chars": self.limits.max_output_chars,
            "window_tokens": self.model.context_window,
        }

    def _summarise(self) -> None:
        turns, ready, kind = self.guard.turns, self.strategy.ready_turn, self.strategy.decomposition
        calls = self.tree.calls
        whole = {} if self.depth else {
            "calls_by_depth": dict(sorted(Counter(str(call.depth) for call in calls).items())),
            "tokens_by_role": {role: sum(c.usage.total for c in calls if c.role == role) for role in (ROOT, SUB)},
        }  # fmt: skip
        self.tree.trajectory.record(
            "summary", parent=self.parent, depth=self.depth, turns=turns,
            decomposition=None if kind is None else str(kind), answer_from=self.acceptance.source,
            answer_ready_turn=ready, contradicts_variable=self.acceptance.contradicts,
            answer_ready_before_end=ready is not None and turns - ready > 1,
            prompt=self.rlm.prompt, prompt_sha256=load_prompt(self.rlm.prompt).sha256, **whole,
        )  # fmt: skip


def _refused(reply: Reply) -> Reminder | None:
    return Reminder(Reason.REFUSAL) if reply.refused else None
