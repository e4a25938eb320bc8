"""The texts of BrowseComp-Plus prompts, with the data set's form of answer."""

from __future__ import annotations

from rlm.prompt import Message

_FRAME = "You are given documents, each under its id, and a question to be answered from them.\n\n{context}\n\n{query}"
LAYOUT: tuple[Message, ...] = ({"role": "user", "content": _FRAME},)
_QUERY = (
    "Question: {question}\n\n"
    "Answer from the documents. Reply in this form:\n"
    "Explanation: how the documents lead to the answer, citing the ids of those you rely on in brackets, as [123]\n"
    "Exact Answer: the answer alone, as short as it can be\n"
    "Confidence: how sure you are, from 0% to 100%"
)


def query_of(question: str) -> str:
    """Format the question together with the form of the answer."""
    return _QUERY.replace("{question}", question)


def document_of(docid: str, text: str) -> str:
    """Format a document for a context."""
    return f"[Document {docid}]\n{text}"
