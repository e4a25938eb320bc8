import pytest

from rlm.methods.rlm.method import RLMBm25
from rlm.models.scripted import ScriptedModel

DOCUMENTS = ["The cat sat on the mat.", "A dog barked at the moon.", "Nothing happened on Tuesday."]


def rlm(*replies: str, **options) -> RLMBm25:
    return RLMBm25(model=ScriptedModel(list(replies)), sub_model=ScriptedModel(["sub"]), **options)


async def test_the_prompt_names_the_retriever_and_the_root_can_use_it() -> None:
    method = rlm(
        "```repl\nhits = search('barking dog', 1)\nprint(hits[0]['index'])\n```",
        "```repl\nFINAL(context[hits[0]['index']])\n```",
    )
    result = await method.acompletion(DOCUMENTS, "Who barked?")
    seen = "".join(message["content"] for message in method.model.requests[0])
    assert "search(query, k=10)" in seen and "BM25" in seen
    assert method.model.requests[1][-1]["content"].count("1") >= 1
    assert result.answer == DOCUMENTS[1]
    assert [event["name"] for event in result.trajectory.of_kind("tool")] == ["search"]


async def test_a_text_is_searched_by_passages() -> None:
    text = "Nothing of note. " * 300 + "The dog is called Rex. " + "Nothing of note. " * 300
    method = rlm("```repl\nhit = search('dog called', 1)[0]\nFINAL(context[hit['start']:][:len(hit['text'])])\n```")
    result = await method.acompletion(text, "What is the dog called?")
    assert "Rex" in result.answer and len(result.answer) <= 2000


async def test_a_wrong_call_is_an_error_in_the_cell() -> None:
    method = rlm("```repl\nsearch(17)\n```", "FINAL(none)")
    await method.acompletion(DOCUMENTS, "?")
    assert "search(query, k)" in method.model.requests[1][-1]["content"]


@pytest.mark.parametrize("options", [{"passage_chars": 10}, {"tools": {"search": print}}])
def test_wrong_settings_are_refused_at_once(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        rlm(**options)
