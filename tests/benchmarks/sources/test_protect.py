"""Sealing hides a text and can be reversed."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.protect import PREFIX, seal, unseal


@given(st.text(st.characters()))
def test_unsealing_reverses_sealing(text):
    assert unseal(seal(text)) == text


@given(st.text(min_size=12))
def test_a_sealed_text_is_not_readable(text):
    assert text not in seal(text)


@given(st.text().filter(lambda text: not text.startswith(PREFIX)))
def test_a_text_that_is_not_sealed_is_unchanged(text):
    assert unseal(text) == text
