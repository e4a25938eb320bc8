"""The BrowseComp-Plus benchmark: multi-hop questions over a collection of documents, scored by a judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.scoring.guesses import NAME, YEAR, all_of, most_frequent
from benchmarks.sources.draws import Draws
from benchmarks.sources.hub import GENERATED, HUB, HubData, Source
from benchmarks.suites.browsecomp_plus.collection import Collection, choose_documents
from benchmarks.suites.browsecomp_plus.documents import SENTENCES
from benchmarks.suites.browsecomp_plus.generator import GeneratedCollection
from benchmarks.suites.browsecomp_plus.prompt import LAYOUT, document_of, query_of
from benchmarks.suites.browsecomp_plus.rows import CORPUS, QUERIES, Cipher, EncryptedCollection, read_qrels
from benchmarks.suites.browsecomp_plus.scorer import MAX_ANSWER_TOKENS, BrowseTarget, score_answer
from benchmarks.suites.browsecomp_plus.world import FEWEST
from benchmarks.suites.settings import EACH_ONCE, MOST_SAMPLES, SampleCount
from rlm.prompt import Prompt

Documents = Annotated[tuple[Annotated[int, Ge(1), Le(MOST_SAMPLES)], ...], MinLen(1), EACH_ONCE]
WorldSize = Annotated[int, Ge(FEWEST), Le(MOST_SAMPLES)]
# A document of more sentences would be longer than any context.
Sentences = tuple[Annotated[int, Ge(1), Le(1_000_000)], Annotated[int, Ge(1), Le(1_000_000)]]

_KEY = "benchmark.browsecomp_plus"


class BrowseCompPlus:
    """Queries over contexts of a fixed number of documents. A target is a BrowseTarget.

    source: `generated`, `hub`, or the path of the hub's query rows. corpus: `hub`, or the path of the corpus's rows.
    documents: the numbers of documents of a context. queries: the number of queries, which are generated or drawn by
    seed from the hub's. world_documents: the size of the generated world. sentences: the minimum and maximum number of
    sentences of its documents. qrels_gold, qrels_evidence: TREC files that replace the judgements in the rows.
    """

    name = "browsecomp_plus"
    metric = "accuracy"
    scorer = "browsecomp-plus-judge-2"
    max_answer_tokens = MAX_ANSWER_TOKENS
    grows_by = ("documents", "queries")

    def __init__(
        self,
        source: str = GENERATED,
        corpus: str = HUB,
        revision: str = QUERIES.revision,
        corpus_revision: str = CORPUS.revision,
        canary: str = "",
        documents: Documents = (1000,),
        queries: SampleCount = 150,
        seed: Annotated[int, Ge(0)] = 0,
        world_documents: WorldSize = 2000,
        sentences: Sentences = SENTENCES,
        qrels_gold: str | None = None,
        qrels_evidence: str | None = None,
    ) -> None:
        self.protected = source != GENERATED
        self._source, self._seed, self._sizes = source, seed, documents
        self._data: Collection
        if source == GENERATED:
            if sentences[0] > sentences[1]:
                raise ValueError(f"{_KEY}.sentences is {list(sentences)}: expected the minimum before the maximum")
            if world_documents < max(documents):
                raise ValueError(
                    f"{_KEY}.world_documents is {world_documents}: expected at least {max(documents)}, the "
                    f"largest number in {_KEY}.documents"
                )
            self._data = GeneratedCollection(seed, world_documents, queries, sentences)
            return
        if not canary:
            raise ValueError(f"{_KEY}.canary is empty: expected the string with which the data set is encrypted")
        files = {"gold": qrels_gold, "evidence": qrels_evidence}
        qrels = {name: read_qrels(path, f"{_KEY}.qrels_{name}") for name, path in files.items() if path}
        query_rows = Source(source, HubData(QUERIES.repo, revision, QUERIES.split), f"{_KEY}.source")
        corpus_rows = Source(corpus, HubData(CORPUS.repo, corpus_revision, CORPUS.split), f"{_KEY}.corpus")
        self._data = EncryptedCollection(query_rows, corpus_rows, Cipher(canary), queries, seed, qrels)

    def infos(self) -> Sequence[SampleInfo]:
        return [info for info, _, _ in self._plan.values()]

    @cached_property
    def _plan(self) -> dict[str, tuple[SampleInfo, str, int]]:
        """Map sample ids to (info, query id, number of documents). All sizes of one query form one cluster."""
        plan = {}
        for size in self._sizes:
            for query_id in self._data.query_ids():
                sample_id = f"browsecomp_plus-{query_id}-{size}"
                info = SampleInfo(sample_id, f"query-{query_id}", f"documents_{size}", "constant")
                plan[sample_id] = (info, query_id, size)
        return plan

    def sample(self, sample_id: str) -> Sample:
        info, query_id, size = self._plan[sample_id]
        query = self._data.query(query_id)
        # The draws do not depend on the size, so a larger context includes the documents of a smaller one.
        docids = choose_documents(query, self._data, size, Draws(self._seed, "documents", query_id))
        texts = self._data.texts(query, docids)
        context = tuple(map(document_of, docids, texts))
        target = BrowseTarget(query.question, query.answer, query.gold, query.evidence)
        return Sample(info, Prompt(context, query_of(query.question), LAYOUT), target)

    async def score(self, target: BrowseTarget, answer: str | None, judge: Judge | None = None) -> Score:
        return await score_answer(target, answer, judge)

    def oracle(self, target: BrowseTarget) -> str:
        cites = " ".join(f"[{docid}]" for docid in target.evidence)
        return f"Explanation: {cites or 'none'}\nExact Answer: {target.answer}\nConfidence: 100%"

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return no answer, the most frequent year and name in the first documents, and a flood of all their years."""
        return [
            lambda sample: "Exact Answer: unknown",
            lambda sample: f"Exact Answer: {most_frequent(sample, YEAR)}",
            lambda sample: f"Exact Answer: {most_frequent(sample, NAME)}",
            lambda sample: f"Exact Answer: {', '.join(all_of(sample, YEAR))}",
        ]

    def target_of(self, row: Mapping[str, Any]) -> BrowseTarget:
        answer = row.get("target")
        if not isinstance(answer, str) or not answer.strip():
            raise ValueError(f"target is {answer!r}: expected the correct answer as text")
        return BrowseTarget(str(row.get("query", "")), answer)

    def target_bytes(self, target: BrowseTarget) -> bytes:
        fields = {"answer": target.answer, "evidence": sorted(target.evidence), "gold": sorted(target.gold)}
        return json.dumps(fields, sort_keys=True, ensure_ascii=True).encode()

    def provenance(self) -> Mapping[str, Any]:
        query_ids = list(self._data.query_ids())
        return {
            "source": self._source if self._source in (GENERATED, HUB) else "local",
            "seed": self._seed,
            "query_ids": query_ids,
            "query_ids_sha256": hashlib.sha256("\n".join(query_ids).encode()).hexdigest(),
        } | self._data.provenance()
