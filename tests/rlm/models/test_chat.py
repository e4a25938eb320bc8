"""Replies: tool calls that hold Python code, and answers that are only in the reasoning."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.models.chat import Reply, ToolCall

CODE = "print(len(context))"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("python", json.dumps({"code": CODE})),
        ("python", CODE),
        ("python", json.dumps(CODE)),
        ("repl", json.dumps({"input": CODE})),
        ("functions.execute_python", json.dumps({"script": CODE})),
        ("code-interpreter", json.dumps({"code": CODE, "timeout": 3})),
        ("jupyter", json.dumps({"anything": CODE})),
        ("python", json.dumps({"code": CODE.splitlines()})),
        ("tool", json.dumps({"language": "python", "code": CODE})),
    ],
)
def test_python_code_of_a_tool_call_is_found(name, arguments):
    assert Reply("", tool_calls=(ToolCall("search", "{}"), ToolCall(name, arguments))).tool_code == CODE


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("search", json.dumps({"query": "needle"})),
        ("bash", json.dumps({"command": "ls"})),
        ("execute_code", json.dumps({"language": "javascript", "code": "1"})),
        ("python", "{}"),
        ("python", json.dumps({"code": ""})),
        ("python", ""),
        ("final", json.dumps({"answer": "42"})),
    ],
)
def test_other_tool_calls_hold_no_python_code(name, arguments):
    assert Reply("", tool_calls=(ToolCall(name, arguments),)).tool_code is None


@given(st.text(max_size=20), st.text(max_size=40))
def test_any_tool_call_can_be_read(name, arguments):
    code = ToolCall(name, arguments).code
    assert code is None or code.strip()


def test_an_empty_text_beside_reasoning_is_flagged():
    assert Reply(" ", reasoning="So it is 42.").only_reasoning
    assert not Reply("42", reasoning="So it is 42.").only_reasoning
    assert not Reply("", reasoning="").only_reasoning
