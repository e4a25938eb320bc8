"""The RLM's loop, with scripted roots that behave like real ones, and a real session."""

import threading
from typing import Any

import pytest

from rlm.completion import Completion, StopReason
from rlm.limits import Limits
from rlm.methods.rlm import loop
from rlm.methods.rlm.method import RLM
from rlm.methods.session import MAX_CELLS
from rlm.models.chat import FatalModelError, Reply
from rlm.models.scripted import ScriptedModel
from rlm.prompt import Prompt

CONTEXT = "The magic number is 4711. " * 40


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


async def play(*replies: Any, context: Any = CONTEXT, query: str = "Which number?", **options: Any) -> Any:
    """Run an RLM whose root says `replies`; the completion and the root."""
    root = ScriptedModel(replies)
    options.setdefault("sub_model", ScriptedModel(lambda messages: f"sub:{messages[-1]['content'][:20]}"))
    result = await RLM(model=root, **options).acompletion(context, query)
    return result, root


def shown(root: ScriptedModel, turn: int) -> str:
    """The last message that the root saw before its reply number `turn`."""
    return root.requests[turn - 1][-1]["content"]


def summary(result: Completion) -> dict[str, Any]:
    return result.trajectory.of_kind("summary")[-1]


ANSWERS = {
    "text": ([repl("print(context[:25])"), "FINAL(4711)"], "4711"),
    "variable": ([repl("x = context[20:24]"), "FINAL_VAR(x)"], "4711"),
    "variable that is no string": ([repl("x = [1, 2]"), "FINAL_VAR(x)"], "[1, 2]"),
    "quoted variable": ([repl("x = 5"), 'FINAL_VAR("x")'], "5"),
    "text in FINAL_VAR": (['FINAL_VAR("no name at all")'], "no name at all"),
    "a word that is a variable": ([repl("random_number = 7"), "FINAL(random_number)"], "7"),
    "a word that is none": (["FINAL(Paris)"], "Paris"),
    "FINAL in code": ([repl("FINAL(6 * 7)")], "42"),
    "FINAL_VAR in code": ([repl("x = 8\nFINAL_VAR('x')")], "8"),
    "FINAL_VAR of a value": ([repl("x = [8]\nFINAL_VAR(x)")], "[8]"),
    "FINAL_VAR of one word": ([repl("x = 'Paris'\nFINAL_VAR(x)")], "Paris"),
    "FINAL_VAR of a text": ([repl("FINAL_VAR('It is Paris.')")], "It is Paris."),
    "code, then its variable": ([repl("x = 9") + "\nFINAL_VAR(x)"], "9"),
    "code, then its variable as a word": ([repl("total = 9") + "\nFINAL(total)"], "9"),
    "the context itself": (["FINAL_VAR(context)"], CONTEXT),
    "nested parentheses and lines": (["FINAL(a (b)\n(c))"], "a (b)\n(c)"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_is_the_value_that_the_root_names(case: str) -> None:
    replies, answer = ANSWERS[case]
    result, _ = await play(*replies)
    assert (result.answer, result.stop_reason, result.truncated) == (answer, StopReason.ANSWER, False)
    assert result.usage.turns == len(replies)


async def test_the_root_is_shown_output_errors_and_values_and_keeps_its_variables() -> None:
    result, root = await play(
        repl("n = len(context)\nprint(n)\nn + 1"), repl("n / 0"), repl("y = n"), repl("print("), "FINAL_VAR(n)"
    )
    assert result.answer == str(len(CONTEXT))
    assert shown(root, 2) == f"REPL output:\n{len(CONTEXT)}\n{len(CONTEXT) + 1}"
    assert "ZeroDivisionError" in shown(root, 3)
    assert "(no output) Variables: " in shown(root, 4) and "y (int)" in shown(root, 4)
    assert "SyntaxError" in shown(root, 5)
    assert (result.usage.cells, result.usage.syntax_errors, result.usage.root_calls) == (4, 1, 5)


async def test_blocks_run_in_order_and_stop_at_the_first_that_raises() -> None:
    reply = "\n".join([repl("print('one')"), repl("x = 1 / 0"), repl("print('three')"), repl("print('four')")])
    result, root = await play(reply, "FINAL(done)")
    assert result.usage.cells == 2
    assert "(1):\none" in shown(root, 2) and "(2):\nTraceback" in shown(root, 2)
    assert "three" not in shown(root, 2) and "2 further blocks were not run" in shown(root, 2)


async def test_an_answer_invented_beside_its_code_is_not_taken() -> None:
    result, root = await play(repl("print(context[20:24])") + "\nFINAL(1234)", "FINAL(4711)")
    assert result.answer == "4711"
    assert "4711" in shown(root, 2) and "was not taken" in shown(root, 2)


async def test_an_answer_beside_code_is_taken_when_it_is_given_again() -> None:
    reply = repl("print(context[20:24])") + "\nFINAL(4711)"
    result, _ = await play(reply, reply)
    assert (result.answer, result.usage.turns) == ("4711", 2)
    result, _ = await play(reply, repl("print(1)") + "\nFINAL(12)", "FINAL(13)")
    assert result.answer == "13"


async def test_a_killed_session_is_reported_and_its_ready_answer_forgotten() -> None:
    result, root = await play(
        repl("final_answer = 1"), repl("import os\nos._exit(3)"), "FINAL_VAR(final_answer)", "FINAL(2)"
    )
    assert result.answer == "2"
    assert "variables are gone" in shown(root, 3) and "no variable `final_answer`" in shown(root, 4)
    assert summary(result)["answer_ready_turn"] is None


async def test_an_answer_beside_code_that_fails_is_not_taken() -> None:
    result, root = await play(repl("x = 1\ny = 1 / 0") + "\nFINAL_VAR(x)", "FINAL(2)")
    assert result.answer == "2"
    assert "ZeroDivisionError" in shown(root, 2) and "its code failed" in shown(root, 2)


async def test_an_unknown_variable_is_an_error_that_names_those_there_are() -> None:
    result, root = await play(repl("total = 3"), "FINAL_VAR(totl)", "FINAL_VAR(total)")
    assert result.answer == "3"
    assert "`totl`" in shown(root, 3) and "total" in shown(root, 3).replace("`totl`", "")


async def test_a_word_that_looks_like_a_variable_is_asked_about_once() -> None:
    result, root = await play("FINAL(final_answer)", "FINAL(final_answer)")
    assert result.answer == "final_answer"
    assert "no variable `final_answer`" in shown(root, 2)


@pytest.mark.parametrize(
    "plan", ["I will first look at the context.", "First, let me search for it.", '"We’ll split it (in two)"']
)
async def test_a_plan_is_asked_about_once_and_taken_when_given_again(plan: str) -> None:
    result, root = await play(f"FINAL({plan})", repl("x = 3"), "FINAL_VAR(x)")
    assert result.answer == "3"
    assert "reads like a plan" in shown(root, 2)
    result, _ = await play(f"FINAL({plan})", f"FINAL({plan})")
    assert result.answer == plan.strip('"')
    result, _ = await play(repl("x = 1"), f"FINAL({plan})", limits=Limits(max_turns=1))
    assert (result.answer, result.stop_reason) == (plan.strip('"'), StopReason.MAX_TURNS)


@pytest.mark.parametrize("reply", ["FINAL_VAR(x)", "FINAL(x)", repl("FINAL(x)"), repl("FINAL_VAR('x')")])
async def test_an_empty_answer_does_not_count(reply: str) -> None:
    result, root = await play(repl("x = ' '"), reply, "FINAL(3)")
    assert result.answer == "3"
    assert "empty" in shown(root, 3)


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("I will first look at the context.", "no code to run"),
        ("", "empty"),
        (Reply("", "length", reasoning="hm"), "cut off"),
        (Reply("Now I think that", "length"), "cut off"),
        (Reply("FINAL(the first half", "length"), "inside its final answer"),
        (Reply("FINAL_VAR(contex", "length"), "inside its final answer"),
        ("FINAL(answer)", "no variable `answer`"),
        (Reply(repl("x = 1") + "\n```repl\nx = 2", "length"), "was lost"),
        ("I'm sorry, I can't help with that.", "declined"),
        (Reply("", "content_filter"), "declined"),
        ("```json\n{}\n```", "not Python"),
        ("FINAL_VAR(a)\nFINAL_VAR(b)", "exactly one"),
        ("FINAL()", "empty"),
        ("FINAL(your final answer here)", "placeholder"),
        ("FINAL_VAR(a[0])", "name of one variable"),
    ],
)
async def test_a_reply_without_a_step_gets_a_reminder(reply: Any, word: str) -> None:
    result, root = await play(reply, "FINAL(1)")
    assert (result.answer, result.usage.turns) == ("1", 2)
    assert word in shown(root, 2)
    (notice,) = result.trajectory.of_kind("notice")
    assert notice["text"] in shown(root, 2)
    roles = [message["role"] for message in root.requests[-1]]
    assert roles == ["system", "user", "assistant", "user"]
    assert all(message["content"] for message in root.requests[-1])


async def test_only_complete_cells_of_a_cut_reply_run() -> None:
    cut = Reply("\n".join([repl("print('same')")] * 5) + "\n```repl\nprint('lost", "length")
    result, root = await play(cut, "FINAL(1)")
    assert result.usage.cells == 5
    assert shown(root, 2).count("same") == 5 and "lost" not in shown(root, 2).replace("was lost", "")


async def test_an_answer_from_a_cut_reply_is_flagged() -> None:
    result, _ = await play(Reply("FINAL(42)\n\nBut let me", "length"))
    assert (result.answer, result.truncated) == ("42", True)
    result, _ = await play("It is clear.\n\nFINAL(one, two")
    assert (result.answer, result.truncated) == ("one, two", True)


async def test_invented_output_is_not_kept_in_the_conversation() -> None:
    made_up = repl("print(1)") + "\n<|im_start|>user\nREPL output:\n99"
    _, root = await play("hm</think>" + made_up, "FINAL(1)")
    assert root.requests[-1][2]["content"] == repl("print(1)")


async def test_the_same_script_gives_the_same_trajectory() -> None:
    script = [repl("print(llm_query_batched(['a', 'b', 'c']))"), "Now?", repl("1/0") + "FINAL(2)", "FINAL(1)"]
    first, _ = await play(*script)
    second, _ = await play(*script)
    timeless = [
        [{k: v for k, v in event.items() if k not in ("at", "wall_s", "latency_s")} for event in run.trajectory.events]
        for run in (first, second)
    ]
    assert timeless[0] == timeless[1]
    assert [call.prompt_sha256 for call in first.calls] == [call.prompt_sha256 for call in second.calls]


async def test_turns_cells_and_calls_stand_in_the_trajectory() -> None:
    result, _ = await play(
        repl("print(context[:9])"), repl("parts = context.split('. ')"), repl("final_answer = llm_query(parts[0])"),
        repl("print(1)"), repl("print(2)"), "FINAL(other)",
    )  # fmt: skip
    events = result.trajectory.events
    turns = [event for event in events if event["kind"] == "turn"]
    assert [turn["turn"] for turn in turns] == [1, 2, 3, 4, 5, 6]
    cell = result.trajectory.of_kind("cell")[2]
    assert (cell["parent"], cell["status"], cell["variables"]["final_answer"]) == (turns[2]["id"], "ok", "str[24]")
    sub = next(event for event in events if event["kind"] == "call" and event["role"] == "sub")
    assert (sub["parent"], sub["depth"]) == (turns[2]["id"], 1)
    call = next(call for call in result.calls if call.role == "sub")
    assert (call.parent_id, result.calls[call.parent_id].role) == (2, "root")
    found = summary(result)
    assert (found["decomposition"], found["answer_from"], found["turns"]) == ("structure", "text", 6)
    assert (found["answer_ready_turn"], found["answer_ready_before_end"], found["contradicts_variable"]) == (
        3,
        True,
        True,
    )
    assert found["calls_by_depth"] == {"0": 6, "1": 1}


async def test_a_history_is_written_to_the_trajectory_once() -> None:
    result, root = await play(*[repl(f"print({n})") for n in range(9)], "FINAL(1)")
    calls = result.trajectory.of_kind("call")
    assert [len(call["messages"]) for call in calls] == [2] + [2] * 9
    written = [message for call in calls for message in call["messages"]]
    assert written == root.requests[-1]


CONTEXTS = {
    "text": ("some text", "q", "str 9"),
    "documents": (["one", "two"], "q", "list 2"),
    "documents without a query": (["one", "Do it."], "", "list 2"),
    "no documents": (Prompt(()), "q", "list 0"),
    "empty text": ("", "q", "str 0"),
    "conversation": ([{"role": "user", "content": "Hi"}, {"role": "user", "content": "And?"}], None, "str 8"),
}


@pytest.mark.parametrize("case", CONTEXTS)
async def test_the_context_is_a_variable_of_the_same_type(case: str) -> None:
    context, query, output = CONTEXTS[case]
    _, root = await play(repl("print(type(context).__name__, len(context))"), "FINAL(1)", context=context, query=query)
    assert output in shown(root, 2)
    assert ("And?" in shown(root, 1)) == (case == "conversation")


@pytest.mark.parametrize("many", [["w" * 50] * 20_000, ["w" * 5] * 20])
async def test_the_first_message_has_the_sizes_and_never_the_context(many: list[str]) -> None:
    _, root = await play("FINAL(1)", context=many)
    assert len(shown(root, 1)) < 600
    assert f"{len(many)} strings with {sum(map(len, many))} characters" in shown(root, 1)
    assert "www" not in shown(root, 1)
    _, root = await play("FINAL(1)", context="x" * 10**6, prefix_chars=10)
    assert "xxxxxxxxxx\n" in shown(root, 1) and "x" * 11 not in shown(root, 1)


async def test_without_a_query_the_ends_of_the_context_are_shown_and_all_of_a_short_one() -> None:
    _, root = await play("FINAL(1)", context="Add 1 and 2.", query="")
    assert "Add 1 and 2." in shown(root, 1) and "stands in `context`" in shown(root, 1)
    long = "Sort these: " + "x " * 5000 + "End with the longest."
    _, root = await play("FINAL(1)", context=long, query="")
    assert "Sort these" in shown(root, 1) and "End with the longest." in shown(root, 1)
    assert len(shown(root, 1)) < 2000


async def test_a_conversation_that_no_longer_fits_ends_in_a_last_call() -> None:
    def reply(messages: Any) -> str:
        return "FINAL_VAR(x)" if "last turn" in messages[-1]["content"] else repl("x = 4711\nprint('w ' * 900)")

    root = ScriptedModel(reply, context_window=2000)
    result = await RLM(model=root).acompletion(CONTEXT, "Which number?")
    assert (result.answer, result.stop_reason) == ("4711", StopReason.CONTEXT_OVERFLOW)


async def test_a_small_window_is_shown_less_output() -> None:
    root = ScriptedModel([repl("print('y' * 5000)"), "FINAL(1)"], context_window=4000)
    await RLM(model=root).acompletion(CONTEXT, "?")
    assert shown(root, 2).count("y") <= 2000


async def test_a_fatal_failure_of_a_model_ends_the_run() -> None:
    with pytest.raises(FatalModelError, match="no quota"):
        await play(repl("try:\n    llm_query('x')\nexcept Exception:\n    pass"), "FINAL(1)",
                   sub_model=ScriptedModel([FatalModelError("no quota")]))  # fmt: skip


async def test_prompt_of_another_form_is_answered_too() -> None:
    result = await RLM(model=ScriptedModel(["FINAL(1)"])).acompletion(Prompt("c", "q"))
    assert result.answer == "1"


class TestAnswerVariable:
    """The protocol of today's reference library."""

    READY = 'answer["content"] = "4711"\nanswer["ready"] = True'

    async def play(self, *replies: Any, **options: Any) -> Any:
        return await play(*replies, protocol="answer_variable", **options)

    async def test_the_content_is_the_answer_once_it_is_ready(self) -> None:
        result, root = await self.play(repl('answer["content"] = "draft"'), repl(self.READY))
        assert (result.answer, result.stop_reason, summary(result)["answer_from"]) == ("4711", "answer", "cell")
        assert 'answer["ready"]' in root.requests[0][0]["content"]
        assert "FINAL" not in root.requests[0][0]["content"]

    async def test_it_is_not_ready_if_the_code_raises(self) -> None:
        result, root = await self.play(repl(self.READY + "\n1 / 0"), repl(self.READY))
        assert (result.answer, result.usage.turns) == ("4711", 2)
        assert "ZeroDivisionError" in shown(root, 2)
        result, _ = await self.play(repl(self.READY + "\n1 / 0"), repl("print(1)"), repl(self.READY))
        assert result.usage.turns == 3

    async def test_prose_and_tags_never_count(self) -> None:
        result, root = await self.play(
            repl('answer["content"] = "4711"'), "The answer is 1.", "FINAL(2)", repl('answer["ready"] = True')
        )
        assert result.answer == "4711"
        assert "no code to run" in shown(root, 3) and "no code to run" in shown(root, 4)

    async def test_an_empty_content_is_no_answer(self) -> None:
        result, root = await self.play(repl('answer["ready"] = True'), repl(self.READY))
        assert result.answer == "4711"
        assert "empty" in shown(root, 2)

    @pytest.mark.parametrize("made", ["answer = str(4711)", "answer = 4711", "del answer", "answer = None\n1 / 0"])
    async def test_code_that_puts_something_else_in_its_place_does_not_lose_it(self, made: str) -> None:
        result, _ = await self.play(repl(made), repl(self.READY))
        assert (result.answer, result.usage.turns) == ("4711", 2)
        result, _ = await self.play(repl(made), "Done.", limits=Limits(max_turns=1))
        assert (result.answer, result.untagged) == (("4711", False) if "4711" in made else ("Done.", True))

    @pytest.mark.parametrize("last", ["The answer is 1.", "", repl("print(1)"), repl("1 / 0")])
    async def test_at_a_limit_the_content_counts_though_it_is_not_ready(self, last: str) -> None:
        first = repl('answer["content"] = "4711"')
        result, _ = await self.play(first, last, limits=Limits(max_turns=1))
        assert (result.answer, result.stop_reason) == ("4711", StopReason.MAX_TURNS)
        result, _ = await self.play(repl("x = 1"), last, limits=Limits(max_turns=1))
        prose = last if last.startswith("The") else None
        assert (result.answer, result.stop_reason) == (prose, StopReason.MAX_TURNS)

    async def test_the_last_reply_can_set_it(self) -> None:
        result, root = await self.play(repl("x = 1"), repl(self.READY), limits=Limits(max_turns=1))
        assert (result.answer, result.stop_reason) == ("4711", StopReason.MAX_TURNS)
        assert 'answer["content"]' in shown(root, 2)


@pytest.mark.parametrize("text", ["str(total)", "names[0]", "', '.join(names)", "len(names)"])
async def test_an_expression_over_variables_is_asked_about_once(text: str) -> None:
    made = repl("total = 3\nnames = ['a', 'b']")
    result, root = await play(made, f"FINAL({text})", "FINAL_VAR(total)")
    assert result.answer == "3"
    assert "not filled in" in shown(root, 3)
    result, _ = await play(made, f"FINAL({text})", f"FINAL({text})")
    assert result.answer == text


async def test_a_call_of_names_that_the_session_has_not_is_a_text() -> None:
    result, _ = await play("FINAL(os.path.join(base, name))")
    assert result.answer == "os.path.join(base, name)"


@pytest.mark.parametrize("reply", ["FINAL_VAR(x)", "FINAL(x)", repl("FINAL(x)"), repl("FINAL_VAR(x)")])
async def test_a_variable_that_is_none_is_no_answer(reply: str) -> None:
    result, root = await play(repl("import re\nx = re.search('zzz', context)"), reply, "FINAL(4711)")
    assert result.answer == "4711"
    assert "empty" in shown(root, 3)


@pytest.mark.parametrize("word", ["search", "json"])
async def test_a_word_that_only_names_a_function_or_a_module_is_the_word(word: str) -> None:
    result, _ = await play(repl("import json\ndef search(text): pass"), f"FINAL({word})")
    assert result.answer == word


@pytest.mark.parametrize(
    "made", ["def x(): pass", "import json as x", "x = (i for i in 'ab')", "x = int", "x = ''.join"]
)
async def test_an_object_without_a_text_is_no_answer(made: str) -> None:
    result, root = await play(repl(made), "FINAL_VAR(x)", "FINAL(4711)")
    assert result.answer == "4711"
    assert "could not be read as text: its value is <" in shown(root, 3)


async def test_of_a_reply_with_very_many_cells_the_first_are_run() -> None:
    result, root = await play((repl("print(1)") + "\n") * 130, "FINAL(x)")
    assert len(result.trajectory.of_kind("cell")) == MAX_CELLS
    assert f"{130 - MAX_CELLS} further blocks were not run" in shown(root, 2)


async def test_a_long_reply_and_a_long_cell_are_parsed_in_a_thread(monkeypatch) -> None:
    parsers = []

    def recorded(work):
        def call(*args, **kwargs):
            parsers.append((work.__name__, threading.current_thread() is threading.main_thread()))
            return work(*args, **kwargs)

        return call

    monkeypatch.setattr(loop, "read_root_reply", recorded(loop.read_root_reply))
    monkeypatch.setattr(loop.Strategy, "ran", recorded(loop.Strategy.ran))
    await play(repl("x = 1\n" * 5000), repl("y = 2"), "FINAL(done)")
    read, ran = "read_root_reply", "ran"
    assert parsers == [(read, False), (ran, False), (read, True), (ran, True), (read, True)]
