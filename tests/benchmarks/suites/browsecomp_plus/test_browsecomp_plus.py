"""BrowseComp-Plus: documents of a context, decryption, and scores of answers."""

import asyncio
import base64
import hashlib
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sample import Judgement
from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.sources.protect import xor
from benchmarks.suites.browsecomp_plus.collection import Query, choose_documents
from benchmarks.suites.browsecomp_plus.rows import Cipher, read_qrels
from benchmarks.suites.browsecomp_plus.scorer import BrowseTarget, cited, exact_answer, normalise, share
from benchmarks.suites.browsecomp_plus.suite import BrowseCompPlus
from rlm.validation import SettingError, make

ROOT = Path(__file__).parents[4]
CANARY = "a canary of our own"
CIPHER = Cipher(CANARY)


def encrypted(text):
    """A field as the data set's authors encrypt it."""
    key = hashlib.sha256(CANARY.encode()).digest()
    return base64.b64encode(xor(text.encode(), key)).decode()


SMALL = {"documents": [10, 60], "world_documents": 120, "queries": 6, "sentences": [10, 20]}


def generated(**changes) -> BrowseCompPlus:
    return BrowseCompPlus(**(SMALL | changes))


def samples(benchmark: BrowseCompPlus) -> list:
    return [benchmark.sample(info.sample_id) for info in benchmark.infos()]


def docids(sample) -> list[str]:
    return [re.match(r"\[Document (\S+)\]\n", text)[1] for text in sample.prompt.context]


def score(answer: str | None, target: BrowseTarget | None = None, judge=None):
    return asyncio.run(
        BrowseCompPlus().score(target or BrowseTarget("Which river?", "The Parr", evidence=("7",)), answer, judge)
    )


# --- contexts


def test_a_context_has_the_configured_number_of_documents_and_all_required_ones():
    for sample in samples(generated()):
        found = docids(sample)
        assert len(found) == len(set(found)) == int(sample.sample_id.rpartition("-")[2])
        assert set(sample.target.gold) <= set(sample.target.evidence) <= set(found)


def test_a_larger_context_includes_the_documents_of_a_smaller_one():
    by_query = {}
    for sample in samples(generated()):
        by_query.setdefault(sample.info.cluster, []).append(set(docids(sample)))
    assert all(small < large for small, large in by_query.values())


def test_required_documents_are_at_any_position():
    places = [
        docids(sample).index(docid) / 60
        for sample in samples(generated(documents=[60], queries=40))
        for docid in sample.target.evidence
    ]
    assert min(places) < 0.15
    assert max(places) > 0.85
    assert 0.35 < sum(places) / len(places) < 0.65


def test_the_same_seed_gives_the_same_samples_and_another_seed_gives_others():
    assert [s.prompt for s in samples(generated())] == [s.prompt for s in samples(generated())]
    assert [s.prompt for s in samples(generated())] != [s.prompt for s in samples(generated(seed=1))]


def test_judgements_and_answers_never_reach_the_prompt():
    for sample in samples(generated()):
        query = sample.prompt.query
        assert sample.target.answer not in query
        assert not any(docid in query for docid in sample.target.evidence)
        # Each document has its id and its text, and nothing that tells one from another.
        headers = {re.sub(r"\d+", "N", text.split("\n", 1)[0]) for text in sample.prompt.context}
        assert headers == {"[Document N]"}
        assert not re.search(r"(?i)gold|evidence|qrel|negative|relevan", query)
        assert repr(sample.target) not in repr(sample)


def test_a_query_gets_all_required_documents_even_if_they_are_more_than_configured():
    query = Query("1", "q", "a", ("1",), tuple(map(str, range(15))), ("20", "21"))
    assert sorted(choose_documents(query, None, 10, Draws(0)), key=int) == [str(n) for n in range(15)]


def test_more_documents_than_the_collection_has_are_refused():
    with pytest.raises(ValueError, match="world_documents is 50: expected at least 60"):
        generated(world_documents=50)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"documents": [0]}, "documents is [0]: expected a list of integers from 1"),
        ({"documents": ["many"]}, "documents is ['many']: expected"),
        ({"documents": 10}, "documents is 10: expected a list"),
        ({"documents": [10, 10]}, "expected each value once"),
        ({"queries": 0}, "queries is 0: expected"),
        ({"queries": 10**30}, "from 1 to 1000000"),
        ({"world_documents": 10**30}, "from 50 to 1000000"),
        ({"sentences": [1, 10**30]}, "sentences is"),
        ({"world_documents": 60}, "world_documents is 60: expected at least 100"),
        ({"sentences": [5]}, "sentences is [5]: expected"),
        ({"sentences": None}, "sentences is null: expected"),
        ({"sentences": [9, 3]}, "sentences is [9, 3]: expected the minimum before the maximum"),
        ({"source": "hub"}, "canary is empty"),
        ({"source": "x", "canary": "y", "qrels_gold": "/no/such/file"}, "qrels_gold is '/no/such/file'"),
    ],
)
def test_invalid_settings_are_refused_with_their_key(changes, message):
    with pytest.raises(SettingError, match=re.escape(message)) as caught:
        make(BrowseCompPlus, SMALL | {"documents": [100]} | changes, "benchmark.browsecomp_plus")
    assert str(caught.value).startswith("benchmark.browsecomp_plus.") and "\n" not in str(caught.value)


# --- the score


@pytest.mark.parametrize(
    "answer, value, lenient, format_ok",
    [
        ("Explanation: [7]\nExact Answer: The Parr\nConfidence: 90%", 1, 1, True),
        ("**Exact Answer:** **parr**", 1, 1, True),
        ("exact answer: Pärr.", 1, 1, True),
        ("Exact Answer: the Lune\nExact Answer: the Parr", 1, 1, True),
        ("Parr", 1, 1, False),
        ("It is the Parr, I think.", 0, 1, False),
        ("Exact Answer: the river Parr", 0, 1, True),
        ("Exact Answer: Parrot", 0, 0, True),
        ("Exact Answer:", 0, 0, True),
        ("", 0, 0, False),
        (None, 0, 0, False),
    ],
)
def test_without_a_judge_the_normalised_answers_are_compared(answer, value, lenient, format_ok):
    judged = score(answer)
    assert (judged.value, judged.lenient, judged.format_ok) == (value, lenient, format_ok)
    assert judged.details["judged_by"] == "match"


@pytest.mark.parametrize("correct, value, message", [(True, 1, "yes"), (False, 0, "no"), (None, 0, "unparsed")])
def test_a_judge_decides_and_a_reply_without_a_verdict_is_wrong_and_counted_apart(correct, value, message):
    asked = []

    async def judge(question, response, correct_answer):
        asked.append((question, response, correct_answer))
        return Judgement(correct, confidence=70.0)

    judged = score("Exact Answer: the Parr", judge=judge)
    assert asked == [("Which river?", "Exact Answer: the Parr", "The Parr")]
    assert judged.value == value
    assert judged.details["judge_verdict"] == message
    assert judged.details["judge_unparsed"] == (correct is None)
    assert judged.details["judge_confidence"] == 70
    assert judged.details["judged_by"] == "judge"
    # What the cheap match says stands beside it.
    assert judged.details["match"] == 1


def test_no_answer_is_wrong_without_asking_the_judge():
    async def judge(*_):
        raise AssertionError("asked")

    for answer in (None, "", "  \n"):
        assert score(answer, judge=judge).value == 0


def test_cited_documents_give_recall():
    target = BrowseTarget("q", "a", gold=("12",), evidence=("12", "34", "56", "78"))
    judged = score("Explanation: see [12], [34, 99] and [Document 56].", target)
    assert judged.details["evidence_recall"] == 0.75
    assert judged.details["gold_recall"] == 1
    assert judged.details["evidence_precision"] == 0.75
    assert share((), {"1"}) is None
    assert cited("no [brackets [5] here") == {"5"}


@pytest.mark.parametrize(
    ("text", "docids"),
    [
        ("【10854】", {"10854"}),
        ("【10854†L1-L4】 and 【7†source】", {"10854", "7"}),
        ("【12, 34】【Document 56】", {"12", "34", "56"}),
        ("【12†L3; 34†L5】", {"12", "34"}),
        ("[12] 34 (56)", {"12"}),
        ("[1\n2]", {"1", "2"}),
    ],
)
def test_citations_are_read_by_the_official_rule_without_line_numbers(text, docids):
    assert cited(text) == docids


def test_citing_every_document_costs_precision():
    target = BrowseTarget("q", "a", gold=("1",), evidence=("1", "2"))
    judged = score(" ".join(f"[{docid}]" for docid in range(1, 101)), target)
    assert judged.details["evidence_recall"] == 1
    assert judged.details["evidence_precision"] == 0.02
    assert score("nothing cited", target).details["evidence_precision"] == 0


def test_a_flood_of_candidates_does_not_contain_the_answer():
    years = " ".join(map(str, range(1700, 1950)))
    for answer in (years, f"Exact Answer: {years}"):
        assert score(answer, BrowseTarget("q", "1887")).lenient == 0
    assert score("Exact Answer: in the year 1887", BrowseTarget("q", "1887")).lenient == 1


def test_a_confidence_over_100_is_100():
    assert score("Exact Answer: x\nConfidence: 150%").details["stated_confidence"] == 100


def test_the_oracle_scores_1_and_constants_do_not():
    benchmark = generated()
    for sample in samples(benchmark):
        best = asyncio.run(benchmark.score(sample.target, benchmark.oracle(sample.target)))
        assert best.value == best.lenient == best.details["evidence_recall"] == 1
        assert best.format_ok
    first = benchmark.sample(benchmark.infos()[0].sample_id)
    answers = [constant(first) for constant in benchmark.constants([first])]
    assert all(answer.startswith("Exact Answer: ") for answer in answers)
    assert len(set(answers)) == len(answers)


@given(st.text() | st.from_regex(r"(Exact Answer|Confidence|Explanation): [^a]{0,9}"), st.text(min_size=1))
def test_any_text_gets_a_score(answer, correct):
    judged = score(answer, BrowseTarget("q", correct, ("1",), ("1", "2")))
    assert judged.value in (0, 1)
    assert judged.value <= judged.lenient <= 1
    assert 0 <= judged.details["evidence_recall"] <= 1
    assert judged.details["stated_confidence"] is None or 0 <= judged.details["stated_confidence"] <= 100


@given(st.text(st.characters(categories=["L", "N"]), min_size=1), st.text(max_size=40))
def test_the_requested_form_is_found_after_any_explanation(correct, explanation):
    answer = f"Explanation: {explanation}\nExact Answer: {correct}\nConfidence: 80%"
    assert exact_answer(answer) == correct
    judged = score(answer, BrowseTarget("q", correct))
    assert judged.value == float(bool(normalise(correct)))
    assert judged.details["stated_confidence"] == 80


# --- the data set's own form


@pytest.mark.parametrize("flood", [" ", " *", "\t", "_"])
def test_floods_are_read_in_linear_time(flood):
    # Quadratic reading of these would take hours.
    assert exact_answer(f"**Exact Answer:** a{flood * 300_000}b{flood * 300_000}") == f"a{flood * 300_000}b"


@given(st.text())
def test_decryption_reverses_encryption(text):
    assert CIPHER.decrypt(encrypted(text)) == text


def test_the_cipher_is_base64_of_the_text_xored_with_the_digest_of_the_canary():
    key = hashlib.sha256(CANARY.encode()).digest()
    text = "forty characters of text, more than a key"
    xored = bytes(byte ^ key[place % 32] for place, byte in enumerate(text.encode()))
    assert CIPHER.decrypt(base64.b64encode(xored).decode()) == text


def rows(queries: int = 4, negatives: int = 3) -> list[dict]:
    """Rows in the hub's form: query n requires documents 10n and 10n+1."""

    def documents(numbers):
        return [{"docid": encrypted(str(n)), "text": encrypted(f"row text {n}")} for n in numbers]

    return [
        {
            "query_id": str(n), "query": encrypted(f"question {n}"), "answer": encrypted(f"answer {n}"),
            "gold_docs": documents([10 * n]), "evidence_docs": documents([10 * n, 10 * n + 1]),
            "negative_docs": documents(range(10 * n + 2, 10 * n + 2 + negatives)),
        }
        for n in range(1, queries + 1)
    ]  # fmt: skip


def corpus(documents: int = 100) -> list[dict]:
    return [{"docid": str(n), "text": f"corpus text {n}", "url": "http://x"} for n in range(documents)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name, content in (("queries", rows()), ("corpus", corpus())):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return tmp_path


def local(folder: Path, **changes) -> BrowseCompPlus:
    paths = {"source": str(folder / "queries.jsonl"), "corpus": str(folder / "corpus.jsonl")}
    return BrowseCompPlus(**(paths | {"canary": CANARY, "documents": [20], "queries": 150} | changes))


def test_rows_are_decrypted_and_filled_up_from_the_corpus(folder):
    benchmark = local(folder)
    assert benchmark.protected
    found = samples(benchmark)
    assert len(found) == 4
    for number, sample in enumerate(found, 1):
        assert f"Question: question {number}\n" in sample.prompt.query
        assert sample.target.answer == f"answer {number}"
        assert sample.target.evidence == (str(10 * number), str(10 * number + 1))
        assert len(set(docids(sample))) == 20
        for docid, text in zip(docids(sample), sample.prompt.context, strict=True):
            of_the_row = int(docid) in range(10 * number, 10 * number + 5)
            assert text == f"[Document {docid}]\n{'row' if of_the_row else 'corpus'} text {docid}"


def test_the_provenance_lists_the_drawn_queries(folder):
    benchmark = local(folder, queries=2)
    provenance = benchmark.provenance()
    assert len(benchmark.infos()) == len(provenance["query_ids"]) == 2
    assert provenance["query_ids"] == local(folder, queries=2).provenance()["query_ids"]
    drawn = {tuple(local(folder, queries=2, seed=seed).provenance()["query_ids"]) for seed in range(12)}
    assert len(drawn) > 1


def test_the_corpus_is_not_read_if_the_rows_have_all_documents(folder):
    (folder / "corpus.jsonl").unlink()
    assert len(docids(samples(local(folder, documents=[5]))[0])) == 5
    with pytest.raises(DataError, match=r"browsecomp_plus\.corpus is"):
        samples(local(folder, documents=[6]))


def test_decrypted_text_is_never_written_to_disk(folder):
    samples(local(folder, documents=[5]))
    written = b"".join(path.read_bytes() for path in (folder / "cache").rglob("*") if path.is_file())
    assert encrypted("answer 1").encode() in written
    assert b"answer 1" not in written
    assert b"row text" not in written


def test_another_canary_is_refused(folder):
    with pytest.raises(DataError, match=r"browsecomp_plus\.canary"):
        samples(local(folder, canary="wrong"))


def test_documents_missing_from_the_corpus_are_reported(folder):
    (folder / "gold.txt").write_text("1 Q0 5000 1\n")
    with pytest.raises(DataError, match="has no document '5000': expected it for query 1"):
        local(folder, qrels_gold=str(folder / "gold.txt")).sample("browsecomp_plus-1-20")


def test_qrels_replace_the_judgements_in_the_rows(folder):
    (folder / "evidence.txt").write_text("1 Q0 70 1\n1 Q0 71 0\n2 Q0 72 1\n")
    sample = local(folder, qrels_evidence=str(folder / "evidence.txt")).sample("browsecomp_plus-1-20")
    assert sample.target.evidence == ("70",)
    assert {"10", "70"} <= set(docids(sample))


def test_columns_of_another_form_are_reported(folder):
    changed = [row | {"gold_docs": "none"} for row in rows()]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    with pytest.raises(DataError, match="query 1: gold_docs is str: expected a list of objects with docid and text"):
        samples(local(folder))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ([{}, {}], "two rows have the query_id '1'"),
        ([{"query_id": None}], "column query_id is None"),
        ([{"query": None}], "column query is None"),
        ([{"answer": ""}], "column answer is '': expected text"),
        ([{"query": "ünreadable"}], "a field cannot be decrypted"),
        ([{"gold_docs": [{"docid": 5, "text": "a"}]}], "a field cannot be decrypted"),
    ],
)
def test_malformed_rows_are_reported_in_one_line(folder, changed, message):
    content = [rows(1)[0] | change for change in changed]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    with pytest.raises(DataError, match=message) as caught:
        samples(local(folder))
    assert "\n" not in str(caught.value)


def test_the_real_judgements_are_read(shared_data):
    for name, lines in (("qrel_evidence.txt", 5064), ("qrel_golds.txt", 2407)):
        qrels = read_qrels(str(shared_data / "browsecomp_plus" / name), "benchmark.browsecomp_plus.qrels")
        assert len(qrels) == 830
        assert sum(map(len, qrels.values())) == lines


def test_a_malformed_line_of_judgements_is_reported(tmp_path):
    (tmp_path / "qrels.txt").write_text("1 Q0 2 1\n\n1 Q0 3\n")
    with pytest.raises(DataError, match=r"qrels\.txt, line 3 is '1 Q0 3'"):
        read_qrels(str(tmp_path / "qrels.txt"), "key")


_CLIENT = """
import sys
from benchmarks.suites.browsecomp_plus.suite import BrowseCompPlus
benchmark = BrowseCompPlus(source="hub", canary=sys.argv[1], documents=[1000])
infos = benchmark.infos()
sample = benchmark.sample(infos[0].sample_id)
print(len(infos), len(sample.prompt.context), len(set(sample.prompt.context)), sample.target.answer)
print(BrowseCompPlus(source="hub", canary=sys.argv[1], queries=150).infos() == infos)
"""


def test_from_the_hub_150_queries_of_830_with_1000_documents_of_100195(tmp_path, fake_hub, forks):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def parquet(content: list[dict]) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(content), sink, row_group_size=5000)
        return sink.getvalue().to_pybytes()

    # Pinned by conf/benchmark/browsecomp_plus.yaml too.
    names = {
        ("Tevatron/browsecomp-plus", "144cff8e35b5eaef7e526346aa60774a9deb941f"): ("test", parquet(rows(830))),
        ("Tevatron/browsecomp-plus-corpus", "b27b02bc3e45511b8b82a13e6f90ce761df726f6"): (
            "train", parquet(corpus(100_195)),
        ),
    }  # fmt: skip
    data = {key: {f"data/{split}-00000-of-00001.parquet": content} for key, (split, content) in names.items()}
    with fake_hub.fake_hub(data) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        for unwanted in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE"):
            environment.pop(unwanted, None)
        done = forks.run(_CLIENT, CANARY, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        first, again = done.stdout.splitlines()
        assert re.fullmatch(r"150 1000 1000 answer \d+", first)
        assert again == "True"

        short = {key: {f"data/{split}-00000-of-00001.parquet": parquet(rows(829))} for key, (split, _) in names.items()}
        hub.datasets = short
        environment["HF_HOME"] = str(tmp_path / "another")
        done = forks.run(_CLIENT, CANARY, env=environment, cwd=tmp_path)
        assert "found 829 rows: expected 830 rows" in done.stderr
