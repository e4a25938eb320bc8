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
from rlm.prompt import Prompt
from rlm.prompts import PromptFile
from rlm.repl.protocol import CellResult

# What a prompt file of an RLM has.
PARTS = frozenset(
    {"system", "first", "output", "empty_output", "last"}
    | {f"remind_{reason}" for reason in Reason}
    | {f"note_{what}" for what in ("invented_final", "failed_final", "cut", "repeated", "ready", "no_variable")}
    | {f"note_{what}" for what in ("no_value", "empty_answer", "word_or_variable", "plan")}
)
_SHOWN_NAMES = 30
# Characters for a sub-model whose window is not known.
_UNKNOWN_CAPACITY = 150_000
# With no question apart from the context, so much of each end is shown, where the question mostly stands.
END_CHARS = 500
_LENGTHS = 12


class Conversation:
    """System prompt, first message, then the root's replies and, for each, one message of what they led to.

    settings: variables that every part of the prompt file may use.
    """

    def __init__(self, text: PromptFile, settings: Mapping[str, Any], first: Mapping[str, Any]) -> None:
        self._text = text
        self._settings = settings
        self.messages = [
            {"role": "system", "content": self.words("system")},
            {"role": "user", "content": self.words("first", **first)},
        ]
        self.outputs: list[str] = []
        self.unrun = 0
        self._notes: list[str] = []

    def words(self, part: str, **variables: Any) -> str:
        """A part of the prompt file."""
        return self._text.render(part, **{**self._settings, **variables})

    def reply(self, said: str) -> None:
        """Add what the root said."""
        self.messages.append({"role": "assistant", "content": said or "(empty)"})

    def output(self, result: CellResult) -> None:
        """Keep a cell's output for the next message."""
        shown = shown_output(result)
        if shown == NO_OUTPUT:
            shown = self.words("empty_output", variables=_listed(result.variables))
        self.outputs.append(shown)

    def note(self, part: str, **variables: Any) -> None:
        """Keep a note for the next message."""
        self._notes.append(self.words(part, **variables))

    def send(self) -> list[str]:
        """Add outputs and notes as one message, and return the notes.

        They go to the last message if that is not a reply: some models refuse two of the user in a row.
        """
        if self.outputs:
            text = self.words("output", cells=self.outputs, unrun=self.unrun, notes=self._notes)
        else:
            text = "\n\n".join(self._notes)
        notes = self._notes
        self.outputs, self.unrun, self._notes = [], 0, []
        if text and self.messages[-1]["role"] == "user":
            text = f"{self.messages.pop()['content']}\n\n{text}"
        if text:
            self.messages.append({"role": "user", "content": text})
        return notes

    def forget(self) -> None:
        """Drop all turns: the conversation no longer fits the root's window."""
        del self.messages[2:]
        self.outputs, self.unrun, self._notes = [], 0, []


def _listed(variables: Mapping[str, str]) -> str:
    names = [f"{name} ({kind})" for name, kind in list(variables.items())[:_SHOWN_NAMES]]
    more = len(variables) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def describe(prompt: Prompt, prefix_chars: int = 0) -> dict[str, Any]:
    """The variables of a prompt's part `first`, of a size that does not grow with the context.

    prefix_chars: how much of the context's beginning is shown. A prompt without a query shows both ends.
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
        "lengths": _lengths([len(document) for document in documents]),
        "turns": len(prompt.history) if prompt.query else 0,
        "head": first[:head_chars],
        "tail": last[-tail_chars:] if tail_chars else "",
        "query": prompt.question,
    }


def _lengths(lengths: Sequence[int]) -> str:
    if not lengths:
        return ""
    shown = ", ".join(map(str, lengths[:_LENGTHS]))
    if len(lengths) <= _LENGTHS:
        return f"Their lengths: {shown}."
    return (
        f"Their lengths: {shown}, and so on; the shortest is {min(lengths)}, the longest {max(lengths)}, "
        f"the median {median(lengths):.0f}."
    )


def capacity(model: ChatModel) -> int:
    """Characters that fit into a sub-call: 500,000 for a window of 400,000 tokens, as the paper tells its models."""
    if model.context_window is None:
        return _UNKNOWN_CAPACITY
    chars = model.context_window * 5 // 4
    unit = 10 ** max(0, len(str(chars)) - 2)
    return max(1, chars // unit * unit)


def bounded(limits: Limits, model: ChatModel) -> Limits:
    """The limits with an output of a cell that takes no more than about an eighth of the model's window."""
    if model.context_window is None:
        return limits
    return replace(limits, max_output_chars=min(limits.max_output_chars, max(200, model.context_window // 2)))
