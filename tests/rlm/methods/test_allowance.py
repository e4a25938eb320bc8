"""budget(): code in a session reads what is left of the limits, and prompts describe it where a limit is set."""

import json
import time
from typing import Any

import pytest

from rlm.limits import Budget, Limits, Meter
from rlm.methods.allowance import budget_function
from rlm.methods.codeact.loop import CodeAct
from rlm.methods.method import Method
from rlm.methods.rlm.method import RLM
from rlm.models.chat import Cost, CostState, TokenUsage
from rlm.models.scripted import ScriptedModel

CODE = "import json\nprint(json.dumps(budget()))"
PAID = (1000.0, 1000.0)


def rlm(code: str = CODE, **options: Any) -> RLM:
    root = ScriptedModel([f"```repl\n{code}\n```", "FINAL(1)"], usd_per_million=PAID)
    return RLM(model=root, sub_model=ScriptedModel(lambda m: "r", "sub", usd_per_million=PAID), **options)


def codeact(code: str = CODE, **options: Any) -> CodeAct:
    root = ScriptedModel([f"```python\n{code}\n```", "ANSWER: 1"], usd_per_million=PAID)
    sub = ScriptedModel(lambda m: "r", "sub", usd_per_million=PAID)
    return CodeAct(model=root, sub_model=sub, actions=["python", "llm_query"], **options)


async def outputs(method: Method, **options: Any) -> list[dict[str, Any]]:
    result = await method.acompletion("text", "?", **options)
    return [json.loads(line) for cell in result.trajectory.of_kind("cell") for line in cell["stdout"].splitlines()]


@pytest.mark.parametrize("make", [rlm, codeact])
async def test_code_reads_what_is_left_and_a_call_reduces_it(make: Any) -> None:
    limits = Limits(max_cost_usd=5.0, max_tokens=10_000, max_calls=10, max_wall_s=60, reserve=0.1)
    before, after = await outputs(make(f"{CODE}\nllm_query('x')\n{CODE}"), limits=limits)
    assert list(before) == ["dollars", "tokens", "calls", "seconds"]
    assert 0 < after["dollars"] < before["dollars"] < 4.5 and 0 < after["tokens"] < before["tokens"] < 9000
    assert (before["calls"], after["calls"]) == (8, 7), "one call was made, and one is reserved for the answer"
    assert 0 < after["seconds"] <= before["seconds"] <= 60


@pytest.mark.parametrize("make", [rlm, codeact])
async def test_without_limits_every_value_is_none(make: Any) -> None:
    limits = Limits(max_calls=None, max_sub_calls=None, max_wall_s=None)
    budget = Budget(max_cost_usd=1.0)
    assert await outputs(make(), limits=limits, budget=budget) == [
        {"dollars": None, "tokens": None, "calls": None, "seconds": None}
    ], "the budget of a run depends on other samples and is not shown"


async def test_children_share_the_limits_of_the_completion() -> None:
    def child(messages: Any) -> str:
        return f"```repl\n{CODE}\n```" if len(messages) == 2 else "FINAL(1)"

    root = ScriptedModel([f"```repl\n{CODE}\nx = rlm_query('a', 'b')\n```", "FINAL(1)"])
    method = RLM(model=root, sub_model=ScriptedModel(child, "sub"), max_depth=2, limits=Limits(max_calls=10))
    result = await method.acompletion("text", "?")
    left = {cell["depth"]: json.loads(cell["stdout"])["calls"] for cell in result.trajectory.of_kind("cell")}
    assert left == {0: 8, 1: 7}


@pytest.mark.parametrize("make", [rlm, codeact])
@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (Limits(), False), (Limits(max_calls=40, max_turns=2), False), (Limits(max_wall_s=None), False),
        (Limits(max_cost_usd=1.0), True), (Limits(max_tokens=100_000), True), (Limits(max_wall_s=600.0), True),
    ],
)  # fmt: skip
async def test_prompts_describe_it_where_dollars_tokens_or_time_are_limited(
    make: Any, limits: Any, named: bool
) -> None:
    method = make(limits=limits)
    await method.acompletion("text", "?")
    assert ("`budget()`" in method.model.requests[0][0]["content"]) == named


async def test_the_papers_prompts_do_not_describe_it() -> None:
    for name in ("paper-v1", "paper_qwen3_coder-v1", "paper_small_window-v1"):
        method = rlm(prompt=f"recursive/{name}", limits=Limits(max_cost_usd=1.0))
        await method.acompletion("text", "?")
        assert "budget()" not in str(method.model.requests[0])


def test_what_is_left_is_never_negative() -> None:
    meter = Meter(Limits(max_cost_usd=1.0, max_tokens=10, max_calls=1, max_wall_s=0.0))
    meter.admit(sub=False, last=True)
    meter.charge(TokenUsage(prompt_tokens=11), Cost(2.0, 2.0, CostState.KNOWN))
    assert meter.left == {"dollars": 0.0, "tokens": 0, "calls": 0, "seconds": 0.0}


async def test_a_loop_over_it_cannot_keep_the_host_busy() -> None:
    budget, started = budget_function(Meter(Limits()))["budget"], time.perf_counter()
    for _ in range(10):
        await budget()
    assert time.perf_counter() - started >= 0.2


def test_a_tool_cannot_take_its_name() -> None:
    with pytest.raises(ValueError, match="'budget'"):
        RLM(model=ScriptedModel(["x"]), tools={"budget": len})
