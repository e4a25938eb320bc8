import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.completion import StopReason
from rlm.limits import Limits
from rlm.methods import bm25
from rlm.methods.base import BaseBm25
from rlm.methods.bm25 import Bm25, Search, passages, search_function
from rlm.methods.codeact import CodeAct
from rlm.methods.rlm import RLMBm25
from rlm.models.chat import ContextOverflow, Sampling
from rlm.models.scripted import ScriptedModel
from rlm.models.tokens import count_tokens
from rlm.repl import open_repl

DOCUMENTS = [
    "The cat sat on the mat.",
    "A dog barked at the moon.",
    "Nothing happened.",
    "Two dogs and a moon: one dog.",
]


def test_the_best_document_is_first_and_those_without_a_word_of_the_query_are_left_out() -> None:
    hits = Bm25(passages(DOCUMENTS, 0)).search("dog moon", 10)
    assert [hit.passage.index for hit in hits] == [1, 3] or [hit.passage.index for hit in hits] == [3, 1]
    assert hits[0].score >= hits[1].score > 0


def test_equal_scores_come_in_the_order_of_the_context() -> None:
    hits = Bm25(passages(["red fox", "blue", "red fox", "red fox"], 0)).search("fox", 3)
    assert [hit.passage.index for hit in hits] == [0, 2, 3]


@pytest.mark.parametrize("documents", [[""], ["", " "], ["the of a"], ["a"]])
def test_documents_without_words_are_searched_in_vain(documents: list[str]) -> None:
    assert Bm25(passages(documents, 0)).search("anything", 3) == []


@pytest.mark.parametrize("query", ["", "the of", "?!", "zebra"])
def test_a_query_without_words_of_the_documents_finds_nothing(query: str) -> None:
    assert Bm25(passages(DOCUMENTS, 0)).search(query, 3) == []


@given(st.text(max_size=2000), st.integers(1, 300))
@settings(deadline=None)
def test_passages_of_a_text_are_all_of_it_in_order(text: str, chars: int) -> None:
    parts = passages(text, chars)
    assert "".join(part.text for part in parts) == text
    assert all(text[part.start : part.start + len(part.text)] == part.text for part in parts)
    assert all(0 < len(part.text) <= chars for part in parts)


async def test_search_in_a_repl() -> None:
    functions = {"search": search_function(Search(lambda: passages(DOCUMENTS, 0)))}
    repl = await open_repl(DOCUMENTS, functions)
    try:
        good = await repl.run(
            "hits = search('dog moon', 1)\nprint(context[hits[0]['index']] == hits[0]['text'], len(hits))"
        )
        bad = await repl.run("search('dog', 'many')")
    finally:
        await repl.aclose()
    assert good.stdout.strip() == "True 1"
    assert "search(query, k)" in bad.error


async def test_searches_of_a_session_are_bounded_and_do_not_stop_the_event_loop(monkeypatch) -> None:
    monkeypatch.setattr(bm25, "_SEARCHES", 3)
    index = Search(lambda: passages(DOCUMENTS, 0))
    search = search_function(index)
    with pytest.raises(ValueError, match="the query has 5,800,000 characters: expected at most 10,000"):
        await search("cat dog " * 725_000)
    loop = threading.get_ident()
    threads = []
    monkeypatch.setattr(Bm25, "search", lambda *_: threads.append(threading.get_ident()) or [])
    for _ in range(3):
        assert await search("dog", 1) == []
    assert len(threads) == 3 and loop not in threads
    with pytest.raises(ValueError, match="more than 3 searches were made"):
        await search("dog", 1)


def base_bm25(window: int | None = None, reply="ok", **options) -> BaseBm25:
    model = ScriptedModel(
        reply if callable(reply) else [reply], context_window=window, sampling=Sampling(max_output_tokens=50)
    )
    return BaseBm25(model=model, **options)


async def test_the_base_model_sees_the_documents_found_in_the_order_of_the_context() -> None:
    method = base_bm25()
    result = await method.acompletion(DOCUMENTS, "Which dog is under the moon?")
    assert method.model.requests[0][0]["content"] == f"{DOCUMENTS[1]}\n\n{DOCUMENTS[3]}\n\nWhich dog is under the moon?"
    assert result.answer == "ok" and result.trajectory.of_kind("search")[0]["taken"] == 2


async def test_k_bounds_the_documents() -> None:
    method = base_bm25(k=1)
    await method.acompletion(["dog", "dog dog", "cat"], "dog?")
    assert method.model.requests[0][0]["content"].count("\n\n") == 1


async def test_documents_are_taken_while_they_fit() -> None:
    method = base_bm25(window=700)
    documents = [f"dog {i} " + "word " * 100 for i in range(50)]
    result = await method.acompletion(documents, "dog?")
    assert 2 <= result.trajectory.of_kind("search")[0]["taken"] <= 6 and result.stop_reason == StopReason.ANSWER


async def test_a_document_longer_than_the_window_is_cut_and_flagged() -> None:
    result = await base_bm25(window=700).acompletion(["dog " * 5000, "cat"], "dog?")
    assert (result.answer, result.truncated) == ("ok", True)


async def test_an_overflow_in_spite_of_counting_takes_fewer() -> None:
    def strict(messages):
        return ContextOverflow("too long") if len(messages[0]["content"]) > 3000 else "ok"

    for window in (4000, None):
        result = await base_bm25(window, strict).acompletion([f"dog {i} " + "word " * 100 for i in range(50)], "dog?")
        assert result.answer == "ok"


async def test_a_text_is_searched_by_passages() -> None:
    text = "Nothing of note. " * 500 + "The dog is called Rex. " + "Nothing of note. " * 500
    method = base_bm25(k=1, passage_chars=500)
    await method.acompletion(text, "What is the dog called?")
    sent = method.model.requests[0][0]["content"]
    assert "Rex" in sent and len(sent) < 600


async def test_the_model_is_asked_even_if_the_search_finds_nothing() -> None:
    method = base_bm25()
    result = await method.acompletion(DOCUMENTS, "zebra?")
    assert result.answer == "ok" and method.model.requests[0][0]["content"].endswith("zebra?")


@pytest.mark.parametrize("options", [{"k": 0}, {"passage_chars": 10}])
def test_wrong_settings_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        base_bm25(**options)


@given(st.text(max_size=600), st.integers(16, 60))
@settings(deadline=None)
def test_passages_of_tokens_are_all_of_a_text_in_order(text: str, tokens: int) -> None:
    parts = passages((text, "\ud800 two"), 0, tokens)
    assert "".join(part.text for part in parts if part.index == 0) == text
    assert "".join(part.text for part in parts if part.index == 1) == "\ud800 two"
    assert all((text, "\ud800 two")[part.index][part.start :].startswith(part.text) for part in parts)


def test_passages_have_the_given_number_of_tokens() -> None:
    text = "Every word of this sentence is common. " * 300
    counts = [count_tokens(part.text) for part in passages([text, "short"], 0, 512)]
    assert counts[:-2] == [512] * (len(counts) - 2) and counts[-1] == 1
    assert len(passages(text, 100, 512)) == len(counts) - 1


def test_the_parameters_of_bm25_change_the_scores() -> None:
    parts = passages(["fox", "fox fox fox den den den den den den hill hill hill hill hill"], 0)
    pyserini, default = (Bm25(parts, *values).search("fox", 2) for values in ((0.9, 0.4), (1.5, 0.75)))
    assert [hit.score for hit in pyserini] != [hit.score for hit in default]
    assert Bm25(parts, 0.9, 0.0).search("fox", 2)[0].passage.index == 1
    assert Bm25(parts, 0.9, 1.0).search("fox", 2)[0].passage.index == 0


async def test_passages_of_documents_are_cut_for_every_arm_with_bm25() -> None:
    filler = "filler words of no interest " * 200
    documents = [f"{filler}The fox lives in Oslo. {filler}", filler]
    model = ScriptedModel(["1"], context_window=4000)
    await BaseBm25(model=model, passage_tokens=64, k=1, k1=0.9, b=0.4).acompletion(documents, "fox Oslo")
    assert "fox lives in Oslo" in model.requests[0][0]["content"] and len(model.requests[0][0]["content"]) < 500
    model = ScriptedModel(["SEARCH(fox Oslo)", "ANSWER: 1"])
    await CodeAct(model=model, actions=["search"], search_k=1, passage_tokens=64).acompletion(documents, "Where?")
    shown = model.requests[1][-1]["content"]
    assert "fox lives in Oslo" in shown and len(shown) < 700
    model = ScriptedModel(
        [
            "```repl\nhit = search('fox Oslo', 1)[0]\nprint(hit['text'] in context[hit['index']], hit['start'] > 0)```",
            "FINAL(1)",
        ]
    )
    await RLMBm25(model=model, passage_tokens=64).acompletion(documents, "Where?")
    assert "True True" in model.requests[1][-1]["content"]
    assert "context[index][start" in model.requests[0][0]["content"]


async def test_a_long_passage_is_shown_only_as_far_as_the_output_allows() -> None:
    model = ScriptedModel(["SEARCH(fox)", "ANSWER: 1"])
    limits = Limits(max_output_chars=400)
    method = CodeAct(model=model, actions=["search"], search_k=1, passage_tokens=512, limits=limits)
    await method.acompletion(["fox " + "word " * 2000], "Where?")
    assert len(model.requests[1][-1]["content"]) < 700
