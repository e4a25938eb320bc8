"""The texts of S-NIAH prompts and of the needle, with RULER's layout."""

from __future__ import annotations

from rlm.prompt import CONTEXT_MARK, QUERY_MARK, Message

HEAD = "The text below hides one special magic {kind}. Remember it while reading: a question about it follows."
QUERY = "Which special magic {kind} does the text above give for {key}? Reply with that {kind}."
NEEDLE = "One of the special magic {kind}s for {key} is: {value}."


def layout(head: str) -> tuple[Message, ...]:
    """Return one user message: an introduction, the haystack, the question."""
    return ({"role": "user", "content": f"{head}\n{CONTEXT_MARK}\n{QUERY_MARK}"},)
