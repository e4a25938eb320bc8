"""The messages of a plain call, which are made without needless copies of a long context."""

import tracemalloc

from hypothesis import example, given
from hypothesis import strategies as st

from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt
from rlm.surrogates import without_surrogates

PARTS = st.text("\n x{}", max_size=4)


@given(PARTS, PARTS, PARTS, PARTS, PARTS)
def test_a_layout_is_filled_and_newlines_at_its_ends_are_removed(context, query, before, between, after):
    layout = ({"role": "user", "content": f"{before}{{context}}{between}{{query}}{after}"},)
    (given_layout,) = layout
    expected = given_layout["content"].replace("{query}", "\0").replace("{context}", context).replace("\0", query)
    made = Prompt(context, query, layout).messages()
    assert [one["content"] for one in made] == ([expected.strip("\n")] if expected.strip("\n") else [])


@example("\xe9" * (1 << 20) + "\ud800")
@given(st.text(st.sampled_from("a\xe9\u6f22\U0001f600\ud800\udfff")))
def test_lone_surrogates_become_question_marks_and_nothing_else_changes(text):
    made = without_surrogates(text)
    assert made == text.encode("utf-8", "replace").decode("utf-8")
    assert made is text or any("\ud800" <= char <= "\udfff" for char in text)


def test_a_long_context_with_an_emoji_is_not_copied():
    context = "some words " * 500_000 + "\U0001f600"
    wide = 4 * len(context)
    count_tokens("loads the encoder")
    tracemalloc.start()
    (message,) = Prompt(context).messages()
    count_tokens(message["content"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message["content"] is context
    # The encoder's UTF-8 form is allocated with four bytes a character.
    assert peak < 1.5 * wide
