"""A trajectory keeps short texts complete, and long ones by their head, length and hash."""

import gzip
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm import trajectory
from rlm.trajectory import Trajectory

values = st.recursive(
    st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=8
)


@given(st.dictionaries(st.sampled_from(["text", "messages", "variables"]), values))
def test_values_of_usual_size_are_unchanged_and_the_packed_form_is_equal(data):
    events = Trajectory()
    events.record("notice", **data)
    assert {key: events.events[0][key] for key in data} == data
    assert gzip.decompress(events.to_gzip()).decode() == events.to_jsonl()
    assert events.to_gzip() == events.to_gzip()


@pytest.mark.parametrize("text", ["x" * 2_000_000, "\0" * 2_000_000, "\ud800" * 2_000_000])
def test_a_long_text_is_recorded_by_head_length_and_hash(text):
    events = Trajectory()
    number = events.record("call", messages=[{"role": "user", "content": text}], reply=text)
    event = events.events[number]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    for kept in (event["messages"][0]["content"], event["reply"]):
        assert len(kept) < 3000 and kept.startswith(text[:2000])
        assert "2000000 characters" in kept and digest in kept
    assert len(events.to_gzip()) < 10_000


def test_all_texts_of_a_trajectory_are_bounded_together(monkeypatch):
    monkeypatch.setattr(trajectory, "_ALL_CHARS", 50_000)
    events = Trajectory()
    for number in range(100):
        events.record("call", reply=f"{number} " + "x" * 4000, reasoning="short")
    replies = [event["reply"] for event in events.events]
    assert sum(len(reply) > 4000 for reply in replies) == 12
    assert all(reply.startswith(f"{number} x") for number, reply in enumerate(replies))
    assert all(event["reasoning"] == "short" for event in events.events)


def test_short_texts_and_names_of_a_trajectory_are_bounded_as_well(monkeypatch):
    monkeypatch.setattr(trajectory, "_ALL_CHARS", 50_000)
    events = Trajectory()
    for _ in range(100):
        events.record("cell", code="x" * 1500, variables={f"{'n' * 100}{number}": "int" for number in range(100)})
    first, last = events.events[0], events.events[-1]
    assert len(first["code"]) == 1500 and len(first["variables"]) == 100
    assert last["code"].startswith("x" * 100 + "\n[... cut: 1500 characters") and len(last["variables"]) == 20
