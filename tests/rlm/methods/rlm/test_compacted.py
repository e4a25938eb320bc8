"""rlm_compacted: the history becomes a summary, the session stays, and what does not fit ends in the last call."""

from typing import Any

import pytest

from rlm.completion import Completion, StopReason
from rlm.limits import Limits
from rlm.methods.rlm import RLM, RLMCompacted
from rlm.models.chat import ContextOverflow, Reply
from rlm.models.scripted import ScriptedModel
from rlm.prompt import Prompt

WINDOW = 2500
PROMPT = "recursive/compact-v1"


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


def step(number: int, words: int = 300) -> str:
    return repl(f"x{number} = {number}\nprint('step {number}', 'noise ' * {words})")


def models(*replies: Any, notes: Any = "The number is 4711.", window: int | None = WINDOW) -> dict[str, ScriptedModel]:
    summary = notes if callable(notes) else lambda messages: notes
    return {
        "model": ScriptedModel(replies, "root", context_window=window, usd_per_million=(1.0, 1.0)),
        "sub_model": ScriptedModel(lambda messages: "sub", "sub"),
        "compactor": ScriptedModel(summary, "compactor", context_window=window, usd_per_million=(1.0, 1.0)),
    }


async def play(used: dict[str, ScriptedModel], limits: Limits = Limits(), **options: Any) -> Completion:  # noqa: B008
    method = RLMCompacted(**used, prompt=PROMPT, **{"compact_at": 0.4} | options)
    return await method.acompletion("some context", "Which number?", limits=limits)


async def test_a_full_history_becomes_a_summary_and_the_variables_stay() -> None:
    used = models(
        step(1), step(2), step(3), repl("total = x1 + x2 + x3\nprint(total)"), step(5, 10), "FINAL_VAR(total)"
    )
    result = await play(used)
    assert (result.answer, result.stop_reason) == ("6", StopReason.ANSWER)
    events = result.trajectory.of_kind("compaction")
    assert events and {event["why"] for event in events} == {"threshold"}
    asked = used["compactor"].requests[0][-1]["content"]
    assert "Which number?" in asked and "x1 = 1" in asked and "step 1 noise" in asked and "x1 (int)" in asked
    after = used["model"].requests[-1]
    assert [message["role"] for message in after] == ["system", "user", "assistant", "user"]
    assert "The number is 4711." in after[1]["content"] and "total (int)" in after[1]["content"]
    assert not any("step 1 noise" in message["content"] for message in after)
    # The task and the system prompt are those of every earlier request.
    first = used["model"].requests[0]
    assert after[0] == first[0] and after[1]["content"].startswith(first[1]["content"])


async def test_a_second_summary_replaces_the_first_and_was_made_from_it() -> None:
    numbers = iter(range(1, 100))
    used = models(*[step(n) for n in range(1, 9)], "FINAL(1)", notes=lambda messages: f"Notes {next(numbers)}.")
    await play(used)
    second = used["compactor"].requests[1][-1]["content"]
    assert "Notes 1." in second
    last = used["model"].requests[-1][1]["content"]
    made = len(used["compactor"].requests)
    assert made > 1 and last.count("Notes ") == 1 and f"Notes {made}." in last


async def test_calls_tokens_and_dollars_of_the_compactor_count() -> None:
    used = models(*[step(n) for n in range(1, 6)], "FINAL(1)")
    result = await play(used)
    made = [call for call in result.calls if call.role == "compactor"]
    assert len(made) == len(used["compactor"].requests) > 0 and {call.depth for call in made} == {1}
    assert result.usage.sub_calls == len(made)
    assert sum(call.cost.usd for call in made) > 0
    assert result.usage.cost.usd == pytest.approx(sum(call.cost.usd for call in result.calls))
    (summary,) = result.trajectory.of_kind("summary")
    assert summary["compactions"] == len(result.trajectory.of_kind("compaction"))


async def test_with_an_unknown_window_the_history_is_compacted_after_a_refused_call() -> None:
    used = models(step(1), step(2), ContextOverflow("too long"), "FINAL_VAR(x2)", window=None)
    result = await play(used)
    assert (result.answer, result.stop_reason) == ("2", StopReason.ANSWER)
    (event,) = result.trajectory.of_kind("compaction")
    assert event["why"] == "overflow"


async def test_a_compacted_history_that_does_not_fit_either_ends_in_the_last_call() -> None:
    refused = [ContextOverflow("too long")] * 2
    result = await play(models(step(1), step(2), *refused, "FINAL_VAR(x2)", window=None))
    assert (result.answer, result.stop_reason) == ("2", StopReason.CONTEXT_OVERFLOW)
    first = await play(models(ContextOverflow("too long"), "FINAL(1)", window=None))
    assert (first.answer, first.stop_reason) == (None, StopReason.CONTEXT_OVERFLOW)


async def test_a_compactor_without_room_leaves_the_history_as_it_is() -> None:
    used = models(step(1), step(2), step(3, 10), "FINAL(1)")
    used["compactor"].context_window = 200
    result = await play(used, compact_at=0.3)
    assert (result.answer, result.stop_reason) == ("1", StopReason.ANSWER)
    assert used["compactor"].requests == [] and result.trajectory.of_kind("summary")[0]["compactions"] == 0


async def test_a_limit_on_calls_covers_compactions() -> None:
    used = models(*[step(n) for n in range(1, 9)], "FINAL(late)")
    used["model"]._answer = lambda messages: (
        "FINAL(late)" if "last turn" in messages[-1]["content"] else step(len(messages))
    )
    result = await play(used, Limits(max_calls=6))
    assert (result.answer, result.stop_reason) == ("late", StopReason.MAX_CALLS)
    assert result.usage.root_calls + result.usage.sub_calls == 6


async def test_a_compactor_that_refuses_leaves_the_names_of_the_variables() -> None:
    used = models(step(1), step(2), step(3), step(4), "FINAL_VAR(x3)", notes=lambda _: Reply("", "content_filter"))
    result = await play(used)
    assert result.answer == "3" and result.trajectory.of_kind("summary")[0]["compaction_skipped"]
    assert "no notes could be made" in used["model"].requests[-1][1]["content"]
    assert "x1 (int)" in used["model"].requests[-1][1]["content"]


async def test_children_compact_their_history_too() -> None:
    root = ScriptedModel([repl("print(rlm_query('part', 'Which?'))"), "FINAL(1)"], "root")
    child = ScriptedModel([*map(step, range(4)), "FINAL(a child's answer)"], "sub", context_window=WINDOW)
    compactor = ScriptedModel(lambda messages: "notes", "compactor", context_window=WINDOW)
    method = RLMCompacted(model=root, sub_model=child, compactor=compactor, max_depth=2, prompt=PROMPT,
                          compact_at=0.4)  # fmt: skip
    result = await method.acompletion(Prompt("some context", "Which number?"))
    (event,) = result.trajectory.of_kind("compaction")
    assert event["depth"] == 1 and [call.depth for call in result.calls if call.role == "compactor"] == [2]


async def test_a_history_that_fits_makes_the_same_requests_as_rlm() -> None:
    replies = repl("x = 7"), repl("print(x)"), "FINAL_VAR(x)"
    compacted, plain = models(*replies), models(*replies)
    await play(compacted)
    del plain["compactor"]
    await RLM(**plain, prompt=PROMPT).acompletion("some context", "Which number?")
    assert compacted["model"].requests == plain["model"].requests and compacted["compactor"].requests == []
