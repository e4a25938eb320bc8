import re

import pytest

from rlm.completion import StopReason
from rlm.limits import Limits
from rlm.methods.compaction import Compaction
from rlm.models.chat import ContextOverflow, ModelError, Reply, Sampling
from rlm.models.scripted import ScriptedModel
from rlm.prompt import Prompt

FACT = re.compile(r"fact \d+")


def facts(messages) -> str:
    """A perfect compactor: every fact that it was shown."""
    return ", ".join(dict.fromkeys(FACT.findall(messages[-1]["content"])))


def text_with_facts(paragraphs: int) -> str:
    return "\n\n".join(f"{'Nothing of interest happens here. ' * 10}fact {i}" for i in range(paragraphs))


def compaction(compactor=facts, root=facts, window: int | None = 1000, cap: int = 200, **options) -> Compaction:
    sampling = Sampling(max_output_tokens=cap)
    return Compaction(
        model=ScriptedModel(root, "root", context_window=window, sampling=sampling),
        sub_model=ScriptedModel(compactor, "compactor", context_window=window, sampling=sampling),
        **options,
    )


CONTEXTS = {
    "text": text_with_facts(40),
    "documents": text_with_facts(40).split("\n\n"),
    "one long document among short ones": ["fact 0", text_with_facts(40), "fact 99"],
    "one line without a space": "x" * 40_000 + "fact 0",
}


@pytest.mark.parametrize("kind", CONTEXTS)
async def test_relevant_text_is_carried_from_window_to_window(kind: str) -> None:
    context = CONTEXTS[kind]
    method = compaction()
    result = await method.acompletion(context, "Which facts?")
    text = context if isinstance(context, str) else " ".join(context)
    assert sorted(set(FACT.findall(result.answer))) == sorted(set(FACT.findall(text)))
    assert (result.usage.root_calls, result.usage.sub_calls) == (1, len(method.sub_model.requests))
    assert result.usage.sub_calls > 2 and {call.role for call in result.calls} == {"root", "compactor"}


async def test_each_piece_is_read_once_and_all_of_the_text_is_read() -> None:
    method = compaction()
    await method.acompletion(text_with_facts(40), "Which facts?")
    shown = [request[0]["content"].split("Next part:")[1] for request in method.sub_model.requests]
    shown.append(method.model.requests[0][0]["content"].split("The rest of the text:")[1])
    assert FACT.findall(" ".join(shown)) == [f"fact {i}" for i in range(40)]


async def test_a_context_that_fits_takes_one_plain_call() -> None:
    method = compaction()
    prompt = Prompt("fact 1. fact 2.", "Which?", ({"role": "user", "content": "Text: {context}\nTask: {query}"},))
    result = await method.acompletion(prompt)
    assert method.model.requests == [prompt.messages()] and not method.sub_model.requests
    assert result.answer == "fact 1, fact 2"


async def test_the_root_answers_in_the_benchmarks_layout_with_the_query_in_it() -> None:
    method = compaction()
    layout = ({"role": "system", "content": "Text: {context}"}, {"role": "user", "content": "Task: {query}"})
    await method.acompletion(Prompt(text_with_facts(40), "Which?", layout))
    system, user = method.model.requests[0]
    assert (
        system["content"].startswith("Text: Summary of the text so far:\nfact 0") and user["content"] == "Task: Which?"
    )


async def test_without_a_query_the_compactor_sees_how_the_text_begins_and_ends() -> None:
    method = compaction()
    await method.acompletion("Count the facts below.\n\n" + text_with_facts(40) + "\n\nHow many were there?")
    assert all(
        "Count the facts below." in request[0]["content"] and "How many were there?" in request[0]["content"]
        for request in method.sub_model.requests
    )


async def test_a_conversation_is_compacted_too() -> None:
    turns = [{"role": "user", "content": paragraph} for paragraph in text_with_facts(40).split("\n\n")]
    result = await compaction().acompletion([*turns, {"role": "user", "content": "Which facts?"}])
    assert len(FACT.findall(result.answer)) == 40


@pytest.mark.parametrize("window", [1000, None])
async def test_an_overflow_in_spite_of_counting_makes_the_piece_smaller(window: int | None) -> None:
    def strict(messages):
        return ContextOverflow("too long") if len(messages[-1]["content"]) > 2500 else facts(messages)

    result = await compaction(strict, strict, window, summary_tokens=300).acompletion(text_with_facts(40), "Which?")
    assert len(FACT.findall(result.answer)) == 40


async def test_a_query_that_leaves_no_room_is_an_overflow() -> None:
    result = await compaction().acompletion(text_with_facts(40), "why " * 900)
    assert (result.answer, result.stop_reason) == (None, StopReason.CONTEXT_OVERFLOW)


async def test_a_summary_cut_by_its_limit_is_recorded() -> None:
    result = await compaction(lambda _: Reply("half a summ", "length")).acompletion(text_with_facts(40), "Which?")
    assert all(event["what"] == "summary" for event in result.trajectory.of_kind("truncation"))
    assert result.trajectory.of_kind("truncation")


async def test_a_summary_longer_than_its_share_is_cut_and_reading_continues() -> None:
    method = compaction(lambda _: "blah " * 180, summary_tokens=50)
    result = await method.acompletion(text_with_facts(40), "Which?")
    assert result.stop_reason == StopReason.ANSWER
    assert max(len(request[0]["content"].split("blah")) for request in method.sub_model.requests) <= 52


@pytest.mark.parametrize("reply", [Reply(""), Reply("I cannot.", "content_filter"), Reply("", "length")])
async def test_an_empty_or_refused_summary_leaves_the_one_before(reply: Reply) -> None:
    replies = iter(["fact 7 is kept", reply])
    result = await compaction(lambda _: next(replies, reply)).acompletion(text_with_facts(30), "Which?")
    assert "fact 7" in result.answer


async def test_a_compactor_that_fails_for_good_is_an_error() -> None:
    result = await compaction([ModelError("down")]).acompletion(text_with_facts(40), "Which?")
    assert (result.stop_reason, result.error) == (StopReason.ERROR, "ModelError: down")


async def test_at_a_limit_the_root_answers_from_the_summary_so_far() -> None:
    method = compaction(limits=Limits(max_calls=4))
    result = await method.acompletion(text_with_facts(60), "Which?")
    assert result.stop_reason == StopReason.MAX_CALLS
    assert result.answer.startswith("fact 0, fact 1") and len(result.calls) == 4


async def test_it_works_in_a_small_window_with_the_cut_answer_marked() -> None:
    method = compaction(window=2048, cap=256)
    result = await method.acompletion(text_with_facts(200), "Which?")
    assert len(method.sub_model.requests) > 5 and result.answer


def test_a_prompt_file_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        compaction(prompt="nowhere")
