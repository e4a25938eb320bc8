"""BrowseComp-Plus: questions whose answer must be pieced together from up to 1,000 documents, scored by a judge."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.sample import Judge, Sample, SampleInfo, Score
from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import GENERATED, HUB, HubData, Source
from benchmarks.sources.settings import MOST, whole, wholes
from benchmarks.suites.browsecomp_plus.data import (
    Cipher,
    EncryptedCollection,
    GeneratedCollection,
    Query,
    choose_documents,
    read_qrels,
)
from benchmarks.suites.browsecomp_plus.prose import SENTENCES
from benchmarks.suites.browsecomp_plus.world import FEWEST
from rlm.prompt import Prompt

QUERIES = HubData("Tevatron/browsecomp-plus", "144cff8e35b5eaef7e526346aa60774a9deb941f", "test")
CORPUS = HubData("Tevatron/browsecomp-plus-corpus", "b27b02bc3e45511b8b82a13e6f90ce761df726f6", "train")
_KEY = "benchmark.browsecomp_plus"
# A document of more would be longer than any whole context.
_MOST_SENTENCES = 1_000_000

_FRAME = "You are given documents, each under its id, and a question to be answered from them.\n\n{context}\n\n{query}"
_LAYOUT = ({"role": "user", "content": _FRAME},)
_QUERY = (
    "Question: {question}\n\n"
    "Answer from the documents. Reply in this form:\n"
    "Explanation: how the documents lead to the answer, citing the ids of those you rely on in brackets, as [123]\n"
    "Exact Answer: the answer alone, as short as it can be\n"
    "Confidence: how sure you are, from 0% to 100%"
)

_EXACT_ANSWER = re.compile(r"^[ \t>*_#-]*exact answer[ \t*_]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_CONFIDENCE = re.compile(r"^[ \t>*_#-]*confidence[ \t*_]*:[ \t*_]*(\d{1,3}(?:\.\d+)?)[ \t]*%?", re.I | re.M)
_CITATION = re.compile(r"\[([^\[\]]{1,200})\]")


@dataclass(frozen=True)
class BrowseTarget:
    """What a judgement needs: question, correct answer, and the docids of gold and evidence documents."""

    question: str
    answer: str
    gold: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class BrowseCompPlus:
    """Queries over document collections of a set size.

    source: `generated`, `hub`, or the path of the hub's query rows. corpus: `hub`, or the path of the corpus's rows.
    documents: sizes of a context. queries: how many, drawn by seed from the hub's, or generated.
    world_documents, sentences: size of the generated world, and fewest and most sentences of its documents.
    qrels_gold, qrels_evidence: TREC files in place of the judgements in the rows.
    """

    name = "browsecomp_plus"
    metric = "accuracy"
    scorer = "browsecomp-plus-judge-1"

    def __init__(
        self,
        source: str = GENERATED,
        corpus: str = HUB,
        revision: str = QUERIES.revision,
        corpus_revision: str = CORPUS.revision,
        canary: str = "",
        documents: Sequence[int] = (1000,),
        queries: int = 150,
        seed: int = 0,
        world_documents: int = 2000,
        sentences: Sequence[int] = SENTENCES,
        qrels_gold: str | None = None,
        qrels_evidence: str | None = None,
    ) -> None:
        self.protected = source != GENERATED
        self._source, self._seed = str(source), whole(f"{_KEY}.seed", seed, 0)
        self._sizes = wholes(f"{_KEY}.documents", documents, 1, MOST)
        whole(f"{_KEY}.queries", queries, 1, MOST)
        if source == GENERATED:
            wanted = f"{_KEY}.sentences is {sentences!r}: wanted the fewest and the most, such as [160, 480]"
            if not isinstance(sentences, Sequence) or len(sentences) != 2:
                raise ValueError(wanted)
            fewest, most = (whole(f"{_KEY}.sentences", number, 1, _MOST_SENTENCES) for number in sentences)
            if fewest > most:
                raise ValueError(wanted)
            size = whole(f"{_KEY}.world_documents", world_documents, max(*self._sizes, FEWEST), MOST)
            self._data = GeneratedCollection(seed, size, queries, (fewest, most))
            return
        if not canary:
            raise DataError(f"{_KEY}.canary is empty: wanted the string that the data set is encrypted with")
        files = {"gold": qrels_gold, "evidence": qrels_evidence}
        qrels = {what: read_qrels(path, f"{_KEY}.qrels_{what}") for what, path in files.items() if path}
        query_rows = Source(str(source), HubData(QUERIES.repo, revision, QUERIES.split), f"{_KEY}.source")
        corpus_rows = Source(str(corpus), HubData(CORPUS.repo, corpus_revision, CORPUS.split), f"{_KEY}.corpus")
        self._data = EncryptedCollection(query_rows, corpus_rows, Cipher(canary), queries, seed, qrels)

    def infos(self) -> Sequence[SampleInfo]:
        return [info for info, _, _ in self._plan.values()]

    @cached_property
    def _plan(self) -> dict[str, tuple[SampleInfo, str, int]]:
        """Sample id -> info, query id, number of documents. The sizes of one query are one cluster."""
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
        # The same draws for every size, so that a larger context holds the documents of a smaller one.
        docids = choose_documents(query, self._data, size, Draws(self._seed, "documents", query_id))
        texts = self._data.texts(query, docids)
        context = tuple(f"[Document {docid}]\n{text}" for docid, text in zip(docids, texts, strict=True))
        return Sample(info, Prompt(context, _QUERY.replace("{question}", query.question), _LAYOUT), _target(query))

    async def score(self, target: BrowseTarget, answer: str | None, judge: Judge | None = None) -> Score:
        """Correct by the judge's verdict; without a judge, by the normalised match of the exact answers.

        A reply of the judge without a verdict counts as wrong, and `judge_unparsed` tells it apart.
        """
        text = answer or ""
        stated = exact_answer(text)
        match = bool(normalise(target.answer)) and normalise(stated) == normalise(target.answer)
        details: dict[str, Any] = {
            "match": float(match),
            "judged_by": "match",
            "stated_confidence": stated_confidence(text),
            "evidence_recall": recall(target.evidence, cited(text)),
            "gold_recall": recall(target.gold, cited(text)),
        }
        value = float(match)
        if judge is not None:
            details |= {"judged_by": "judge", "judge_verdict": None, "judge_unparsed": False, "judge_confidence": None}
            value = 0.0
            if text.strip():
                verdict = await judge(target.question, text, target.answer)
                value = float(verdict.correct is True)
                details["judge_verdict"] = {True: "yes", False: "no", None: "unparsed"}[verdict.correct]
                details["judge_unparsed"] = verdict.correct is None
                details["judge_confidence"] = verdict.confidence
        contained = bool(normalise(target.answer)) and f" {normalise(target.answer)} " in f" {normalise(text)} "
        return Score(value, float(contained), bool(_EXACT_ANSWER.search(text)), stated, details)

    def oracle(self, target: BrowseTarget) -> str:
        cites = " ".join(f"[{docid}]" for docid in target.evidence)
        return f"Explanation: {cites or 'none'}\nExact Answer: {target.answer}\nConfidence: 100%"

    def constants(self, samples: Sequence[Sample]) -> Sequence[Callable[[Sample], str]]:
        """No answer; the year most often named in the first documents; the name most often named there."""
        return [
            lambda sample: "Exact Answer: unknown",
            lambda sample: f"Exact Answer: {_most_frequent(sample, _YEAR)}",
            lambda sample: f"Exact Answer: {_most_frequent(sample, _NAME)}",
        ]

    def target_of(self, row: Mapping[str, Any]) -> BrowseTarget:
        answer = row.get("target")
        if not isinstance(answer, str) or not answer.strip():
            raise ValueError(f"target is {answer!r}: wanted the correct answer as text")
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


def exact_answer(text: str) -> str:
    """The last `Exact Answer:` of a response; the whole response where there is none."""
    found = _EXACT_ANSWER.findall(text)
    return found[-1].strip(" \t\r*_") if found else text.strip()


def stated_confidence(text: str) -> float | None:
    """The last confidence a response states, 0 to 100; None where it states none."""
    found = [float(number) for number in _CONFIDENCE.findall(text)]
    return found[-1] if found and found[-1] <= 100 else None


def normalise(text: str) -> str:
    """Lower case, without accents, punctuation and articles, with single spaces."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(word for word in re.findall(r"\w+", plain) if word not in ("a", "an", "the"))


def cited(text: str) -> set[str]:
    """The ids in square brackets: of `[12, 34]`, `[Document 56]` and `[78]` these are 12, 34, 56 and 78."""
    return {word for inside in _CITATION.findall(text) for word in re.findall(r"[\w.-]+", inside)}


def recall(relevant: Collection[str], found: Collection[str]) -> float | None:
    """The share of the relevant documents that are among those found; None where none is relevant."""
    return sum(docid in found for docid in relevant) / len(relevant) if relevant else None


_YEAR = re.compile(r"\b1[0-9]{3}\b|\b20[0-9]{2}\b")
_NAME = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b")
_READ_CHARS = 200_000


def _most_frequent(sample: Sample, pattern: re.Pattern[str]) -> str:
    text, context = "", sample.prompt.context
    for document in [context] if isinstance(context, str) else context:
        text += document[: _READ_CHARS - len(text)]
    counts = Counter(pattern.findall(text))
    return max(sorted(counts), key=counts.__getitem__, default="unknown")


def _target(query: Query) -> BrowseTarget:
    return BrowseTarget(query.question, query.answer, query.gold, query.evidence)
