import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.methods.codeact.reply import answer_form, last_words, read_turn

PIECES = st.lists(
    st.sampled_from(
        [
            "THINK: ",
            "ANSWER:",
            "SEARCH(",
            ")",
            "```python\n",
            "```",
            "\n",
            "OBSERVATION:",
            "</think>",
            "x",
            "'",
            "(",
            "print(1)",
        ]
    )
    | st.text(max_size=5),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("reply", "cells"),
    [
        ("THINK: run\n```python\nprint(1)\n```", ["print(1)"]),
        ("```repl\nprint(1)\n```", ["print(1)"]),
        ("```python\na = 1\n```\nand then\n```python\nprint(a)\n```", ["a = 1", "print(a)"]),
        ("THINK: run\n```python\nprint(1)", ["print(1)"]),
        ("```python\nprint(1)```", ["print(1)"]),
        ("```json\n{}\n```", []),
        ("```\n```", []),
        ("```python\nprint('OBSERVATION: x')\n# OBSERVATION:\n```", ["print('OBSERVATION: x')\n# OBSERVATION:"]),
        ("python\nprint(1)", []),
    ],
)
def test_fenced_python_runs(reply: str, cells: list[str]) -> None:
    assert list(read_turn(reply).cells) == cells


def test_a_cell_that_was_cut_does_not_run() -> None:
    turn = read_turn("```python\na = 1\n```\n```python\nprint(", truncated=True)
    assert turn.cells == ("a = 1",) and not turn.complete


@pytest.mark.parametrize(
    ("reply", "searches"),
    [
        ("THINK: look\nSEARCH(red fox)", ["red fox"]),
        ('SEARCH("red fox (animal)")', ["red fox (animal)"]),
        ("Action: SEARCH(red\nfox)", ["red fox"]),
        ("**SEARCH(red fox)**", ["red fox"]),
        ("- SEARCH(a)\n- SEARCH(b)\n- SEARCH(a)", ["a", "b"]),
        ("search(query='fox')", ["fox"]),
        ("```\nSEARCH(fox)\n```", ["fox"]),
        ("```python\nprint(SEARCH('fox'))\n```", ["fox"]),
        ("SEARCH(fox", ["fox"]),
        ("SEARCH()", []),
        ("I could use SEARCH(fox) later", []),
    ],
)
def test_searches(reply: str, searches: list[str]) -> None:
    turn = read_turn(reply)
    assert (list(turn.searches), turn.cells) == (searches, ())


@pytest.mark.parametrize(
    ("reply", "answers"),
    [
        ("THINK: easy\nANSWER: 42", ["42"]),
        ("**ANSWER:** 42", ["42"]),
        ("**ANSWER: 42**", ["42"]),
        ("`ANSWER: 42`", ["42"]),
        ("ANSWER: **42**", ["**42**"]),
        ("FINAL ANSWER: 42", ["42"]),
        ("ANSWER:\n(1, 2)\n(3, 4)", ["(1, 2)\n(3, 4)"]),
        ("ANSWER: Answer: 42", ["Answer: 42"]),
        ("The thing is clear.\nAnswer: 42", ["Answer: 42"]),
        ("ANSWER: 42\nANSWER: 42", ["42"]),
        ("ANSWER: 42\nANSWER: 43", ["42", "43"]),
        ("ANSWER: 42\nTHINK: and now?", ["42"]),
        ("ANSWER: 42\nOBSERVATION: right!\nANSWER: 43", ["42"]),
        ("ANSWER:", [""]),
        ("the ANSWER: is not at the start of its line", []),
        ("<think>ANSWER: 1</think>ANSWER: 2", ["2"]),
    ],
)
def test_answers(reply: str, answers: list[str]) -> None:
    assert list(read_turn(reply).answers) == answers


@pytest.mark.parametrize(
    "invented",
    [
        "OBSERVATION: 3",
        "Observation:\n3",
        "**Observation:** 3",
        "<|im_start|>user\n3",
        "Search results: 3",
        "User: go on",
    ],
)
def test_an_invented_turn_of_the_harness_ends_the_reply(invented: str) -> None:
    turn = read_turn(f"THINK: look\nSEARCH(fox)\n{invented}\n```python\nprint(1)\n```\nANSWER: 3")
    assert (turn.searches, turn.cells, turn.answers) == (("fox",), (), ())
    assert turn.text == "THINK: look\nSEARCH(fox)"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("ANSWER: 42", "42"),
        ("ANSWER: 41\nANSWER: 42", "42"),
        ("THINK: It is 42.", "It is 42. (untagged)"),
        ("It is 42.", "It is 42. (untagged)"),
        ("It is 42.\n```python\nprint(42)\n```", "It is 42. (untagged)"),
        ("THINK: It may be 42.\n```python\nprint(42)\n```", None),
        ("", None),
        ("   ", None),
        ("ANSWER:", None),
        ("```python\nprint(42)\n```", None),
        ("SEARCH(fox)", None),
    ],
)
def test_the_last_reply_is_an_answer_unless_it_is_an_action(reply: str, answer: str | None) -> None:
    text, untagged = last_words(read_turn(reply))
    assert (f"{text} (untagged)" if untagged else text) == answer


@given(PIECES, st.booleans())
def test_any_reply_can_be_read(reply: str, truncated: bool) -> None:
    turn = read_turn(reply, truncated=truncated)
    assert all(turn.cells) and all(turn.searches)
    assert last_words(turn)[0] is None or last_words(turn)[0].strip()


def test_the_form_of_a_question_is_its_own_mark_and_not_the_end_of_a_longer_label() -> None:
    assert answer_form("Give the result in the form 'Answer: X is more common than Y'.") == "Answer:"
    assert answer_form("Reply with these lines:\nExplanation: why\nExact Answer: the answer") is None
    assert answer_form("How many are there?") is None
    assert answer_form("End with one line:\nFinal Answer: [node, node]") == "Final Answer:"


def test_searches_without_an_end_are_read_in_linear_time():
    # Quadratic time would reach the time limit of the test suite.
    assert read_turn("SEARCH(\n" * 60_000).searches == ()
    turn = read_turn("SEARCH(\n" * 6 + "SEARCH(a (b))\n" + "SEARCH(c\n")
    assert turn.searches[-2:] == ("a (b)", "c")
