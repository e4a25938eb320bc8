"""The closing line of a run: dollars, tokens and calls."""

import pytest

from benchmarks.running.journal import Record
from benchmarks.running.rows import SampleRow
from benchmarks.running.totals import dollars, totals


def row(**columns):
    given = {"benchmark": "sniah", "method": "rlm", "model": "m", "sample_id": "s", "metric": "x", "score": 1.0}
    return SampleRow(**{**given, **columns})


def test_the_line_has_samples_dollars_tokens_and_calls():
    rows = [
        row(cost_usd=1.5, cost_state="known", prompt_tokens=2000, cached_tokens=500, completion_tokens=9, root_calls=2),
        row(cost_usd=2.0, cost_state="known", prompt_tokens=1000, completion_tokens=20, root_calls=1, sub_calls=3),
    ]  # fmt: skip
    assert totals([Record(one) for one in rows], before=1) == (
        "2 samples (1 from earlier sessions), $3.50, 3,000 prompt tokens (500 cached), 29 output tokens, "
        "6 calls (3 sub-calls)"
    )


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"cost_state": "free"}, "free"),
        ({"cost_usd": 0.1234, "cost_state": "known"}, "$0.1234"),
        ({"cost_usd": 2.0, "cost_state": "unknown"}, "$2.00 and unknown"),
        ({"cost_state": "free", "judge_cost_usd": 1.25}, "$1.25 (judge $1.25)"),
    ],
)
def test_dollars_include_the_judge_and_name_what_is_unknown(columns, text):
    assert dollars([row(**columns)]) == text
