import asyncio
import json
import sys
from pathlib import Path

import httpx2
import pytest

from rlm.completion import Status, StopReason
from rlm.limits import Limits, Meter
from rlm.methods.reference.metering import metering_endpoint
from rlm.methods.reference.method import Reference
from rlm.methods.rlm.method import RLM
from rlm.models.chat import ContextOverflow, FatalModelError, ModelError, Reply, TokenUsage
from rlm.models.scripted import ScriptedModel
from rlm.trajectory import Trajectory
from rlm.tree import CallTree

FAKE_RLMS = Path(__file__).parent / "fake_rlms"


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python in whose environment the package rlms is our small stand-in."""
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={FAKE_RLMS} exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


def reference(python: str, root, sub=lambda messages: "ok", **options) -> Reference:
    return Reference(
        library="rlms", confinement="unsafe", python=python,
        model=ScriptedModel(root, "big"), sub_model=ScriptedModel(sub, "small"), **options,
    )  # fmt: skip


async def test_its_calls_go_through_our_tree_with_their_roles(python: str) -> None:
    method = reference(python, ["3", "the answer"])
    result = await method.acompletion(["a", "b"], "Which?")
    assert (result.answer, result.stop_reason) == ("the answer", StopReason.ANSWER)
    assert method.model.requests[0] == [{"role": "user", "content": "documents of 2: Which?"}]
    assert [(call.role, call.depth, call.model) for call in result.calls] == [
        ("root", 0, "big"), ("sub", 1, "small"), ("sub", 1, "small"), ("sub", 1, "small"), ("root", 0, "big"),
    ]  # fmt: skip
    assert (result.usage.root_calls, result.usage.sub_calls, result.usage.turns) == (2, 3, 2)
    assert result.usage.tokens.prompt_tokens > 0


async def test_the_driver_gets_its_settings_and_no_environment_variables(python: str, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "ours")
    result = await reference(python, ["told"], max_depth=2, max_iterations=5).acompletion("text", "?")
    told = json.loads(result.answer)
    assert (told["max_depth"], told["max_iterations"]) == (2, 5)
    assert "OPENAI_API_KEY" not in told["env"]


async def test_a_limit_ends_the_process_and_names_the_limit(python: str) -> None:
    method = reference(python, ["1000", "never"])
    result = await method.acompletion("text", "?", limits=Limits(max_calls=10))
    assert (result.answer, result.stop_reason) == (None, StopReason.MAX_CALLS)
    assert len(result.calls) == 10


async def test_calls_in_flight_at_a_limit_are_awaited_and_charged(python: str) -> None:
    slow = ScriptedModel(lambda messages: "ok", "small", latency_s=0.5, usd_per_million=(1000.0, 1000.0))
    method = reference(python, ["8 at once", "never"])
    method.sub_model = slow
    result = await method.acompletion("text", "?", limits=Limits(max_sub_calls=5))
    assert (result.answer, result.stop_reason) == (None, StopReason.MAX_SUB_CALLS)
    assert len(slow.requests) == result.usage.sub_calls == 5
    assert all(call.cost.usd > 0 and call.finish_reason == "stop" for call in result.calls if call.role == "sub")


async def test_a_sub_call_over_the_limit_of_its_prompt_is_refused(python: str) -> None:
    method = reference(python, ["3", "the answer"])
    result = await method.acompletion(["a", "b"], "Which?", limits=Limits(max_sub_prompt_tokens=1))
    assert (result.usage.sub_calls, len(method.sub_model.requests)) == (0, 0)
    assert "HTTP 400" in str(result.error)


async def test_a_cancelled_completion_drops_its_calls(python: str) -> None:
    slow = ScriptedModel(lambda messages: "ok", "small", latency_s=60)
    method = reference(python, ["8 at once", "never"])
    method.sub_model = slow
    running = asyncio.create_task(method.acompletion("text", "?"))
    while len(slow.requests) < 8:
        await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [task for task in asyncio.all_tasks() if "CallTree" in repr(task)] == []


async def test_time_that_is_up_ends_the_process(python: str) -> None:
    result = await reference(python, ["hang"]).acompletion("text", "?", limits=Limits(max_wall_s=3.0))
    assert (result.answer, result.stop_reason) == (None, StopReason.MAX_WALL)


async def test_a_root_whose_prompt_does_not_fit_is_an_overflow(python: str) -> None:
    result = await reference(python, [ContextOverflow("too long")]).acompletion("text", "?")
    assert result.status == Status.CONTEXT_OVERFLOW


async def test_a_failing_endpoint_is_an_error_and_a_hopeless_one_stops_the_run(python: str) -> None:
    result = await reference(python, [ModelError("down")]).acompletion("text", "?")
    assert result.status == Status.ERROR and "HTTP 502" in result.error
    with pytest.raises(FatalModelError):
        await reference(python, [FatalModelError("no key")]).acompletion("text", "?")


async def test_a_process_that_dies_is_an_error(python: str) -> None:
    result = await reference(python, ["crash"]).acompletion("text", "?")
    assert result.status == Status.ERROR and "exit code 7" in result.error


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"library": "other"}, "library"),
        ({"confinement": "confined"}, "without a sandbox"),
        ({"python": "/nowhere/python"}, "setup_reference"),
        ({"library": "dspy", "max_depth": 2}, "max_depth"),
    ],
)
def test_wrong_settings_are_refused_at_once(options: dict, named: str) -> None:
    settings = {"library": "rlms", "confinement": "unsafe", "python": sys.executable, "model": ScriptedModel([])}
    with pytest.raises(ValueError, match=named):
        Reference(**(settings | options))


async def test_the_metering_endpoint_takes_only_its_key_and_tells_usage() -> None:
    tree = CallTree(Meter(Limits()), Trajectory())
    model = ScriptedModel([Reply("half", "length", usage=TokenUsage(11, 5, 3))])
    async with metering_endpoint(tree, model, model) as endpoint, httpx2.AsyncClient() as client:
        body = {"model": "root", "messages": [{"role": "user", "content": "hi"}], "temperature": 1.0}
        url = f"{endpoint.base_url}/chat/completions"
        refused = await client.post(url, json=body)
        answered = await client.post(url, json=body, headers={"Authorization": f"Bearer {endpoint.api_key}"})
    assert refused.status_code == 401 and len(tree.calls) == 1
    choice, usage = answered.json()["choices"][0], answered.json()["usage"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("half", "length")
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (11, 3)


SCRIPTS = {
    "rlms": [
        "```repl\nparts = llm_query_batched([d.upper() for d in context])\nprint(parts)\n```",
        "```repl\nanswer['content'] = '+'.join(parts)\nanswer['ready'] = True\n```",
    ],
    "dspy": [
        "[[ ## reasoning ## ]]\nlook\n\n[[ ## code ## ]]\n```python\n"
        "parts = llm_query_batched([d.upper() for d in context])\nprint(parts)\n```\n\n[[ ## completed ## ]]",
        "[[ ## reasoning ## ]]\ndone\n\n[[ ## code ## ]]\n```python\n"
        "SUBMIT('+'.join(parts))\n```\n\n[[ ## completed ## ]]",
    ],
}


READY = "answer['ready'] = True\n```"
# What roots do in one reply after another; the same replies go to rlms and to our RLM.
MORE_SCRIPTS = {
    "an error, then mended": [
        "Let me see.\n```repl\nprint(contxt[0])\n```",
        f"```repl\nanswer['content'] = llm_query(context[1])\n{READY}",
    ],
    "two blocks in a reply": [f"```repl\nparts = [llm_query(d) for d in context]\n```\nThen:\n"
                              f"```repl\nanswer['content'] = parts\n{READY}"],
    "prose, then a number": ["I will count them.", f"```repl\nanswer['content'] = len(context)\n{READY}"],
    "a draft, then the answer": [
        "```repl\nanswer['content'] = 'draft'\nfor d in context:\n    print(d)\n```",
        f"```repl\nanswer['content'] += ' and ' + str(len(context))\n{READY}",
    ],
    "a dictionary of its own": ["```repl\nanswer = {'content': context[0], 'ready': True}\n```"],
}  # fmt: skip


@pytest.mark.parametrize("case", MORE_SCRIPTS)
async def test_rlms_and_our_rlm_reach_the_same_answer_by_the_same_script(case: str) -> None:
    def models() -> dict:
        return {
            "model": ScriptedModel(MORE_SCRIPTS[case]),
            "sub_model": ScriptedModel(lambda messages: messages[-1]["content"] + "!"),
        }

    try:
        theirs = Reference(library="rlms", confinement="unsafe", **models())
    except ValueError:
        pytest.skip("scripts/setup_reference rlms was not run")
    ours = RLM(protocol="answer_variable", **models())
    first, second = [await method.acompletion(["one", "two"], "Louder, please.") for method in (theirs, ours)]
    assert first.answer == second.answer and first.answer
    assert (first.usage.root_calls, first.usage.sub_calls) == (second.usage.root_calls, second.usage.sub_calls)


@pytest.mark.parametrize("library", ["rlms", "dspy"])
async def test_the_real_library_reaches_the_same_answer_as_our_rlm(library: str) -> None:
    def sub(messages) -> str:
        return messages[-1]["content"] + "!"

    try:
        theirs = Reference(
            library=library, confinement="unsafe", model=ScriptedModel(SCRIPTS[library]), sub_model=ScriptedModel(sub)
        )
    except ValueError:
        pytest.skip(f"scripts/setup_reference {library} was not run")
    ours = RLM(model=ScriptedModel(SCRIPTS["rlms"]), sub_model=ScriptedModel(sub), protocol="answer_variable")
    results = [await method.acompletion(["one", "two"], "Louder, please.") for method in (theirs, ours)]
    assert [result.answer for result in results] == ["ONE!+TWO!"] * 2
    assert [(r.usage.root_calls, r.usage.sub_calls) for r in results] == [(2, 2)] * 2
