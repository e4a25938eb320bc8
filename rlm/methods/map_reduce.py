"""map_reduce: an RLM with a fixed program, so that its root does not have to write code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from rlm.limits import LimitReached, Limits
from rlm.methods.base import last_answer, read_answer
from rlm.methods.method import Answer, Method
from rlm.methods.session import MethodSession
from rlm.methods.subcalls import PaidReplies, SubCalls, sub_call_functions, sub_window
from rlm.methods.window import Window, fit
from rlm.prompt import Prompt
from rlm.prompts import FOLDER, MAX_PROMPT_BYTES, load_prompt
from rlm.reading import read_text
from rlm.repl.protocol import CellStatus, Repl, ReplError, ReplSettings
from rlm.tree import CallTree

# The fraction of the sub-model's window that one window of text fills. Small models overlook text in a full window.
_WINDOW_SHARE = 0.5
_CHARS_PER_TOKEN = 4
_UNKNOWN_WINDOW = 32_768
_EXCERPT_CHARS = 300
_ROUNDS = 8
_NO_LIMIT_S = 1e8
_PART = "<<part>>"


@dataclass(kw_only=True)
class MapReduce(Method):
    """Runs a program in the REPL that asks sub_model about each window of the context and notes what it finds.

    The notes are read again in the same way until they fit one window. Then model answers over them in one call, in the
    benchmark's own layout. A context that fits one window is answered in that one call.

    keep: `quotes` notes the sentences of the text that a reply refers to, so that errors of a weak model do not enter
    the notes; `replies` notes the replies, which can hold facts that no single sentence states, such as a count.
    prompt: a file with the parts `ask_quotes`, `ask_replies` and `nothing`. program: a Python file, by a name below
    rlm/prompts or a path. window_chars: None is half of the sub-model's window at 4 characters a token. overlap_chars:
    None is one twentieth of a window. output_tokens: the number of tokens of the root's window reserved for the reply;
    None takes the model's max_output_tokens. concurrency: the number of sub-calls in flight.
    """

    keep: Literal["quotes", "replies"] = "quotes"
    prompt: str = "map_reduce/default-v1"
    program: str = "map_reduce/program-v1"
    window_chars: Annotated[int, Ge(200)] | None = None
    overlap_chars: Annotated[int, Ge(0)] | None = None
    output_tokens: Annotated[int, Ge(1)] | None = None
    concurrency: Annotated[int, Ge(1)] = 16
    repl: ReplSettings | Mapping[str, Any] = field(default_factory=ReplSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        sample = {"text": "text", "query": "question", "head": "", "tail": ""}
        load_prompt(self.prompt).check(("ask_quotes", "ask_replies", "nothing"), sample)
        self.code = load_program(self.program)
        largest = (self.window_chars or 400) // 2
        if self.overlap_chars is not None and self.overlap_chars > largest:
            raise ValueError(f"overlap_chars is {self.overlap_chars}: expected at most half of window_chars, {largest}")

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        turn = tree.trajectory.record("turn", turn=1)
        tree.counts.turns += 1
        paid, calls = PaidReplies(tree.meter), SubCalls(tree, self.sub_model, self.concurrency)
        functions = sub_call_functions(calls, paid, parent=lambda: turn)
        # The method is one cell, and max_wall_s alone bounds its time.
        settings = replace(ReplSettings.of(self.repl), cell_s=_NO_LIMIT_S)
        limits = tree.meter.limits
        data = self._data(prompt, limits)
        session = await MethodSession.open(settings, limits, tree, paid, prompt.context, functions, data=data)
        notes = ""
        try:
            result = await session.run(self.code, parent=turn)
            notes = await _notes(session.repl)
            tree.meter.check()
            if result.status != CellStatus.OK:
                raise ReplError(f"the program {self.program} ended with {result.error_type or result.status}")
            messages, cut = self._final(prompt, notes)
            return read_answer(await tree.call(self.model, messages, parent=turn, closing=True), truncated=cut)
        except LimitReached as limit:
            messages, _ = self._final(prompt, notes)
            return await last_answer(self.model, tree, messages, limit)
        finally:
            await session.aclose()

    def _data(self, prompt: Prompt, limits: Limits) -> dict[str, Any]:
        context = "" if prompt.query else prompt.context_text
        window = sub_window(self.sub_model, limits) or _UNKNOWN_WINDOW
        chars = self.window_chars or max(200, int(window * _WINDOW_SHARE) * _CHARS_PER_TOKEN)
        ask = load_prompt(self.prompt).render(
            f"ask_{self.keep}", text=_PART, query=prompt.question, head=context[:_EXCERPT_CHARS],
            tail=context[-_EXCERPT_CHARS:],
        )  # fmt: skip
        return {
            "query": prompt.question,
            "keep": self.keep,
            "ask": ask,
            "window_chars": chars,
            "overlap_chars": chars // 20 if self.overlap_chars is None else self.overlap_chars,
            "batch": 4 * self.concurrency,
            "rounds": _ROUNDS,
        }

    def _final(self, prompt: Prompt, notes: str) -> tuple[list[dict[str, str]], bool]:
        """Return the messages of the last call, and True if the notes were cut to fit the window."""
        notes = notes or load_prompt(self.prompt).render("nothing")
        room = Window(self.model, self.output_tokens).room(prompt.messages(""))
        kept = notes if room is None else notes[: fit(notes, 0, max(0, room))]
        return prompt.messages(kept), len(kept) < len(notes)


def load_program(name: str) -> str:
    """Load the text of a program, by a name below rlm/prompts or a path. Raises ValueError."""
    bundled = FOLDER / f"{name}.py"
    try:
        path = bundled if bundled.is_file() else Path(name)
        code = read_text(path, MAX_PROMPT_BYTES)
        compile(code, str(path), "exec")
    except (OSError, UnicodeDecodeError, SyntaxError, RecursionError, MemoryError) as error:
        known = sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.glob("*/*.py"))
        why = str(error) or type(error).__name__
        raise ValueError(f"program is {name!r}: expected a path or one of {', '.join(known)} ({why})") from error
    return code


async def _notes(repl: Repl) -> str:
    try:
        return await repl.value("notes")
    except ReplError:
        return ""
