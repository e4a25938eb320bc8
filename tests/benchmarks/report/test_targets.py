"""Targets as text: what a reader of the page and of exported logs sees beside an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.targets import target_text


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ('"9669369"', "9669369"),
        ("3", "3"),
        ('["(3, 17)", "(4, 9)"]', "(3, 17), (4, 9)"),
        ('{"answer": "1801", "gold": ["d1", "d2"]}', "1801\ngold: d1, d2"),
        ('{"pairs": 2, "first": [1, 2]}', "pairs: 2\nfirst: 1, 2"),
        ("not JSON {", "not JSON {"),
        ('"\\u00e9"', "é"),
    ],
)
def test_a_target_is_shown_for_reading(target, shown):
    assert target_text(target) == shown


@given(st.text())
def test_a_text_is_shown_as_it_is(text):
    assert target_text(json.dumps(text)) == text
