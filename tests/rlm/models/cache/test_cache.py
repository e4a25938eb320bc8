"""The response cache: a call is paid once, even if its process is killed, its caller cancelled or another faster."""

import asyncio
import gzip
import json
import sqlite3
from dataclasses import replace

import pytest

from rlm.models.cache.model import CachedModel, CallStore, NotRecorded, call_key
from rlm.models.cache.records import encode
from rlm.models.chat import (
    ContextOverflow,
    Cost,
    CostState,
    FailedAttempt,
    FatalModelError,
    ModelError,
    Reply,
    Sampling,
    TokenUsage,
    ToolCall,
)
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel

HELLO = [{"role": "user", "content": "hello"}]
FULL = Reply(
    "text \ud800 ü\n",
    finish_reason="length",
    reasoning="why",
    usage=TokenUsage(10, 4, 5, 2, True),
    cost=Cost(0.1, 0.2, CostState.KNOWN),
    model="served",
    latency_s=1.25,
    failures=(FailedAttempt("timeout", "slow", 0.5, TokenUsage(1), Cost(0.3, 0.3, CostState.UNKNOWN)),),
)


class Counting:
    """A model that counts its calls and answers with their number, once `gate` is open if it has one."""

    name, context_window, identity = "counting", 100, "here"

    def __init__(self, outcome=None, gate=None, sampling=None):
        self.calls, self.cancelled = 0, 0
        self.outcome, self.gate, self.sampling = outcome, gate, sampling or Sampling()

    async def complete(self, messages, *, epoch=0, occurrence=0):
        self.calls += 1
        number = self.calls
        try:
            if self.gate:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome or Reply(f"answer {number}", usage=TokenUsage(3, 0, 2))

    async def aclose(self):
        pass


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.sqlite"


@pytest.fixture
def store(path):
    with_calls = CallStore(path)
    yield with_calls
    with_calls.close()


async def test_a_stored_reply_comes_back_complete_and_marked(store):
    model = CachedModel(Counting(FULL), store)
    assert await model.complete(HELLO) == FULL
    assert await model.complete(HELLO) == replace(FULL, cache_hit=True)
    assert model.inner.calls == 1


async def test_replay_answers_from_the_store_and_makes_no_call(store):
    await CachedModel(Counting(FULL), store).complete(HELLO)
    replay = CachedModel(Counting(), store, "replay")
    assert (await replay.complete(HELLO)).text == FULL.text
    with pytest.raises(FatalModelError, match=r"recorded response missing: counting, prompt [0-9a-f]{16}, epoch 1"):
        await replay.complete(HELLO, epoch=1)
    assert replay.inner.calls == 0


async def test_off_passes_everything_on(store):
    model = CachedModel(Counting(), store, "off")
    assert [(await model.complete(HELLO)).text for _ in range(2)] == ["answer 1", "answer 2"]
    assert len(store) == 0


def test_an_unknown_mode_is_refused(store):
    with pytest.raises(ValueError, match=r"cache\.mode is 'write': expected off, read_write, replay"):
        CachedModel(Counting(), store, "write")


async def test_a_context_overflow_is_a_result_and_is_stored(store):
    model = CachedModel(Counting(ContextOverflow("too long")), store)
    for hit in (False, True):
        with pytest.raises(ContextOverflow, match="too long") as caught:
            await model.complete(HELLO)
        assert caught.value.cache_hit is hit
    assert model.inner.calls == 1


async def test_an_error_is_never_stored(store):
    model = CachedModel(Counting(ModelError("reset")), store)
    for _ in range(2):
        with pytest.raises(ModelError, match="reset"):
            await model.complete(HELLO)
    assert model.inner.calls == 2


def test_everything_that_determines_a_call_is_in_its_key():
    base = Counting()
    other_name, other_place = Counting(), Counting()
    other_name.name, other_place.identity = "other", "there"
    keys = [
        call_key(base, HELLO),
        call_key(base, HELLO, epoch=1),
        call_key(base, HELLO, occurrence=1),
        call_key(base, [{"role": "system", "content": "hello"}]),
        call_key(base, [{"role": "user", "content": "hel"}, {"role": "user", "content": "lo"}]),
        call_key(base, [{"role": "user", "content": "hello", "name": "eve"}]),
        call_key(other_name, HELLO),
        call_key(other_place, HELLO),
        *(call_key(Counting(sampling=Sampling(**setting)), HELLO) for setting in (
            {"temperature": 0.0}, {"temperature": 1.0}, {"max_output_tokens": 5}, {"seed": 1}, {"extra": {"top_k": 1}},
        )),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert call_key(Counting(sampling=Sampling(temperature=0)), HELLO) == keys[8]


async def test_equal_calls_at_once_are_made_once(store):
    gate = asyncio.Event()
    model = CachedModel(Counting(gate=gate), store)
    calls = [asyncio.create_task(model.complete(HELLO)) for _ in range(50)]
    await asyncio.sleep(0)
    gate.set()
    replies = await asyncio.gather(*calls)
    assert model.inner.calls == 1
    assert {reply.text for reply in replies} == {"answer 1"}
    assert [reply.cache_hit for reply in replies] == [False] + [True] * 49


async def test_a_caller_that_joined_gets_the_reply_when_the_first_caller_is_cancelled(store):
    gate = asyncio.Event()
    model = CachedModel(Counting(gate=gate), store)
    first, second = (asyncio.create_task(model.complete(HELLO)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert (await second).text == "answer 1"
    assert first.cancelled()
    assert model.inner.cancelled == 0


async def test_a_call_is_cancelled_when_its_last_waiter_leaves_and_can_be_made_again(store):
    gate = asyncio.Event()
    model = CachedModel(Counting(gate=gate), store)
    calls = [asyncio.create_task(model.complete(HELLO)) for _ in range(3)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.sleep(0)
    # Asked again while the cancelled call has not even noticed.
    again = asyncio.create_task(model.complete(HELLO))
    await asyncio.sleep(0.01)
    gate.set()
    assert (await again).text == "answer 2"
    assert model.inner.cancelled == 1


async def test_an_error_reaches_all_waiters_and_is_charged_to_one(store):
    gate = asyncio.Event()
    failed = FailedAttempt("server_error", "500", usage=TokenUsage(7))
    model = CachedModel(Counting(ModelError("down", [failed]), gate), store)
    calls = [asyncio.create_task(model.complete(HELLO)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [ModelError] * 3
    assert [len(error.failures) for error in errors] == [1, 0, 0]


async def test_the_first_stored_answer_wins_and_the_second_is_still_charged(path, store):
    gates = asyncio.Event(), asyncio.Event()
    other = CallStore(path)
    slow = CachedModel(Counting(Reply("slow", usage=TokenUsage(9)), gates[0]), store)
    fast = CachedModel(Counting(Reply("fast", usage=TokenUsage(4))), other)
    late = asyncio.create_task(slow.complete(HELLO))
    await asyncio.sleep(0)
    await fast.complete(HELLO)
    gates[0].set()
    reply = await late
    assert (reply.text, reply.cache_hit, reply.usage.prompt_tokens) == ("fast", True, 4)
    assert [(spent.kind, spent.usage.prompt_tokens) for spent in reply.failures] == [("answered_twice", 9)]
    other.close()


async def test_recordings_are_the_same_bytes_for_the_same_calls_and_replay(tmp_path, store):
    model = CachedModel(Counting(FULL), store)
    for epoch in range(5):
        await model.complete(HELLO, epoch=epoch)
    assert store.export(tmp_path / "a.jsonl.gz") == 5

    other = CallStore(tmp_path / "other.sqlite")
    for epoch in reversed(range(5)):
        await CachedModel(Counting(FULL), other).complete(HELLO, epoch=epoch)
    other.export(tmp_path / "b.jsonl.gz")
    other.close()
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()

    recording = CallStore(tmp_path / "a.jsonl.gz")
    assert await CachedModel(Counting(), recording, "replay").complete(HELLO, epoch=4) == replace(FULL, cache_hit=True)
    recording.close()


def test_a_damaged_recording_is_refused_in_one_line(tmp_path):
    good = json.dumps({"key": "00", "model": "m", "outcome": {"overflow": "x"}})
    cases = {
        "cut.jsonl.gz": gzip.compress(good.encode())[:-9],
        "text.jsonl.gz": b"not packed",
        "empty.jsonl.gz": b"",
        "json.jsonl.gz": gzip.compress(f"{good}\n{{".encode()),
        "foreign.jsonl.gz": gzip.compress(f"{good}\n{{}}\n".encode()),
        "row.jsonl.gz": gzip.compress(f"{good}\n[1]\n".encode()),
        "reply.jsonl.gz": gzip.compress(json.dumps({"key": "00", "model": "m", "outcome": {"text": 1}}).encode()),
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FatalModelError, match=f"{name} is not a complete recording of model calls") as caught:
            CallStore(tmp_path / name)
        assert "\n" not in str(caught.value) and "line 0" not in str(caught.value)
        if name in ("row.jsonl.gz", "foreign.jsonl.gz"):
            assert str(caught.value).endswith("(line 2): it is not a recorded call")


def test_a_missing_recording_is_reported(tmp_path):
    with pytest.raises(FatalModelError, match=r"cannot open the stored model calls in .*none\.jsonl\.gz"):
        CallStore(tmp_path / "none.jsonl.gz")


def test_a_changed_line_of_a_recording_is_set_aside(tmp_path, store, caplog):
    for number in range(2):
        store.put(bytes([number]) * 32, "m", Reply(f"reply {number}"))
    store.export(tmp_path / "good.jsonl.gz")
    lines = gzip.decompress((tmp_path / "good.jsonl.gz").read_bytes()).replace(b"reply 1", b"reply 9")
    (tmp_path / "changed.jsonl.gz").write_bytes(gzip.compress(lines))
    recording = CallStore(tmp_path / "changed.jsonl.gz")
    assert recording.get(b"\0" * 32).text == "reply 0" and recording.get(b"\1" * 32) is None
    assert "its checksum does not match" in caplog.text
    recording.close()


async def test_a_passing_failure_is_never_stored_as_an_overflow(store):
    for message in (
        "m at http://x: the prompt does not fit: HTTP 503: Wait(n=1) would exceed context deadline",
        "m at http://x: the prompt does not fit: HTTP 504: context deadline exceeded",
        "m at http://x: the prompt does not fit: HTTP 429: too many tokens",
    ):
        model = CachedModel(Counting(ContextOverflow(message)), store)
        for _ in range(2):
            with pytest.raises(ContextOverflow):
                await model.complete([{"role": "user", "content": message}])
        assert model.inner.calls == 2
    assert len(store) == 0


VERSION_1 = """
CREATE TABLE calls (key BLOB PRIMARY KEY, model TEXT NOT NULL, outcome TEXT NOT NULL);
PRAGMA application_id = 0x524C4D43;
PRAGMA user_version = 1;
"""


def version_1(path, results):
    """A store as version 1 wrote it: no checksums, no requests, the endpoint's address in every key."""
    with sqlite3.connect(path) as file:
        file.executescript(VERSION_1)
        for key, result in results.items():
            file.execute(
                "INSERT INTO calls VALUES (?, ?, ?)", (key, "counting", json.dumps(json.loads(encode(result))))
            )
    file.close()


def addressed(outcome=None, address="http://a/v1"):
    model = Counting(outcome)
    model.identity, model.address = "", address
    return model


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_store_of_version_1_is_read_except_for_passing_failures(tmp_path, read_only):
    path = tmp_path / "old.sqlite"
    model = addressed(Reply("new"))
    busy = [{"role": "user", "content": "busy"}]
    version_1(path, {
        call_key(model, HELLO, address="http://a/v1"): FULL,
        call_key(model, busy, address="http://a/v1"): ContextOverflow("HTTP 503: would exceed context deadline"),
    })  # fmt: skip
    store = CallStore(tmp_path / "new.sqlite", read_also=[path]) if read_only else CallStore(path)
    cached = CachedModel(model, store)
    assert await cached.complete(HELLO) == replace(FULL, cache_hit=True)
    assert (await cached.complete(busy)).text == "new"
    assert (await cached.complete(busy)).cache_hit
    assert model.calls == 1
    store.close()


async def test_a_recording_replays_at_another_address_and_at_none(tmp_path, store):
    await CachedModel(addressed(FULL), store).complete(HELLO)
    store.export(tmp_path / "calls.jsonl.gz")
    for address in ("http://b:9/v1", ""):
        recording = CallStore(tmp_path / "calls.jsonl.gz")
        replayed = await CachedModel(addressed(address=address), recording, "replay").complete(HELLO)
        assert replayed == replace(FULL, cache_hit=True)
        recording.close()


async def test_two_endpoints_that_serve_one_name_are_kept_apart(store):
    here, there = addressed(Reply("here")), addressed(Reply("there"), "http://b/v1")
    cached = [CachedModel(model, store) for model in (here, there)]
    for _ in range(2):
        assert [(await model.complete(HELLO)).text for model in cached] == ["here", "there"]
    assert (here.calls, there.calls) == (1, 1)
    # A later run with one of the two endpoints.
    for model, text in ((here, "here"), (there, "there")):
        store.endpoints.clear()
        assert (await CachedModel(model, store, "replay").complete(HELLO)).text == text


async def test_a_second_endpoint_that_appears_later_does_not_get_the_first_ones_replies(store):
    first = CachedModel(addressed(Reply("here")), store)
    await first.complete(HELLO)
    second = CachedModel(addressed(Reply("there"), "http://b/v1"), store)
    assert (await second.complete(HELLO)).text == "there"
    assert (await first.complete(HELLO)).cache_hit


def test_an_endpoint_model_has_one_key_at_every_address():
    models = [OpenAIModel("m", Endpoint(address)) for address in ("http://a/v1", "http://b:9/v1")]
    assert len({call_key(model, HELLO) for model in models}) == 1
    assert len({call_key(model, HELLO, address=model.address) for model in models}) == 2


SYSTEM = "You answer questions. " * 200
LONG = "".join(f"line {number}\n" for number in range(30_000))


def conversation(system=SYSTEM, question="What is the code?", context=LONG):
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": context},
        {"role": "user", "content": question},
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (conversation(question="What is the word?"), "message 2 (user), character 12: recorded 'What is the code?', "
         "now 'What is the word?'"),
        (conversation(system=SYSTEM[:4000] + "NEW" + SYSTEM[4003:]), "message 0 (system), character 4000: recorded"),
        (conversation(context="NEW" + LONG), "message 1 (user), character 0: recorded 'line 0"),
        (conversation(context=LONG[:100_000] + "NEW" + LONG[100_003:]), "message 1 (user), in characters 99328 to"),
        (conversation(context=LONG[:-3] + "NEW"), f"message 1 (user), character {len(LONG) - 3}: recorded"),
        (conversation()[:2], "continues after message 1"),
        ([*conversation(), {"role": "assistant", "content": "x"}], "ends before message 3 (assistant)"),
        ([conversation()[0], {"role": "assistant", "content": "x"}], "message 1 (assistant): its role was user"),
    ],
)  # fmt: skip
async def test_a_replay_that_misses_names_the_recording_and_the_first_difference(tmp_path, store, changed, message):
    model = CachedModel(Counting(FULL), store)
    await model.complete(HELLO)
    await model.complete(conversation())
    store.export(tmp_path / "calls.jsonl.gz")
    into = CallStore(tmp_path / "into.sqlite")
    into.import_(tmp_path / "calls.jsonl.gz")
    with pytest.raises(NotRecorded) as missed:
        await CachedModel(Counting(), into, "replay").complete(changed)
    into.close()
    text = str(missed.value)
    assert f"is not in {tmp_path / 'calls.jsonl.gz'}: the nearest recorded request" in text and message in text
    assert "\n" not in text and len(text) < 700


async def test_a_replay_that_misses_names_the_setting_that_differs(store):
    await CachedModel(Counting(FULL, sampling=Sampling(temperature=0.0)), store).complete(HELLO)
    replay = CachedModel(Counting(sampling=Sampling(temperature=0.7, seed=1)), store, "replay")
    with pytest.raises(NotRecorded, match=r"recorded with seed None, now 1, temperature 0.0, now 0.7$"):
        await replay.complete(HELLO)


async def test_a_replay_with_another_window_of_an_embedded_model_names_it_as_a_reason(store):
    made, asked = Counting(FULL), Counting()
    made.identity, asked.identity = "embedded:counting:8192", "embedded:counting:2048"
    await CachedModel(made, store).complete(HELLO)
    with pytest.raises(NotRecorded, match="or with other weights or another window of an embedded model"):
        await CachedModel(asked, store, "replay").complete(HELLO)


async def test_a_replay_from_an_old_recording_reports_that_requests_are_missing(store):
    store.put(b"k" * 32, "counting", FULL)
    with pytest.raises(NotRecorded, match="no request of counting is kept there to compare with"):
        await CachedModel(Counting(), store, "replay").complete(HELLO)


async def test_the_provider_and_all_later_fields_of_a_reply_are_stored(store):
    calls = (ToolCall("python", "print(1)"),)
    reply = replace(FULL, provider="acme", system_fingerprint="fp_1", output_cap=9, prompt_cut=True, tool_calls=calls)
    await CachedModel(Counting(reply), store).complete(HELLO)
    assert await CachedModel(Counting(), store, "replay").complete(HELLO) == replace(reply, cache_hit=True)
