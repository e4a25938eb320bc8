"""map_reduce: an RLM whose program is fixed, so that its root need not write code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm.limits import LimitReached
from rlm.methods.base import last_answer, read_answer
from rlm.methods.method import Answer, Method
from rlm.methods.session import run_cell, start_session
from rlm.methods.subcalls import sub_call_functions
from rlm.methods.window import Window, fit
from rlm.prompt import Prompt
from rlm.prompts import FOLDER, load_prompt
from rlm.repl.protocol import CellStatus, Repl, ReplError, ReplSettings
from rlm.tree import CallTree

QUOTES, REPLIES = "quotes", "replies"
# A window of this share of the sub-model's: small models lose what stands in a full one.
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

    The notes are read again in the same way until they fit one window; then model answers over them in one call, in
    the benchmark's own layout. A context that fits one window is answered in that one call.

    keep: `quotes` notes the sentences of the text that a reply points at, which a weak model cannot spoil; `replies`
    notes what the sub-model says, which can hold what no single sentence says, such as a count.
    prompt: file with the parts `ask_quotes`, `ask_replies` and `nothing`. program: a Python file, a name below
    rlm/prompts or a path. window_chars: None is half of the sub-model's window at 4 characters a token.
    overlap_chars: None is a twentieth of a window. concurrency: sub-calls on the wire at a time.
    """

    keep: str = QUOTES
    prompt: str = "map_reduce/default-v1"
    program: str = "map_reduce/program-v1"
    window_chars: int | None = None
    overlap_chars: int | None = None
    output_tokens: int | None = None
    concurrency: int = 16
    repl: ReplSettings | Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        load_prompt(self.prompt)
        ReplSettings.of(self.repl)
        self.code = load_program(self.program)
        if self.keep not in (QUOTES, REPLIES):
            raise ValueError(f"keep is {self.keep!r}: wanted {QUOTES} or {REPLIES}")
        if self.window_chars is not None and self.window_chars < 200:
            raise ValueError(f"window_chars is {self.window_chars}: wanted at least 200, or null")
        if self.overlap_chars is not None and not 0 <= self.overlap_chars <= (self.window_chars or 400) // 2:
            raise ValueError(f"overlap_chars is {self.overlap_chars}: wanted 0 to half of window_chars, or null")
        if self.concurrency < 1:
            raise ValueError(f"concurrency is {self.concurrency}: wanted at least 1")

    async def answer(self, prompt: Prompt, tree: CallTree) -> Answer:
        turn = tree.trajectory.record("turn", turn=1)
        tree.counts.turns += 1
        functions = sub_call_functions(tree, self.sub_model, parent=lambda: turn, concurrency=self.concurrency)
        # The one cell is the whole method: its time is bounded by max_wall_s alone.
        settings = {**self.repl, "cell_s": _NO_LIMIT_S}
        repl = await start_session(
            settings, tree.meter.limits, prompt.context, functions, answer="none", data=self._data(prompt)
        )
        notes = ""
        try:
            result = await run_cell(repl, tree, self.code, parent=turn)
            notes = await _notes(repl)
            tree.meter.check()
            if result.status != CellStatus.OK:
                raise ReplError(f"the program {self.program} ended with {result.error_type or result.status}")
            messages, cut = self._final(prompt, notes)
            return read_answer(await tree.call(self.model, messages, parent=turn), truncated=cut)
        except LimitReached as limit:
            messages, _ = self._final(prompt, notes)
            return await last_answer(self.model, tree, messages, limit)
        finally:
            await repl.aclose()

    def _data(self, prompt: Prompt) -> dict[str, Any]:
        context = "" if prompt.query else prompt.context_text
        window = self.sub_model.context_window or _UNKNOWN_WINDOW
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
        """The messages of the last call, and whether the notes had to be cut to fit them."""
        notes = notes or load_prompt(self.prompt).render("nothing")
        room = Window(self.model, self.output_tokens).room(prompt.messages(""))
        kept = notes if room is None else notes[: fit(notes, 0, max(0, room))]
        return prompt.messages(kept), len(kept) < len(notes)


def load_program(name: str) -> str:
    """The text of a program: a name below rlm/prompts, or the path of a file. Raises ValueError."""
    path = FOLDER / f"{name}.py"
    path = path if path.is_file() else Path(name)
    try:
        code = path.read_text(encoding="utf-8")
        compile(code, str(path), "exec")
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        known = sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.glob("*/*.py"))
        raise ValueError(f"program {name!r}: {error}; give a file or one of: {', '.join(known)}") from error
    return code


async def _notes(repl: Repl) -> str:
    try:
        return await repl.value("notes")
    except ReplError:
        return ""
