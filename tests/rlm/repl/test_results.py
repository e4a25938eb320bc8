"""Messages of a session are of the right types, bounded and fit for any file, or they are refused."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.repl.results import ProtocolError, cell_result, names_of, reason_of

LIMIT = 80
TEXTS = st.text(st.characters(exclude_categories=()), max_size=60) | st.text(st.sampled_from("\ud83d\ude00x"))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
OUTPUT = st.tuples(TEXTS, TEXTS, st.integers(0, 300)).map(list)
FIELDS = {
    "status": st.sampled_from(["ok", "error", "syntax_error", "memory"]),
    "error": st.none() | OUTPUT,
    "error_type": st.none() | TEXTS,
    "final": st.booleans(),
    "variables": st.dictionaries(TEXTS, TEXTS, max_size=4),
    "stdout": OUTPUT,
    "stderr": OUTPUT,
}
WRONG = st.dictionaries(st.sampled_from([*FIELDS]), ANYTHING, max_size=1)


def test_a_forged_output_is_shortened_before_its_surrogates_are_replaced():
    forged = ["\ud800" * 2_000_000, "\udfff" * 2_000_000, 4_000_000]
    message = {"status": "ok", "final": False, "variables": {}, "stdout": forged, "stderr": forged}
    before = time.process_time()
    result = cell_result(message, LIMIT)
    assert len(result["stdout"]) == LIMIT and "characters cut" in result["stdout"]
    assert time.process_time() - before < 0.5


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries(FIELDS), WRONG)
def test_every_result_is_refused_or_fit_to_be_shown(message, wrong):
    try:
        result = cell_result(message | wrong, LIMIT)
    except ProtocolError:
        return
    outputs = [result["stdout"], result["stderr"], result["error"] or ""]
    assert all(len(text) <= LIMIT for text in outputs)
    for text in (*outputs, result["error_type"] or "", *result["variables"], *result["variables"].values()):
        text.encode()
    assert not result["final"] or result["status"] == "ok"


@settings(max_examples=80, deadline=None)
@given(st.fixed_dictionaries({}, optional={"names": ANYTHING | st.lists(TEXTS), "message": ANYTHING}))
def test_names_and_reasons_are_fit_to_be_shown(message):
    for text in (*names_of(message), reason_of(message)):
        text.encode()
        assert len(text) <= 500


@pytest.mark.parametrize("error", ["a text", ["a", "b"], ["a", "b", -1], ["a", "b", True], [1, 2, 3], ["abc", "", 2]])
def test_an_error_that_is_not_sent_as_output_is_refused(error):
    good = {"status": "error", "stdout": ["", "", 0], "stderr": ["", "", 0], "variables": {}}
    with pytest.raises(ProtocolError):
        cell_result(good | {"error": error}, LIMIT)
