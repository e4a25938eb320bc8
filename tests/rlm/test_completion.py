"""A prompt can be a string, documents or a conversation, and keeps its content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.completion import Completion, Status, StopReason, Usage
from rlm.models.chat import Cost, CostState, TokenUsage
from rlm.prompt import Prompt
from rlm.trajectory import Trajectory

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "What did I say?"},
]


def test_a_string_is_the_context():
    assert Prompt.of("long text", "why?").messages() == [{"role": "user", "content": "long text\n\nwhy?"}]


def test_a_string_is_sent_unchanged():
    assert Prompt.of("What is 2 + 2?").messages() == [{"role": "user", "content": "What is 2 + 2?"}]


def test_documents_stay_apart_in_the_context_and_are_joined_in_a_plain_call():
    prompt = Prompt.of(["one", "two"], "which?")
    assert prompt.context == ("one", "two")
    assert prompt.messages()[0]["content"] == "one\n\ntwo\n\nwhich?"


def test_the_last_user_turn_of_a_conversation_is_the_query():
    prompt = Prompt.of(TURNS)
    assert prompt.query == "What did I say?"
    assert "Hello" in prompt.context and "What did I say?" not in prompt.context
    assert prompt.messages() == TURNS


def test_a_conversation_with_a_query_keeps_all_its_turns():
    prompt = Prompt.of(TURNS, "Who spoke last?")
    assert prompt.messages() == [*TURNS, {"role": "user", "content": "Who spoke last?"}]
    assert "What did I say?" in prompt.context


LONG = "line\n" * 4_000 + "What is in it?"


def test_a_long_last_turn_is_part_of_the_context_which_then_holds_the_question():
    alone = Prompt.of([{"role": "user", "content": LONG}])
    assert (alone.context, alone.query, alone.question) == (LONG, "", "")
    talk = [*TURNS[:3], {"role": "user", "content": LONG}]
    prompt = Prompt.of(talk)
    assert (prompt.query, prompt.context.endswith(f"user: {LONG}")) == ("", True)
    # A plain call gets the conversation as it is.
    assert alone.messages() == [{"role": "user", "content": LONG}] and prompt.messages() == talk


def test_the_system_message_precedes_the_question_if_no_turns_are_shown():
    prompt = Prompt.of(TURNS)
    assert prompt.question == "Be brief.\n\nWhat did I say?"
    assert prompt.messages("a piece") == [{"role": "user", "content": f"a piece\n\n{prompt.question}"}]
    assert Prompt.of(TURNS[1:]).question == Prompt.of("text", "What did I say?").question == "What did I say?"
    assert Prompt.of([{"role": "system", "content": LONG}, TURNS[1]]).question == "Hello"


def test_a_piece_of_the_context_takes_its_place_in_the_layout():
    layout = ({"role": "system", "content": "Read: {context}"}, {"role": "user", "content": "{query}"})
    prompt = Prompt("whole", "why?", layout)
    assert prompt.messages("piece") == [
        {"role": "system", "content": "Read: piece"},
        {"role": "user", "content": "why?"},
    ]


@given(context=st.text(), query=st.text())
def test_marks_inside_a_context_or_a_query_are_text(context, query):
    context, query = context + "{query}", query + "{context}"
    message = Prompt(context, query).messages()[0]["content"]
    assert message == f"{context}\n\n{query}".strip("\n")


@pytest.mark.parametrize("prompt", ["", " \n", ["", ""], [{"role": "user", "content": None}]])
def test_a_prompt_without_any_text_is_refused(prompt):
    with pytest.raises(ValueError, match="the prompt is empty"):
        Prompt.of(prompt)
    assert Prompt.of("", "why?").query == "why?"


@pytest.mark.parametrize(
    ("prompt", "error"), [([], TypeError), (7, TypeError), (["a", 1], TypeError), (None, TypeError)]
)
def test_an_invalid_prompt_is_refused(prompt, error):
    with pytest.raises(error):
        Prompt.of(prompt)


def test_a_conversation_without_a_user_turn_needs_a_query():
    with pytest.raises(ValueError, match="user turn"):
        Prompt.of([{"role": "assistant", "content": "Hi"}])


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (StopReason.ANSWER, Status.OK),
        (StopReason.NO_ANSWER, Status.OK),
        (StopReason.TRUNCATED, Status.OK),
        (StopReason.REFUSAL, Status.OK),
        (StopReason.MAX_COST, Status.LIMIT),
        (StopReason.MAX_TURNS, Status.LIMIT),
        (StopReason.REPEATED_CELLS, Status.LIMIT),
        (StopReason.VERIFICATION_LOOP, Status.LIMIT),
        (StopReason.CONTEXT_OVERFLOW, Status.CONTEXT_OVERFLOW),
        (StopReason.ERROR, Status.ERROR),
    ],
)
def test_failure_limit_overflow_and_answer_are_four_states(reason, status):
    assert Completion(None, reason, Usage(), Trajectory()).status == status


def test_a_completion_is_shown_in_one_line():
    usage = Usage(TokenUsage(10, 0, 5), Cost(0.25, 0.25, CostState.KNOWN), root_calls=1, sub_calls=2)
    shown = repr(Completion("a\nb" + "c" * 500, StopReason.ANSWER, usage, Trajectory()))
    assert shown.startswith("Completion(answer='a\\nbccc") and len(shown) < 250 and "\n" not in shown
    assert shown.endswith("stop_reason='answer', calls=3, tokens=15, cost_usd=0.25)")
    failed = repr(Completion(None, StopReason.ERROR, Usage(), Trajectory(), error="E: x"))
    assert failed == "Completion(answer=None, stop_reason='error', error='E: x', calls=0, tokens=0, cost='free')"
