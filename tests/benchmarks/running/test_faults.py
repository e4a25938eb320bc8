"""Whatever an endpoint does, every sample ends in its true state, and none is scored wrong for its transport."""

import json
import re
from collections import Counter

import pandas as pd
import pytest

from benchmarks.running.run_files import read_trajectory

WORDS = [
    "model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "method=[base]", "concurrency.samples=8",
    "model.endpoint.connect_s=2", "model.endpoint.read_timeout_s=0.5", "model.endpoint.total_s=1",
    "model.endpoint.backoff_s=0.02", "model.endpoint.max_backoff_s=0.2", "model.endpoint.max_retries=12",
    "run_dir=run",
]  # fmt: skip
PASSING = (
    "429", "429_retry_after", "500", "503", "502_html", "200_html", "reset", "half_body", "bad_json", "json_list",
    "no_choices", "error_in_200", "hang", "drip", "null_content",
)  # fmt: skip
HARMLESS = ("no_usage", "null_fields", "wrong_model")


def table(in_folder):
    return pd.read_parquet(in_folder / "run" / "samples.parquet")


def test_a_storm_of_every_fault_leaves_no_trace_in_the_results(go, server, in_folder):
    faults = dict.fromkeys((*PASSING, *HARMLESS), 0.03)
    stormy = server({"random": {"seed": 5, "faults": faults}}, latency=0.01)
    assert go(stormy, *WORDS, "benchmark.sniah.samples=60").state == "finished"
    samples = table(in_folder)
    assert len(samples) == 60 and set(samples["status"]) == {"ok"}
    # What the server says depends on the question alone, so the answers tell whether each sample got its own.
    sent = {}
    for sample in samples.itertuples():
        (call,) = [event for event in read_trajectory(in_folder / "run", sample.trajectory) if event["kind"] == "call"]
        sent[sample.sample_id] = call["messages"], sample.prediction
    assert all(re.fullmatch(r"reply [0-9a-f]{12}", prediction) for _, prediction in sent.values())
    assert len({prediction for _, prediction in sent.values()}) == 60

    calls = pd.read_parquet(in_folder / "run" / "calls.parquet")
    assert calls["retries"].sum() > 10, "faults were met"
    retried = set(",".join(calls["retried"]).split(",")) - {""}
    assert {"rate_limit", "server_error", "connection_reset", "half_body", "bad_json", "timeout"} <= retried
    unpriced = calls["cost_state"] == "unknown"
    assert unpriced.sum() < 10 and (calls.loc[~unpriced, "cost_state"] == "known").all()


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        ("context_length", "context_overflow", "the prompt does not fit"),
        ("bad_request", "error", "bad request"),
        *((fault, "error", kind) for fault, kind in (
            ("500", "server error"), ("503", "server error"), ("reset", "connection reset"), ("half_body", "half body"),
            ("bad_json", "bad json"), ("no_choices", "no choices"), ("null_content", "no content"), ("hang", "timeout"),
            ("drip", "timeout"), ("429", "rate limit"),
        )),
    ],
)  # fmt: skip
def test_a_fault_without_end_is_a_failure_and_no_wrong_answer(go, server, in_folder, fault, status, told):
    fake = server({"random": {"seed": 1, "faults": {fault: 1.0}}})
    short = ["model.endpoint.max_retries=1", "model.endpoint.max_outage_wait_s=0.5", "benchmark.sniah.samples=2"]
    assert go(fake, *WORDS, *short).state == "finished"
    samples = table(in_folder)
    assert set(samples["status"]) == set(samples["stop_reason"]) == {status}
    assert samples["prediction"].isna().all() and (samples["score"] == 0).all()
    assert samples["error"].str.contains(told).all()


def test_samples_that_failed_in_an_outage_are_right_after_it(go, server, in_folder):
    fake = server({"random": {"seed": 1, "faults": {"500": 1.0}, "first": 6}})
    words = [
        *WORDS,
        "benchmark.sniah.samples=6",
        "model.endpoint.max_retries=0",
        "model.endpoint.max_outage_wait_s=0.2",
    ]
    assert go(fake, *words).state == "finished"
    before = Counter(table(in_folder)["status"])
    assert before["error"] > 0
    assert go(fake, *words).state == "finished"
    assert set(table(in_folder)["status"]) == {"ok"}
    sessions = json.loads((in_folder / "run" / "run.json").read_text())["sessions"]
    assert [session["state"] for session in sessions] == ["finished", "finished"]
