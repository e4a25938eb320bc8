"""The options with which the paper's authors ran their RLM: off by default, on by conf/paper/rlm.yaml."""

from typing import Any

import pytest

from benchmarks.config.compose import compose
from rlm.completion import StopReason
from rlm.limits import Limits
from rlm.methods.rlm.method import RLM
from rlm.models.scripted import ScriptedModel
from rlm.validation import SettingError, make

CODE = "```repl\nx = 1\nprint(context[:5])\n```"


async def play(*replies: str, context: Any = "some text", query: str = "How many?", **options: Any) -> Any:
    root = ScriptedModel(replies)
    result = await RLM(model=root, **options).acompletion(context, query)
    return result, [request[-1]["content"] for request in root.requests]


@pytest.mark.parametrize("final", ["FINAL(7)", "FINAL_VAR(context)"])
async def test_an_answer_before_any_code_is_refused_once(final: str) -> None:
    result, shown = await play(final, final, first_turn_guard=True)
    assert len(shown) == 2 and "no code has run yet" in shown[1]
    assert shown[0].endswith("Do not give a final answer in this reply.")
    assert result.answer == ("7" if final == "FINAL(7)" else "some text")
    result, shown = await play(final)
    assert len(shown) == 1 and "Do not give a final answer" not in shown[0]


async def test_an_answer_after_code_is_not_refused_by_the_guard() -> None:
    result, shown = await play(CODE, "FINAL(7)", first_turn_guard=True)
    assert result.answer == "7" and len(shown) == 2
    result, shown = await play("Let me think.", CODE, "FINAL(8)", first_turn_guard=True)
    assert result.answer == "8" and "no code has run yet" not in "".join(shown)


async def test_a_refused_answer_of_the_last_turn_can_be_repeated() -> None:
    result, _ = await play("FINAL(7)", "FINAL(7)", first_turn_guard=True, max_turns=1)
    assert (result.answer, result.stop_reason) == ("7", StopReason.MAX_TURNS)


async def test_the_question_is_repeated_after_each_output_but_not_after_the_request_for_the_last_reply() -> None:
    replies = [CODE, "I think.", "FINAL(7)"]
    _, shown = await play(*replies, repeat_query=True)
    assert [text.count("How many?") for text in shown] == [1, 1, 1]
    assert shown[1].startswith("REPL output:\nsome") and "The question again:\nHow many?" in shown[1]
    _, shown = await play(*replies)
    assert [text.count("How many?") for text in shown] == [1, 0, 0]
    _, shown = await play(CODE, "FINAL(7)", repeat_query=True, limits=Limits(max_turns=1))
    assert shown[1].count("How many?") == 1 and shown[1].partition("This was the last turn")[2]
    assert "How many?" not in shown[1].partition("This was the last turn")[2]
    _, shown = await play(CODE, "FINAL(7)", query="", repeat_query=True)
    assert "The question again" not in shown[1]


@pytest.mark.parametrize("final", ["FINAL(7)", "FINAL_VAR(context)", "```repl\nx = 1\n```\nFINAL(7)"])
async def test_an_answer_before_any_output_is_refused_as_often_as_it_comes(final: str) -> None:
    silent = "```repl\nx = 2\n```"
    result, shown = await play(final, silent, final, CODE, "FINAL(8)", output_before_answer=True)
    assert result.answer == "8" and len(shown) == 5
    assert [("no code has printed anything" in text) for text in shown] == [False, True, False, True, False]
    result, _ = await play(final, "FINAL(9)", output_before_answer=True, max_turns=1)
    assert (result.answer, result.stop_reason) == ("9", StopReason.MAX_TURNS)


async def test_a_cell_that_sets_the_answer_needs_no_output() -> None:
    code = '```repl\nanswer["content"] = "7"\nanswer["ready"] = True\n```'
    result, shown = await play(code, output_before_answer=True, protocol="answer_variable")
    assert result.answer == "7" and len(shown) == 1


async def test_a_literal_answer_beside_code_is_refused_once_or_taken() -> None:
    both = f"{CODE}\nFINAL(7)"
    result, shown = await play(both, "FINAL(8)")
    assert result.answer == "8" and "came before the output" in shown[1]
    result, shown = await play(both, final_beside_code="taken")
    assert result.answer == "7" and len(shown) == 1
    result, shown = await play("```repl\n1/0\n```\nFINAL(7)", final_beside_code="taken")
    assert result.answer == "7"
    result, shown = await play(f"{CODE}\nFINAL_VAR(y)", "FINAL_VAR(x)", final_beside_code="taken")
    assert result.answer == "1" and "no variable `y`" in shown[1]


async def test_long_outputs_keep_both_ends_or_the_head_alone() -> None:
    code = "```repl\nprint('a' * 3000 + 'z' * 3000)\n```"
    for cut, ends in (("head_tail", True), ("head", False)):
        _, shown = await play(code, "FINAL(1)", output_cut=cut, limits=Limits(max_output_chars=500))
        assert ("zzz" in shown[1]) == ends and "aaa" in shown[1] and "characters cut" in shown[1]
        assert 450 < len(shown[1].removeprefix("REPL output:\n")) <= 500
    _, shown = await play("```repl\nprint('a' * 3000)\n1/0\n```", "FINAL(1)", output_cut="head")
    assert "ZeroDivisionError" in shown[1]


async def test_the_first_message_states_the_lengths_of_that_many_documents() -> None:
    documents = ["x" * length for length in range(1, 151)]
    for count, last in ((12, 12), (100, 100), (0, 0), (200, 150)):
        _, shown = await play("FINAL(1)", context=documents, document_lengths=count)
        stated = shown[0].partition("Their lengths: ")[2].split("\n")[0]
        assert (f"{last}, and so on" in stated) == (0 < count < 150) and (f" {last + 1}," not in stated or last == 0)
        assert ("and so on" in stated) == (count < 150)


async def test_show_vars_lists_the_variables_and_is_described_to_the_root() -> None:
    code = "```repl\nprint(SHOW_VARS())\nrows = [1, 2]\ntotal = 3\nprint(SHOW_VARS())\nSHOW_VARS()\n```"
    root = ScriptedModel([code, "FINAL_VAR(total)"])
    result = await RLM(model=root, show_vars=True).acompletion("text", "?")
    assert "`SHOW_VARS()`: returns the names and types" in root.requests[0][0]["content"]
    assert (
        "no variables yet\nrows (list[2]), total (int)\n'rows (list[2]), total (int)'"
        in root.requests[1][-1]["content"]
    )
    assert result.answer == "3"
    root = ScriptedModel([code, "FINAL(1)"])
    await RLM(model=root).acompletion("text", "?")
    assert "SHOW_VARS" not in root.requests[0][0]["content"] and "NameError" in root.requests[1][-1]["content"]


@pytest.mark.parametrize(("own", "shared", "turns"), [(2, 5, 2), (5, 2, 2), (None, 2, 2), (2, None, 2), (0, 5, 0)])
async def test_the_smaller_limit_of_turns_holds(own: int | None, shared: int | None, turns: int) -> None:
    codes = [f"```repl\nprint({number})\n```" for number in range(9)]
    result, shown = await play(*codes[:turns], "FINAL(1)", max_turns=own, limits=Limits(max_turns=shared))
    assert len(shown) == turns + 1
    assert (result.answer, result.stop_reason) == ("1", StopReason.MAX_TURNS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"final_beside_code": "never"}, "final_beside_code is 'never': expected"),
        ({"output_cut": "tail"}, "output_cut is 'tail': expected"),
        ({"document_lengths": -1}, "document_lengths is -1: expected"),
        ({"first_turn_guard": "maybe"}, "first_turn_guard is 'maybe': expected"),
        ({"max_turns": -1}, "max_turns is -1: expected"),
    ],
)
def test_invalid_options_are_refused_with_their_key(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"method.rlm.{message}"):
        make(RLM, settings, "method.rlm", model=ScriptedModel([]))


async def test_a_prompt_file_may_have_its_own_words_for_an_option(tmp_path: Any) -> None:
    path = tmp_path / "mine.md"
    path.write_text(
        '{% extends "recursive/compact-v1.md" %}{% block again %}Asked: {{ query }} {{ sub_chars }}{% endblock %}'
    )
    _, shown = await play(CODE, "FINAL(7)", prompt=str(path), repeat_query=True, sub_context_chars=9)
    assert shown[1].endswith("Asked: How many? 9")
    path = tmp_path / "other.md"
    path.write_text('{% extends "recursive/compact-v1.md" %}{% block again %}{{ asked }}{% endblock %}')
    with pytest.raises(ValueError, match="part 'again': 'asked' is undefined"):
        RLM(model=ScriptedModel([]), prompt=str(path))


EXPERIMENTS = {
    "paper_table1_gpt5": "recursive/paper-v1",
    "paper_table1_qwen3_8b": "recursive/paper_small_window-v1",
    "paper_table1_qwen3_coder": "recursive/paper_qwen3_coder-v1",
    "depth_ablation": "recursive/paper-v1",
    "context_curves": "recursive/paper-v1",
    "browsecomp_scaling": "recursive/paper-v1",
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_papers_experiments_set_every_option_and_the_frames(experiment: str) -> None:
    config = compose([f"+experiment={experiment}"]).plain
    arms = {name: settings for name, settings in config["method"].items() if name.startswith("rlm")}
    assert arms and arms["rlm"]["prompt"] == EXPERIMENTS[experiment]
    for settings in arms.values():
        assert settings["prompt"].startswith("recursive/paper")
        assert settings["first_turn_guard"] and settings["repeat_query"] and settings["show_vars"]
        assert (settings["final_beside_code"], settings["output_cut"]) == ("taken", "head")
        assert (settings["document_lengths"], settings["max_turns"]) == (100, 30)
    for name, settings in config["benchmark"].items():
        assert settings.get("query_frame", "paper") == "paper", name
        assert settings.get("answer_form", "numbers") == "numbers", name


def test_the_options_are_off_elsewhere() -> None:
    settings = compose(["benchmark=[sniah]", "method=[rlm]", "model=local"]).plain["method"]["rlm"]
    defaults = {
        "first_turn_guard": False, "repeat_query": False, "final_beside_code": "refused_once", "show_vars": False,
        "output_before_answer": False, "output_cut": "head_tail", "document_lengths": 12, "max_turns": None,
        "prompt": "recursive/default-v1",
    }  # fmt: skip
    assert defaults.items() <= settings.items()
