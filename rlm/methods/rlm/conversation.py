"""The messages of an RLM's loop: its prompt in the words of a prompt file, the outputs and notes of each turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlm.methods.rlm.reply import Reason
from rlm.methods.session import NO_OUTPUT, shown_output
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
