import pytest

from rlm.completion import StopReason
from rlm.limits import Limits
from rlm.methods.codeact.loop import CodeAct
from rlm.methods.codeact.reply import read_turn
from rlm.models.chat import ModelError, Reply
from rlm.models.scripted import ScriptedModel
from rlm.prompt import Prompt

DOCUMENTS = ["The cat sat on the mat.", "A dog barked at the moon.", "Nothing happened on Tuesday."]


def codeact(root, sub=("sub reply",), actions=("python", "search"), **options) -> CodeAct:
    sub_model = ScriptedModel(sub if callable(sub) else list(sub), "sub")
    return CodeAct(model=ScriptedModel(root, "root"), sub_model=sub_model, actions=actions, **options)


def shown(method: CodeAct, turn: int) -> str:
    """The last message that the root was shown in that turn."""
    return method.model.requests[turn][-1]["content"]


async def test_the_complete_prompt_follows_the_instructions() -> None:
    method = codeact(["ANSWER: the cat"])
    layout = ({"role": "system", "content": "Read: {context}"}, {"role": "user", "content": "{query}"})
    result = await method.acompletion(Prompt("\n".join(DOCUMENTS), "Who sat?", layout))
    system, user = method.model.requests[0]
    assert system["role"] == "system" and system["content"].endswith("Read: " + "\n".join(DOCUMENTS))
    assert "THINK:" in system["content"] and user == {"role": "user", "content": "Who sat?"}
    assert (result.answer, result.stop_reason, result.usage.turns) == ("the cat", StopReason.ANSWER, 1)


async def test_variables_of_the_session_persist_and_the_context_is_not_in_it() -> None:
    method = codeact(
        ["```python\nx = 20\nprint('context' in globals())\n```", "```python\nx + 1\n```", "ANSWER: 21"],
        actions=["python"],
    )
    result = await method.acompletion("Some text.", "?")
    assert shown(method, 1) == "OBSERVATION:\nFalse" and shown(method, 2) == "OBSERVATION:\n21"
    assert (result.answer, result.usage.cells) == ("21", 2)


async def test_a_lost_session_is_replaced_and_the_model_gets_a_notice() -> None:
    kill = "```python\nimport os\nx = 1\nos.kill(os.getpid(), 9)\n```"
    look = "```python\nprint('x' in globals(), 'context' in globals())\n```"
    method = codeact([kill, look, "ANSWER: ok"], actions=["python"])
    result = await method.acompletion("Some text.", "?")
    assert "a new one begun" in shown(method, 1) and "`context`" not in shown(method, 1)
    assert shown(method, 2) == "OBSERVATION:\nFalse False" and result.answer == "ok"


async def test_sub_calls_from_code_are_charged_and_recorded_under_their_turn() -> None:
    method = codeact(
        ["```python\nprint(llm_query('one'), llm_query_batched(['two', 'three']))\n```", "ANSWER: ok"],
        sub=lambda messages: messages[0]["content"].upper(),
        actions=["python", "llm_query"],
    )
    result = await method.acompletion("Some text.", "?")
    assert shown(method, 1) == "OBSERVATION:\nONE ['TWO', 'THREE']"
    assert (result.usage.root_calls, result.usage.sub_calls, result.usage.max_depth_reached) == (2, 3, 1)
    turn = result.trajectory.of_kind("turn")[0]["id"]
    assert [event["parent"] for event in result.trajectory.of_kind("call")[:4]] == [turn] * 4
    assert [call.parent_id for call in result.calls if call.role == "sub"] == [result.calls[0].call_id] * 3


async def test_without_the_action_there_are_no_sub_calls() -> None:
    method = codeact(["```python\nllm_query('x')\n```", "ANSWER: ok"], actions=["python"])
    await method.acompletion("Some text.", "?")
    assert "NameError" in shown(method, 1) and "llm_query" not in method.model.requests[0][0]["content"]


async def test_search_shows_the_best_documents() -> None:
    method = codeact(["THINK: look\nSEARCH(barking dogs moon)", "ANSWER: the dog"], search_k=1)
    result = await method.acompletion(DOCUMENTS, "Who barked?")
    assert "[document 2, characters 0 to " in shown(method, 1) and DOCUMENTS[1] in shown(method, 1)
    assert DOCUMENTS[0] not in shown(method, 1)
    assert result.trajectory.of_kind("search")[0]["found"] == [1]


async def test_of_a_long_document_the_passage_that_fits_is_shown() -> None:
    method = codeact(["SEARCH(barking dog)", "ANSWER: ok"], limits=Limits(max_output_chars=1000), search_k=1)
    await method.acompletion(["cat. " * 2000 + "The barking dog. " + "cat. " * 2000, "cow"], "?")
    assert len(shown(method, 1)) < 1200 and "The barking dog." in shown(method, 1)


async def test_documents_that_can_be_searched_are_not_in_the_models_context() -> None:
    method = codeact(["SEARCH(dog)", "ANSWER: ok"])
    await method.acompletion([*DOCUMENTS, "unrelated " * 1000], "Who barked?")
    first = "".join(message["content"] for message in method.model.requests[0])
    assert "Who barked?" in first and "4 documents" in first
    assert not any(document in first for document in DOCUMENTS)


async def test_search_is_offered_only_with_documents() -> None:
    method = codeact(["SEARCH(dog)", "ANSWER: ok"])
    await method.acompletion("\n".join(DOCUMENTS), "?")
    assert "SEARCH(" not in method.model.requests[0][0]["content"]
    assert "no documents" in shown(method, 1)


async def test_react_has_no_python() -> None:
    method = codeact(["```python\nprint(1)\n```", "SEARCH(dog)", "ANSWER: dog"], actions=["search"])
    result = await method.acompletion(DOCUMENTS, "?")
    assert "```python" not in method.model.requests[0][0]["content"]
    assert "There is no Python here." in shown(method, 1)
    assert (result.answer, result.usage.cells) == ("dog", 0)


async def test_an_answer_beside_code_is_ignored_with_a_note() -> None:
    method = codeact(["```python\nprint(7 * 6)\n```\nOBSERVATION:\n41\n\nANSWER: 41", "ANSWER: 42"])
    result = await method.acompletion("Some text.", "?")
    assert result.answer == "42" and "42" in shown(method, 1)
    assert "41" not in str(method.model.requests[1])


async def test_an_answer_in_the_same_turn_as_code_is_ignored() -> None:
    method = codeact(["```python\nprint(7 * 6)\n```\nANSWER: 41", "ANSWER: 42"])
    result = await method.acompletion("Some text.", "?")
    assert result.answer == "42" and "ignored" in shown(method, 1)


async def test_several_cells_run_in_order_up_to_the_first_that_fails() -> None:
    cells = "```python\nprint('a')\n```\n```python\nprint(1 / 0)\n```\n```python\nprint('c')\n```"
    method = codeact([cells, "ANSWER: ok"])
    result = await method.acompletion("Some text.", "?")
    assert shown(method, 1).startswith("OBSERVATION:\na\n") and "ZeroDivisionError" in shown(method, 1)
    assert result.usage.cells == 2


async def test_a_syntax_error_is_shown_and_counted() -> None:
    method = codeact(["```python\nfor x in:\n```", "ANSWER: ok"])
    result = await method.acompletion("Some text.", "?")
    assert "SyntaxError" in shown(method, 1) and result.usage.syntax_errors == 1


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("First I will read it all.", "There was no action"),
        ("", "There was no action"),
        ("ANSWER: 1\nANSWER: 2", "Give one"),
        ("ANSWER:", "followed by nothing"),
        (Reply("ANSWER: a long and unfinish", "length"), "cut off"),
        (Reply("```python\nprint('unfin", "length"), "cut off"),
    ],
)
async def test_a_reply_without_an_action_gets_a_reminder(reply: str | Reply, told: str) -> None:
    method = codeact([reply, "ANSWER: ok"])
    result = await method.acompletion(DOCUMENTS, "?")
    assert told in shown(method, 1) and result.answer == "ok"
    assert all(message["content"] for message in method.model.requests[1])


async def test_replies_with_only_a_plan_end_in_a_last_call() -> None:
    method = codeact(lambda messages: "I will first read it.", limits=Limits(max_consecutive_errors=3))
    result = await method.acompletion(DOCUMENTS, "?")
    assert (result.stop_reason, result.usage.turns) == (StopReason.MAX_CONSECUTIVE_ERRORS, 3)
    assert len(result.calls) == 4 and result.answer == "I will first read it."


async def test_the_last_call_that_gives_only_code_is_no_answer() -> None:
    method = codeact(lambda messages: "```python\nx = 1\n```", limits=Limits(max_turns=2))
    result = await method.acompletion(DOCUMENTS, "?")
    assert (result.answer, result.stop_reason, len(result.calls)) == (None, StopReason.MAX_TURNS, 3)


async def test_a_repeated_cell_gets_a_note_once_and_then_ends_the_loop() -> None:
    method = codeact(lambda messages: "```python\nprint(1)\n```")
    result = await method.acompletion(DOCUMENTS, "?")
    assert result.stop_reason == StopReason.REPEATED_CELLS
    assert sum("same code" in request[-1]["content"] for request in method.model.requests) == 1


async def test_a_refusal_by_the_provider_ends_it() -> None:
    result = await codeact([Reply("no", "content_filter")]).acompletion(DOCUMENTS, "?")
    assert (result.answer, result.stop_reason) == (None, StopReason.REFUSAL)


async def test_a_prompt_that_does_not_fit_is_an_overflow() -> None:
    method = CodeAct(model=ScriptedModel(["ANSWER: ok"], context_window=500))
    assert (await method.acompletion("word " * 1000, "?")).stop_reason == StopReason.CONTEXT_OVERFLOW


async def test_a_failing_endpoint_is_an_error() -> None:
    assert (await codeact([ModelError("down")]).acompletion(DOCUMENTS, "?")).stop_reason == StopReason.ERROR


async def test_a_budget_met_in_code_stops_the_tree_and_leaves_one_last_call() -> None:
    loop = "```python\nfor i in range(1000):\n    try: llm_query('x' + str(i))\n    except Exception: pass\n```"
    method = CodeAct(
        model=ScriptedModel(lambda m: "ANSWER: best guess" if "last turn" in m[-1]["content"] else loop),
        sub_model=ScriptedModel(lambda m: Reply("ok", cost=_cents(0.04))),
        actions=["python", "llm_query"],
    )
    result = await method.acompletion("Some text.", "?", limits=Limits(max_cost_usd=0.01))
    assert (result.answer, result.stop_reason) == ("best guess", StopReason.MAX_COST)
    assert 0.0095 <= result.usage.cost.usd <= 0.01


async def test_history_comes_as_messages() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    method = codeact(["ANSWER: ok"])
    await method.acompletion([*turns, {"role": "user", "content": "Who?"}])
    assert [message["role"] for message in method.model.requests[0]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"actions": ["dance"]}, "dance"),
        ({"actions": ["llm_query"]}, "expected python too"),
        ({"search_k": 0}, "search_k"),
        ({"repl": {"cell_ms": 1}}, "repl.cell_ms"),
        ({"prompt": "nowhere"}, "nowhere"),
    ],
)
def test_wrong_settings_are_refused_at_once(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        codeact([], **options)


def _cents(cents: float):
    from rlm.models.chat import Cost, CostState

    return Cost(cents / 100, cents / 100, CostState.KNOWN)


async def test_the_question_is_repeated_after_each_observation_if_asked_for() -> None:
    replies = ["```python\nprint(1)\n```", "I wonder.", "ANSWER: 1"]
    method = codeact(replies, actions=["python"], repeat_query=True)
    await method.acompletion("Some text.", "How many?")
    again = "The question again:\nHow many?\n\nTake the next action, or answer."
    assert shown(method, 1) == f"OBSERVATION:\n1\n\n{again}" and "How many?" not in shown(method, 2)
    method = codeact(replies, actions=["python"])
    await method.acompletion("Some text.", "How many?")
    assert shown(method, 1) == "OBSERVATION:\n1"


@pytest.mark.parametrize("actions", [("python",), ("search",), ("python", "llm_query"), ("python", "search")])
async def test_the_worked_examples_of_the_small_coder_prompt_fit_the_actions(actions: tuple[str, ...]) -> None:
    method = codeact(["ANSWER: the cat"], actions=actions, prompt="codeact/small_coder-v1", repeat_query=True)
    await method.acompletion(Prompt(tuple(DOCUMENTS), "Who sat?"))
    system, *examples, user = method.model.requests[0]
    text = "\n".join(message["content"] for message in examples)
    assert "Who sat?" in user["content"] and [m["role"] for m in examples[:2]] == ["user", "assistant"]
    assert ("```python" in text) == ("```python" in system["content"]) == ("python" in actions)
    assert ("SEARCH(" in text) == ("SEARCH(" in system["content"]) == ("search" in actions)
    for message in examples[1::2]:
        turn = read_turn(message["content"])
        assert turn.acts != bool(turn.answers)
