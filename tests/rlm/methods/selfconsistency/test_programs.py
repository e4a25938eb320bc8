"""rlm_selfconsistency: one program is rlm, several share limits and slots, and the trajectory shows all of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rlm.completion import StopReason
from rlm.limits import Limits
from rlm.methods.rlm import RLM
from rlm.methods.selfconsistency import RLMSelfConsistency
from rlm.models.chat import ContextOverflow, FatalModelError, ModelError, Reply, Sampling
from rlm.models.scripted import ScriptedModel
from rlm.trajectory import chosen_events
from rlm.validation import SettingError

EPOCHS = 10_000_000
PROMPT = "recursive/compact-v1"
LOOK = "```repl\nx = 7\nprint(x)\n```"


class Programs(ScriptedModel):
    """A model whose reply depends on the number of the program and of its turn. seen: the epochs of its requests."""

    def __init__(self, reply: Callable[[int, int], Any], **options: Any) -> None:
        super().__init__(lambda messages: self._next, **options)
        self.reply, self.seen = reply, []

    async def complete(self, messages: Any, *, epoch: int = 0, occurrence: int = 0) -> Reply:
        turn = sum(message["role"] == "assistant" for message in messages)
        self.seen.append((epoch, occurrence))
        self._next = self.reply(epoch // EPOCHS, turn)
        return await super().complete(messages, epoch=epoch, occurrence=occurrence)


def method(reply: Callable[[int, int], Any], k: int = 3, **options: Any) -> RLMSelfConsistency:
    sub = options.pop("sub_model", None) or ScriptedModel(lambda messages: "sub", "sub")
    model = Programs(reply, name="root", usd_per_million=(1.0, 1.0))
    return RLMSelfConsistency(model=model, sub_model=sub, k=k, prompt=PROMPT, **options)


def by_number(*answers: str) -> Callable[[int, int], str]:
    return lambda number, turn: answers[number] if turn else f"CONFIDENCE: 60\n{LOOK}"


async def test_one_program_makes_the_requests_and_events_of_rlm() -> None:
    one, plain = method(by_number("FINAL(7)"), k=1), RLM(model=Programs(by_number("FINAL(7)"), name="root"),
                                                         sub_model=ScriptedModel([]), prompt=PROMPT)  # fmt: skip
    results = [await each.acompletion("some context", "q", epoch=2) for each in (one, plain)]
    assert one.model.requests == plain.model.requests and one.model.seen == plain.model.seen == [(2, 0)] * 2
    assert [event["kind"] for event in results[0].trajectory.events] == [
        event["kind"] for event in results[1].trajectory.events
    ]
    assert results[0].answer == results[1].answer == "7" and results[0].calls[0].prompt_sha256 == (
        results[1].calls[0].prompt_sha256
    )


async def test_the_answer_of_most_programs_is_chosen_and_all_are_paid_and_shown() -> None:
    used = method(by_number("CONFIDENCE: 99\nFINAL(5)", "FINAL(7)", "CONFIDENCE: 40\nFINAL( 7 )"))
    result = await used.acompletion("some context", "q", epoch=1)
    assert (result.answer, result.stop_reason) == ("7", StopReason.ANSWER)
    assert (result.usage.root_calls, result.usage.turns, result.usage.cells) == (6, 6, 3)
    assert (
        result.usage.cost.usd == pytest.approx(sum(call.cost.usd for call in result.calls)) and len(result.calls) == 6
    )
    (selection,) = result.trajectory.of_kind("selection")
    assert (selection["chosen"], selection["why"], selection["votes"]) == (1, "agreement", 2)
    assert [one["answer"] for one in selection["programs"]] == ["5", "7", "7"]
    assert [one["confidences"] for one in selection["programs"]] == [[60, 99], [60, None], [60, 40]]
    assert len(result.trajectory.of_kind("program")) == len(result.trajectory.of_kind("summary")) == 3
    shown = [event["kind"] for event in chosen_events(result.trajectory.events)]
    assert shown.count("program") == shown.count("summary") == 1 and shown.count("turn") == 2
    assert sorted(used.model.seen) == sorted([(1 + EPOCHS * number, 0) for number in range(3)] * 2)


async def test_programs_begin_with_equal_requests_that_ask_for_a_confidence() -> None:
    used = method(by_number("FINAL(1)", "FINAL(2)", "FINAL(3)"))
    await used.acompletion("some context", "q")
    first = [request for request in used.model.requests if len(request) == 2]
    assert first[0] == first[1] == first[2] and "CONFIDENCE: N" in first[0][0]["content"]
    silent = method(by_number("FINAL(1)", "FINAL(2)", "FINAL(3)"), confidence=False)
    result = await silent.acompletion("some context", "q")
    assert "CONFIDENCE" not in silent.model.requests[0][0]["content"]
    (selection,) = result.trajectory.of_kind("selection")
    assert selection["why"] in ("length", "first") and selection["programs"][0]["confidences"] == []


async def test_two_runs_have_the_same_trajectory() -> None:
    kinds = []
    for _ in range(2):
        result = await method(by_number("FINAL(1)", LOOK, "FINAL(x)"), limits=Limits(max_turns=4)).acompletion("c", "q")
        kinds.append([(event["id"], event["parent"], event["kind"]) for event in result.trajectory.events])
    assert kinds[0] == kinds[1]


async def test_limits_apply_to_the_sum_of_all_programs() -> None:
    result = await method(lambda number, turn: LOOK.replace("7", str(turn)), limits=Limits(max_calls=10)).acompletion(
        "some context", "q"
    )
    assert result.stop_reason == StopReason.MAX_CALLS
    # The last call of the limit is made once, not once for each program.
    assert result.usage.root_calls == 10


async def test_with_an_answer_there_is_no_last_call_after_a_limit() -> None:
    def reply(number: int, turn: int) -> str:
        return "FINAL(7)" if number == 0 else LOOK.replace("7", str(turn))

    result = await method(reply, limits=Limits(max_calls=9)).acompletion("some context", "q")
    assert (result.answer, result.stop_reason, result.usage.root_calls) == ("7", StopReason.MAX_CALLS, 8)


async def test_sub_calls_of_all_programs_share_their_slots() -> None:
    at_once = most = 0

    class Sub(ScriptedModel):
        async def complete(self, messages: Any, **options: Any) -> Reply:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1
            return Reply("sub")

    code = "```repl\nllm_query_batched(['a', 'b', 'c', 'd'])\n```"
    used = method(lambda number, turn: "FINAL(1)" if turn else code, sub_model=Sub([]), sub_call_concurrency=2)
    result = await used.acompletion("some context", "q")
    assert result.usage.sub_calls == 12 and most == 2


async def test_at_most_so_many_programs_run_at_a_time() -> None:
    used = method(by_number(*["FINAL(7)"] * 5), k=5, programs_concurrency=1)
    result = await used.acompletion("some context", "q")
    numbers = [epoch // EPOCHS for epoch, _ in used.model.seen]
    assert result.answer == "7" and numbers == sorted(numbers)


async def test_programs_that_fail_do_not_count_unless_all_do() -> None:
    def failing(number: int, turn: int) -> Any:
        return ModelError("reset") if number < 2 else "FINAL(7)"

    result = await method(failing).acompletion("some context", "q")
    assert (result.answer, result.stop_reason) == ("7", StopReason.ANSWER)
    result = await method(lambda number, turn: ModelError("reset")).acompletion("some context", "q")
    assert (result.answer, result.stop_reason, result.error) == (None, StopReason.ERROR, "ModelError: reset")
    result = await method(lambda number, turn: ContextOverflow("long")).acompletion("some context", "q")
    assert result.stop_reason == StopReason.CONTEXT_OVERFLOW
    with pytest.raises(FatalModelError):
        await method(lambda number, turn: FatalModelError("no key")).acompletion("some context", "q")


async def test_a_last_reply_in_prose_is_returned_without_its_confidence() -> None:
    result = await method(lambda number, turn: "CONFIDENCE: 30\nIt is 7.", limits=Limits(max_turns=1)).acompletion(
        "some context", "q"
    )
    assert (result.answer, result.untagged, result.stop_reason) == ("It is 7.", True, StopReason.MAX_TURNS)


def test_equal_programs_are_refused() -> None:
    cold = ScriptedModel([], sampling=Sampling(temperature=0))
    assert RLMSelfConsistency(model=cold, k=1).k == 1
    with pytest.raises(ValueError, match="k is 8: expected 1, because the root's temperature is 0"):
        RLMSelfConsistency(model=cold)
    for k in (0, 1001):
        with pytest.raises(SettingError, match=f"k is {k}: expected an integer from 1 to 1000"):
            RLMSelfConsistency(model=ScriptedModel([]), k=k)
