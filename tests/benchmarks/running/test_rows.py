"""SampleRow and CallRow: the one declaration from which types, defaults, docs and validation follow."""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.running.journal import Record
from benchmarks.running.rows import (
    CALL_COLUMNS,
    SAMPLE_COLUMNS,
    CallRow,
    RowError,
    SampleRow,
    checked_details,
    columns,
    defaults,
)
from benchmarks.running.tables import read_samples, write_tables
from scripts.columns_docs import PAGE, columns_page

REQUIRED = {"benchmark": "sniah", "method": "base", "sample_id": "s-1", "score": 1.0}


def test_the_page_of_columns_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == columns_page(), "run scripts/columns_docs.py"


@pytest.mark.parametrize("row", [SampleRow, CallRow])
def test_every_column_has_a_sentence(row):
    assert all(one.description.endswith(".") for one in columns(row).values())


def test_a_row_of_an_older_run_gets_defaults_and_nulls_in_new_columns():
    row = SampleRow.read(REQUIRED | {"precision": 0.5})
    assert row.status == "ok" and row.cost_state == "free" and row.epoch == 0
    assert (row.target, row.untagged, row.answer_cut, row.prompt_cut) == (None, None, None, None)
    assert row.details == {"precision": 0.5}
    call = CallRow.read({"call_id": 0})
    assert (call.provider, call.system_fingerprint, call.prompt_cut) == (None, None, None)


def test_a_row_survives_json():
    row = SampleRow.read(REQUIRED | {"task": "counting", "prediction": "half a pair: \ud800"})
    assert SampleRow.read(json.loads(json.dumps(row.values()))) == row


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "1.0"}, "column score is '1.0': expected a number"),
        ({"score": None}, "column score is None: expected a number"),
        ({"score": True}, "column score is True: expected a number"),
        ({"score": math.nan}, "column score is nan: expected a number"),
        ({"score": 7}, "column score is 7: expected a number from 0 to 1"),
        ({"cost_usd": math.inf}, "column cost_usd is inf: expected a number"),
        ({"epoch": 0.5}, "column epoch is 0.5: expected an integer"),
        ({"epoch": 2**70}, "column epoch is 1180591620717411303424: expected an integer"),
        ({"length": "8192"}, "column length is '8192': expected an integer or null"),
        ({"status": []}, "column status is []: expected a string"),
        ({"precision": [1]}, "detail 'precision' is [1]: expected a number, a string, true, false or null"),
    ],
)
def test_a_value_of_another_type_is_refused_by_the_name_of_its_column(changes, message):
    with pytest.raises(RowError) as refused:
        SampleRow.read(REQUIRED | changes)
    assert str(refused.value) == message


@pytest.mark.parametrize("name", REQUIRED)
def test_a_row_without_a_required_column_is_refused(name):
    with pytest.raises(RowError, match=f"column {name} is missing"):
        SampleRow.read({key: value for key, value in REQUIRED.items() if key != name})


def test_details_are_plain_values():
    found = checked_details({"precision": np.float32(0.5), "n": np.int64(3), "exact": np.bool_(True), "f1": math.nan})
    assert found == {"precision": 0.5, "n": 3, "exact": True, "f1": None}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("name", ["status", "method", "cost_usd", "score", "target", "run", "with space", "", 3, None])
def test_a_detail_cannot_have_the_name_of_a_column_or_a_name_that_is_no_identifier(name):
    with pytest.raises(RowError, match="detail"):
        checked_details({name: 1.0})


def test_types_and_defaults_cover_the_same_columns():
    assert SAMPLE_COLUMNS.keys() - defaults(SampleRow).keys() == REQUIRED.keys()
    assert CALL_COLUMNS.keys() - defaults(CallRow).keys() == {"call_id"}
    assert SAMPLE_COLUMNS["length"] == "Int64" and SAMPLE_COLUMNS["untagged"] == "boolean"


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_infinity=False)
DETAILS = st.none() | st.booleans() | NUMBERS | st.text(max_size=3)


@settings(max_examples=30)
@given(st.lists(DETAILS, min_size=1, max_size=4))
def test_details_of_any_mixed_types_can_be_written_and_read(values):
    rows = [SampleRow.read(REQUIRED | {"sample_id": f"s-{i}", "d": value}) for i, value in enumerate(values)]
    with tempfile.TemporaryDirectory() as folder:
        write_tables(Path(folder), [Record(row, []) for row in rows])
        table = read_samples(Path(folder))
    read = list(table["d"]) if "d" in table else [None] * len(values)
    kept = [None if value is None or value != value else value for value in values]
    for before, after in zip(kept, read, strict=True):
        if before is None:
            assert after is None or after != after
        elif isinstance(after, str):
            assert after == (before if isinstance(before, str) else str(before)).encode("utf-8", "replace").decode()
        else:
            assert after == before
