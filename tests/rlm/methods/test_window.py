import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rlm.methods.window import Reader, Window, boundary, count_messages, fit, reply_tokens
from rlm.models.chat import Sampling
from rlm.models.scripted import ScriptedModel
from rlm.models.tokens import count_tokens

TEXT = st.text(max_size=400) | st.sampled_from(
    ["a" * 500, "größe 漢字 😀 " * 40, "one. two! three?\n" * 30, "\ud800 x " * 20]
)


def model(window: int | None, max_output_tokens: int | None = None) -> ScriptedModel:
    return ScriptedModel([], context_window=window, sampling=Sampling(max_output_tokens=max_output_tokens))


@given(TEXT, st.integers(0, 100), st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_fit_takes_at_most_the_given_tokens(text: str, start: int, tokens: int) -> None:
    start = min(start, len(text))
    end = fit(text, start, tokens)
    assert start <= end <= len(text)
    # Cutting inside a word can change how its start is tokenised, by a token or two.
    assert count_tokens(text[start:end]) <= tokens + 2


def test_fit_takes_all_of_a_text_that_fits() -> None:
    assert fit("one two three", 0, 100) == len("one two three")


@given(TEXT, st.integers(0, 50), st.integers(1, 400))
def test_a_boundary_lies_behind_the_start_and_at_most_at_the_end(text: str, start: int, length: int) -> None:
    cut = boundary(text, start, start + length)
    assert min(start + 1, len(text)) <= max(cut, 1) or not text
    assert cut <= max(start + length, len(text))


def test_a_boundary_prefers_paragraphs_to_lines_to_sentences_to_words() -> None:
    text = "word " * 20 + "End. " + "word " * 3 + "\n" + "word " * 3 + "\n\n" + "word " * 2
    cut = boundary(text, 0, len(text) - 1)
    assert text[:cut].endswith("\n\n")
    assert text[: boundary(text, 0, text.index("\n\n"))].endswith("\n")
    assert text[: boundary(text, 0, text.index("\n"))].endswith("End. ")


@given(st.lists(TEXT, min_size=1, max_size=5), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_pieces_of_documents_are_all_of_them_in_order(documents: list[str], tokens: int) -> None:
    reader, pieces = Reader(documents), []
    while not reader.ended:
        pieces.append(reader.take(tokens))
    assert "".join("".join(pieces).split()) == "".join("".join(documents).split())


def test_documents_that_fit_are_never_torn() -> None:
    documents = [f"document {i}: " + "word " * 30 for i in range(10)]
    reader, pieces = Reader(documents), []
    while not reader.ended:
        pieces.append(reader.take(100))
    assert all(document in "".join(pieces) and any(document in piece for piece in pieces) for document in documents)


def test_a_piece_can_be_read_again() -> None:
    reader = Reader("word " * 100)
    start = reader.position
    first = reader.take(20)
    reader.position = start
    assert reader.take(20) == first


def test_the_rest_is_returned_only_if_it_fits() -> None:
    reader = Reader(["a b c", "d e f"])
    assert reader.rest(100) == "a b c\n\nd e f"
    assert reader.rest(4) is None
    assert reader.rest(None) == "a b c\n\nd e f"
    reader.take(None)
    assert reader.ended and reader.rest(0) == ""


def test_the_room_shrinks_after_a_refusal() -> None:
    window = Window(model(2048, max_output_tokens=256))
    before = window.room([])
    messages = [{"role": "user", "content": "word " * 1000}]
    window.refused(messages)
    assert window.room([]) < min(before, count_messages(messages))


def test_a_window_that_is_not_known_is_learnt_from_refusals() -> None:
    window = Window(model(None))
    assert window.room([]) is None
    window.refused([{"role": "user", "content": "word " * 1000}])
    assert 0 < window.room([]) < 1000


@pytest.mark.parametrize(
    ("window", "cap", "kept"),
    [(2048, 256, 256), (8192, None, 1024), (1_000_000, None, 16_384), (512, 4096, 256), (None, None, 0)],
)
def test_tokens_kept_for_the_reply(window: int | None, cap: int | None, kept: int) -> None:
    assert reply_tokens(model(window, cap)) == kept
