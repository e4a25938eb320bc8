"""Generated BrowseComp-Plus queries over a generated world of documents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from benchmarks.suites.browsecomp_plus.collection import Query
from benchmarks.suites.browsecomp_plus.documents import document
from benchmarks.suites.browsecomp_plus.questions import WorldQuestion, ask
from benchmarks.suites.browsecomp_plus.world import World

GENERATOR = "browsecomp-plus-generated-1"


class GeneratedCollection:
    """Queries over a generated world. Negatives are documents that share traits or names with the evidence."""

    def __init__(self, seed: int, size: int, count: int, sentences: tuple[int, int]) -> None:
        self._seed, self._size, self._count, self._sentences = seed, size, count, sentences

    @cached_property
    def world(self) -> World:
        return World(self._seed, self._size)

    def question(self, query_id: str) -> WorldQuestion:
        return ask(self.world, int(query_id) - 1)

    def query_ids(self) -> Sequence[str]:
        return [str(number) for number in range(1, self._count + 1)]

    def query(self, query_id: str) -> Query:
        question = self.question(query_id)
        evidence = tuple(entity.docid for entity in question.path)
        alike = dict.fromkeys(other.docid for entity in question.path for other in self.world.alike(entity))
        negatives = tuple(docid for docid in alike if docid not in evidence)
        return Query(query_id, question.text, question.answer, evidence[-1:], evidence, negatives)

    def docids(self) -> Sequence[str]:
        return [entity.docid for entity in self.world.entities]

    def texts(self, query: Query, docids: Sequence[str]) -> list[str]:
        return [document(self.world, self.world.by_docid[docid], self._sentences) for docid in docids]

    def provenance(self) -> dict[str, Any]:
        return {
            "generator": GENERATOR,
            "world_documents": self._size,
            "sentences": list(self._sentences),
        }
