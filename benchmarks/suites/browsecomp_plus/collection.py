"""Queries with their relevance judgements, and the choice of a context's documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError


@dataclass(frozen=True)
class Query:
    """A question with its answer, and its relevant documents as docids. Methods may see `question` only."""

    query_id: str
    question: str
    answer: str
    gold: tuple[str, ...]
    evidence: tuple[str, ...]
    negatives: tuple[str, ...]

    @property
    def required(self) -> tuple[str, ...]:
        """The gold and evidence documents, each once."""
        return tuple(dict.fromkeys((*self.gold, *self.evidence)))


class Collection(Protocol):
    """Queries, and the documents from which contexts are made."""

    def query_ids(self) -> Sequence[str]:
        """Return the ids of all queries in their fixed order, without building a context."""
        ...

    def query(self, query_id: str) -> Query: ...

    def docids(self) -> Sequence[str]:
        """Return the docids of all documents in their fixed order."""
        ...

    def texts(self, query: Query, docids: Sequence[str]) -> list[str]:
        """Return the texts of documents for the context of a query, in the given order. Raises DataError."""
        ...

    def provenance(self) -> dict[str, Any]: ...


def choose_documents(query: Query, collection: Collection, count: int, draws: Draws) -> list[str]:
    """Choose the `count` docids of a context, in a random order.

    All required documents come first, then negatives of the query, then other documents. A query that requires more
    than `count` documents gets all of them. With equal draws, a larger context includes a smaller one. Raises DataError
    if the collection is too small.
    """
    chosen = dict.fromkeys(query.required)
    negatives = [docid for docid in dict.fromkeys(query.negatives) if docid not in chosen]
    chosen |= dict.fromkeys(draws.some(negatives, max(0, count - len(chosen))))
    if len(chosen) < count:
        everything = collection.docids()
        if len(everything) < count:
            raise DataError(
                f"benchmark.browsecomp_plus.documents contains {count}: expected at most {len(everything)}, the "
                "size of the collection"
            )
        # More documents are drawn than needed, because some may already be chosen.
        for docid in draws.some(everything, count + len(chosen)):
            if len(chosen) == count:
                break
            chosen[docid] = None
    return draws.shuffled(list(chosen))
