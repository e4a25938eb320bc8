"""codeact_bm25, codeact_subcalls and react_bm25: a ReAct loop with the prompt in the model's own context."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, get_args

from annotated_types import Ge

from rlm.completion import StopReason
from rlm.limits import LimitReached, LoopGuard
from rlm.methods import allowance
from rlm.methods.bm25 import DEFAULT_B, DEFAULT_K1, K1, B, Hit, PassageTokens, Search, cut_by_tokens, cut_passages
from rlm.methods.codeact.reply import Turn, answer_form, last_words, read_turn
from rlm.methods.long_texts import off_loop
from rlm.methods.method import Answer, Method
from rlm.methods.session import MAX_CELLS, MethodSession, shown_output
from rlm.methods.subcalls import PaidReplies, SubCalls, capacity, sub_call_functions
from rlm.methods.thinking import written
from rlm.models.chat import Reply
from rlm.prompt import Prompt, add_user_message
from rlm.prompts import PromptFile, load_prompt
from rlm.repl.protocol import CellStatus, ReplSettings
from rlm.tree import CallTree

Action = Literal["python", "search", "llm_query"]
PYTHON, SEARCH, LLM_QUERY = get_args(Action)
_END_CHARS = 200_000
# The parts of a prompt file.
PARTS = frozenset(
    {"system", "documents", "observation", "session_lost", "ignored_answer", "repeated", "last"}
    | {f"remind_{reason}" for reason in ("no_action", "several_answers", "empty_answer", "cut")}
    | {"examples", "again", "budget"}
)


@dataclass(kw_only=True)
class CodeAct(Method):
    """A loop of thought, action and observation, until the model answers.

    actions: `python` runs code in a session that keeps its variables. `search` is BM25 over the documents of the
    context, if it has documents: the model then sees the results of its searches and not the documents, because the
    paper's CodeAct also works on inputs of 6M tokens. `llm_query` offers sub-calls in the session. search_k: the number
    of passages that a search shows, together at most max_output_chars. passage_tokens: the length of a passage; None
    takes as many characters as are shown. k1, b: the parameters of BM25. concurrency: the number of sub-calls in
    flight. sub_context_chars: the number of characters that the prompt states for a sub-call; None derives it from the
    sub-model's window. repl: settings of the session, see conf/repl. repeat_query: the question is repeated after each
    observation, as RLM has it.
    """

    prompt_options: ClassVar[str] = "options/codeact-v1"

    actions: Sequence[Action] = (PYTHON, SEARCH)
    prompt: str = "codeact/default-v1"
    search_k: Annotated[int, Ge(1)] = 5
    passage_tokens: PassageTokens = None
    k1: K1 = DEFAULT_K1
    b: B = DEFAULT_B
    concurrency: Annotated[int, Ge(1)] = 16
    sub_context_chars: Annotated[int, Ge(1)] | None = None
    repl: ReplSettings | Mapping[str, Any] = field(default_factory=ReplSettings)
    repeat_query: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        text = load_codeact_prompt(self.prompt)
        sample = {"actions": self.actions, "sub_chars": 1}
        text.check(PARTS, {**sample, "budget": "", "query": "question", "text": "output", "count": 1, "chars": 1})
        text.turns("examples", **sample)
        if LLM_QUERY in self.actions and PYTHON not in self.actions:
            raise ValueError(
                f"actions is {list(self.actions)}: expected python too, because llm_query is called by code"
            )

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
        self._text = load_codeact_prompt(method.prompt)
        self._repeated_query = prompt.question if method.repeat_query else ""
        has_documents = not isinstance(prompt.context, str)
        self._actions = [action for action in method.actions if action != SEARCH or has_documents]
        self._shown_chars = max(200, tree.meter.limits.max_output_chars // method.search_k)
        tokens = method.passage_tokens
        self._search: Search | None = None
        if SEARCH in self._actions:
            self._search = Search(
                lambda: (
                    cut_by_tokens(prompt.context, tokens) if tokens else cut_passages(prompt.context, self._shown_chars)
                ),
                method.k1,
                method.b,
            )
        self._form = answer_form(prompt.question or _ends(prompt.context_text))
        self._session: MethodSession | None = None
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
            elif len(turn.answers) == 1 and turn.answers[0] and turn.complete:
                return Answer(turn.answers[0], untagged=turn.misplaced)
            else:
                self._say(self._reminder(turn))
                guard.ended(failed=True)

    async def last_turn(self, limit: LimitReached) -> Answer:
        """Make one last call after a limit and return its answer, with the limit as stop_reason."""
        self._say(self._text.render("last"))
        reply = await self._tree.last_call(self._method.model, self._messages, limit, parent=self._turn)
        if reply is None or reply.refused:
            return Answer(None, limit.reason)
        turn = await self._read(reply)
        text, untagged = await asyncio.to_thread(last_words, turn)
        return Answer(text, limit.reason, reply.truncated, untagged or turn.misplaced)

    async def aclose(self) -> None:
        if self._session:
            await self._session.aclose()

    async def _ask(self, guard: LoopGuard) -> Turn | None:
        guard.turn()
        self._tree.counts.turns += 1
        self._turn = self._tree.trajectory.record("turn", turn=guard.turns)
        reply = await self._tree.call(self._method.model, self._messages, parent=self._turn)
        if reply.refused:
            return None
        turn = await self._read(reply)
        self._messages.append({"role": "assistant", "content": turn.text or "(empty)"})
        return turn

    async def _read(self, reply: Reply) -> Turn:
        tool_code = reply.tool_code if PYTHON in self._actions else None
        text, misplaced = written(reply)
        turn = await off_loop(read_turn, text, truncated=reply.truncated, form=self._form, tool_code=tool_code)
        return replace(turn, misplaced=misplaced)

    async def _act(self, turn: Turn, guard: LoopGuard) -> None:
        outputs, failed, repeated = [], False, False
        if turn.cells and PYTHON not in self._actions:
            outputs, failed = ["There is no Python here."], True
        elif turn.cells:
            outputs, failed = await self._run_cells(turn)
            repeated = guard.repeated("\n\n".join(turn.cells), "\n".join(outputs))
        if turn.searches and self._search is None:
            outputs, failed = [*outputs, "There are no documents to search."], True
        elif self._search:
            outputs += [await self._found(self._search, query) for query in turn.searches]
        if turn.answers:
            outputs.append(self._text.render("ignored_answer"))
        if repeated:
            outputs.append(self._text.render("repeated"))
        observation = self._text.render("observation", text="\n\n".join(outputs))
        if self._repeated_query:
            observation += "\n\n" + self._text.render("again", query=self._repeated_query)
        self._say(observation, kind=None)
        guard.ended(failed=failed)

    async def _run_cells(self, turn: Turn) -> tuple[list[str], bool]:
        """Run the cells in order, up to the first that fails. Returns their outputs, and True if one failed."""
        outputs, failed = [], False
        session = await self._open()
        async for result in session.run_until_failure(turn.cells, parent=self._turn, tool_code=turn.tool_code):
            if result.status == CellStatus.KILLED:
                await self._hide_context(session)
                result = replace(result, notice=self._text.render("session_lost"))
            # If a sub-call reached a limit, the tree has stopped, even if the cell caught the exception.
            self._tree.meter.check()
            outputs.append(shown_output(result))
            failed = result.status != CellStatus.OK
        if not failed and len(turn.cells) > MAX_CELLS:
            outputs.append(f"[{len(turn.cells) - MAX_CELLS} further blocks were not run.]")
        return outputs, failed

    async def _open(self) -> MethodSession:
        if self._session is None:
            method, tree, paid = self._method, self._tree, PaidReplies(self._tree.meter)
            functions = dict(allowance.budget_function(tree.meter))
            if LLM_QUERY in self._actions:
                calls = SubCalls(tree, method.sub_model, method.concurrency)
                functions |= sub_call_functions(calls, paid, parent=lambda: self._turn)
            self._session = await MethodSession.open(method.repl, tree.meter.limits, tree, paid, "", functions)
            await self._hide_context(self._session)
        return self._session

    async def _hide_context(self, session: MethodSession) -> None:
        """Delete the session's variable `context`, because the context is already in the model's window."""
        await session.repl.run("del context")

    async def _found(self, search: Search, query: str) -> str:
        hits = await search.find(query, self._method.search_k)
        self._tree.trajectory.record(
            "search", parent=self._turn, query=query, found=[hit.passage.index for hit in hits]
        )
        return f"SEARCH({query}):\n" + ("\n\n".join(_shown(hit, self._shown_chars) for hit in hits) or "nothing found")

    def _reminder(self, turn: Turn) -> str:
        if not turn.complete:
            return self._text.render("remind_cut")
        if len(turn.answers) > 1:
            return self._text.render("remind_several_answers")
        if turn.answers:
            return self._text.render("remind_empty_answer")
        return self._text.render("remind_no_action", actions=self._actions)

    def _say(self, text: str, kind: str | None = "notice") -> None:
        if kind:
            self._tree.trajectory.record(kind, parent=self._turn, text=text)
        add_user_message(self._messages, text)

    def _documents_note(self, prompt: Prompt) -> str:
        return self._text.render("documents", count=len(prompt.context), chars=prompt.chars)

    def _first_messages(self, prompt: Prompt) -> list[dict[str, str]]:
        limits = self._tree.meter.limits
        sub_chars = self._method.sub_context_chars or capacity(self._method.sub_model, limits)
        words = {"actions": self._actions, "sub_chars": sub_chars}
        budget = self._text.render("budget") if allowance.is_named(limits) else ""
        system = self._text.render("system", **words, budget=budget)
        examples = self._text.turns("examples", **words)
        messages = prompt.messages(self._documents_note(prompt) if self._search else None)
        if messages and messages[0]["role"] == "system":
            system, messages = f"{system}\n\n{messages[0]['content']}", messages[1:]
        return [{"role": "system", "content": system}, *examples, *messages]


def load_codeact_prompt(name: str) -> PromptFile:
    """Load a prompt file, and add the bundled parts of options that are missing. Raises PromptError."""
    return load_prompt(name).completed(CodeAct.prompt_options)


def _ends(text: str) -> str:
    """Return both ends of a text, where a context that contains the question usually has it."""
    return text if len(text) <= 2 * _END_CHARS else f"{text[:_END_CHARS]}\n{text[-_END_CHARS:]}"


def _shown(hit: Hit, chars: int) -> str:
    passage = hit.passage
    place = f"document {passage.index + 1}, characters {passage.start} to {passage.start + len(passage.text)}"
    return f"[{place}, score {hit.score:.1f}] {passage.text[:chars]}"
