"""The texts of OOLONG-Pairs prompts, with the data set's layout."""

from __future__ import annotations

from benchmarks.suites.oolong.prompt import PAPER_FRAME as OOLONG_PAPER_FRAME
from benchmarks.suites.oolong.windows import LABELS
from benchmarks.suites.oolong_pairs.conditions import CONDITIONS
from rlm.prompt import Message

_QUERY = (
    "List every pair of two different users for whom this holds: {condition}. A question's kind is the category that "
    "its answer falls into: {labels}. Write each pair once, on a line of its own, as (user_id_1, user_id_2) with the "
    "lower ID first. If no pair qualifies, write: none"
)
PAPER_FRAME = f"{OOLONG_PAPER_FRAME} The list that is asked for may be empty."
LAYOUT: tuple[Message, ...] = (
    {"role": "system", "content": "Answer the question about the lines below.\n\n{context}"},
    {"role": "user", "content": "{query}"},
)


def question(task: int) -> str:
    """Return the question of a task. It names the labels, because the window does not."""
    return _QUERY.format(condition=CONDITIONS[task].words(), labels=", ".join(LABELS[:-1]) + " or " + LABELS[-1])
