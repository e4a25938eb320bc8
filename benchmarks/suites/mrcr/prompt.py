"""The texts of MRCR conversations: the requests, and the question that ends them."""

from __future__ import annotations

ASK = "Write {form} about {topic}."
# The content of the data set's last request, in other words.
QUERY = (
    "Repeat the {ordinal} {form} about {topic} from this conversation, word for word; the earliest one is the 1st. "
    "Begin your reply with {prefix}, directly followed by the text, and write nothing else."
)


def ordinal(number: int) -> str:
    """Format a number from 1 to 8, such as 3rd."""
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"
