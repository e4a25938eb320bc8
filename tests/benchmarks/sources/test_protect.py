"""Sealed text comes back whole and does not show."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sources.protect import PREFIX, seal, unseal


@given(st.text(st.characters()))
def test_a_sealed_text_comes_back(text):
    assert unseal(seal(text)) == text


@given(st.text(min_size=12))
def test_a_sealed_text_does_not_show(text):
    assert text not in seal(text)


@given(st.text().filter(lambda text: not text.startswith(PREFIX)))
def test_a_text_that_is_not_sealed_stays_as_it_is(text):
    assert unseal(text) == text
