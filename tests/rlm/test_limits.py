"""The meter refuses a call that would exceed a limit, and every call after it."""

import pytest

from rlm.completion import StopReason
from rlm.limits import Budget, LimitReached, Limits, LoopGuard, Meter
from rlm.models.chat import Cost, CostState, TokenUsage


def spend(meter, usd=0.0, tokens=0):
    meter.charge(TokenUsage(prompt_tokens=tokens), Cost(usd, usd, CostState.KNOWN))


def refused(meter, **call):
    with pytest.raises(LimitReached) as caught:
        meter.admit(**{"sub": False} | call)
    return caught.value.reason


def test_calls_in_flight_count():
    meter = Meter(Limits(max_sub_calls=3))
    for _ in range(3):
        meter.admit(sub=True)
    assert refused(meter, sub=True) == StopReason.MAX_SUB_CALLS


def test_one_call_is_kept_for_the_last_answer():
    meter = Meter(Limits(max_calls=3))
    meter.admit(sub=False)
    meter.admit(sub=True)
    assert refused(meter) == StopReason.MAX_CALLS
    meter.admit(sub=False, last=True)
    assert meter.calls == 3
    assert refused(meter, last=True) == StopReason.MAX_CALLS


def test_part_of_the_dollars_is_kept_for_the_last_answer():
    meter = Meter(Limits(max_cost_usd=1.0, reserve=0.1))
    spend(meter, usd=0.95)
    assert refused(meter) == StopReason.MAX_COST
    meter.admit(sub=False, last=True)
    spend(meter, usd=0.1)
    assert refused(meter, last=True) == StopReason.MAX_COST


def test_once_stopped_a_tree_stays_stopped():
    meter = Meter(Limits(max_depth=1))
    assert refused(meter, depth=2) == StopReason.MAX_DEPTH
    assert refused(meter, depth=0) == StopReason.MAX_DEPTH


def test_tokens_are_limited():
    meter = Meter(Limits(max_tokens=100, reserve=0))
    spend(meter, tokens=99)
    meter.admit(sub=False)
    spend(meter, tokens=1)
    assert refused(meter) == StopReason.MAX_TOKENS


def test_time_is_limited_but_a_last_call_is_let_through():
    now = [0.0]
    meter = Meter(Limits(max_wall_s=10), clock=lambda: now[0])
    assert meter.remaining_s == 10
    now[0] = 11.0
    assert meter.remaining_s == 0
    assert refused(meter) == StopReason.MAX_WALL
    meter.admit(sub=False, last=True)


def test_a_budget_is_shared_by_all_meters():
    budget = Budget(1.0)
    first, second = Meter(Limits(), budget), Meter(Limits(), budget)
    spend(first, usd=1.0)
    assert refused(second) == StopReason.MAX_RUN_COST
    assert refused(second, last=True) == StopReason.MAX_RUN_COST


@pytest.mark.parametrize("bad", [{"max_turns": -1}, {"max_cost_usd": "1"}, {"reserve": 1.0}, {"max_calls": True}])
def test_invalid_limits_are_refused_by_name(bad):
    with pytest.raises(ValueError, match=f"limits.{next(iter(bad))}"):
        Limits(**bad)


def test_turns_of_a_loop_are_limited():
    guard = LoopGuard(Limits(max_turns=2))
    guard.turn()
    guard.turn()
    with pytest.raises(LimitReached, match="max_turns"):
        guard.turn()


def test_failures_in_a_row_end_a_loop_and_a_success_starts_the_count_again():
    guard = LoopGuard(Limits(max_consecutive_errors=2))
    guard.ended(failed=True)
    guard.ended(failed=False)
    guard.ended(failed=True)
    with pytest.raises(LimitReached):
        guard.ended(failed=True)


def test_a_repeated_cell_is_reported_once_and_then_ends_the_loop():
    guard = LoopGuard(Limits())
    told = [guard.repeated("print(1)", "1") for _ in range(3)]
    assert told == [False, True, False]
    with pytest.raises(LimitReached) as caught:
        guard.repeated("print(1)", "1")
    assert caught.value.reason == StopReason.REPEATED_CELLS


def test_cells_that_take_turns_are_a_loop_too():
    guard = LoopGuard(Limits())
    told = [guard.repeated(code, "1") for code in ("a()", "b()", "a()", "b()", "c()", "d()", "a()")]
    assert told == [False, False, True, False, False, False, True]
    for code in ("b()", "c()"):
        guard.repeated(code, "2")
    with pytest.raises(LimitReached):
        for code in ("b()", "c()", "b()"):
            guard.repeated(code, "2")


def test_the_same_cell_with_another_output_is_not_a_repetition():
    guard = LoopGuard(Limits())
    assert not any(guard.repeated("step()", str(i)) for i in range(10))


def test_costs_add_up_and_an_unknown_one_makes_the_sum_unknown():
    known, free, unknown = Cost(1, 2, CostState.KNOWN), Cost(), Cost(0, 0, CostState.UNKNOWN)
    assert (known + free) == Cost(1, 2, CostState.KNOWN)
    assert (known + unknown).state == CostState.UNKNOWN
    assert (free + free).state == CostState.FREE
