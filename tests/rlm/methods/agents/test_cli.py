import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.completion import Status, StopReason
from rlm.limits import Limits
from rlm.methods.agents.cli import AgentCli
from rlm.methods.agents.output import read_output, read_rules
from rlm.models.chat import CostState
from rlm.models.scripted import ScriptedModel
from rlm.prompt import Prompt

SMALL_AGENT = str(Path(__file__).parent / "programs" / "small_agent.py")
TEXT = "The first door opens with code 4711. " + "Nothing else matters here. " * 20
JSON = {
    "format": "json",
    "answer": "result",
    "error": {"path": "result", "where": {"is_error": True}},
    "cost_usd": "total_cost_usd",
    "prompt_tokens": "usage.input_tokens",
    "cached_tokens": "usage.cached",
    "completion_tokens": "usage.output_tokens",
}
JSONL = {
    "format": "jsonl",
    "answer": {"path": "item.text", "where": {"type": "item.completed", "item.type": "agent_message"}},
    "prompt_tokens": {"path": ["usage.input_tokens", "usage.cached"], "where": {"type": "turn.completed"}},
    "completion_tokens": "usage.output_tokens",
}


def agent(*arguments: str, output: dict | None = None, **options) -> AgentCli:
    return AgentCli(
        model=ScriptedModel([], name="vendor/model"),
        command=[sys.executable, SMALL_AGENT, *arguments],
        output=output or {"format": "text"},
        **options,
    )


async def test_the_prompt_comes_by_standard_input_in_the_benchmarks_layout() -> None:
    layout = ({"role": "system", "content": "Read: {context}"}, {"role": "user", "content": "{query}"})
    method = agent("see", output={"format": "json", "answer": "prompt"})
    assert (await method.acompletion(Prompt(TEXT, "Which code?", layout))).answer == f"Read: {TEXT}\n\nWhich code?"


async def test_the_prompt_can_be_an_argument_and_so_can_query_and_model() -> None:
    method = agent("see", "{model}: {query} | {prompt}", output={"format": "json", "answer": "prompt"})
    result = await method.acompletion("Some {query} text.", "Which?")
    assert result.answer == "vendor/model: Which? | Some {query} text.\n\nWhich?"


async def test_the_context_can_lie_in_a_file_that_the_prompt_names() -> None:
    seen = await agent("see", output={"format": "json", "answer": "prompt"}, context="file").acompletion(TEXT, "Which?")
    assert "context.txt" in seen.answer and "4711" not in seen.answer and seen.answer.endswith("Which?")
    assert (await agent("text", context="file").acompletion(TEXT, "Which?")).answer == "4711"
    assert (await agent("text", context="file").acompletion(["code 1", "code 2"], "Which?")).answer == "1 2"


async def test_usage_and_cost_are_read_and_charged_as_one_call() -> None:
    result = await agent("json", output=JSON).acompletion(TEXT, "Which?")
    assert (result.answer, result.stop_reason, len(result.calls)) == ("4711", StopReason.ANSWER, 1)
    tokens = result.usage.tokens
    assert (tokens.prompt_tokens, tokens.cached_tokens, tokens.completion_tokens) == (120, 40, 7)
    assert (result.usage.cost.usd, result.usage.cost.state) == (0.25, CostState.KNOWN)


async def test_of_json_lines_the_last_answer_counts_and_numbers_are_added_up() -> None:
    result = await agent("jsonl", output=JSONL).acompletion(TEXT, "Which?")
    assert (result.answer, result.usage.tokens.prompt_tokens, result.usage.tokens.completion_tokens) == (
        "4711",
        320,
        14,
    )


ODD_OUTPUTS = {
    "a warning with a brace before": ("json", 'warn {x}\n{"result": "4711"}', "4711"),
    "a banner in brackets before": ("json", '[info] starting\n{\n "result": "4711"\n}', "4711"),
    "more behind": ("json", '{"result": "4711"}\nBye.', "4711"),
    "a list of events": ("json", '[{"type": "system"}, {"result": "4711"}]', "4711"),
    "a number": ("json", '{"result": 4711}', "4711"),
    "an object": ("json", '{"result": {"code": "\u00e9"}}', '{"code": "\u00e9"}'),
    "nothing": ("json", '{"result": null}', None),
    "no JSON": ("json", "{]}", None),
    "deep JSON": ("json", '{"result":' * 100_000, None),
    "a line with other ends of lines in it": ("jsonl", '{"result": "a\u2028b\x85c"}\r\n', "a\u2028b\x85c"),
    "lines that are none": ("jsonl", 'x\n{"result": "4711"}\n{"result": ', "4711"),
}


@pytest.mark.parametrize("case", ODD_OUTPUTS)
def test_odd_output_is_read(case: str) -> None:
    kind, stdout, answer = ODD_OUTPUTS[case]
    assert read_output(*read_rules({"format": kind, "answer": "result"}), stdout).answer == answer


async def test_an_agent_that_floods_its_output_is_heard_at_its_end() -> None:
    code = "import sys; sys.stdout.write(('y' * 999 + chr(10)) * 60_000 + '{\"result\": \"4711\"}' + chr(10))"
    output = {"format": "jsonl", "answer": "result"}
    method = AgentCli(model=ScriptedModel([]), command=[sys.executable, "-c", code], output=output)
    assert (await method.acompletion(TEXT, "?")).answer == "4711"


@pytest.mark.parametrize("code", ["while True: print('x' * 10_000)", "import os, time; os.close(1); time.sleep(600)"])
async def test_an_agent_that_never_ends_is_ended(code: str) -> None:
    method = AgentCli(model=ScriptedModel([]), command=[sys.executable, "-c", code], timeout_s=1.0)
    result = await method.acompletion(TEXT, "?")
    assert (result.stop_reason, result.status) == (StopReason.MAX_WALL, Status.LIMIT)


async def test_an_agent_that_dies_is_an_error() -> None:
    method = AgentCli(model=ScriptedModel([]), command=["sh", "-c", "echo 4711; kill -9 $$"])
    result = await method.acompletion(TEXT, "?")
    assert (result.answer, result.status) == (None, Status.ERROR) and "exit code -9" in result.error


async def test_plain_output_is_read_by_patterns() -> None:
    output = {"format": "text", "answer": r"RESULT: (.*)", "completion_tokens": r"tokens used: ([\d,]+)"}
    result = await agent("labelled", output=output).acompletion(TEXT, "Which?")
    assert (result.answer, result.usage.tokens.completion_tokens) == ("4711", 1234)


async def test_an_unreported_cost_is_unknown() -> None:
    assert (await agent("text").acompletion(TEXT, "Which?")).usage.cost.state == CostState.UNKNOWN


async def test_the_agent_gets_only_the_variables_named_and_an_empty_folder_that_goes_away(monkeypatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    monkeypatch.setenv("WANTED", "2")
    for name, answer in {"env.SECRET_OF_OURS": None, "env.WANTED": "2"}.items():
        method = agent("see", output={"format": "json", "answer": name}, environment=["WANTED", "NOT_SET"])
        assert (await method.acompletion(TEXT, "?")).answer == answer
    seen = await agent("see", output={"format": "json", "answer": "cwd", "model": "files.0"}).acompletion(TEXT, "?")
    assert seen.calls[0].model == "vendor/model" and not Path(seen.answer).exists()


async def test_an_agent_that_takes_too_long_is_killed_with_all_its_children(tmp_path) -> None:
    method = agent("hang", "{prompt}", str(tmp_path / "child"), output=JSONL, timeout_s=2)
    result = await method.acompletion(TEXT, "?")
    assert (result.answer, result.stop_reason, result.status) == (None, StopReason.MAX_WALL, Status.LIMIT)
    assert result.usage.tokens.prompt_tokens == 160
    await _gone(int((tmp_path / "child").read_text()))


async def test_the_time_of_the_completion_bounds_the_agent(tmp_path) -> None:
    method = agent("hang", "{prompt}", str(tmp_path / "child"))
    result = await method.acompletion(TEXT, "?", limits=Limits(max_wall_s=1.0))
    assert result.stop_reason == StopReason.MAX_WALL


async def test_processes_that_an_agent_leaves_running_are_ended(tmp_path) -> None:
    result = await agent("leave", "{prompt}", str(tmp_path / "child")).acompletion(TEXT, "?")
    assert result.answer == "done"
    await _gone(int((tmp_path / "child").read_text()))


async def test_a_cancelled_completion_leaves_no_process(tmp_path) -> None:
    child = tmp_path / "child"
    task = asyncio.create_task(agent("hang", "{prompt}", str(child)).acompletion(TEXT, "?"))
    while not (child.exists() and child.read_text()):
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _gone(int(child.read_text()))


async def test_a_failing_agent_is_an_error_that_quotes_it() -> None:
    result = await agent("fail").acompletion(TEXT, "?")
    assert (result.status, result.answer) == (Status.ERROR, None)
    assert "exit code 3" in result.error and "cannot connect" in result.error


async def test_a_prompt_that_is_too_long_for_the_agents_model_is_an_overflow_and_its_cost_counts() -> None:
    result = await agent("json_error", output=JSON).acompletion(TEXT, "?")
    assert (result.stop_reason, result.usage.cost.usd) == (StopReason.CONTEXT_OVERFLOW, 0.25)


async def test_a_prompt_too_long_for_an_argument_says_what_to_change() -> None:
    result = await agent("text", "{prompt}").acompletion("x" * 200_000, "?")
    assert result.status == Status.ERROR and "standard input" in result.error
    assert (await agent("text").acompletion("x" * 200_000 + " code 1", "?")).answer == "1"


async def test_an_agent_that_is_not_there_is_an_error() -> None:
    method = AgentCli(model=ScriptedModel([]), command=["no-such-agent-here"])
    result = await method.acompletion(TEXT, "?")
    assert result.status == Status.ERROR and "no-such-agent-here" in result.error


async def test_the_path_of_an_agent_is_meant_from_the_current_folder(tmp_path, monkeypatch) -> None:
    (tmp_path / "agent").write_text("#!/bin/sh\necho here")
    (tmp_path / "agent").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    result = await AgentCli(model=ScriptedModel([]), command=["./agent"]).acompletion(TEXT, "?")
    assert result.answer == "here"


async def test_nothing_printed_is_no_answer() -> None:
    method = AgentCli(model=ScriptedModel([]), command=[sys.executable, "-c", "pass"])
    assert (await method.acompletion(TEXT, "?")).stop_reason == StopReason.NO_ANSWER


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"command": "claude -p"}, "command"),
        ({"command": []}, "command"),
        ({"context": "mail"}, "context"),
        ({"context_file": "../x"}, "context_file"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"overflow_pattern": "("}, "overflow_pattern"),
        ({"output": {"format": "xml"}}, "output.format"),
        ({"output": {"format": "json"}}, "output.answer"),
        ({"output": {"format": "json", "answer": {"paht": "x"}}}, "output.answer.paht"),
        ({"output": {"tokens": "x"}}, "output.tokens"),
        ({"output": {"answer": "no group"}}, "output.answer.pattern"),
        ({"output": {"answer": "("}}, "output.answer.pattern"),
    ],
)
def test_wrong_settings_are_refused_at_once(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        AgentCli(**({"model": ScriptedModel([]), "command": ["agent"]} | options))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["result", "usage", "input_tokens", "type", "item", "text"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON_VALUES.map(json.dumps) | st.text(max_size=20), max_size=5), st.sampled_from([JSON, JSONL]))
def test_any_output_can_be_read(lines: list[str], output: dict) -> None:
    parsed = read_output(*read_rules(output), "\n".join(lines))
    assert parsed.answer is None or parsed.answer.strip()
    assert 0 <= parsed.usage.cached_tokens <= parsed.usage.prompt_tokens


async def _gone(pid: int) -> None:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")
