"""llm_query and llm_query_batched: order, concurrency, failures, and the replies that a failure keeps."""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.limits import LimitReached, Limits, Meter
from rlm.methods.rlm import functions as rlm_functions
from rlm.methods.subcalls import PaidReplies, SubCallFailed, SubCalls, check_prompt_size, sub_call_functions
from rlm.models.chat import FatalModelError, ModelError, Reply
from rlm.models.scripted import ScriptedModel
from rlm.models.tokens import count_tokens
from rlm.trajectory import Trajectory
from rlm.tree import CallTree


def tree(**limits: Any) -> CallTree:
    return CallTree(Meter(Limits(**limits)), Trajectory())


def functions_of(calls: CallTree, model: Any, concurrency: int = 16, **options: Any) -> Any:
    return sub_call_functions(SubCalls(calls, model, concurrency), PaidReplies(calls.meter), **options)


async def test_a_batch_is_answered_in_order_with_so_many_calls_in_flight() -> None:
    in_flight, most = 0, 0

    class Slow(ScriptedModel):
        async def complete(self, messages: Any, **options: Any) -> Reply:
            nonlocal in_flight, most
            in_flight += 1
            most = max(most, in_flight)
            await asyncio.sleep(0.02 if messages[0]["content"] == "0" else 0.001)
            in_flight -= 1
            return await super().complete(messages, **options)

    functions = functions_of(tree(), Slow(lambda m: f"r{m[0]['content']}"), concurrency=3)
    prompts = [str(n) for n in range(20)]
    assert await functions["llm_query_batched"](prompts) == [f"r{n}" for n in prompts]
    assert most == 3
    assert await functions["llm_query"]("x", model="gpt-4o") == "rx"
    assert await functions["llm_query_batched"]([]) == []


async def test_a_batch_that_fails_in_part_keeps_the_paid_replies() -> None:
    broken = {"b"}

    def reply(messages: Any) -> Any:
        prompt = messages[0]["content"]
        return ModelError("reset by peer") if prompt in broken else f"r{prompt}"

    model, calls = ScriptedModel(reply), tree()
    functions = functions_of(calls, model)
    with pytest.raises(SubCallFailed, match=r"1 of 4 calls failed \(index 1: reset by peer\)"):
        await functions["llm_query_batched"](["a", "b", "a", "c"])
    broken.clear()
    assert await functions["llm_query_batched"](["a", "b", "a", "c"]) == ["ra", "rb", "ra", "rc"]
    assert [m[0]["content"] for m in model.requests] == ["a", "b", "a", "c", "b"]
    # Each kept reply is given once. After that, a repeated prompt is a new question.
    await functions["llm_query_batched"](["a"])
    assert len(model.requests) == 6


async def test_a_limit_is_raised_after_all_calls_have_ended() -> None:
    calls = tree(max_sub_calls=5)
    model = ScriptedModel(lambda m: "r", latency_s=0.01)
    functions = functions_of(calls, model, concurrency=4)
    with pytest.raises(LimitReached):
        await asyncio.gather(*(functions["llm_query_batched"]([str(n), "x"]) for n in range(25)))
    await calls.settle()
    assert len(model.requests) == len(calls.calls) == 5


async def test_a_batch_longer_than_the_calls_that_are_left_is_refused_at_once() -> None:
    calls = tree(max_sub_calls=3)
    model = ScriptedModel(lambda m: "r")
    functions = functions_of(calls, model)
    with pytest.raises(SubCallFailed, match=r"480,000 requests to pay for, but only 3 sub-calls are left"):
        await functions["llm_query_batched"](["a"] * 480_000)
    assert not model.requests
    assert await functions["llm_query_batched"](["a", "b", "c"]) == ["r"] * 3
    # With none left, the batch meets the limit, and no further call is tried.
    with pytest.raises(LimitReached):
        await functions["llm_query_batched"](["a"] * 480_000)
    assert len(model.requests) == 3


async def test_contexts_for_more_children_than_are_left_are_not_even_read(monkeypatch) -> None:
    monkeypatch.delattr(rlm_functions, "_prompts")
    batched = rlm_functions.child_functions(lambda prompt: None, PaidReplies(tree(max_sub_calls=3).meter))
    with pytest.raises(SubCallFailed, match="only 3 sub-calls are left"):
        await batched["rlm_query_batched"](["a"] * 480_000, "q")


async def test_kept_replies_need_no_room() -> None:
    calls = tree(max_sub_calls=5)
    broken = {"b"}
    model = ScriptedModel(lambda m: ModelError("reset") if m[0]["content"] in broken else "r")
    functions = functions_of(calls, model)
    with pytest.raises(SubCallFailed):
        await functions["llm_query_batched"](["a", "b", "c", "d"])
    broken.clear()
    # One of five calls is left, and one of four replies is missing.
    assert await functions["llm_query_batched"](["a", "b", "c", "d"]) == ["r"] * 4


async def test_a_long_batch_is_few_tasks_at_a_time() -> None:
    calls = tree(max_sub_calls=None, max_calls=None)
    most = 0

    class Counting(ScriptedModel):
        async def complete(self, messages: Any, **options: Any) -> Reply:
            nonlocal most
            most = max(most, len(asyncio.all_tasks()))
            return await super().complete(messages, **options)

    functions = functions_of(calls, Counting(lambda m: "r"))
    assert await functions["llm_query_batched"](["a"] * 2000) == ["r"] * 2000
    assert most < 600


async def test_a_prompt_that_cannot_fit_is_refused_and_kept_nowhere() -> None:
    calls = tree()
    model = ScriptedModel(lambda m: "r", context_window=1000)
    functions = functions_of(calls, model)
    with pytest.raises(
        SubCallFailed, match=r"the prompt has 50,000 characters, and a sub-call takes about 1,200: split"
    ):
        await functions["llm_query"]("x" * 50_000)
    assert not model.requests and not calls.calls and not calls.trajectory.events


async def test_a_fatal_failure_is_raised_before_all_others() -> None:
    replies = {"a": ModelError("x"), "b": FatalModelError("bad key"), "c": "r"}
    functions = functions_of(tree(), ScriptedModel(lambda m: replies[m[0]["content"]]))
    with pytest.raises(FatalModelError, match="bad key"):
        await functions["llm_query_batched"](["a", "b", "c"])


async def test_a_sub_call_that_used_its_tokens_for_reasoning_fails() -> None:
    functions = functions_of(tree(), ScriptedModel([Reply("", "length"), Reply("half", "length")]))
    with pytest.raises(SubCallFailed, match="output tokens"):
        await functions["llm_query"]("x")
    assert await functions["llm_query"]("x") == "half"


async def test_calls_are_recorded_under_the_current_event() -> None:
    calls, current = tree(), 0
    for _ in range(2):
        calls.trajectory.record("turn")
    functions = functions_of(calls, ScriptedModel(lambda m: "r"), parent=lambda: current, depth=2)
    await functions["llm_query"]("x")
    current = 1
    await functions["llm_query"]("y")
    assert [(e["parent"], e["depth"]) for e in calls.trajectory.of_kind("call")] == [(0, 2), (1, 2)]


async def test_exceptions_can_take_the_place_of_failed_replies() -> None:
    model = ScriptedModel(lambda m: ModelError("reset") if m[0]["content"] == "b" else "r")
    replies = await functions_of(tree(), model)["llm_query_batched"](["a", "b", "c"], return_exceptions=True)
    assert [replies[0], str(replies[1]), replies[2]] == ["r", "reset", "r"]


@pytest.mark.parametrize("reply", [Reply("", "content_filter"), Reply("In part", "content_filter")])
async def test_a_filtered_sub_call_raises(reply: Reply) -> None:
    with pytest.raises(SubCallFailed, match="filtered"):
        await functions_of(tree(), ScriptedModel([reply]))["llm_query"]("x")


async def test_the_reasoning_of_a_sub_model_is_not_part_of_its_reply() -> None:
    model = ScriptedModel(["<think>hm</think>yes", "analysisWe look.assistantfinalno"])
    query = functions_of(tree(), model)["llm_query"]
    assert [(await query("x")).strip(), await query("x")] == ["yes", "no"]


@pytest.mark.parametrize(("prompt", "size"), [("word " * 60, "61 tokens"), ("ab" * 5000, "10,000 characters")])
async def test_a_prompt_over_the_limit_is_refused_before_any_request(prompt: str, size: str) -> None:
    calls, model = tree(max_sub_prompt_tokens=50), ScriptedModel(lambda m: "r")
    functions = functions_of(calls, model)
    with pytest.raises(SubCallFailed, match=rf"has {size}.* 50 tokens \(max_sub_prompt_tokens\): split it"):
        await functions["llm_query"](prompt)
    with pytest.raises(SubCallFailed, match=r"1 of 2 calls failed \(index 1: the prompt has"):
        await functions["llm_query_batched"](["word", prompt])
    assert await functions["llm_query"]("word " * 48) == "r"
    assert len(model.requests) == calls.meter.sub_calls == 2, "a refused prompt is no call"


@settings(max_examples=40)
@given(st.text(max_size=80), st.integers(1, 60))
def test_a_prompt_is_refused_exactly_if_it_has_more_tokens_than_the_limit(prompt: str, limit: int) -> None:
    fits = count_tokens(prompt) <= limit
    with contextlib.nullcontext() if fits else pytest.raises(SubCallFailed, match=f"{limit:,} tokens"):
        check_prompt_size(prompt, Limits(max_sub_prompt_tokens=limit))
