"""A user's own functions and data in the REPL."""

import asyncio
import contextlib
import gc
import sys
import threading
import time
from typing import Any

import pytest

from rlm.completion import Completion, StopReason
from rlm.limits import Limits
from rlm.methods.base import PlainModel
from rlm.methods.rlm.method import RLM
from rlm.models.chat import ModelError
from rlm.models.scripted import ScriptedModel


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


async def play(code: str, **options: Any) -> tuple[Completion, ScriptedModel]:
    root = ScriptedModel([repl(code), "FINAL_VAR(x)"])
    return await RLM(model=root, **options).acompletion("c", "q"), root


def lookup(word: str, default: str = "none") -> str:
    """Look a word up
    in the glossary.

    More that the model need not know.
    """
    return {"cat": "purrs"}.get(word, default)


async def double(number: int) -> int:
    return 2 * number


class Counter:
    """Counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


async def test_tools_and_data_appear_under_their_names() -> None:
    tools = {"lookup": lookup, "double": double, "counter": Counter(), "biggest": max}
    code = "x = [lookup('cat'), lookup('dog', default='?'), double(4), counter(), counter(), biggest(3, 5), table['a']]"
    result, root = await play(code, tools=tools, data={"table": {"a": [1, 2]}})
    assert result.answer == "['purrs', '?', 8, 1, 2, 5, [1, 2]]"
    system = root.requests[0][0]["content"]
    assert "`lookup(word: str, default: str = 'none') -> str`: Look a word up in the glossary." in system
    assert "`double(number: int) -> int`" in system and "`counter()" in system and "`table`" in system
    assert "need not know" not in system
    events = result.trajectory.of_kind("tool")
    assert [event["name"] for event in events[:3]] == ["lookup", "lookup", "double"]
    assert all(event["error"] is None and event["depth"] == 1 for event in events)


async def test_exceptions_of_a_tool_are_raised_in_the_cell() -> None:
    def broken() -> None:
        raise KeyError("no such page")

    def stops() -> None:
        raise StopIteration

    async def gives_up() -> None:
        raise TimeoutError("no page in 3 s")

    tools = {"broken": broken, "stops": stops, "gives_up": gives_up}
    code = f"x = []\nfor f in ({', '.join(tools)}):\n  try:\n    f()\n  except SubCallError as e:\n    x.append(str(e))"
    result, _ = await play(code, tools=tools)
    assert "broken raised KeyError: 'no such page'" in result.answer and "StopIteration" in result.answer
    assert "gives_up raised TimeoutError: no page in 3 s" in result.answer
    assert "no such page" in result.trajectory.of_kind("tool")[0]["error"]


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
async def test_a_tool_that_takes_too_long_fails_and_does_not_hold_the_host(kind: str) -> None:
    async def waits() -> None:
        await asyncio.sleep(30)

    tool = waits if kind == "coroutine" else lambda: time.sleep(30)
    code = "try:\n    slow()\nexcept SubCallError as e:\n    x = str(e)"
    result, _ = await play(code, tools={"slow": tool}, tool_timeout_s=0.2)
    assert result.answer.endswith("slow took longer than 0.2 s")


async def test_a_tool_that_is_cancelled_with_its_cell_is_recorded_as_such() -> None:
    async def waits() -> None:
        await asyncio.sleep(30)

    root = ScriptedModel([repl("slow()"), "FINAL(1)"])
    result = await RLM(model=root, tools={"slow": waits}, repl={"cell_s": 0.5}).acompletion("c", "q")
    (event,) = result.trajectory.of_kind("tool")
    assert "cancelled" in event["error"]


async def test_tools_run_at_the_same_time_from_threads() -> None:
    both = threading.Barrier(2, timeout=10)
    code = "from concurrent.futures import ThreadPoolExecutor as T\nx = sorted(T(2).map(lambda _: meet(), range(2)))"
    result, _ = await play(code, tools={"meet": both.wait})
    assert result.answer == "[0, 1]"


async def test_a_stopped_tree_refuses_tools() -> None:
    calls = []
    root = ScriptedModel([repl("try:\n    llm_query('x')\nexcept BaseException:\n    pass\ntool()"), "FINAL(1)"])
    method = RLM(model=root, tools={"tool": lambda: calls.append(1)}, repl={"grace_s": 0.5})
    result = await method.acompletion("c", "q", limits=Limits(max_sub_calls=0))
    assert (result.stop_reason, calls) == (StopReason.MAX_SUB_CALLS, [])


class Expert:
    """Asks another model in a nested completion."""

    def __init__(self) -> None:
        self.model = ScriptedModel(lambda messages: "sure", usd_per_million=(1000.0, 1000.0))

    def blocking(self, question: str) -> str | None:
        return PlainModel(model=self.model).completion(question).answer

    async def awaited(self, question: str) -> str | None:
        return (await PlainModel(model=self.model).acompletion(question)).answer

    async def deep(self, question: str) -> str | None:
        within = RLM(model=ScriptedModel([repl("x = blocking('a') + awaited('b')"), "FINAL_VAR(x)"]), tools=self.tools)
        return (await within.acompletion(question)).answer

    @property
    def tools(self) -> dict[str, Any]:
        return {"blocking": self.blocking, "awaited": self.awaited}


@pytest.mark.parametrize("call", ["blocking", "awaited"])
async def test_completions_that_a_tool_makes_are_charged_and_limited(call: str) -> None:
    expert = Expert()
    result, _ = await play(f"x = [{call}('Is it so?'), {call}('And now?')]", tools=expert.tools)
    assert (result.answer, result.usage.root_calls, result.usage.sub_calls) == ("['sure', 'sure']", 2, 2)
    assert [(c.role, c.depth, c.parent_id) for c in result.calls] == [
        ("root", 0, None), ("sub", 1, 0), ("sub", 1, 0), ("root", 0, None),
    ]  # fmt: skip
    assert result.usage.cost.usd == sum(c.cost.usd for c in result.calls) > 0
    asked = [event["messages"][-1]["content"] for event in result.trajectory.of_kind("call") if event["role"] == "sub"]
    assert asked == ["Is it so?", "And now?"]

    root = ScriptedModel([repl(f"while True:\n    try: {call}('Again?')\n    except BaseException: pass"), "FINAL(1)"])
    method = RLM(model=root, tools=Expert().tools, repl={"grace_s": 0.5})
    result = await method.acompletion("c", "q", limits=Limits(max_sub_calls=5))
    assert (result.answer, result.stop_reason, result.usage.sub_calls) == ("1", StopReason.MAX_SUB_CALLS, 5)


async def test_a_tool_that_outlives_its_completion_makes_no_further_call_and_its_call_in_flight_is_charged() -> None:
    model, ended, refused = ScriptedModel(lambda messages: "sure", latency_s=0.3), threading.Event(), []

    def outlives() -> None:
        while (said := PlainModel(model=model).completion("Is it so?")).answer:
            pass
        refused.append(said.stop_reason)
        ended.set()

    code = "try:\n    slow()\nexcept SubCallError:\n    x = 1"
    result, _ = await play(code, tools={"slow": outlives}, tool_timeout_s=0.1)
    events = list(result.trajectory.events)
    assert await asyncio.to_thread(ended.wait, 30) and refused == [StopReason.CANCELLED]
    assert result.usage.sub_calls == len(model.requests) > 0
    assert result.trajectory.events == events


async def test_a_tool_within_a_tool_is_charged_to_all() -> None:
    expert = Expert()
    result, _ = await play("x = deep('?')", tools={"deep": expert.deep})
    assert (result.answer, len(expert.model.requests)) == ("suresure", 2)
    assert (result.usage.sub_calls, result.usage.max_depth_reached) == (4, 2)
    assert result.usage.cost.usd == pytest.approx(sum(c.cost.usd for c in result.calls))


async def test_children_have_the_tools_too() -> None:
    def sub(messages: Any) -> str:
        return repl("x = double(21)") if len(messages) == 2 else "FINAL_VAR(x)"

    root = ScriptedModel([repl("x = rlm_query('a', 'b')"), "FINAL_VAR(x)"])
    result = await RLM(model=root, sub_model=ScriptedModel(sub), max_depth=2, tools={"double": double}).acompletion("c")
    assert result.answer == "42"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tools": {"llm_query": lookup}}, "tools has 'llm_query'"),
        ({"tools": {"two words": lookup}}, "tools has 'two words'"),
        ({"tools": {"x": 5}}, "tools.x is 5"),
        ({"data": {"context": 1}}, "data has 'context'"),
        ({"data": {"class": 1}}, "data has 'class'"),
        ({"protocol": "done"}, "protocol is 'done'"),
        ({"prompt": "recursive/none"}, "recursive/default-v1"),
        ({"prompt": "codeact/default-v1"}, "expected a file with the part"),
        ({"max_depth": -1}, "max_depth is -1"),
        ({"max_depth": True}, "max_depth is true"),
        ({"sub_call_concurrency": 0}, "sub_call_concurrency is 0"),
        ({"sub_context_chars": 0}, "sub_context_chars is 0"),
        ({"repl": {"cel_s": 1}}, "repl.cel_s"),
    ],
)
def test_wrong_settings_are_refused_at_once_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        RLM(model=ScriptedModel([]), **options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


async def leave() -> None:
    raise SystemExit("the arguments are wrong")


@pytest.mark.parametrize("tool", [leave, lambda: sys.exit("the arguments are wrong")], ids=["async", "in a thread"])
def test_a_tool_that_exits_fails_and_the_completion_goes_on(tool: Any) -> None:
    code = "try: leave()\nexcept Exception as error: x = str(error)"
    root = ScriptedModel([repl(code), "FINAL_VAR(x)"])
    result = RLM(model=root, tools={"leave": tool}).completion("c", "q")
    assert result.answer is not None and "SystemExit: the arguments are wrong" in result.answer


def test_a_model_that_exits_fails_and_the_next_completion_works() -> None:
    class Leaving(ScriptedModel):
        async def complete(self, *_: Any, **__: Any) -> Any:
            raise SystemExit(3)

    result = PlainModel(model=Leaving([])).completion("c", "q")
    assert result.stop_reason == StopReason.ERROR and "SystemExit: 3" in (result.error or "")
    assert PlainModel(model=ScriptedModel(["yes"])).completion("c", "q").answer == "yes"


async def test_a_call_that_fails_after_its_cell_was_stopped_is_not_printed() -> None:
    class Late(ScriptedModel):
        async def complete(self, messages: Any, **more: Any) -> Any:
            if messages[-1]["content"] == "later":
                await asyncio.sleep(0.5)
                raise ModelError("too late")
            await asyncio.sleep(0.4)
            return await super().complete(messages, **more)

    printed: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: printed.append(context))
    model = Late([repl("llm_query('later')"), repl("x = 1"), "FINAL_VAR(x)"])
    result = await RLM(model=model, repl={"cell_s": 0.2}).acompletion("c", "q")
    gc.collect()
    assert result.answer == "1" and not printed


class Silent(BaseException):
    def __str__(self) -> str:
        raise ValueError("this has no message")


async def end_quietly() -> None:
    raise Silent


def end_quietly_in_a_thread() -> None:
    raise Silent


@pytest.mark.parametrize("tool", [end_quietly, end_quietly_in_a_thread], ids=["async", "in a thread"])
async def test_any_exception_of_a_tool_is_a_failure_of_its_call_and_is_not_printed(tool: Any, capfd: Any) -> None:
    printed: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: printed.append(context))
    result, _ = await play(
        "try: end()\nexcept Exception as error: x = str(error)", tools={"end": tool}, tool_timeout_s=9
    )
    gc.collect()
    assert result.answer.endswith("end raised Silent: its message cannot be shown")
    assert not printed and not capfd.readouterr().err


async def test_a_long_message_of_a_tools_exception_is_cut() -> None:
    def talks() -> None:
        raise ValueError("x" * 5_000_000)

    result, _ = await play("try: talks()\nexcept Exception as error: x = len(str(error))", tools={"talks": talks})
    assert int(result.answer) <= 2000
    assert len(result.trajectory.of_kind("tool")[0]["error"]) < 2100


async def test_a_coroutine_that_ignores_its_cancellation_does_not_hold_the_cell(monkeypatch: Any) -> None:
    monkeypatch.setattr("rlm.methods.rlm.functions._END_S", 0.05)
    free = asyncio.Event()

    async def stays() -> None:
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()

    code = "try: stays()\nexcept Exception as error: x = str(error)"
    result, _ = await asyncio.wait_for(play(code, tools={"stays": stays}, tool_timeout_s=0.1), 20)
    free.set()
    assert result.answer.endswith("stays took longer than 0.1 s")


def test_data_that_contains_itself_is_refused_at_once_in_one_line() -> None:
    data: list[Any] = []
    data.append(data)
    with pytest.raises(ValueError, match="data is nested too deeply, or contains itself"):
        RLM(model=ScriptedModel([]), data={"tree": data})
