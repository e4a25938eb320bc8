"""The layout of OOLONG prompts, and the check that no label gets into one."""

from __future__ import annotations

from benchmarks.suites.oolong.windows import LabelledWindow
from rlm.prompt import Message, Prompt

LAYOUT: tuple[Message, ...] = (
    {"role": "system", "content": "You answer questions about the data below.\n\n{context}"},
    {"role": "user", "content": "{query}"},
)
# A mark of labels, in any spacing.
_MARK = "|| Label:"


class LabelLeak(ValueError):
    """A prompt contains labels."""


def prompt_of(window: LabelledWindow, query: str, layout: tuple[Message, ...] = LAYOUT) -> Prompt:
    """The prompt over a window: everything that methods see. Raises LabelLeak if it contains a label."""
    prompt = Prompt(window.text, query, layout)
    found = leaks(prompt)
    if found:
        raise LabelLeak(f"window {window.window_id}: {' and '.join(found)} contain labels, which methods must not see")
    return prompt


def leaks(prompt: Prompt) -> list[str]:
    """The parts of a prompt that contain labels."""
    parts = {
        "context": prompt.context_text,
        "query": prompt.query,
        "layout": "\n".join(message["content"] for message in (*prompt.layout, *prompt.history)),
    }
    return [name for name, text in parts.items() if _MARK in text]
