"""The texts of RULER prompts in our words, with the order of RULER's parts: introduction, context, question."""

from __future__ import annotations

from rlm.prompt import Message

NEEDLES_HEAD = "The text below hides special magic {kind}s. Remember them while reading: a question about them follows."
NEEDLES_QUERY = (
    "Which special magic {kind}s does the text above give for {keys}? Reply with all of them, separated by commas."
)
ASSIGNED = "VAR {} = {}"
CHAIN_HEAD = (
    "The text below has assignments to variables. Some variables get the value of another one. Keep track of them."
)
CHAIN_QUERY = (
    "Question: which variables have the value {value}, directly or through other variables? Reply with the names of "
    "all {count}, separated by commas."
)
COMMON_HEAD = "Below is a numbered list of words. Some words are in it far more often than others. Remember these."
COMMON_QUERY = "Question: which 10 words are most frequent in the list above? Reply with them, separated by commas."
CODED_HEAD = "The text below consists of coded words. Keep track of how often each of them occurs."
CODED_QUERY = (
    "Question: which three coded words are most frequent in the text above? Dots are not a word. Reply with the three "
    "words and no explanation."
)
DOCUMENTS_HEAD = "Answer a question from the documents below. Give the answer alone, without other words."
DOCUMENTS_QUERY = (
    "Answer the question from the documents above. Give the answer alone, without other words.\n\nQuestion: {question}"
)
DOCUMENT = "Document {}:\n{}"
# The word that begins the question of tasks without needles.
QUESTION = "Question:"
LAYOUT: tuple[Message, ...] = ({"role": "user", "content": "{context}\n{query}"},)


def listed(items: tuple[str, ...]) -> str:
    """Join the items of a list, the last two with `and`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
