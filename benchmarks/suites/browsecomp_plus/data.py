"""Queries and documents of BrowseComp-Plus: decrypted in memory from the hub's rows, or of a generated world."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import ID, Source

if TYPE_CHECKING:
    from datasets import Dataset

    from benchmarks.suites.browsecomp_plus.questions import WorldQuestion
    from benchmarks.suites.browsecomp_plus.world import World

QUERY_ROWS = 830
CORPUS_ROWS = 100_195
_DOCUMENTS = ("gold_docs", "evidence_docs", "negative_docs")


@dataclass(frozen=True)
class Query:
    """A question with its answer and relevance judgements, all as docids. Only `question` may reach a method."""

    query_id: str
    question: str
    answer: str
    gold: tuple[str, ...]
    evidence: tuple[str, ...]
    negatives: tuple[str, ...]

    @property
    def required(self) -> tuple[str, ...]:
        """Gold and evidence documents, each once."""
        return tuple(dict.fromkeys((*self.gold, *self.evidence)))


class Collection(Protocol):
    """Queries and the documents that their contexts are made of."""

    def query_ids(self) -> Sequence[str]:
        """All queries, in their fixed order; cheap."""
        ...

    def query(self, query_id: str) -> Query: ...

    def docids(self) -> Sequence[str]:
        """All documents there are, in their fixed order."""
        ...

    def texts(self, query: Query, docids: Sequence[str]) -> list[str]:
        """The texts of documents for the context of a query, in the order asked for. Raises DataError."""
        ...

    def provenance(self) -> dict[str, Any]: ...


def choose_documents(query: Query, collection: Collection, count: int, draws: Draws) -> list[str]:
    """The docids of a context of `count` documents, in a drawn order.

    All that are required; then drawn negatives of the query; then documents drawn from the rest of the collection. A
    query that requires more than `count` gets all it requires. From equal draws a smaller context is a part of a larger
    one. Raises DataError where the collection is too small.
    """
    chosen = dict.fromkeys(query.required)
    negatives = [docid for docid in dict.fromkeys(query.negatives) if docid not in chosen]
    chosen |= dict.fromkeys(draws.some(negatives, max(0, count - len(chosen))))
    if len(chosen) < count:
        everything = collection.docids()
        if len(everything) < count:
            raise DataError(
                f"benchmark.browsecomp_plus.documents has {count}, but there are {len(everything)} documents"
            )
        # More than enough are drawn, since some may be chosen already.
        for docid in draws.some(everything, count + len(chosen)):
            if len(chosen) == count:
                break
            chosen[docid] = None
    return draws.shuffled(list(chosen))


class Cipher:
    """The data set's obfuscation: base64 of the text XORed with the SHA-256 of a canary string, repeated."""

    def __init__(self, canary: str) -> None:
        self._key = hashlib.sha256(canary.encode()).digest()

    def decrypt(self, text: str) -> str:
        """Raises DataError for what is not base64, or no text under this canary."""
        try:
            return self._xor(base64.b64decode(text, validate=True)).decode()
        except (ValueError, TypeError) as error:
            raise DataError(f"an encrypted field is no text under benchmark.browsecomp_plus.canary: {error}") from None

    def encrypt(self, text: str) -> str:
        return base64.b64encode(self._xor(text.encode())).decode()

    def _xor(self, data: bytes) -> bytes:
        import numpy as np

        values = np.frombuffer(data, dtype=np.uint8)
        return (values ^ np.resize(np.frombuffer(self._key, dtype=np.uint8), values.shape)).tobytes()


class EncryptedCollection:
    """The hub's queries, or a copy of them, with the corpus behind.

    Rows lie encrypted in the cache of `datasets` and are decrypted where they are used. The corpus is opened only for
    documents that no row of a query brings along. qrels: docids by query for `gold` and `evidence`, in place of those
    of the rows.
    """

    def __init__(
        self, queries: Source, corpus: Source, cipher: Cipher, count: int, seed: int, qrels: Mapping[str, Mapping]
    ) -> None:
        self._queries, self._corpus, self._cipher, self._qrels = queries, corpus, cipher, qrels
        self._count, self._seed = count, seed

    def query_ids(self) -> Sequence[str]:
        return [str(query_id) for query_id in self._chosen]

    def query(self, query_id: str) -> Query:
        row = self._row(query_id)
        gold, evidence, negatives = (self._docids(row, column) for column in _DOCUMENTS)
        return Query(
            query_id,
            self._cipher.decrypt(row["query"]),
            self._cipher.decrypt(row["answer"]),
            tuple(self._qrels["gold"].get(query_id, ())) if "gold" in self._qrels else gold,
            tuple(self._qrels["evidence"].get(query_id, ())) if "evidence" in self._qrels else evidence,
            negatives,
        )

    def docids(self) -> Sequence[str]:
        return list(self._corpus_rows)

    def texts(self, query: Query, docids: Sequence[str]) -> list[str]:
        row, found = self._row(query.query_id), {}
        wanted = set(docids)
        for column in _DOCUMENTS:
            for document in row[column] or ():
                docid = self._cipher.decrypt(document["docid"])
                if docid in wanted and docid not in found:
                    found[docid] = self._cipher.decrypt(document.get("text"))
        missing = [docid for docid in docids if docid not in found]
        if missing:
            unknown = [docid for docid in missing if docid not in self._corpus_rows]
            if unknown:
                raise DataError(
                    f"{self._corpus.origin} has no document {unknown[0]!r}, which query {query.query_id} needs"
                )
            texts = self._corpus_table[[self._corpus_rows[docid] for docid in missing]]["text"]
            found |= dict(zip(missing, texts, strict=True))
        return [found[docid] for docid in docids]

    def provenance(self) -> dict[str, Any]:
        return {"queries": self._queries.identity(), "corpus": self._corpus.identity()}

    @cached_property
    def _chosen(self) -> list[str | int]:
        everything = list(self._queries.table(["query_id"], count=QUERY_ROWS, kinds={"query_id": ID})["query_id"])
        ordered = sorted(everything, key=lambda query_id: (len(str(query_id)), str(query_id)))
        for one, other in pairwise(map(str, ordered)):
            if one == other:
                raise DataError(f"{self._queries.origin}: two rows have the query_id {one!r}")
        chosen = set(Draws(self._seed, "browsecomp_plus queries").some(ordered, self._count))
        return [query_id for query_id in ordered if query_id in chosen]

    @cached_property
    def _table(self) -> Dataset:
        columns, kinds = ["query_id", "query", "answer", *_DOCUMENTS], {"query": str, "answer": str}
        return self._queries.table(columns, {"query_id": self._chosen}, kinds=kinds)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {str(query_id): place for place, query_id in enumerate(self._table["query_id"])}

    def _row(self, query_id: str) -> dict[str, Any]:
        return self._table[self._places[query_id]]

    def _docids(self, row: Mapping[str, Any], column: str) -> tuple[str, ...]:
        try:
            return tuple(dict.fromkeys(self._cipher.decrypt(document["docid"]) for document in row[column] or ()))
        except (TypeError, KeyError) as error:
            raise DataError(
                f"{self._queries.origin}: {column} of query {row['query_id']} should be a list of objects with "
                f"docid and text, found {type(row[column]).__name__}"
            ) from error

    @cached_property
    def _corpus_table(self) -> Dataset:
        return self._corpus.table(["docid", "text"], count=CORPUS_ROWS, kinds={"docid": ID})

    @cached_property
    def _corpus_rows(self) -> dict[str, int]:
        return {str(docid): place for place, docid in enumerate(self._corpus_table["docid"])}


class GeneratedCollection:
    """Queries over a generated world; negatives are the documents that share traits or names with those on the path."""

    def __init__(self, seed: int, size: int, count: int, sentences: tuple[int, int]) -> None:
        self._seed, self._size, self._count, self._sentences = seed, size, count, sentences

    @cached_property
    def world(self) -> World:
        from benchmarks.suites.browsecomp_plus.world import World

        return World(self._seed, self._size)

    def question(self, query_id: str) -> WorldQuestion:
        from benchmarks.suites.browsecomp_plus.questions import ask

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
        from benchmarks.suites.browsecomp_plus.prose import document

        return [document(self.world, self.world.by_docid[docid], self._sentences) for docid in docids]

    def provenance(self) -> dict[str, Any]:
        return {
            "generator": "browsecomp-plus-generated-1",
            "world_documents": self._size,
            "sentences": list(self._sentences),
        }


def read_qrels(path: str, key: str) -> dict[str, tuple[str, ...]]:
    """Query id -> docids judged relevant, from a file in TREC's form `query Q0 document relevance`.

    Raises DataError, which names the file and the line.
    """
    relevant: dict[str, list[str]] = {}
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{key} is {path!r}: {error}") from error
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if fields and (len(fields) != 4 or not fields[3].lstrip("-").isdigit()):
            raise DataError(f"{path}, line {number} is {line[:80]!r}: wanted `query Q0 document relevance`")
        if fields and int(fields[3]) > 0:
            relevant.setdefault(fields[0], []).append(fields[2])
    return {query_id: tuple(docids) for query_id, docids in relevant.items()}
