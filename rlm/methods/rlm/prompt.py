"""The messages of an RLM's loop: a description of the context, then the outputs and notes of each turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from rlm.limits import Limits
from rlm.methods.rlm.reply import Reason
from rlm.methods.session import NO_OUTPUT, shown_output
from rlm.models.chat import ChatModel
from rlm.prompt import Prompt, add_user_message
from rlm.prompts import PromptError, PromptFile, load_prompt
from rlm.repl.protocol import CellResult, CellStatus

# The parts of an RLM's prompt file.
PARTS = frozenset(
    {"system", "first", "output", "empty_output", "last"}
    | {f"remind_{reason}" for reason in Reason}
    | {f"note_{what}" for what in ("invented_final", "failed_final", "cut", "repeated", "ready", "no_variable")}
    | {f"note_{what}" for what in ("no_value", "empty_answer", "word_or_variable", "plan")}
)
# The parts that a prompt file may have: worked examples, the texts of first_turn_guard, repeat_query and
# output_before_answer, and the description of budget(), which an empty part leaves out.
OPTION_PARTS = frozenset({"examples", "first_turn", "note_first_turn", "again", "note_no_output", "budget"})
OPTIONS_FILE = "options/recursive-v1"
_SHOWN_NAMES = 30
# The number of characters of each end that are shown if the context holds the question, which is mostly at an end.
END_CHARS = 500
# Documents whose lengths the first message states.
LENGTHS = 12


def load_rlm_prompt(name: str) -> PromptFile:
    """Load a prompt file, and add the bundled parts of options that are missing. Raises PromptError."""
    return load_prompt(name).completed(OPTIONS_FILE)


def check_prompt(text: PromptFile, settings: Mapping[str, Any]) -> None:
    """Render every part with sample values. Raises PromptError."""
    if missing := sorted(PARTS - set(text.parts)):
        raise PromptError(
            f"prompt is {text.name!r}: expected a file with the part {missing[0]!r}; "
            'begin it with {% extends "recursive/default-v1.md" %}'
        )
    turn = {
        "cells": ["output"], "unrun": 1, "notes": ["note"], "variables": "x (int)", "name": "x", "names": ["x"],
        "turns": 1, "error": "error", "why": "limit",
    }  # fmt: skip
    prompts = (Prompt(("text", "text"), "question"), Prompt("text", "question"))
    text.check(PARTS | OPTION_PARTS, *({**settings, **describe(prompt), **turn} for prompt in prompts))
    text.turns("examples", **settings)


class Conversation:
    """The system prompt, the worked examples, the first message, then each reply with one message of its results.

    settings: the variables that every part of the prompt file may use. guard_first_turn: the first message asks for
    code before an answer. repeat_query: each message of results ends with the question.
    """

    def __init__(
        self,
        text: PromptFile,
        settings: Mapping[str, Any],
        first: Mapping[str, Any],
        *,
        guard_first_turn: bool = False,
        repeat_query: bool = False,
    ) -> None:
        self._text = text
        self._settings = settings
        self._repeats_query = repeat_query and bool(settings["query"])
        opening = [self.words("first", **first), *([self.words("first_turn")] if guard_first_turn else [])]
        self.messages = [
            {"role": "system", "content": self.words("system")},
            *text.turns("examples", **settings),
            {"role": "user", "content": "\n\n".join(opening)},
        ]
        self._opening = len(self.messages)
        self.first = self.messages[-1]["content"]
        self.outputs: list[str] = []
        # The variables of the session after the last cell, with their types.
        self.variables: Mapping[str, str] = {}
        self.unrun = 0
        self._notes: list[str] = []

    def words(self, part: str, **variables: Any) -> str:
        """Render a part of the prompt file."""
        return self._text.render(part, **{**self._settings, **variables})

    def reply(self, text: str) -> None:
        """Add a reply of the root."""
        self.messages.append({"role": "assistant", "content": text or "(empty)"})

    def output(self, result: CellResult) -> None:
        """Add a cell's output to the next message."""
        shown = shown_output(result)
        # The result of an interrupted cell lists no variables, although they are still there.
        if result.variables or result.status == CellStatus.KILLED:
            self.variables = result.variables
        if shown == NO_OUTPUT:
            shown = self.words("empty_output", variables=listed(result.variables))
        self.outputs.append(shown)

    def note(self, part: str, **variables: Any) -> None:
        """Add a note to the next message."""
        self._notes.append(self.words(part, **variables))

    def send(self, *, last: bool = False) -> list[str]:
        """Append outputs and notes as one message, and return the notes.

        last: the message asks for the last reply. If the message before is also from the user, they are added to it,
        because some models reject consecutive user messages.
        """
        if self.outputs:
            text = self.words("output", cells=self.outputs, unrun=self.unrun, notes=self._notes)
        else:
            text = "\n\n".join(self._notes)
        if text and self._repeats_query and not last:
            text = f"{text}\n\n{self.words('again')}"
        notes = self._notes
        self.outputs, self.unrun, self._notes = [], 0, []
        if text:
            add_user_message(self.messages, text)
        return notes

    @property
    def turns(self) -> list[dict[str, str]]:
        """The messages of the turns: replies and results, without the opening."""
        return self.messages[self._opening :]

    def replace_turns(self, text: str, kept: Sequence[Mapping[str, str]]) -> None:
        """Replace the turns by `text`, at the end of the first message, and the last of them, `kept`."""
        first = {"role": "user", "content": f"{self.first}\n\n{text}"}
        self.messages[self._opening - 1 :] = [first, *map(dict, kept)]

    def forget(self) -> None:
        """Drop all turns, because the conversation no longer fits the root's window."""
        del self.messages[self._opening :]
        self.outputs, self.unrun, self._notes = [], 0, []


def listed(variables: Mapping[str, str]) -> str:
    """Return the names of variables with their types, at most _SHOWN_NAMES of them."""
    names = [f"{name} ({kind})" for name, kind in list(variables.items())[:_SHOWN_NAMES]]
    more = len(variables) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def describe(prompt: Prompt, prefix_chars: int = 0, lengths: int = LENGTHS) -> dict[str, Any]:
    """Return the variables of the prompt's part `first`. Their size does not grow with the context.

    prefix_chars: the number of characters shown of the context's beginning. A prompt without a query shows both ends.
    lengths: the number of documents whose lengths are stated.
    """
    text = prompt.context if isinstance(prompt.context, str) else None
    documents = () if text is not None else prompt.context
    first, last = (text, text) if text is not None else (documents[0], documents[-1]) if documents else ("", "")
    head_chars = max(prefix_chars, 0 if prompt.query else END_CHARS)
    tail_chars = 0 if prompt.query else END_CHARS
    if text is not None and len(text) <= head_chars + tail_chars:
        head_chars, tail_chars = len(text), 0
    return {
        "documents": None if text is not None else len(documents),
        "chars": prompt.chars,
        "lines": None if text is None else text.count("\n") + 1,
        "lengths": _lengths([len(document) for document in documents], lengths),
        "turns": len(prompt.history) if prompt.query else 0,
        "head": first[:head_chars],
        "tail": last[-tail_chars:] if tail_chars else "",
        "query": prompt.question,
    }


def _lengths(lengths: Sequence[int], most: int) -> str:
    if not lengths:
        return ""
    shown = ", ".join(map(str, lengths[:most]))
    if len(lengths) <= most:
        return f"Their lengths: {shown}."
    return (
        f"Their lengths: {shown}, and so on; the shortest is {min(lengths)}, the longest {max(lengths)}, "
        f"the median {median(lengths):.0f}."
    )


def bounded(limits: Limits, model: ChatModel) -> Limits:
    """Reduce max_output_chars so that a cell's output takes at most about an eighth of the model's window."""
    if model.context_window is None:
        return limits
    return replace(limits, max_output_chars=min(limits.max_output_chars, max(200, model.context_window // 2)))
