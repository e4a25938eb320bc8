"""Reads BrowseComp-Plus queries and documents from the encrypted rows of the hub, or from a copy of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import ID, HubData, Source
from benchmarks.sources.protect import xor
from benchmarks.suites.browsecomp_plus.collection import Query
from rlm.paths import expand_home
from rlm.reading import read_text

if TYPE_CHECKING:
    from datasets import Dataset

QUERIES = HubData("Tevatron/browsecomp-plus", "144cff8e35b5eaef7e526346aa60774a9deb941f", "test")
CORPUS = HubData("Tevatron/browsecomp-plus-corpus", "b27b02bc3e45511b8b82a13e6f90ce761df726f6", "train")
_QUERY_ROWS = 830
_MAX_QRELS_BYTES = 64 << 20
_CORPUS_ROWS = 100_195
_DOCUMENTS = ("gold_docs", "evidence_docs", "negative_docs")


class Cipher:
    """The data set's obfuscation: base64 of the text XORed with the SHA-256 of a canary string, repeated."""

    def __init__(self, canary: str) -> None:
        self._key = hashlib.sha256(canary.encode()).digest()

    def decrypt(self, text: str) -> str:
        """Decrypt a field. Raises DataError for a field that is not encrypted, or encrypted with another canary."""
        try:
            return xor(base64.b64decode(text, validate=True), self._key).decode()
        except (ValueError, TypeError) as error:
            raise DataError(f"a field cannot be decrypted with benchmark.browsecomp_plus.canary: {error}") from None


class EncryptedCollection:
    """Queries with the documents in their rows, and the corpus for further documents.

    The cache of `datasets` holds the encrypted rows; texts are decrypted in memory. The corpus is opened only for
    documents that are missing in a query's row. qrels: docids by query for `gold` and `evidence`, which replace those
    in the rows.
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
        needed = set(docids)
        for column in _DOCUMENTS:
            for document in row[column] or ():
                docid = self._cipher.decrypt(document["docid"])
                if docid in needed and docid not in found:
                    found[docid] = self._cipher.decrypt(document.get("text"))
        missing = [docid for docid in docids if docid not in found]
        if missing:
            unknown = [docid for docid in missing if docid not in self._corpus_rows]
            if unknown:
                raise DataError(
                    f"{self._corpus.origin} has no document {unknown[0]!r}: expected it for query {query.query_id}"
                )
            texts = self._corpus_table[[self._corpus_rows[docid] for docid in missing]]["text"]
            found |= dict(zip(missing, texts, strict=True))
        return [found[docid] for docid in docids]

    def provenance(self) -> dict[str, Any]:
        return {"queries": self._queries.identity(), "corpus": self._corpus.identity()}

    @cached_property
    def _chosen(self) -> list[str | int]:
        everything = list(self._queries.table(["query_id"], count=_QUERY_ROWS, types={"query_id": ID})["query_id"])
        ordered = sorted(everything, key=lambda query_id: (len(str(query_id)), str(query_id)))
        for one, other in pairwise(map(str, ordered)):
            if one == other:
                raise DataError(f"{self._queries.origin}: two rows have the query_id {one!r}")
        chosen = set(Draws(self._seed, "browsecomp_plus queries").some(ordered, self._count))
        return [query_id for query_id in ordered if query_id in chosen]

    @cached_property
    def _table(self) -> Dataset:
        columns, types = ["query_id", "query", "answer", *_DOCUMENTS], {"query": str, "answer": str}
        return self._queries.table(columns, {"query_id": self._chosen}, types=types)

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
                f"{self._queries.origin}, query {row['query_id']}: {column} is {type(row[column]).__name__}: expected "
                "a list of objects with docid and text"
            ) from error

    @cached_property
    def _corpus_table(self) -> Dataset:
        return self._corpus.table(["docid", "text"], count=_CORPUS_ROWS, types={"docid": ID})

    @cached_property
    def _corpus_rows(self) -> dict[str, int]:
        return {str(docid): place for place, docid in enumerate(self._corpus_table["docid"])}


def read_qrels(path: str, key: str) -> dict[str, tuple[str, ...]]:
    """Read the relevant docids by query id, from a file in TREC's form `query Q0 document relevance`.

    Raises DataError, which names the file and the line.
    """
    relevant: dict[str, list[str]] = {}
    try:
        lines = read_text(expand_home(path), _MAX_QRELS_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{key} is {path!r}: {error}") from error
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if fields and (len(fields) != 4 or not fields[3].lstrip("-").isdigit()):
            raise DataError(f"{path}, line {number} is {line[:80]!r}: expected `query Q0 document relevance`")
        if fields and int(fields[3]) > 0:
            relevant.setdefault(fields[0], []).append(fields[2])
    return {query_id: tuple(docids) for query_id, docids in relevant.items()}
