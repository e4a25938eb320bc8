"""The RLM's limits and guards: the calls that they stop, the calls that are paid, and the last reply."""

import asyncio
from typing import Any

import pytest

from rlm.completion import Completion, Status, StopReason
from rlm.limits import Limits
from rlm.methods.rlm.method import RLM
from rlm.models.chat import ModelError, Reply
from rlm.models.scripted import ScriptedModel


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


async def play(*replies: Any, limits: Limits, **options: Any) -> tuple[Completion, ScriptedModel]:
    root = ScriptedModel(replies)
    options.setdefault("sub_model", ScriptedModel(lambda messages: "sub"))
    return await RLM(model=root, **options).acompletion("some context", "q", limits=limits), root


LAST_REPLIES = {
    "FINAL": ("FINAL(42)", "42"),
    "variable": ("FINAL_VAR(x)", "7"),
    "a word that is a variable": ("So: \nFINAL(x)", "7"),
    "code that names it": (repl("FINAL_VAR(x)"), "7"),
    "code, then its variable": (repl("y = x + 1") + "\nFINAL_VAR(y)", "8"),
    "cut": ("FINAL(4", "4"),
    "empty": ("", None),
    "code": (repl("print(x)"), None),
    "code that fails": (repl("1 / 0"), None),
    "prose": ("The answer is 42.", "The answer is 42."),
    "mark of another form": ("Answer: 42", "Answer: 42"),
    "choice": ("The correct answer is (B)", "The correct answer is (B)"),
    "two paragraphs": ("It has two parts.\n\nSo it is 42.", "It has two parts.\n\nSo it is 42."),
    "prose beside code": ("The answer is 42.\n" + repl("print(42)"), "The answer is 42."),
    "prose beside code that answers": ("The answer is 42.\n" + repl("FINAL_VAR(x)"), "7"),
    "plan": ("I would go on.", "I would go on."),
    "unknown variable": ("FINAL_VAR(nothing)", None),
    "several": ("FINAL(1)\nFINAL_VAR(x)", "7"),
    "empty tag": ("FINAL()", None),
    "refusal": ("I cannot do that.", "I cannot do that."),
    "filtered": (Reply("Some text.", "content_filter"), None),
    "failure": (ModelError("reset"), None),
}


UNTAGGED = {"prose", "mark of another form", "choice", "two paragraphs", "prose beside code", "plan", "refusal"}


@pytest.mark.parametrize("case", LAST_REPLIES)
async def test_when_turns_run_out_the_root_has_one_last_reply(case: str) -> None:
    last, answer = LAST_REPLIES[case]
    result, root = await play(repl("x = 7"), repl("x"), last, limits=Limits(max_turns=2))
    assert (result.answer, result.stop_reason, result.status) == (answer, StopReason.MAX_TURNS, Status.LIMIT)
    assert result.truncated == (case == "cut")
    assert result.untagged == (case in UNTAGGED)
    assert (result.usage.turns, result.usage.root_calls) == (2, 3)
    assert "last turn" in root.requests[-1][-1]["content"] and "max_turns (2)" in root.requests[-1][-1]["content"]
    assert [message["role"] for message in root.requests[-1]] == ["system", "user"] + ["assistant", "user"] * 2
    (event,) = result.trajectory.of_kind("limit")
    assert event["reason"] == "max_turns"


@pytest.mark.parametrize(
    ("limits", "reason", "calls"),
    [
        (Limits(max_sub_calls=10), StopReason.MAX_SUB_CALLS, 10),
        (Limits(max_calls=12), StopReason.MAX_CALLS, 10),
        (Limits(max_tokens=1500), StopReason.MAX_TOKENS, None),
        (Limits(max_cost_usd=0.01), StopReason.MAX_COST, None),
    ],
)
@pytest.mark.parametrize(
    "code",
    [
        "out = []\nfor i in range(1000):\n    out.append(llm_query(f'{i} ' + 'word ' * 50))",
        "out = llm_query_batched([f'{i} ' + 'word ' * 50 for i in range(1000)])",
        "from concurrent.futures import ThreadPoolExecutor as T\n"
        "out = list(T(32).map(lambda i: llm_query(f'{i} ' + 'word ' * 50), range(1000)))",
        "import itertools\nfor i in itertools.count():\n    try:\n        llm_query(f'{i} ' + 'word ' * 50)\n"
        "    except BaseException:\n        pass",
    ],
    ids=["loop", "batch", "threads", "swallowed"],
)
async def test_a_thousand_sub_calls_stop_at_the_limit(
    code: str, limits: Limits, reason: StopReason, calls: int | None
) -> None:
    sub = ScriptedModel(lambda messages: "sub", latency_s=0.001, usd_per_million=(10.0, 10.0))
    options = {"sub_model": sub, "sub_call_concurrency": 4, "prompt": "recursive/compact-v1", "repl": {"grace_s": 0.5}}
    result, root = await play(repl(code), "FINAL(as far as I got)", limits=limits, **options)
    if "batched" in code and calls is not None:
        # A batch that is longer than the calls that are left is refused before the first call.
        assert (result.answer, result.usage.sub_calls, len(root.requests)) == ("as far as I got", 0, 2)
        assert "only 10 sub-calls are left: pass at most 10" in root.requests[-1][-1]["content"]
        return
    # Calls in flight may use up the reserve, and then there is no last reply.
    assert result.stop_reason == reason
    assert result.answer == "as far as I got" or (calls is None and result.answer is None)
    assert len(sub.requests) == result.usage.sub_calls
    if calls is not None:
        assert result.usage.sub_calls == calls
    one = 60
    if limits.max_tokens:
        assert result.usage.tokens.total <= limits.max_tokens + 4 * one + 400
    if limits.max_cost_usd:
        assert result.usage.cost.usd <= limits.max_cost_usd + 4 * one * 1e-5


async def test_an_answer_beyond_its_limit_is_refused_and_a_shorter_one_counts() -> None:
    limits = Limits(max_answer_bytes=1000)
    replies = repl("x = 'é' * 501\nFINAL(x)"), "FINAL_VAR(x)", repl("FINAL(x[:500])")
    result, root = await play(*replies, limits=limits)
    assert (result.answer, result.stop_reason) == ("é" * 500, StopReason.ANSWER)
    for request in root.requests[1:]:
        assert "1,002 bytes: expected at most 1,000 (limits.max_answer_bytes)" in request[-1]["content"]


async def test_an_answer_without_a_limit_is_bounded_by_the_session_only() -> None:
    result, _ = await play(repl("FINAL('x' * 3_000_000)"), limits=Limits(max_answer_bytes=None))
    assert len(result.answer) == 3_000_000


async def test_calls_in_flight_at_a_limit_are_awaited_and_charged() -> None:
    sub = ScriptedModel(lambda messages: "sub", latency_s=0.2, usd_per_million=(1000.0, 1000.0))
    limits = Limits(max_cost_usd=0.001)
    result, _ = await play(repl("llm_query_batched(['a', 'b', 'c', 'd', 'e', 'f'])"), "FINAL(1)",
                           limits=limits, sub_model=sub, sub_call_concurrency=4)  # fmt: skip
    assert result.usage.sub_calls == len(sub.requests) == 4
    assert result.usage.cost.usd == pytest.approx(4 * 2 * 1e-3)
    assert result.stop_reason == StopReason.MAX_COST


@pytest.mark.parametrize(
    ("limits", "cell_s", "code"),
    [
        (Limits(max_wall_s=2.0), 60.0, "llm_query_batched(list('abcdef'))"),
        (Limits(), 0.5, "llm_query_batched(list('abcdef'))"),
        (Limits(), 1.5, "rlm_query_batched(list('abcdef'), 'q')"),
    ],
    ids=["completion", "cell", "cell with children"],
)
async def test_calls_in_flight_at_a_timeout_are_awaited_and_charged(limits: Limits, cell_s: float, code: str) -> None:
    ended = asyncio.Event()

    class Sub(ScriptedModel):
        async def complete(self, messages: Any, **options: Any) -> Any:
            reply = await super().complete(messages, **options)
            await ended.wait()
            return reply

    sub = Sub(lambda messages: "FINAL(sub)", usd_per_million=(1000.0, 1000.0))
    settings = {"sub_call_concurrency": 4, "max_depth": 2, "repl": {"cell_s": cell_s, "grace_s": 0.1}}
    method = RLM(model=ScriptedModel([repl(code), "FINAL(1)"]), sub_model=sub, **settings)
    result = await method.acompletion(
        "some context", "q", limits=limits, on_event=lambda event: ended.set() if event["kind"] == "cell" else None
    )
    assert result.answer == "1" and 0 < result.usage.sub_calls == len(sub.requests) <= 4
    assert all(call.error is None and call.cost.usd > 0 for call in result.calls if call.role == "sub")


async def test_without_a_reserve_there_is_no_last_call() -> None:
    root = ScriptedModel([repl("x = 1"), "FINAL(1)"], usd_per_million=(1000.0, 0.0))
    result = await RLM(model=root).acompletion("c", "q", limits=Limits(max_cost_usd=0.0001))
    assert (result.answer, result.stop_reason, len(root.requests)) == (None, StopReason.MAX_COST, 1)


async def test_time_stops_a_cell_that_does_not_end() -> None:
    result, root = await play(
        repl("x = 5\nwhile True: pass"), repl("FINAL_VAR(x)"), limits=Limits(max_wall_s=1.0), repl={"grace_s": 2.0}
    )
    assert result.stop_reason == StopReason.MAX_WALL
    assert result.answer == "5"
    assert len(root.requests) == 2


async def test_a_cell_has_a_time_limit() -> None:
    result, root = await play(
        repl("x = 5\nimport time\ntime.sleep(60)"), "FINAL_VAR(x)", limits=Limits(), repl={"cell_s": 0.5}
    )
    assert (result.answer, result.stop_reason) == ("5", StopReason.ANSWER)
    assert "0.5 s" in root.requests[1][-1]["content"]


@pytest.mark.parametrize("reply", ["I will look.", "", repl("1 / 0"), "FINAL_VAR(nothing)"])
async def test_several_replies_without_progress_end_in_a_last_call(reply: str) -> None:
    result, root = await play(*[reply] * 5, limits=Limits(max_consecutive_errors=4))
    prose = reply if reply.startswith("I ") else None
    assert (result.answer, result.stop_reason) == (prose, StopReason.MAX_CONSECUTIVE_ERRORS)
    assert len(root.requests) == 5


async def test_a_model_that_declines_to_the_end_has_refused() -> None:
    result, _ = await play(*["I'm sorry, but I can't do that."] * 4, limits=Limits(max_consecutive_errors=3))
    assert (result.answer, result.stop_reason, result.status) == (None, StopReason.REFUSAL, Status.OK)


async def test_success_in_between_starts_the_count_again() -> None:
    result, _ = await play(
        "Hm.", repl("1 / 0"), repl("x = 1"), "Hm.", "Hm.", "FINAL(2)", limits=Limits(max_consecutive_errors=3)
    )
    assert result.answer == "2"


async def test_a_repeated_cell_gets_a_note_once_and_then_a_last_call() -> None:
    result, root = await play(*[repl("print(len(context))")] * 4, "FINAL(12)", limits=Limits())
    assert (result.answer, result.stop_reason) == ("12", StopReason.REPEATED_CELLS)
    notices = [event["text"] for event in result.trajectory.of_kind("notice")]
    assert sum("same code with the same output" in text for text in notices) == 1
    assert len(root.requests) == 5


async def test_the_same_code_with_new_output_is_no_loop() -> None:
    step = repl("i = globals().get('i', 0) + 1\nprint(i)")
    result, _ = await play(*[step] * 8, "FINAL_VAR(i)", limits=Limits())
    assert (result.answer, result.stop_reason) == ("8", StopReason.ANSWER)


async def test_a_root_that_verifies_a_ready_answer_is_asked_once_to_finish() -> None:
    checks = [repl(f"print('check {n}')") for n in range(8)]
    result, _ = await play(repl("final_answer = 3"), *checks, "FINAL_VAR(final_answer)", limits=Limits())
    notices = [event["text"] for event in result.trajectory.of_kind("notice")]
    assert len(notices) == 1 and "FINAL_VAR(final_answer)" in notices[0]
    assert result.answer == "3"


async def test_a_root_that_verifies_on_and_on_is_stopped_and_may_answer() -> None:
    checks = [repl(f"print('check {n}')") for n in range(16)]
    result, root = await play(repl("final_answer = 3"), *checks, "FINAL_VAR(final_answer)", limits=Limits())
    assert (result.answer, result.stop_reason, result.status) == ("3", StopReason.VERIFICATION_LOOP, Status.LIMIT)
    assert result.usage.turns == 17 and "not changed for many turns" in root.requests[-1][-1]["content"]


async def test_a_variable_that_is_called_answer_by_chance_does_not_stop_the_loop() -> None:
    steps = [repl(f"print('step {n}')") for n in range(20)]
    result, _ = await play(repl("answer = llm_query('x')"), *steps, "FINAL(4)", limits=Limits())
    assert (result.answer, result.stop_reason) == ("4", StopReason.ANSWER)
    result, _ = await play(repl("answer['content'] = 3"), *steps, limits=Limits(), protocol="answer_variable")
    assert (result.answer, result.stop_reason) == ("3", StopReason.VERIFICATION_LOOP)


async def test_the_output_shown_is_bounded() -> None:
    _, root = await play(repl("print('y' * 100_000)"), "FINAL(1)", limits=Limits(max_output_chars=300))
    assert root.requests[1][-1]["content"].count("y") <= 300


async def test_a_cancelled_completion_leaves_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = asyncio.Event()

    async def hang(messages: Any, **_: Any) -> Any:
        waiting.set()
        await asyncio.sleep(60)

    sub = ScriptedModel(["never"])
    monkeypatch.setattr(sub, "complete", hang)
    method = RLM(model=ScriptedModel([repl("llm_query('x')")]), sub_model=sub)
    before = asyncio.all_tasks()
    running = asyncio.create_task(method.acompletion("c", "q"))
    await waiting.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.1)
    left = [task for task in asyncio.all_tasks() - before if "Calls._call" in repr(task)]
    assert left == []
