"""A recorded run, replayed without an endpoint, gives the same tables to the last byte but for times."""

import pandas as pd
import pytest

from benchmarks.commands.export import export_calls
from benchmarks.config.errors import ConfigError
from benchmarks.running.rows import CALL_TIME_COLUMNS, TIME_COLUMNS
from benchmarks.running.run_files import read_trajectory

# An RLM's root that asks from many threads and in batches, with equal prompts among them, in two turns.
pytestmark = pytest.mark.long
CELL = """```repl
from concurrent.futures import ThreadPoolExecutor
parts = ["PART " + str(i % 5) + str(context)[i * 40 : i * 40 + 200] for i in range(12)]
with ThreadPoolExecutor(8) as pool:
    first = list(pool.map(llm_query, parts))
second = llm_query_batched(parts + parts[:3])
print("read it", sorted(set(first + second)))
```"""
RULES = {
    "rules": [
        {"match": "read it", "text": "FINAL_VAR(second)"},
        {"match": r"`context`", "text": CELL},
    ]
}
WORDS = [
    "model=openai", "benchmark=[sniah,oolong_pairs]", "method=[oracle,base,compaction,rlm,map_reduce]", "epochs=2",
    "benchmark.sniah.lengths=[1024]", "benchmark.sniah.samples=3", "benchmark.oolong_pairs.lengths=[1024]", "limit=3",
    "model.root.context_window=2200", "model.sub.context_window=2200", "model.compactor.context_window=1500",
    "model.root.max_output_tokens=100", "model.sub.max_output_tokens=100", "model.compactor.max_output_tokens=100",
]  # fmt: skip


def without_times(folder):
    """samples.parquet with its columns of times zeroed, as bytes; and the rows of calls.parquet without theirs."""
    samples = pd.read_parquet(folder / "samples.parquet")
    for name in TIME_COLUMNS:
        samples[name] = 0.0
    samples.to_parquet(folder / "without_times.parquet", index=False)
    # Calls that threads make are numbered as they come.
    calls = pd.read_parquet(folder / "calls.parquet")
    calls = calls.drop(columns=[*CALL_TIME_COLUMNS, "cache_hit", "call_id", "parent_id"])
    calls = calls.sort_values(["benchmark", "method", "sample_id", "epoch", "prompt_sha256"], ignore_index=True)
    return (folder / "without_times.parquet").read_bytes(), calls


@pytest.fixture
def recorded(server, go):
    """A finished run whose endpoint is gone, and its address."""
    fake = server(RULES, jitter=0.1)
    # A recording is read by replays only.
    words = ["run_dir=recorded", "concurrency.samples=5", "cache.recording=none.jsonl.gz"]
    assert go(fake, *WORDS, *words).state == "finished"
    fake.stop()
    return fake


def test_a_replay_gives_the_same_bytes(recorded, go, in_folder):
    export_calls(in_folder / "recorded", in_folder / "calls.jsonl.gz")
    before, calls_before = without_times(in_folder / "recorded")
    samples = pd.read_parquet(in_folder / "recorded" / "samples.parquet")
    assert set(samples["status"]) == {"ok"} and (samples.loc[samples["method"] == "rlm", "sub_calls"] == 27).all()
    assert (samples.loc[samples["method"] != "oracle", "cost_usd"] > 0).all()

    elsewhere = "model.endpoint.base_url=http://127.0.0.1:9/v1"
    for name, concurrency, more in (
        ("one", 1, ["cache.path=calls.jsonl.gz", "cache.recording=none.jsonl.gz"]),
        ("two", 7, ["cache.recording=calls.jsonl.gz", elsewhere]),
    ):
        words = ["cache.mode=replay", f"run_dir={name}", f"concurrency.samples={concurrency}", *more]
        assert go(recorded, *WORDS, *words).state == "finished"
        after, calls_after = without_times(in_folder / name)
        assert after == before
        pd.testing.assert_frame_equal(calls_after, calls_before)
        assert pd.read_parquet(in_folder / name / "calls.parquet")["cache_hit"].all()
    again = pd.read_parquet(in_folder / "two" / "samples.parquet")
    for once, twice in zip(samples["trajectory"], again["trajectory"], strict=True):
        if isinstance(once, str):
            kinds = [e["kind"] for e in read_trajectory(in_folder / "two", twice)]
            assert sorted(kinds) == sorted(e["kind"] for e in read_trajectory(in_folder / "recorded", once))


def test_a_response_that_was_not_recorded_stops_the_replay_in_one_line(recorded, go, in_folder):
    export_calls(in_folder / "recorded", in_folder / "calls.jsonl.gz")
    outcome = go(recorded, *WORDS, "seed=5", "cache.mode=replay", "cache.path=calls.jsonl.gz", "run_dir=other")
    assert outcome.state == "failed"
    assert outcome.message.startswith("recorded response missing: gpt-5") and "\n" not in outcome.message
    assert "is not in calls.jsonl.gz: the nearest recorded request differs in message" in outcome.message
    assert "now '" in outcome.message and "Record again" in outcome.message
    outcome = go(recorded, *WORDS, "cache.mode=replay", "run_dir=without")
    assert outcome.state == "failed" and "\n" not in outcome.message
    assert "set cache.path to a recording, such as results/recorded/ci.jsonl.gz" in outcome.message
    with pytest.raises(ConfigError, match=r"^cache\.recording: .*none\.jsonl\.gz"):
        go(recorded, *WORDS, "cache.mode=replay", "cache.recording=none.jsonl.gz", "run_dir=missing")
