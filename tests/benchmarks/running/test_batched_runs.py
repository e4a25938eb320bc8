"""Runs whose one-call methods send their requests in batches: prices, resumption after a kill, Ctrl-C and refusals."""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.running.batches import check_batches, check_left
from benchmarks.running.estimate import estimate
from benchmarks.running.run import run

WORDS = [
    "model=openai", "benchmark=[sniah]", "benchmark.sniah.lengths=[512]", "benchmark.sniah.samples=6", "run_dir=run",
    "model.endpoint.batch_poll_s=0.05", "method=[base,base_bm25]", "concurrency.samples=2",
]  # fmt: skip
BATCH = "model.endpoint.batch=true"


@pytest.fixture
def serve(fake_batches, in_folder, monkeypatch):
    """Serve batches for model=openai in this process; sessions of the environment."""
    opened = []

    def start(*outcomes, **settings):
        opened.append(fake_batches.fake_batches(*outcomes, **settings))
        server = opened[-1].__enter__()
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        return server

    yield start
    for context in opened:
        context.__exit__(None, None, None)


def go(*words):
    return run(compose([*WORDS, *words]))


def samples(folder="run"):
    return pd.read_parquet(f"{folder}/samples.parquet").sort_values(["method", "sample_id"], ignore_index=True)


def test_one_call_methods_are_batched_at_half_the_price_and_the_others_are_not(serve, capsys):
    server = serve()
    # The prompts do not fit the window, so that no method asks what another one asks.
    small = [
        f"model.{role}.{key}"
        for role in ("root", "compactor")
        for key in ("context_window=600", "max_output_tokens=50")
    ]
    words = [*small, "method=[base,base_bm25,compaction]", "benchmark.sniah.lengths=[1024]"]
    assert go(BATCH, *words, "limits.max_wall_s=0.4").state == "finished"
    told = capsys.readouterr().err
    assert "base, base_bm25: requests to gpt-5 are sent in batches, which take up to 24 h, at 50% of the price" in told
    assert "compaction: not sent in batches, because their calls depend on each other" in told
    assert [len(requests) for requests in server.requests.values()] == [12] and server.live
    manifest = json.loads(Path("run/run.json").read_text())
    assert manifest["prices"]["batch_discount"] == {"gpt-5": 0.5}
    assert go("run_dir=live", *words).state == "finished"
    batched, live = (table[table["method"] != "compaction"] for table in (samples(), samples("live")))
    # The wait for a batch is longer than limits.max_wall_s, and does not count as time of a completion.
    assert set(batched["status"]) == {"ok"} and batched["wall_s"].min() > 0.4
    assert live["score"].equals(batched["score"]) and live["prompt_tokens"].equals(batched["prompt_tokens"])
    assert (batched["cost_usd"] / live["cost_usd"]).between(0.4999, 0.5001).all()
    # A finished batch is no reason to refuse a run without batches.
    check_left(compose([*WORDS, *words]))


def test_a_run_killed_after_the_submission_takes_the_results_and_submits_nothing(serve):
    server = serve(held=True)
    config = compose([*WORDS, BATCH])
    # A fork begins at once, because it need not import anything.
    child = os.fork()
    if child == 0:
        try:
            run(config)
        finally:
            os._exit(1)
    while not any(path.startswith("/v1/batches/") for _, path in server.asked):
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the run ended before it was killed"
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(ConfigError, match=r"batch is false, but batch_2 with 6 requests to gpt-5 was submitted"):
        go()
    server.release()
    assert go(BATCH).state == "finished"
    assert len(server.batches) == server.asked.count(("POST", "/v1/files")) == 1 and not server.live
    assert len(samples()) == 12 and set(samples()["status"]) == {"ok"}


def test_an_interrupted_run_leaves_the_batch_and_says_how_to_resume_and_to_cancel(serve, capsys):
    server = serve(held=True)

    def interrupt():
        while not any(path.startswith("/v1/batches/") for _, path in server.asked):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcome = go(BATCH, "stop_grace_s=null")
    thread.join()
    assert outcome.state == "interrupted" and outcome.samples == 0
    told = capsys.readouterr().err
    assert "batch_2 of gpt-5 continues at the endpoint with 6 requests; run the same command to get its results" in told
    cancel = f"curl -X POST -H \"Authorization: Bearer $OPENAI_API_KEY\" '{server.base_url}/batches/batch_2/cancel'"
    assert f"or cancel it: {cancel}" in told
    server.release()
    assert go(BATCH).state == "finished" and len(server.batches) == 1


def test_the_line_of_progress_says_how_many_requests_wait(serve, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.running.busy.QUIET_S", 0.1)
    server = serve(held=True)
    seen = []

    def read_until_told():
        ends = time.monotonic() + 60
        while not any("6 requests wait for 1 batch (0 requests done there)" in text for text in seen):
            seen.append(capsys.readouterr().err)
            time.sleep(0.05)
            if time.monotonic() > ends:
                break
        server.release()

    thread = threading.Thread(target=read_until_told)
    thread.start()
    assert go(BATCH).state == "finished"
    thread.join()
    assert "6 requests wait for the next batch" in "".join(seen)
    assert "6 requests wait for 1 batch (0 requests done there)" in seen[-1]


PRICES = [
    "model.root.name=priced", "+prices.priced={input:2,output:10}", "cache.mode=replay", "method=[base,compaction]",
]  # fmt: skip


def test_an_estimate_states_the_prices_of_batches():
    def dollars(*words):
        notes = []
        table = estimate(compose([*WORDS, *PRICES, *words]), notes.append)
        return table.set_index("method")["usd"], table.set_index("method")["hours"], notes

    (live, hours, none), (batched, unknown, notes) = dollars(), dollars(BATCH)
    assert batched["base"] == pytest.approx(live["base"] / 2) and not none
    assert batched["compaction"] == live["compaction"]
    assert hours["base"] > 0 and unknown.isna()["base"] and unknown["compaction"] > 0
    assert "50% of the price (model.endpoint.batch_discount)" in notes[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["judge=gpt_4_1", "+judge.endpoint.batch=true"], "judge.endpoint.batch is true: expected false"),
        (
            ["model.sub.endpoint=http://127.0.0.1:9/v1", "model.sub.name=m", "+model.sub.endpoint.batch=true"],
            "model.sub.endpoint.batch is true: expected false, because only requests of the root are batched",
        ),
        (
            ["model.root.endpoint=http://127.0.0.1:9/v1", "model.root.name=m"],
            "model.endpoint.batch is true: expected false, because only requests of the root are batched",
        ),
        (["executor=ray"], "model.endpoint.batch is true: expected executor=local"),
    ],
    ids=["judge", "sub", "other root", "ray"],
)  # fmt: skip
def test_settings_that_cannot_be_followed_are_refused_with_their_key(words, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        check_batches(compose([*WORDS, BATCH, *words]))


def test_a_run_without_a_method_of_one_call_is_refused(in_folder, capsys):
    assert main(["run", *WORDS, BATCH, "method=[compaction]"]) == 2
    told = capsys.readouterr().err
    assert "model.endpoint.batch is true: expected a method with one call for each sample, such as base" in told
    assert not (in_folder / "run").exists()


def test_commands_without_a_run_folder_refuse_batches(in_folder, capsys):
    (in_folder / "text.txt").write_text("words")
    assert main(["ask", "What is this?", "text.txt", "model=openai", BATCH]) == 2
    assert "model.endpoint.batch is true: expected false, since only runs use batches" in capsys.readouterr().err
