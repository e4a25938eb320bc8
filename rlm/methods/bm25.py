"""BM25 search over the passages of a context, and the function `search` of a REPL."""

from __future__ import annotations

import asyncio
import codecs
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from rlm.methods.window import boundary
from rlm.models.tokens import encoder
from rlm.repl.protocol import HostFunction
from rlm.surrogates import without_surrogates

MAX_HITS = 100
# The characters of a query from a session, and the number of searches of a session.
_QUERY_CHARS, _SEARCHES = 10_000, 10_000

# The parameters of BM25: the saturation of repeated words, and the penalty for long passages. Pyserini has 0.9 and 0.4.
K1 = Annotated[float, Ge(0)]
B = Annotated[float, Ge(0), Le(1)]
DEFAULT_K1, DEFAULT_B = 1.5, 0.75
# The length of a passage in tokens; None keeps complete documents, or passages of passage_chars of a string.
PassageTokens = Annotated[int, Ge(16)] | None


@dataclass(frozen=True)
class Passage:
    """A searchable part of a context. index: the index of its document; start: its offset in the document."""

    index: int
    start: int
    text: str


@dataclass(frozen=True)
class Hit:
    """A passage that a search found, with its BM25 score."""

    passage: Passage
    score: float


def passages(context: str | Sequence[str], passage_chars: int, tokens: int | None = None) -> list[Passage]:
    """Return the documents of a context as passages.

    A single string is cut into passages of at most `passage_chars`. tokens: if given, every document and every string
    is cut into passages of so many tokens.
    """
    if tokens is not None:
        return cut_by_tokens([context] if isinstance(context, str) else context, tokens)
    if isinstance(context, str):
        return cut_passages([context], passage_chars)
    return [Passage(index, 0, document) for index, document in enumerate(context)]


def cut_passages(documents: Sequence[str], passage_chars: int) -> list[Passage]:
    """Cut documents into passages of at most `passage_chars`, after paragraphs, lines or sentences."""
    found = []
    for index, document in enumerate(documents):
        at = 0
        while at < len(document):
            end = boundary(document, at, at + passage_chars)
            found.append(Passage(index, at, document[at:end]))
            at = end
    return found


def cut_by_tokens(documents: Sequence[str], tokens: int) -> list[Passage]:
    """Cut documents into passages of `tokens` tokens; a character that a cut would divide belongs to the next one."""
    found = []
    for index, document in enumerate(documents):
        ids = encoder().encode_ordinary(without_surrogates(document))
        decoder, at = codecs.getincrementaldecoder("utf-8")(), 0
        for start in range(0, len(ids), tokens):
            last = start + tokens >= len(ids)
            size = len(decoder.decode(encoder().decode_bytes(ids[start : start + tokens]), last))
            if size:
                # Cut from the document itself, which may hold lone surrogates.
                found.append(Passage(index, at, document[at : at + size]))
                at += size
    return found


class Bm25:
    """A BM25 index in memory: bm25s with Lucene's variant, without English stop words."""

    def __init__(self, parts: Sequence[Passage], k1: float = DEFAULT_K1, b: float = DEFAULT_B) -> None:
        import bm25s

        # The library logs at debug level by default.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        self.parts = list(parts)
        self._tokenize = bm25s.tokenize
        tokens = bm25s.tokenize([part.text for part in self.parts], return_ids=False, show_progress=False)
        self._index = None
        if any(tokens):
            self._index = bm25s.BM25(k1=k1, b=b)
            self._index.index(tokens, show_progress=False)

    def search(self, query: str, k: int) -> list[Hit]:
        """Return the best k passages that share a word with the query, best first; ties keep the context's order."""
        words = self._tokenize([query], return_ids=False, show_progress=False)[0]
        if self._index is None or not words:
            return []
        scores = self._index.get_scores(words)
        best = (-scores).argsort(kind="stable")[: max(0, k)]
        return [Hit(self.parts[i], float(scores[i])) for i in best if scores[i] > 0]


class Search:
    """BM25 over the passages that a function returns, indexed at the first search. k1, b: its parameters."""

    def __init__(self, parts: Callable[[], Sequence[Passage]], k1: float = DEFAULT_K1, b: float = DEFAULT_B) -> None:
        self._parts, self._k1, self._b = parts, k1, b
        self._index: Bm25 | None = None
        self._lock = asyncio.Lock()

    async def find(self, query: str, k: int) -> list[Hit]:
        """See Bm25.search. Searches run in a thread, one at a time."""
        async with self._lock:
            return await asyncio.to_thread(self._find, query, k)

    def _find(self, query: str, k: int) -> list[Hit]:
        if self._index is None:
            self._index = Bm25(self._parts(), self._k1, self._b)
        return self._index.search(query, k)


_PART_OF_DOCUMENT = (
    "BM25 search: the k passages that match the query best, each a dict {index, start, score, text}. `text` is "
    "`context[index][start:start + len(text)]`, or `context[start:start + len(text)]` if the context is one string."
)


def search_function(search: Search, *, cuts_documents: bool = False) -> HostFunction:
    """Make the function `search(query, k)` for a REPL. Its docstring is shown to the model.

    cuts_documents: a passage is a part of a document and not the complete document. Searches and the length of their
    queries are limited; a search beyond a limit raises ValueError.
    """
    numbers = itertools.count(1)

    async def search_context(query, k=10):
        """BM25 search: the k parts of the context that match the query best, each a dict {index, start, score, text}.

        `text` is `context[index]`, or `context[start:start + len(text)]` if the context is one string.
        """
        if not isinstance(query, str) or isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError("search takes a string and a number of results of at least 1: search(query, k)")
        if len(query) > _QUERY_CHARS:
            raise ValueError(f"the query has {len(query):,} characters: expected at most {_QUERY_CHARS:,}")
        if next(numbers) > _SEARCHES:
            raise ValueError(f"more than {_SEARCHES:,} searches were made: answer from what they found")
        hits = await search.find(query, min(k, MAX_HITS))
        return [
            {"index": hit.passage.index, "start": hit.passage.start, "score": hit.score, "text": hit.passage.text}
            for hit in hits
        ]

    if cuts_documents:
        search_context.__doc__ = _PART_OF_DOCUMENT
    return search_context
