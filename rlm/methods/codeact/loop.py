"""codeact_bm25, codeact_subcalls and react_bm25: a ReAct loop with the prompt in the model's own context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rlm.completion import StopReason
from rlm.limits import LimitReached, LoopGuard
from rlm.methods.bm25 import Hit, Search, cut_passages
from rlm.methods.codeact.reply import Turn, last_words, read_turn
from rlm.methods.method import Answer, Method
from rlm.methods.session import run_cell, shown_output, start_session
from rlm.methods.subcalls import sub_call_functions
from rlm.models.chat import FatalModelError, ModelError
from rlm.prompt import Prompt
from rlm.prompts import load_prompt
from rlm.repl.protocol import CellStatus, Repl, ReplSettings
from rlm.tree import CallTree

PYTHON, SEARCH, LLM_QUERY = "python", "search", "llm_query"
ACTIONS = (PYTHON, SEARCH, LLM_QUERY)
_CHARS_PER_TOKEN = 4


@dataclass(kw_only=True)
class CodeAct(Method):
    """Think, act, observe, until the model answers.

    actions: `python` (a session that keeps its variables), `search` (BM25 over the documents of the context, where it
    has documents: the model then sees what its searches find, not all of them, as in the paper, whose CodeAct is not
    stopped by the 6M tokens of BrowseComp-Plus), `llm_query` (sub-calls in the session). search_k: passages a search
    shows, of max_output_chars together.
    concurrency: sub-calls on the wire at a time. repl: settings of the session, see conf/repl.
    """

    actions: Sequence[str] = (PYTHON, SEARCH)
    prompt: str = "codeact/default-v1"
    search_k: int = 5
    concurrency: int = 16
    repl: ReplSettings | Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        load_prompt(self.prompt)
        ReplSettings.of(self.repl)
        unknown = [action for action in self.actions if action not in ACTIONS]
        if unknown:
            raise ValueError(f"actions has {unknown[0]!r}: wanted some of {', '.join(ACTIONS)}")
        if LLM_QUERY in self.actions and PYTHON not in self.actions:
            raise ValueError("actions has llm_query without python: sub-calls are made by code")
        if self.search_k < 1 or self.concurrency < 1:
            raise ValueError("search_k and concurrency are numbers of at least 1")

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        loop = _Loop(self, prompt, tree)
        try:
            return await loop.run()
        except LimitReached as limit:
            return await loop.last_turn(limit)
        finally:
            await loop.aclose()


class _Loop:
    """One completion: the messages so far and the session."""

    def __init__(self, method: CodeAct, prompt: Prompt, tree: CallTree) -> None:
        self._method = method
        self._tree = tree
        self._text = load_prompt(method.prompt)
        has_documents = not isinstance(prompt.context, str)
        self._actions = [action for action in method.actions if action != SEARCH or has_documents]
        self._shown_chars = max(200, tree.meter.limits.max_output_chars // method.search_k)
        self._search = (
            Search(lambda: cut_passages(prompt.context, self._shown_chars)) if SEARCH in self._actions else None
        )
        self._repl: Repl | None = None
        self._turn: int | None = None
        self._messages = self._first_messages(prompt)

    async def run(self) -> Answer:
        guard = self._tree.loop()
        while True:
            turn = await self._ask(guard)
            if turn is None:
                return Answer(None, StopReason.REFUSAL)
            if turn.acts:
                await self._act(turn, guard)
            elif len(turn.answers) == 1 and turn.answers[0] and turn.whole:
                return Answer(turn.answers[0])
            else:
                self._say(self._reminder(turn))
                guard.outcome(failed=True)

    async def last_turn(self, limit: LimitReached) -> Answer:
        """The root's one call past a limit, if the reserve allows it; the limit stays the stop_reason."""
        self._tree.trajectory.record("limit", parent=self._turn, reason=str(limit.reason), text=str(limit))
        self._say(self._text.render("last"))
        try:
            reply = await self._tree.call(self._method.model, self._messages, parent=self._turn, last=True)
        except FatalModelError:
            raise
        except (LimitReached, ModelError):
            return Answer(None, limit.reason)
        if reply.refused:
            return Answer(None, limit.reason)
        return Answer(last_words(read_turn(reply.text, truncated=reply.truncated)), limit.reason, reply.truncated)

    async def aclose(self) -> None:
        if self._repl:
            await self._repl.aclose()

    async def _ask(self, guard: LoopGuard) -> Turn | None:
        guard.turn()
        self._tree.counts.turns += 1
        self._turn = self._tree.trajectory.record("turn", turn=guard.turns)
        reply = await self._tree.call(self._method.model, self._messages, parent=self._turn)
        if reply.refused:
            return None
        turn = read_turn(reply.text, truncated=reply.truncated)
        self._messages.append({"role": "assistant", "content": turn.text or "(empty)"})
        return turn

    async def _act(self, turn: Turn, guard: LoopGuard) -> None:
        outputs, failed, repeated = [], False, False
        if turn.cells and PYTHON not in self._actions:
            outputs, failed = ["There is no Python here."], True
        elif turn.cells:
            ran, failed = await self._run_cells(turn.cells)
            outputs = [*ran]
            repeated = guard.repeated("\n\n".join(turn.cells), "\n".join(outputs))
        if turn.searches and self._search is None:
            outputs, failed = [*outputs, "There are no documents to search."], True
        elif turn.searches:
            outputs += [await self._found(query) for query in turn.searches]
        if turn.answers:
            outputs.append(self._text.render("ignored_answer"))
        if repeated:
            outputs.append(self._text.render("repeated"))
        self._say(self._text.render("observation", text="\n\n".join(outputs)), kind=None)
        guard.outcome(failed=failed)

    async def _run_cells(self, cells: Sequence[str]) -> tuple[list[str], bool]:
        """The outputs of the cells, in order, up to the first that fails; and whether one did."""
        outputs = []
        repl = await self._session()
        for code in cells:
            result = await run_cell(repl, self._tree, code, parent=self._turn)
            if result.status == CellStatus.KILLED:
                await self._hide_context(repl)
                result = replace(result, notice=self._text.render("session_lost"))
            # The limit that a sub-call met has stopped the tree, whatever the cell made of it.
            self._tree.meter.check()
            outputs.append(shown_output(result))
            if result.status != CellStatus.OK:
                return outputs, True
        return outputs, False

    async def _session(self) -> Repl:
        if self._repl is None:
            method, functions = self._method, {}
            if LLM_QUERY in self._actions:
                functions = sub_call_functions(
                    self._tree, method.sub_model, parent=lambda: self._turn, concurrency=method.concurrency
                )
            limits = self._tree.meter.limits
            self._repl = await start_session(method.repl, limits, "", functions, answer="none")
            await self._hide_context(self._repl)
        return self._repl

    async def _hide_context(self, repl: Repl) -> None:
        """Every session begins with a variable `context`; here the context is in the model's own."""
        await repl.run("del context")

    async def _found(self, query: str) -> str:
        hits = await self._search.find(query, self._method.search_k)
        self._tree.trajectory.record(
            "search", parent=self._turn, query=query, found=[hit.passage.index for hit in hits]
        )
        return f"SEARCH({query}):\n" + ("\n\n".join(map(_shown, hits)) or "nothing found")

    def _reminder(self, turn: Turn) -> str:
        if not turn.whole:
            return self._text.render("remind_cut")
        if len(turn.answers) > 1:
            return self._text.render("remind_several_answers")
        if turn.answers:
            return self._text.render("remind_empty_answer")
        return self._text.render("remind_no_action", actions=self._actions)

    def _say(self, text: str, kind: str | None = "notice") -> None:
        if kind:
            self._tree.trajectory.record(kind, parent=self._turn, text=text)
        if self._messages[-1]["role"] == "user":
            # Some chat templates refuse two user messages in a row.
            text = f"{self._messages.pop()['content']}\n\n{text}"
        self._messages.append({"role": "user", "content": text})

    def _documents_note(self, prompt: Prompt) -> str:
        return self._text.render("documents", count=len(prompt.context), chars=prompt.chars)

    def _first_messages(self, prompt: Prompt) -> list[dict[str, str]]:
        window = self._method.sub_model.context_window
        sub_chars = window * _CHARS_PER_TOKEN * 3 // 4 if window else None
        system = self._text.render("system", actions=self._actions, sub_chars=sub_chars)
        messages = prompt.messages(self._documents_note(prompt) if self._search else None)
        if messages and messages[0]["role"] == "system":
            system, messages = f"{system}\n\n{messages[0]['content']}", messages[1:]
        return [{"role": "system", "content": system}, *messages]


def _shown(hit: Hit) -> str:
    passage = hit.passage
    place = f"document {passage.index + 1}, characters {passage.start} to {passage.start + len(passage.text)}"
    return f"[{place}, score {hit.score:.1f}] {passage.text}"
