"""Replies of real models that are easy to misread, through the public surface of the methods."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.completion import Completion, StopReason
from rlm.limits import Limits
from rlm.methods.base import PlainModel
from rlm.methods.codeact import CodeAct
from rlm.methods.compaction import Compaction
from rlm.methods.map_reduce import MapReduce
from rlm.methods.rlm import RLM
from rlm.methods.thinking import after_thinking
from rlm.models.chat import Reply, ToolCall
from rlm.models.scripted import ScriptedModel


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


async def play(*replies: Any, sub: Any = "sub", limits: Limits | None = None, **options: Any) -> Any:
    root, sub_model = ScriptedModel(list(replies)), ScriptedModel(sub if callable(sub) else lambda messages: sub)
    method = RLM(model=root, sub_model=sub_model, limits=limits or Limits(), **options)
    return await method.acompletion("some context", "q"), root, sub_model


ANSWERS = {
    "a tag in a python block": ("```python\nFINAL(Sansa Stark)\n```", "Sansa Stark"),
    "a tag of several words with marks": ("```repl\nFINAL(It's 42, I think.)\n```", "It's 42, I think."),
    "a tag with one word that is no variable": ("```python\nFINAL(Sansa)\n```", "Sansa"),
    "a tag with one word that is a variable": (repl("ov = 42") + "\n" + repl("FINAL(ov)"), "42"),
    "a tag behind code": (repl("ov = 42\nFINAL_VAR(ov)"), "42"),
    "a faulty block before its fix": (
        "```python\ntotal += base Costs[0]\n```\nFixed:\n```repl\nx=42\n```\nFINAL_VAR(x)",
        "42",
    ),
    "a faulty block of the same label before its fix": (
        "```repl\nfor i in :\n```\nFixed:\n```repl\nx=42\n```\nFINAL_VAR(x)",
        "42",
    ),
    "a fence that closes and opens": ("```repl\nov='42'\n```python\ncontext =\n```\nFINAL_VAR(ov)", "42"),
    "a user that is the answer": (
        "```repl\nanswer='User: 44436'\n```\nThe answer is\nUser: 44436\nFINAL_VAR(answer)",
        "User: 44436",
    ),
    "a user in bold that is the answer": (
        "```repl\nanswer='User: 44436'\n```\n**User: 44436**\nFINAL_VAR(answer)",
        "User: 44436",
    ),
    "channels without markers": ("analysisWe count the lines.assistantfinalFINAL(42)", "42"),
    "channels without markers, on lines": ("analysis\nWe count.\nassistantfinal\nFINAL(42)", "42"),
    "several channels without markers": ("analysisA.assistantcommentaryB.assistantfinalFINAL(42)", "42"),
    "a final channel alone": ("assistantfinalFINAL(42)", "42"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_one_reply_gives_the_answer(case: str) -> None:
    reply, answer = ANSWERS[case]
    result, root, _ = await play(reply, "FINAL(another)")
    assert (result.answer, result.stop_reason, len(root.requests)) == (answer, StopReason.ANSWER, 1)


async def test_code_behind_a_user_that_is_an_answer_is_run() -> None:
    result, _, _ = await play(f"{repl('x = 1')}\nUser: 44436\n{repl('y = x + 1')}", "FINAL_VAR(y)")
    assert (result.answer, result.usage.cells) == ("2", 2)


async def test_the_faulty_block_is_shown_with_its_error() -> None:
    _, root, _ = await play(f"{repl('a = b c')}\n{repl('print(42)')}", "FINAL(42)")
    shown = root.requests[1][-1]["content"]
    assert "SyntaxError" in shown and "42" in shown and "not run" not in shown


async def test_several_tags_in_one_block_are_rejected_if_they_differ() -> None:
    result, root, _ = await play("```python\nFINAL(Sansa Stark)\nFINAL(Jon Snow)\n```", "FINAL(Jon Snow)")
    assert result.answer == "Jon Snow" and "more than one final answer" in root.requests[1][-1]["content"]
    result, _, _ = await play("```python\nFINAL(Sansa Stark)\nFINAL(Sansa Stark)\n```")
    assert result.answer == "Sansa Stark"


CHANNELS = "analysisThe needle is there.assistantfinalIt is 42."
FINAL_PART = {
    "base": (PlainModel, CHANNELS, "It is 42."),
    "compaction": (Compaction, CHANNELS, "It is 42."),
    "map_reduce": (MapReduce, CHANNELS, "It is 42."),
    "codeact": (CodeAct, "analysisThink.assistantfinalANSWER: 42", "42"),
    "rlm": (RLM, "analysisThink.assistantfinalFINAL(42)", "42"),
}


@pytest.mark.parametrize("name", FINAL_PART)
def test_every_method_reads_the_final_channel(name: str) -> None:
    method, reply, answer = FINAL_PART[name]
    assert method(model=ScriptedModel(lambda messages: reply)).completion("text", "?").answer == answer


@pytest.mark.parametrize(
    "reply",
    ["analysis of variance shows 42", "final answer: 42", "The assistantfinal mark is odd: 42", "Analysis: it is 42"],
)
def test_other_text_is_not_taken_for_channels(reply: str) -> None:
    assert after_thinking(reply) == reply


def test_a_reply_cut_in_its_first_channel_has_no_answer() -> None:
    model = ScriptedModel([Reply("analysisWe count the li", "length")])
    assert PlainModel(model=model).completion("text", "?").answer is None


@given(st.lists(st.sampled_from(["analysis", "assistantfinal", "final", "A", " ", "\n", "commentary"])), st.booleans())
def test_text_after_the_channels_is_an_end_of_the_reply(pieces: list[str], truncated: bool) -> None:
    reply = "".join(pieces)
    assert reply.endswith(after_thinking(reply, truncated=truncated))


def tool_reply(code: str, text: str = "") -> Reply:
    return Reply(text, "tool_calls", tool_calls=(ToolCall("python", f'{{"code": "{code}"}}'),))


async def test_python_in_a_tool_call_runs_as_a_cell_of_an_rlm() -> None:
    result, root, _ = await play(tool_reply("x = 6 * 7"), "FINAL_VAR(x)")
    assert result.answer == "42"
    (cell,) = result.trajectory.of_kind("cell")
    assert (cell["code"], cell["tool_call"]) == ("x = 6 * 7", True)
    assert root.requests[1][-2]["content"] == "```repl\nx = 6 * 7\n```"


async def test_python_in_a_tool_call_runs_after_the_blocks_of_the_reply() -> None:
    result, _, _ = await play(tool_reply("y = x + 1", repl("x = 1")), "FINAL_VAR(y)")
    first, second = result.trajectory.of_kind("cell")
    assert result.answer == "2" and "tool_call" not in first and second["tool_call"]


def test_python_in_a_tool_call_runs_as_a_cell_of_codeact() -> None:
    root = ScriptedModel([tool_reply("print(6 * 7)"), "ANSWER: 42"])
    result = CodeAct(model=root, actions=["python"]).completion("text", "?")
    assert result.answer == "42" and "42" in root.requests[1][-1]["content"]
    assert result.trajectory.of_kind("cell")[0]["tool_call"]


REASONING = {
    "base": (PlainModel, "It is 42.", "It is 42."),
    "codeact": (CodeAct, "ANSWER: 42", "42"),
    "rlm": (RLM, "FINAL(42)", "42"),
}


@pytest.mark.parametrize("name", REASONING)
def test_an_answer_that_is_only_in_the_reasoning_is_flagged(name: str) -> None:
    method, reasoning, answer = REASONING[name]
    result = method(model=ScriptedModel([Reply("", reasoning=reasoning)])).completion("text", "?")
    assert (result.answer, result.untagged) == (answer, True)


def test_reasoning_that_was_cut_is_no_answer() -> None:
    model = ScriptedModel([Reply("", "length", reasoning="It may be 42")])
    assert PlainModel(model=model).completion("text", "?").answer is None


def test_a_cut_prompt_of_the_root_is_flagged() -> None:
    assert PlainModel(model=ScriptedModel([Reply("42", prompt_cut=True)])).completion("text", "?").prompt_cut
    assert not PlainModel(model=ScriptedModel(["42"])).completion("text", "?").prompt_cut


async def test_a_cut_prompt_of_a_sub_call_is_not_the_roots() -> None:
    result, _, _ = await play(repl("llm_query('x')"), "FINAL(1)", sub=lambda messages: Reply("r", prompt_cut=True))
    assert not result.prompt_cut


OFFICIAL = "Which is more common? Give your final answer in the form 'Answer: X is more common than Y'."
FORMS = [
    ("THINK: x\nAnswer: numeric value is more common than human being", OFFICIAL),
    ("THINK: x\nANSWER: numeric value is more common than human being", OFFICIAL),
    ("THINK: x\nANSWER: Answer: numeric value is more common than human being", OFFICIAL),
    ("**Answer:** numeric value is more common than human being", OFFICIAL),
    ("Answer: numeric value is more common than human being", "Which is more common?"),
]


@pytest.mark.parametrize(("reply", "question"), FORMS)
def test_codeact_keeps_the_form_that_the_question_asks_for(reply: str, question: str) -> None:
    answer = CodeAct(model=ScriptedModel([reply])).completion("text", question).answer
    assert answer == "Answer: numeric value is more common than human being"


@pytest.mark.parametrize("answer", ["Label: entity", "User: 44436", "Date: 05/06/2024"])
def test_codeact_adds_nothing_to_another_form(answer: str) -> None:
    assert CodeAct(model=ScriptedModel([f"ANSWER: {answer}"])).completion("text", OFFICIAL).answer == answer


async def paid(*cells: str, sub: Any = lambda messages: "r", **options: Any) -> tuple[Completion, int]:
    result, _, model = await play(*map(repl, cells), "FINAL(1)", sub=sub, **options)
    return result, len(model.requests)


BATCH = "replies = {call}llm_query_batched([f'prompt {{n}}' for n in range(20)])\n{after}"


@pytest.mark.parametrize(
    "first",
    [
        BATCH.format(call="await ", after=""),
        BATCH.format(call="", after="1 / 0"),
        BATCH.format(call="", after="raise SystemExit"),
    ],
)
async def test_equal_prompts_of_a_failed_cell_are_paid_once(first: str) -> None:
    result, requests = await paid(first, BATCH.format(call="", after="assert replies == ['r'] * 20"))
    assert (requests, result.usage.sub_calls) == (20, 20)
    assert [cell["status"] for cell in result.trajectory.of_kind("cell")] == ["error", "ok"]


async def test_equal_prompts_after_a_cell_that_worked_are_new_questions() -> None:
    _, requests = await paid("a = llm_query('x')", "b = llm_query('x')")
    assert requests == 2


async def test_a_kept_reply_answers_one_request() -> None:
    _, requests = await paid("llm_query('x')\n1 / 0", "a = [llm_query('x'), llm_query('x')]", "llm_query('x')")
    assert requests == 3


async def test_a_failed_batch_can_be_repeated_within_its_cell() -> None:
    asked = []

    def sub(messages: Any) -> Any:
        prompt = messages[0]["content"]
        asked.append(prompt)
        return Reply("", "content_filter") if prompt == "1" and asked.count("1") == 1 else "r"

    code = (
        "prompts = ['0', '1', '2']\n"
        "try:\n    llm_query_batched(prompts)\n"
        "except SubCallError as error:\n    print(error)\n"
        "print(llm_query_batched(prompts))"
    )
    result, requests = await paid(code, sub=sub)
    output = result.trajectory.of_kind("cell")[0]["stdout"]
    assert requests == 4 and "1 of 3 calls failed (index 1" in output and "['r', 'r', 'r']" in output


async def test_a_batch_can_give_exceptions_in_place_of_failed_replies() -> None:
    code = (
        "replies = llm_query_batched(['0', '1'], return_exceptions=True)\n"
        "print(replies[0], isinstance(replies[1], SubCallError), 'filtered' in str(replies[1]))"
    )
    result, _ = await paid(code, sub=lambda m: Reply("", "content_filter") if m[0]["content"] == "1" else "r")
    assert result.trajectory.of_kind("cell")[0]["stdout"].strip() == "r True True"


async def test_a_failed_cell_pays_for_its_children_once() -> None:
    def sub(messages: Any) -> str:
        return "FINAL(child)"

    code = "x = rlm_query_batched(['a', 'b'], 'which?')\n"
    _, requests = await paid(f"{code}1 / 0", code, sub=sub, max_depth=2)
    assert requests == 2


async def test_a_filtered_sub_call_raises_in_its_cell() -> None:
    result, _ = await paid("x = llm_query('x')", sub=lambda messages: Reply("", "content_filter"))
    (cell,) = result.trajectory.of_kind("cell")
    assert cell["status"] == "error" and "SubCallError" in cell["error"]


def test_a_piece_that_the_compactor_refuses_is_flagged() -> None:
    compactor = ScriptedModel(lambda messages: Reply("", "content_filter"), context_window=1000)
    root = ScriptedModel(lambda messages: "42", context_window=1000)
    result = Compaction(model=root, sub_model=compactor).completion("word " * 2000, "?")
    assert (result.answer, result.truncated) == ("42", True)
    assert result.trajectory.of_kind("truncation")[0]["what"] == "piece"
