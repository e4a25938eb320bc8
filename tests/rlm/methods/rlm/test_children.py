"""Depth: plain sub-calls, child RLMs with their own sessions, and the effects of their failures and limits."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from rlm.completion import Completion, StopReason
from rlm.limits import Limits
from rlm.methods.rlm.method import RLM
from rlm.models.chat import ModelError
from rlm.models.scripted import ScriptedModel


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


def is_root(messages: Sequence[Any]) -> bool:
    return messages[0]["role"] == "system"


async def play(
    *replies: Any, sub: Any, limits: Limits | None = None, **options: Any
) -> tuple[Completion, ScriptedModel]:
    sub_model = ScriptedModel(sub, name="sub-model")
    root = ScriptedModel(replies, name="root-model")
    result = await RLM(model=root, sub_model=sub_model, **options).acompletion("the context", "q", limits=limits)
    return result, sub_model


def child(messages: Sequence[Any]) -> str:
    """A child that looks at its context and answers with it and what a sub-call said; as a plain model, `plain`."""
    if not is_root(messages):
        return f"plain({messages[-1]['content']})"
    return repl("x = f'child({context}, {llm_query(str(context))})'") if len(messages) == 2 else "FINAL_VAR(x)"


async def test_without_depth_there_are_no_sub_calls_and_the_prompt_does_not_mention_them() -> None:
    root = ScriptedModel([repl("llm_query('x')"), "FINAL(1)"])
    await RLM(model=root, max_depth=0).acompletion("c", "q")
    assert "NameError" in root.requests[1][-1]["content"]
    text = " ".join(message["content"] for message in root.requests[0])
    assert "llm_query" not in text and "rlm_query" not in text and "sub-call" not in text


async def test_at_depth_one_both_queries_are_plain_calls() -> None:
    result, sub = await play(
        repl("a = llm_query('p')\nb = rlm_query('c', 'q')\nc = rlm_query('all in one')\n"
             "d = llm_query_batched(['x', 'y'])\ne = rlm_query_batched(['s', 't'], 'u')\n"
             "f = rlm_query(['d1', 'd2'], 'v')\nout = [a, b, c, d, e, f]"),
        "FINAL_VAR(out)", sub=child,
    )  # fmt: skip
    assert result.answer == str([
        "plain(p)", "plain(c\n\nq)", "plain(all in one)", ["plain(x)", "plain(y)"],
        ["plain(s\n\nu)", "plain(t\n\nu)"], "plain(d1\n\nd2\n\nv)",
    ])  # fmt: skip
    assert {call.depth for call in result.calls} == {0, 1} and result.usage.max_depth_reached == 1
    assert "rlm_query" not in sub.requests[0][0]["content"]


async def test_a_batch_of_children_that_fails_in_part_keeps_the_paid_replies() -> None:
    replies = iter(["one", ModelError("reset by peer"), "two"])
    ask = "rlm_query_batched(['s', ['t', 'u']], 'q')"
    result, sub = await play(
        repl(f"try:\n    {ask}\nexcept SubCallError as e:\n    print(e)\nx = {ask}"), "FINAL_VAR(x)",
        sub=lambda messages: next(replies), sub_call_concurrency=1,
    )  # fmt: skip
    assert (result.answer, len(sub.requests)) == ("['one', 'two']", 3)
    assert "1 of 2 calls failed" in result.trajectory.of_kind("cell")[0]["stdout"]


async def test_at_depth_two_rlm_query_starts_a_child_with_its_own_session() -> None:
    result, sub = await play(
        repl("x = 'mine'\ny = rlm_query('part', 'what?')\nprint(x)"), "FINAL_VAR(y)", sub=child, max_depth=2
    )
    assert result.answer == "child(part, plain(part))"
    (event,) = result.trajectory.of_kind("child")
    turns = [turn for turn in result.trajectory.of_kind("turn") if turn["parent"] == event["id"]]
    assert [turn["turn"] for turn in turns] == [1, 2] and {turn["depth"] for turn in turns} == {1}
    calls = [(call.depth, call.role, call.model) for call in result.calls]
    assert calls == [(0, "root", "root-model"), (1, "sub", "sub-model"), (2, "sub", "sub-model"),
                     (1, "sub", "sub-model"), (0, "root", "root-model")]  # fmt: skip
    assert [call.parent_id for call in result.calls] == [None, 0, 1, 0, None]
    assert (result.usage.root_calls, result.usage.sub_calls, result.usage.max_depth_reached) == (2, 3, 2)
    assert (result.usage.turns, result.usage.cells) == (4, 2)
    # The child has the lowest depth, so its prompt does not mention children.
    assert "rlm_query" not in sub.requests[0][0]["content"] and "what?" in sub.requests[0][1]["content"]


async def test_depth_three_nests_once_more_and_ends_in_plain_calls() -> None:
    def sub(messages: Sequence[Any]) -> str:
        if not is_root(messages):
            return f"plain({messages[-1]['content']})"
        return repl("x = f'[{rlm_query(context + chr(43), context)}]'") if len(messages) == 2 else "FINAL_VAR(x)"

    result, model = await play(repl("x = rlm_query('a', 'q')"), "FINAL_VAR(x)", sub=sub, max_depth=3)
    assert result.answer == "[[plain(a++\n\na+)]]"
    assert result.usage.max_depth_reached == 3
    assert [event["depth"] for event in result.trajectory.of_kind("child")] == [1, 2]
    assert "rlm_query" in model.requests[0][0]["content"]


@pytest.mark.parametrize(
    "call",
    [
        "rlm_query_batched(['a', 'b', 'c'], ['1', '2', '3'])",
        "rlm_query_batched([('a', '1'), ('b', '2'), ('c', '3')])",
        "rlm_query_batched(contexts=['a', 'b', 'c'], queries='same')",
    ],
)
async def test_children_of_a_batch_answer_in_order(call: str) -> None:
    result, _ = await play(repl(f"x = {call}"), "FINAL_VAR(x)", sub=child, max_depth=2, children_concurrency=2)
    assert result.answer == str([f"child({part}, plain({part}))" for part in "abc"])
    assert len(result.trajectory.of_kind("child")) == 3


async def test_concurrent_children_leave_the_same_trajectory_whichever_ends_first() -> None:
    def sub(messages: Any) -> str:
        if len(messages) == 1:
            return messages[0]["content"].upper()
        return repl("x = llm_query_batched([context, context + '!'])") if len(messages) == 2 else "FINAL_VAR(x)"

    class Jittery(ScriptedModel):
        async def complete(self, messages: Any, **options: Any) -> Any:
            await asyncio.sleep(random.random() / 20)
            return await super().complete(messages, **options)

    async def run() -> Any:
        root = ScriptedModel([repl("x = rlm_query_batched(list('abcdef'), 'q')"), "FINAL_VAR(x)"])
        result = await RLM(model=root, sub_model=Jittery(sub), max_depth=2).acompletion("c", "q")
        times = ("at", "wall_s", "latency_s")
        return result, [{k: v for k, v in event.items() if k not in times} for event in result.trajectory.events]

    (first, events), (second, again) = await run(), await run()
    assert first.answer == second.answer == str([str([c, f"{c}!"]) for c in "ABCDEF"])
    assert events == again
    assert [event["id"] for event in events] == list(range(len(events)))
    seen = [(c.call_id, c.parent_id, c.depth, c.prompt_sha256) for c in first.calls]
    assert seen == [(c.call_id, c.parent_id, c.depth, c.prompt_sha256) for c in second.calls]
    in_events = [(e["call_id"], e["depth"], e["prompt_sha256"]) for e in events if e["kind"] == "call"]
    assert in_events == [(number, depth, digest) for number, _, depth, digest in seen]


async def test_a_child_that_ends_without_an_answer_raises_in_its_parent() -> None:
    result, _ = await play(
        repl("try:\n    rlm_query('a', 'b')\nexcept Exception as error:\n    x = str(error)"), "FINAL_VAR(x)",
        sub=lambda messages: "", max_depth=2, limits=Limits(max_consecutive_errors=2),
    )  # fmt: skip
    assert "without an answer: max_consecutive_errors" in result.answer
    assert result.stop_reason == StopReason.ANSWER


async def test_a_limit_met_in_a_child_stops_the_tree() -> None:
    def sub(messages: Sequence[Any]) -> str:
        return repl("while True:\n    llm_query('more')") if is_root(messages) else "plain"

    result, _ = await play(
        repl("rlm_query('a', 'b')"), "FINAL(so far)", sub=sub, max_depth=2, limits=Limits(max_sub_calls=20)
    )
    assert (result.answer, result.stop_reason) == ("so far", StopReason.MAX_SUB_CALLS)
    assert result.usage.sub_calls == 20


async def test_a_child_that_runs_out_of_turns_may_answer_last() -> None:
    def sub(messages: Sequence[Any]) -> str:
        return "FINAL(late)" if "last turn" in messages[-1]["content"] else repl(f"print({len(messages)})")

    result, _ = await play(
        repl("x = rlm_query('a', 'b')"), "FINAL_VAR(x)", sub=sub, max_depth=2, limits=Limits(max_turns=3)
    )
    assert (result.answer, result.stop_reason) == ("late", StopReason.ANSWER)


async def test_a_limit_on_depth_is_a_limit() -> None:
    result, _ = await play(repl("rlm_query('a', 'b')"), "FINAL(1)", sub=child, max_depth=4, limits=Limits(max_depth=1))
    assert (result.answer, result.stop_reason) == ("1", StopReason.MAX_DEPTH)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("rlm_query(5, 'q')", "list of strings"),
        ("rlm_query('c', 5)", "query as a string"),
        ("rlm_query([], 'q')", "empty list"),
        ("rlm_query('', 'q')", "empty"),
        ("rlm_query_batched('abc', 'q')", "list of contexts"),
        ("rlm_query_batched(['a', 'b'], ['q'])", "2 contexts"),
        ("rlm_query_batched([('a', 'b', 'c')])", "pairs"),
        ("llm_query(['a'])", "one string"),
        ("llm_query('  ')", "empty string"),
        ("llm_query_batched('abc')", "list of strings"),
        ("llm_query_batched([1])", "item 0"),
    ],
)
async def test_a_call_with_wrong_arguments_says_what_it_takes(call: str, word: str) -> None:
    result, _ = await play(
        repl(f"try:\n    {call}\nexcept SubCallError as e:\n    x = str(e)"), "FINAL_VAR(x)", sub=child
    )
    assert word in result.answer
