"""The layout of LongBench-v2 prompts, and the texts of generated contexts and questions."""

from __future__ import annotations

from rlm.prompt import Message

_FRAME = "Below is a text. Read it, then answer the question after it.\n\n<text>\n{context}\n</text>\n\n{query}"
LAYOUT: tuple[Message, ...] = ({"role": "user", "content": _FRAME},)

CHAPTER = "Chapter {number}. {name}\n\n{text}"
DOCUMENT = "[Document {number}] {text}"
TURNS = (
    "{one}: Today I read about {name}, a {trade}.\n{two}: Was that the one from {town}?\n{one}: Yes, born there in "
    "{year}.\n{two}: And who worked for {company}?\n{one}: Until the end."
)
SPEAKERS = ("Marlene", "Tobias")
TABLE_HEAD = "name,trade,year,town,company"
TABLE_ROW = "{name},{trade},{year},{town},{company}"
EXAMPLE = "Text: {name} of {town} was a {trade}.\nLabel: {label}"
EXAMPLES_HEAD = "Each text below has a label, which depends on the trade of the person."

QUESTIONS = {
    "town": "In which town was {name} born?",
    "year": "In which year was {name} born?",
    "trade": "What was the trade of {name}?",
    "company": "For which workshop did {name} work?",
}
WORKSHOP_QUESTIONS = {
    "town": "In which town was the workshop founded that {name} worked for?",
    "year": "In which year was the workshop founded that {name} worked for?",
}
COUNT_QUESTION = "How many people in the table have the trade {trade}?"
LABEL_QUESTION = "Which label has this text?\n\nText: {name} of {town} was a {trade}."
