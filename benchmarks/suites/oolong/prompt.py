"""The layout of OOLONG prompts, the frame of their questions, and the check that no label gets into one."""

from __future__ import annotations

from typing import Literal

from benchmarks.suites.oolong.windows import LABELS, LabelledWindow
from rlm.prompt import Message, Prompt

# Words before a question: none, or the facts that the paper's runs state about the data, in other words.
QueryFrame = Literal["none", "paper"]
PAPER_FRAME = (
    "Each line of the data holds a general-knowledge question. What it asks for belongs to exactly one of six "
    f"categories: {', '.join(LABELS[:-1])} or {LABELS[-1]}. The data do not state the categories. Infer the category "
    "of each line from the meaning of its question, and base the answer on all lines that matter. Do not guess."
)

LAYOUT: tuple[Message, ...] = (
    {"role": "system", "content": "You answer questions about the data below.\n\n{context}"},
    {"role": "user", "content": "{query}"},
)
# A mark of labels, in any spacing.
_MARK = "|| Label:"


class LabelLeak(ValueError):
    """A prompt contains labels."""


def prompt_of(window: LabelledWindow, query: str, layout: tuple[Message, ...] = LAYOUT, frame: str = "") -> Prompt:
    """Return the prompt over a window: everything that methods see. Raises LabelLeak if it contains a label.

    frame: text before the query.
    """
    prompt = Prompt(window.text, f"{frame}\n\n{query}" if frame else query, layout)
    found = leaks(prompt)
    if found:
        raise LabelLeak(f"window {window.window_id}: {' and '.join(found)} contain labels, which methods must not see")
    return prompt


def leaks(prompt: Prompt) -> list[str]:
    """Return the parts of a prompt that contain labels."""
    parts = {
        "context": prompt.context_text,
        "query": prompt.query,
        "layout": "\n".join(message["content"] for message in (*prompt.layout, *prompt.history)),
    }
    return [name for name, text in parts.items() if _MARK in text]
