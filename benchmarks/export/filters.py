"""The filters of `rlm-eval export sft`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Filters:
    """The filters of an export: a sample needs at least min_score, from 0 to 1, and at least min_turns turns of the
    root; a turn may have at most max_chars characters of prompt and completion together.

    The paper kept scores above 0, two turns and more, and 100,000 characters.
    """

    min_score: float = 0.5
    min_turns: int = 2
    max_chars: int = 100_000
