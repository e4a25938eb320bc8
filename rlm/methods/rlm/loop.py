"""The loop of a Recursive Language Model: a root writes code that processes the prompt in a REPL and calls models."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlm.completion import StopReason
from rlm.limits import LimitReached
from rlm.methods import allowance
from rlm.methods.long_texts import off_loop
from rlm.methods.method import Answer
from rlm.methods.rlm.answer import Acceptance
from rlm.methods.rlm.functions import SHOW_VARS, ToolNote, child_functions, host_tools, tool_notes
from rlm.methods.rlm.prompt import Conversation, bounded, describe, load_rlm_prompt
from rlm.methods.rlm.reply import AnswerProtocol, Cells, Reason, Reminder, RootReply, Step, read_root_reply
from rlm.methods.rlm.strategy import Strategy
from rlm.methods.session import MethodSession
from rlm.methods.subcalls import PaidReplies, SubCallFailed, SubCalls, capacity, sub_call_functions
from rlm.methods.thinking import written
from rlm.models.chat import ChatModel, ContextOverflow, Reply
from rlm.prompt import Prompt
from rlm.prompts import PromptFile, load_prompt
from rlm.repl.protocol import CellStatus, ReplError
from rlm.tree import ROOT, SUB, CallTree

if TYPE_CHECKING:
    from rlm.methods.rlm.method import RLM

# Seconds for a cell of the last reply, which only has to name the answer.
_LAST_CELL_S = 20.0
_ANY_VARIABLE = (AnswerProtocol.FINAL_TAGS, "answer")
_MARK_READY = 'answer["ready"] = True'
# Reasons for a reminder about a reply in prose, without a tag.
_PROSE = (Reason.NO_CODE, Reason.OTHER_LANGUAGE, Reason.REFUSAL, Reason.CUT)


class Loop:
    """The loop of one RLM, the root or a child: its session, its conversation and its turns.

    Its Acceptance decides if a reply or a cell gives the answer.
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
        self.guard = tree.loop(rlm.max_turns)
        self.strategy = Strategy()
        self.tools = rlm.tools_for(prompt)
        self.limits = bounded(tree.meter.limits, model)
        text = load_rlm_prompt(rlm.prompt)
        self.talk = Conversation(
            text,
            self._settings(text),
            describe(prompt, rlm.prefix_chars, rlm.document_lengths),
            guard_first_turn=rlm.first_turn_guard,
            repeat_query=rlm.repeat_query,
        )
        # A final answer before the first cell is refused once, one before the first output as often as it comes.
        self._guards_first_turn = rlm.first_turn_guard
        self._needs_output = rlm.output_before_answer
        self._child_slots = asyncio.Semaphore(rlm.children_concurrency)

    async def run(self) -> Answer:
        self.session = await self._open()
        self.acceptance = Acceptance(self.talk, self.strategy, self.session.repl)
        try:
            return await self._turns()
        except LimitReached as limit:
            return await self._last_turn(limit)
        except ContextOverflow:
            if self.guard.turns < 2:
                raise
            self.talk.forget()
            return await self._last_turn(LimitReached(StopReason.CONTEXT_OVERFLOW, "the conversation is too long"))
        finally:
            await self.session.aclose()
            self._summarise()

    async def _turns(self) -> Answer:
        while True:
            self.guard.turn()
            self.tree.counts.turns += 1
            self._begin_turn()
            reply = await self._ask()
            read = await self._read(reply)
            answer = await self._take(read.step, reply)
            if answer:
                return _flagged(answer, reply)
            self._send()
            # If a sub-call reached a limit, the tree has stopped, even if the cell caught the exception.
            self.tree.meter.check()

    async def _take(self, step: Step, reply: Reply) -> Answer | None:
        """Execute a reply's step.

        Returns the answer, or None to continue; outputs and notes go into the next message.
        """
        if not isinstance(step, Cells):
            answer = None
            if self._guards_first_turn and not isinstance(step, Reminder):
                self._guards_first_turn = False
                self.talk.note("note_first_turn")
            elif self._needs_output and not isinstance(step, Reminder):
                self.talk.note("note_no_output")
            else:
                answer = await self.acceptance.of_reply(step, reply)
            if answer is None:
                self.guard.ended(failed=True)
            return answer
        self._guards_first_turn = False
        answer, failed = await self._run(step.codes, reply)
        if answer is None and step.final and self._needs_output:
            self.talk.note("note_no_output")
        elif answer is None and step.final and self.rlm.final_beside_code == "taken":
            answer = await self.acceptance.of_reply(step.final, reply)
        elif answer is None and step.final:
            answer = await self.acceptance.beside_code(step.final, reply, failed=failed)
        if answer is None:
            self._watch(step, failed=failed)
        return answer

    async def _run(
        self, codes: Sequence[str], reply: Reply, timeout_s: float | None = None
    ) -> tuple[Answer | None, bool]:
        """Run cells up to the first that fails or sets the answer. Returns the answer, and True if a cell failed."""
        ran, failed = 0, False
        cells = self.session.run_until_failure(
            codes, parent=self.turn, depth=self.depth, timeout_s=timeout_s, tool_code=reply.tool_code
        )
        async for result in cells:
            ran, failed = ran + 1, result.status != CellStatus.OK
            self.talk.output(result)
            self._needs_output = self._needs_output and not result.stdout_chars
            if result.status == CellStatus.KILLED:
                self.strategy.forget()
            elif not failed:
                await off_loop(self.strategy.ran, codes[ran - 1], self.guard.turns)
            answer = await self.acceptance.of_cell() if result.final else None
            if answer:
                return answer, False
        self.talk.unrun = len(codes) - ran
        return None, failed

    async def _last_turn(self, limit: LimitReached) -> Answer:
        """Make one last call after a limit and return its answer, with the limit as stop_reason."""
        if self.depth and self.tree.meter.stopped:
            raise limit
        self.talk.note("last", why=str(limit))
        self._send(last=True)
        self._begin_turn()
        messages = list(self.talk.messages)
        reply = await self.tree.last_call(self.model, messages, limit, depth=self.depth, parent=self.turn)
        if reply is None:
            return replace(await self._left_in_session() or Answer(None), stop_reason=limit.reason)
        read = await self._read(reply)
        answer = await self._last_answer(read, reply) or await self._left_in_session()
        declined = read.step == Reminder(Reason.REFUSAL)
        if answer is None and declined and limit.reason == StopReason.MAX_CONSECUTIVE_ERRORS:
            return Answer(None, StopReason.REFUSAL)
        answer = answer or self._prose(read, reply)
        if answer is None:
            return Answer(None, limit.reason)
        return replace(_flagged(answer, reply), stop_reason=limit.reason)

    async def _last_answer(self, read: RootReply, reply: Reply) -> Answer | None:
        """Return the answer that the last reply gives by a tag or by code."""
        step = read.step
        if not isinstance(step, Cells):
            return await self.acceptance.of_reply(step, reply, last=True)
        answer, _ = await self._run(step.codes, reply, timeout_s=_LAST_CELL_S)
        if answer is None and step.final:
            answer = await self.acceptance.of_reply(step.final, reply, last=True)
        return answer

    def _prose(self, read: RootReply, reply: Reply) -> Answer | None:
        """Return the prose of a last reply without a tag as the answer."""
        step = read.step
        tagged = step.final if isinstance(step, Cells) else not isinstance(step, Reminder) or step.reason not in _PROSE
        if tagged or reply.refused or not read.prose:
            return None
        return self.acceptance.accept(read.prose, "prose", untagged=True)

    async def _left_in_session(self) -> Answer | None:
        """In the protocol `answer_variable`, return the content of `answer`, even if it is not marked as ready."""
        if self.rlm.protocol != AnswerProtocol.ANSWER_VARIABLE:
            return None
        try:
            result = await self.session.repl.run(_MARK_READY, timeout_s=_LAST_CELL_S)
            text = await self.session.repl.final() if result.final else ""
        except ReplError:
            return None
        return self.acceptance.accept(text, "unready") if text.strip() else None

    def _begin_turn(self) -> None:
        self.turn = self.tree.trajectory.record("turn", parent=self.parent, depth=self.depth, turn=self.guard.turns)

    async def _ask(self) -> Reply:
        """Return the next reply of this loop's model."""
        role, messages = SUB if self.depth else ROOT, list(self.talk.messages)
        return await self.tree.shielded(
            self.tree.call(self.model, messages, role=role, depth=self.depth, parent=self.turn)
        )

    async def _read(self, reply: Reply) -> RootReply:
        """Read the step of a reply and record it; the reply is added to the conversation."""
        read = await off_loop(
            read_root_reply, written(reply)[0], protocol=self.rlm.protocol, truncated=reply.truncated,
            tool_code=reply.tool_code,
        )  # fmt: skip
        if reply.refused:
            read = replace(read, step=Reminder(Reason.REFUSAL))
        self.talk.reply(read.text)
        reason = str(read.step.reason) if isinstance(read.step, Reminder) else None
        self._record("step", step=type(read.step).__name__, reason=reason)
        return read

    async def _open(self) -> MethodSession:
        functions = dict(allowance.budget_function(self.tree.meter))
        paid, parent, depth = PaidReplies(self.tree.meter), (lambda: self.turn), self.depth + 1
        if self.rlm.max_depth > 0:
            functions |= sub_call_functions(self.calls, paid, parent=parent, depth=depth)
            functions |= child_functions(self._child, paid)
        functions |= host_tools(self.tools, self.tree, parent=parent, depth=depth, timeout_s=self.rlm.tool_timeout_s)
        return await MethodSession.open(
            self.rlm.repl, self.limits, self.tree, paid, self.prompt.context, functions, data=self.rlm.data,
            answer="final_tags" if self.rlm.protocol == AnswerProtocol.FINAL_TAGS else "answer_variable",
            output_cut=self.rlm.output_cut, show_vars=self.rlm.show_vars,
        )  # fmt: skip

    async def _child(self, prompt: Prompt) -> str:
        """Return a child RLM's answer, or the reply of a plain sub-call if the depth allows no child."""
        if not self._has_children:
            text = "\n\n".join(part for part in (prompt.context_text, prompt.query) if part)
            return await self.calls.ask(text, depth=self.depth + 1, parent=self.turn)
        async with self._child_slots:
            event = self.tree.trajectory.record(
                "child", parent=self.turn, depth=self.depth + 1, chars=prompt.chars, query=prompt.query
            )
            child = type(self)(self.rlm, prompt, self.tree, self.calls, self.rlm.sub_model, self.depth + 1, event)
            answer = await child.run()
        if answer.text is None:
            raise SubCallFailed(f"rlm_query ended without an answer: {answer.stop_reason}")
        return answer.text

    @property
    def _has_children(self) -> bool:
        return self.depth + 1 < self.rlm.max_depth

    def _watch(self, step: Cells, *, failed: bool) -> None:
        """Add notes about problems that last for several turns. Raises LimitReached if they last too long."""
        if step.cut:
            self.talk.note("note_cut")
        if self.guard.repeated("\n\n".join(step.codes), "\n".join(self.talk.outputs)):
            self.talk.note("note_repeated")
        turns = self.strategy.overdue(self.guard.turns)
        if turns:
            self.talk.note("note_ready", name=self.strategy.ready, turns=turns)
        # In the protocol of tags, a variable named `answer` may hold anything.
        if self.strategy.is_stuck(self.guard.turns) and (self.rlm.protocol, self.strategy.ready) != _ANY_VARIABLE:
            raise LimitReached(
                StopReason.VERIFICATION_LOOP,
                f"`{self.strategy.ready}` holds an answer that has not changed for many turns",
            )
        self.guard.ended(failed=failed)

    def _send(self, *, last: bool = False) -> None:
        for note in self.talk.send(last=last):
            self._record("notice", text=note)

    def _record(self, kind: str, **data: Any) -> None:
        self.tree.trajectory.record(kind, parent=self.turn, depth=self.depth, **data)

    def _settings(self, text: PromptFile) -> dict[str, Any]:
        """Return the variables that every part of the prompt file may use."""
        limits = self.tree.meter.limits
        own = [SHOW_VARS] if self.rlm.show_vars else []
        about = text.render("budget") if allowance.is_named(limits) else ""
        own += [ToolNote(f"{allowance.NAME}()", about)] if about else []
        return {
            "protocol": str(self.rlm.protocol),
            "sub_calls": self.rlm.max_depth > 0,
            "children": self._has_children,
            "sub_chars": self.rlm.sub_context_chars or capacity(self.rlm.sub_model, limits),
            "tools": [*tool_notes(self.tools), *own],
            "data": {name: type(value).__name__ for name, value in self.rlm.data.items()},
            "output_chars": self.limits.max_output_chars,
            "window_tokens": self.model.context_window,
            "query": self.prompt.question,
        }

    def _summarise(self) -> None:
        turns, ready, kind = self.guard.turns, self.strategy.ready_turn, self.strategy.decomposition
        calls = self.tree.calls
        whole = {} if self.depth else {
            "calls_by_depth": dict(sorted(Counter(str(call.depth) for call in calls).items())),
            "tokens_by_role": {role: sum(c.usage.total for c in calls if c.role == role) for role in (ROOT, SUB)},
        }  # fmt: skip
        found = {
            "decomposition": None if kind is None else str(kind), "answer_from": self.acceptance.source,
            "answer_ready_turn": ready, "contradicts_variable": self.acceptance.contradicts,
            "answer_ready_before_end": ready is not None and turns - ready > 1,
            "prompt": self.rlm.prompt, "prompt_sha256": load_prompt(self.rlm.prompt).sha256,
        }  # fmt: skip
        summary = {"turns": turns, **found, **whole, **self.facts()}
        self.tree.trajectory.record("summary", parent=self.parent, depth=self.depth, **summary)

    def facts(self) -> dict[str, Any]:
        """Return facts for the event `summary` that add to its own or replace them, for subclasses."""
        return {}


def _flagged(answer: Answer, reply: Reply) -> Answer:
    """Return the answer with the flags of its reply."""
    return replace(answer, truncated=answer.truncated or reply.truncated, untagged=answer.untagged or written(reply)[1])
