"""Cells of a user's table: which values are taken as text, and which letter a choice has."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.suites.custom.columns import found, scalar
from benchmarks.suites.custom.rows import letter_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"), (3.0, "3"),
        (2.5, "2.5"), (-0.0, "0"), (1e300, "1e+300"), (True, "true"), (False, "false"), ("x", "x"),
        (math.nan, None), (math.inf, None), (None, None), ({"a": 1}, None), (["x"], None), (b"x", None),
    ],
)  # fmt: skip
def test_texts_numbers_and_truth_values_are_taken_as_text(value, text):
    assert scalar(value) == text


@given(st.text() | st.integers())
def test_texts_and_integers_are_taken_as_they_are_written(value):
    assert scalar(value) == str(value)


@pytest.mark.parametrize(
    ("answer", "choices", "letter"),
    [
        ("b", ("x", "y"), "B"), ("(B)", ("x", "y"), "B"), ("y", ("x", "y"), "B"), ("B", (), "B"), ("Z", (), "Z"),
        ("C", ("x", "y"), ""), ("z", ("x", "y"), ""),
        ("1", ("x", "y"), ""), ("A", ("x", "A"), ""), ("B", ("x", "B"), "B"),
    ],
)  # fmt: skip
def test_a_choice_is_one_letter_or_none(answer, choices, letter):
    assert letter_of(answer, choices) == letter


def test_a_name_with_a_dot_is_a_column_or_a_part_of_one():
    assert found({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert found({"a": {"b": 2}}, "a.b") == 2
    assert found({"a": 5}, "a.b") is None
