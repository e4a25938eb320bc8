"""The functions by which code calls a sub-model: order, concurrency, failures, what a failed batch keeps."""

import asyncio
from typing import Any

import pytest

from rlm.limits import LimitReached, Limits, Meter
from rlm.methods.subcalls import SubCallFailed, sub_call_functions
from rlm.models.chat import FatalModelError, ModelError, Reply
from rlm.models.scripted import ScriptedModel
from rlm.trajectory import Trajectory
from rlm.tree import CallTree


def tree(**limits: Any) -> CallTree:
    return CallTree(Meter(Limits(**limits)), Trajectory())


async def test_a_batch_is_answered_in_order_with_so_many_on_the_wire() -> None:
    on_wire, most = 0, 0

    class Slow(ScriptedModel):
        async def complete(self, messages: Any, **options: Any) -> Reply:
            nonlocal on_wire, most
            on_wire += 1
            most = max(most, on_wire)
            await asyncio.sleep(0.02 if messages[0]["content"] == "0" else 0.001)
            on_wire -= 1
            return await super().complete(messages, **options)

    functions = sub_call_functions(tree(), Slow(lambda m: f"r{m[0]['content']}"), concurrency=3)
    prompts = [str(n) for n in range(20)]
    assert await functions["llm_query_batched"](prompts) == [f"r{n}" for n in prompts]
    assert most == 3
    assert await functions["llm_query"]("x", model="gpt-4o") == "rx"
    assert await functions["llm_query_batched"]([]) == []


async def test_a_batch_that_fails_in_part_keeps_what_was_paid() -> None:
    broken = {"b"}

    def reply(messages: Any) -> Any:
        prompt = messages[0]["content"]
        return ModelError("reset by peer") if prompt in broken else f"r{prompt}"

    model, calls = ScriptedModel(reply), tree()
    functions = sub_call_functions(calls, model)
    with pytest.raises(SubCallFailed, match=r"1 of 4 calls failed.*reset by peer"):
        await functions["llm_query_batched"](["a", "b", "a", "c"])
    broken.clear()
    assert await functions["llm_query_batched"](["a", "b", "a", "c"]) == ["ra", "rb", "ra", "rc"]
    assert [m[0]["content"] for m in model.requests] == ["a", "b", "a", "c", "b"]
    # What was kept is given once: after that a repeated prompt is a new question.
    await functions["llm_query_batched"](["a"])
    assert len(model.requests) == 6


async def test_a_limit_is_raised_when_no_call_is_under_way_any_more() -> None:
    calls = tree(max_sub_calls=5)
    model = ScriptedModel(lambda m: "r", latency_s=0.01)
    functions = sub_call_functions(calls, model, concurrency=4)
    with pytest.raises(LimitReached):
        await functions["llm_query_batched"]([str(n) for n in range(50)])
    assert len(model.requests) == len(calls.calls) == 5


async def test_a_fatal_failure_goes_before_all_others() -> None:
    replies = {"a": ModelError("x"), "b": FatalModelError("bad key"), "c": "r"}
    functions = sub_call_functions(tree(), ScriptedModel(lambda m: replies[m[0]["content"]]))
    with pytest.raises(FatalModelError, match="bad key"):
        await functions["llm_query_batched"](["a", "b", "c"])


async def test_a_sub_call_that_used_its_tokens_for_thought_fails() -> None:
    functions = sub_call_functions(tree(), ScriptedModel([Reply("", "length"), Reply("half", "length")]))
    with pytest.raises(SubCallFailed, match="output tokens"):
        await functions["llm_query"]("x")
    assert await functions["llm_query"]("x") == "half"


async def test_calls_are_recorded_under_the_event_of_the_moment() -> None:
    calls, current = tree(), 0
    for _ in range(2):
        calls.trajectory.record("turn")
    functions = sub_call_functions(calls, ScriptedModel(lambda m: "r"), parent=lambda: current, depth=2)
    await functions["llm_query"]("x")
    current = 1
    await functions["llm_query"]("y")
    assert [(e["parent"], e["depth"]) for e in calls.trajectory.of_kind("call")] == [(0, 2), (1, 2)]
