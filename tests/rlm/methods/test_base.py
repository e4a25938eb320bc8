import pytest

from rlm.completion import Status, StopReason
from rlm.limits import Limits
from rlm.methods.base import BaseTruncated, PlainModel
from rlm.models.chat import ContextOverflow, FatalModelError, ModelError, Reply, Sampling
from rlm.models.scripted import ScriptedModel
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt

LAYOUT = ({"role": "system", "content": "Read.\n{context}"}, {"role": "user", "content": "{query}"})
PROMPTS = {
    "text": (Prompt.of("Cats purr.", "Who purrs?"), [("user", "Cats purr.\n\nWho purrs?")]),
    "no query": (Prompt.of("Cats purr. Who?"), [("user", "Cats purr. Who?")]),
    "documents": (Prompt.of(["Cats purr.", "Dogs bark."], "Who?"), [("user", "Cats purr.\n\nDogs bark.\n\nWho?")]),
    "layout": (
        Prompt("Cats {query} purr.", "Who?", LAYOUT),
        [("system", "Read.\nCats {query} purr."), ("user", "Who?")],
    ),
    "history": (
        Prompt.of(
            [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Yes?"},
                {"role": "user", "content": "Who?"},
            ]
        ),
        [("user", "Hi"), ("assistant", "Yes?"), ("user", "Who?")],
    ),
}


@pytest.mark.parametrize("kind", PROMPTS)
async def test_the_prompt_is_sent_in_one_call_in_its_layout(kind: str) -> None:
    prompt, expected = PROMPTS[kind]
    model = ScriptedModel(["cats"])
    result = await PlainModel(model=model).acompletion(prompt)
    assert [(m["role"], m["content"]) for m in model.requests[0]] == expected
    assert (result.answer, result.stop_reason, result.truncated) == ("cats", StopReason.ANSWER, False)
    assert (result.usage.root_calls, result.usage.sub_calls) == (1, 0)


@pytest.mark.parametrize(
    ("reply", "answer", "reason", "truncated"),
    [
        (Reply("half of an", "length"), "half of an", StopReason.TRUNCATED, True),
        (Reply("", "length"), None, StopReason.TRUNCATED, True),
        (Reply("<think>still at it", "length"), None, StopReason.TRUNCATED, True),
        (Reply("<think>hm</think>\n42"), "42", StopReason.ANSWER, False),
        (Reply("I cannot help with that.", "content_filter"), None, StopReason.REFUSAL, False),
        (Reply(""), None, StopReason.NO_ANSWER, False),
        (Reply(" \n "), None, StopReason.NO_ANSWER, False),
    ],
)
async def test_every_kind_of_reply_has_its_own_ending(
    reply: Reply, answer: str | None, reason: StopReason, truncated: bool
) -> None:
    result = await PlainModel(model=ScriptedModel([reply])).acompletion("Cats.", "Who?")
    assert (result.answer, result.stop_reason, result.truncated, result.status) == (
        answer,
        reason,
        truncated,
        Status.OK,
    )


async def test_an_input_that_is_too_long_has_its_own_status() -> None:
    result = await PlainModel(model=ScriptedModel(["x"], context_window=50)).acompletion("word " * 100, "Who?")
    assert (result.answer, result.status) == (None, Status.CONTEXT_OVERFLOW)


async def test_a_failing_endpoint_is_an_error_in_one_line_and_a_hopeless_one_stops_the_run() -> None:
    result = await PlainModel(model=ScriptedModel([ModelError("down\nfor good")])).acompletion("Cats.", "Who?")
    assert (result.status, result.error) == (Status.ERROR, "ModelError: down for good")
    with pytest.raises(FatalModelError):
        await PlainModel(model=ScriptedModel([FatalModelError("no key")])).acompletion("Cats.", "Who?")


async def test_no_call_is_made_if_the_limits_allow_none() -> None:
    model = ScriptedModel(["cats"])
    result = await PlainModel(model=model, limits=Limits(max_calls=0)).acompletion("Cats.", "Who?")
    assert (result.answer, result.stop_reason, model.requests) == (None, StopReason.MAX_CALLS, [])


def numbered(lines: int) -> str:
    return "\n".join(f"line {i}" for i in range(lines))


async def test_truncation_keeps_head_tail_and_query_and_says_how_much_went() -> None:
    model = ScriptedModel(["ok"], context_window=600, sampling=Sampling(max_output_tokens=100))
    text = numbered(1000)
    result = await BaseTruncated(model=model).acompletion(text, "Which line?")
    sent = model.requests[-1][0]["content"]
    assert sent.startswith("line 0\n") and "line 999\n" in sent and sent.endswith("Which line?")
    head, tail = sent.split("\n\nWhich line?")[0], sent[-200:]
    assert text.startswith(head[:300]) and "line 500\n" not in sent and tail
    assert result.truncated and result.stop_reason == StopReason.ANSWER
    cut = result.trajectory.of_kind("truncation")[-1]
    assert cut["tokens"] == count_tokens(text)
    assert cut["tokens"] - cut["cut_tokens"] <= 600 - 100


async def test_a_context_that_fits_is_not_truncated() -> None:
    model = ScriptedModel(["ok"], context_window=600)
    result = await BaseTruncated(model=model).acompletion(numbered(20), "Which line?")
    assert not result.truncated and not result.trajectory.of_kind("truncation")
    assert model.requests == [[{"role": "user", "content": numbered(20) + "\n\nWhich line?"}]]


async def test_a_model_that_counts_more_tokens_than_we_do_gets_a_smaller_cut() -> None:
    def strict(messages):
        return ContextOverflow("too long") if len(messages[0]["content"]) > 500 else "ok"

    for window in (2048, None):
        result = await BaseTruncated(model=ScriptedModel(strict, context_window=window)).acompletion(
            numbered(1000), "?"
        )
        assert (result.answer, result.truncated) == ("ok", True)


async def test_a_query_that_does_not_fit_at_all_is_an_overflow() -> None:
    model = ScriptedModel(["ok"], context_window=100)
    result = await BaseTruncated(model=model).acompletion(numbered(100), "why " * 200)
    assert result.stop_reason == StopReason.CONTEXT_OVERFLOW


async def test_a_long_conversation_is_truncated_as_one_text() -> None:
    turns = [{"role": role, "content": f"{role} says {i} things"} for i in range(200) for role in ("user", "assistant")]
    model = ScriptedModel(["ok"], context_window=500)
    result = await BaseTruncated(model=model).acompletion([*turns, {"role": "user", "content": "How many?"}])
    assert result.truncated and model.requests[-1][-1]["content"].endswith("How many?")
