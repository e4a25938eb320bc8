"""Each limit at its edge: 0 is a limit of 0, null alone is no limit, and an exceeded limit is the stop reason."""

import sys
from dataclasses import fields
from typing import Any

import pytest

from rlm.completion import Completion, StopReason
from rlm.limits import Budget, Limits
from rlm.methods.agents.cli import AgentCli
from rlm.methods.base import BaseBm25, BaseTruncated, PlainModel
from rlm.methods.codeact import CodeAct
from rlm.methods.compaction import Compaction
from rlm.methods.map_reduce import MapReduce
from rlm.methods.rlm import RLM, RLMBm25, RLMCompacted
from rlm.models.chat import Cost, CostState, Reply, TokenUsage
from rlm.models.scripted import ScriptedModel

UNLIMITED = Limits(**{field.name: None for field in fields(Limits) if field.default is None or "| None" in field.type})
ANSWERS = "ANSWER: 42\nFINAL(42)"

PLAIN = {
    "base": PlainModel,
    "base_truncated": BaseTruncated,
    "base_bm25": BaseBm25,
}
LOOPS = {
    "codeact": lambda **given: CodeAct(actions=["python", "llm_query"], **given),
    "rlm": RLM,
    "rlm_depth2": lambda **given: RLM(max_depth=2, **given),
    "rlm_bm25": RLMBm25,
    "rlm_compacted": RLMCompacted,
}
READERS = {
    # Their context is too long for one window.
    "compaction": Compaction,
    "map_reduce": lambda **given: MapReduce(window_chars=300, **given),
}
ALL = PLAIN | LOOPS | READERS
CODE = {"codeact": "python", "rlm": "repl", "rlm_depth2": "repl", "rlm_bm25": "repl", "rlm_compacted": "repl"}
CONTEXT = "The number is 42. " * 150


class Model(ScriptedModel):
    """Counts its calls and gives each the same usage, cost and duration."""

    def __init__(self, reply: Any = ANSWERS, *, usd: float = 0.0, tokens: int = 0, latency_s: float = 0.0) -> None:
        cost = Cost(usd, usd, CostState.KNOWN) if usd else Cost()

        def answer(messages: Any) -> Any:
            text = reply(messages) if callable(reply) else reply
            return Reply(text, usage=TokenUsage(prompt_tokens=tokens), cost=cost) if isinstance(text, str) else text

        super().__init__(answer, context_window=1500, latency_s=latency_s)


def run(name: str, model: ScriptedModel, **limits: Any) -> Completion:
    context = CONTEXT * 6 if name in READERS else CONTEXT
    return ALL[name](model=model, limits=Limits(**limits)).completion(context, "Which number?")


def sub_call(name: str, code: str = "print(llm_query('Which number?'))") -> Any:
    """Replies of a root that makes a sub-call by code, and answers when it is asked for the last time."""

    def reply(messages: Any) -> str:
        if "last turn" in messages[-1]["content"] or len(messages) == 1:
            return ANSWERS
        return f"```{CODE[name]}\n{code}\n```"

    return reply


@pytest.mark.parametrize("name", ALL)
def test_null_is_no_limit(name: str) -> None:
    result = ALL[name](model=Model(usd=1000.0, tokens=10**9), limits=UNLIMITED).completion(CONTEXT, "Which number?")
    assert result.stop_reason == StopReason.ANSWER and "42" in result.answer


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("limit", ["max_calls", "max_tokens"])
def test_a_limit_of_0_admits_no_call(name: str, limit: str) -> None:
    model = Model()
    result = run(name, model, **{limit: 0})
    assert (result.answer, result.stop_reason, model.requests) == (None, limit, [])


@pytest.mark.parametrize("name", [*PLAIN, *LOOPS])
def test_one_call_is_enough_for_an_answer(name: str) -> None:
    model = Model()
    result = run(name, model, max_calls=1)
    assert "42" in result.answer and len(model.requests) == 1
    assert result.stop_reason == (StopReason.ANSWER if name in PLAIN else StopReason.MAX_CALLS)


@pytest.mark.parametrize("name", READERS)
def test_one_call_is_the_last_one_if_reading_takes_more(name: str) -> None:
    model = Model()
    result = run(name, model, max_calls=1)
    assert ("42" in result.answer, result.stop_reason, len(model.requests)) == (True, StopReason.MAX_CALLS, 1)


@pytest.mark.parametrize("name", ALL)
def test_a_free_model_is_not_blocked_by_a_limit_of_0_dollars(name: str) -> None:
    result = run(name, Model(), max_cost_usd=0)
    assert "42" in result.answer and result.stop_reason == StopReason.ANSWER


@pytest.mark.parametrize("name", ALL)
def test_dollars_are_exceeded_by_the_first_cent_if_the_limit_is_0(name: str) -> None:
    assert run(name, Model(usd=0.01), max_cost_usd=0).stop_reason == StopReason.MAX_COST


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    ("limit", "model"),
    [
        ({"max_cost_usd": 0.5}, {"usd": 1.0}),
        ({"max_tokens": 100}, {"tokens": 101}),
        ({"max_wall_s": 0.05}, {"latency_s": 0.2}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_a_limit_that_the_answer_itself_exceeds_is_the_stop_reason(name: str, limit: Any, model: Any) -> None:
    result = run(name, Model(**model), **limit)
    assert "42" in result.answer and result.stop_reason == next(iter(limit))
    assert result.trajectory.of_kind("limit")[-1]["reason"] == next(iter(limit))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    ("limit", "model"), [({"max_cost_usd": 1.0}, {"usd": 1.0}), ({"max_tokens": 101}, {"tokens": 101})]
)
def test_an_answer_that_uses_all_of_a_limit_does_not_exceed_it(name: str, limit: Any, model: Any) -> None:
    assert run(name, Model(**model), **limit).stop_reason == StopReason.ANSWER


@pytest.mark.parametrize("name", LOOPS)
def test_a_limit_that_the_answer_of_a_loop_exceeds_is_the_stop_reason(name: str) -> None:
    result = run(name, Model(latency_s=0.3), max_wall_s=0.25)
    assert "42" in result.answer and result.stop_reason == StopReason.MAX_WALL


@pytest.mark.parametrize("name", ALL)
def test_no_time_leaves_at_most_the_last_call(name: str) -> None:
    model = Model()
    result = run(name, model, max_wall_s=0)
    assert result.stop_reason == StopReason.MAX_WALL
    assert len(model.requests) == (0 if name in PLAIN else 1)


@pytest.mark.parametrize("name", LOOPS)
def test_no_turns_leave_the_last_call(name: str) -> None:
    model = Model()
    result = run(name, model, max_turns=0)
    assert ("42" in result.answer, result.stop_reason, result.usage.turns) == (True, StopReason.MAX_TURNS, 0)


@pytest.mark.parametrize("name", [*LOOPS, *READERS])
@pytest.mark.parametrize(("limit", "reason"), [("max_sub_calls", "max_sub_calls"), ("max_depth", "max_depth")])
def test_no_sub_calls_leave_the_last_call(name: str, limit: str, reason: str) -> None:
    model = Model(sub_call(name) if name in LOOPS else ANSWERS)
    result = run(name, model, **{limit: 0})
    assert ("42" in result.answer, result.stop_reason, result.usage.sub_calls) == (True, reason, 0)


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize(("limit", "turns"), [(0, 1), (1, 1), (2, 2)])
def test_consecutive_errors_end_in_a_last_call(name: str, limit: int, turns: int) -> None:
    result = run(name, Model(sub_call(name, "1 / 0")), max_consecutive_errors=limit)
    assert ("42" in result.answer, result.stop_reason) == (True, StopReason.MAX_CONSECUTIVE_ERRORS)
    assert result.usage.turns == turns


@pytest.mark.parametrize("name", LOOPS)
def test_repeated_cells_end_in_a_last_call(name: str) -> None:
    result = run(name, Model(sub_call(name, "print(1)")))
    assert ("42" in result.answer, result.stop_reason) == (True, StopReason.REPEATED_CELLS)


@pytest.mark.parametrize("name", LOOPS)
def test_no_output_is_shown_if_its_limit_is_0(name: str) -> None:
    model = Model(sub_call(name, "print('secret')"))
    run(name, model, max_output_chars=0, max_turns=1)
    assert len(model.requests) == 2 and "secret" not in model.requests[1][-1]["content"]


def test_an_agent_is_one_call_and_keeps_none_back() -> None:
    method = AgentCli(model=Model(), command=[sys.executable, "-c", "print(42)"], limits=Limits(max_calls=1))
    result = method.completion("text", "?")
    assert (result.answer, result.stop_reason) == ("42", StopReason.ANSWER)


@pytest.mark.parametrize("name", ALL)
def test_a_model_with_a_price_is_not_called_if_the_limit_is_0_dollars(name: str) -> None:
    model = ScriptedModel(lambda messages: ANSWERS, usd_per_million=(1.0, 1.0))
    result = run(name, model, max_cost_usd=0)
    assert (result.answer, result.stop_reason, model.requests) == (None, StopReason.MAX_COST, [])
    budget, method = Budget(0.0), PlainModel(model=model)
    assert method.completion("text", "?", budget=budget).stop_reason == StopReason.MAX_RUN_COST


def test_a_run_without_dollars_admits_free_models() -> None:
    budget = Budget(0.0)
    assert PlainModel(model=Model()).completion("text", "?", budget=budget).stop_reason == StopReason.ANSWER
    assert not budget.spent
    PlainModel(model=Model(usd=0.01)).completion("text", "?", budget=budget)
    assert budget.spent
