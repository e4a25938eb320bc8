"""Batches against a server that behaves like OpenAI's: results, failures, limits, prices and remembered batches."""

import asyncio
import json
import threading
import time

import pytest

from rlm.models.batch import batcher as batcher_module
from rlm.models.batch import gathering as gathering_module
from rlm.models.batch.batcher import Batcher
from rlm.models.batch.gathering import Gathering
from rlm.models.batch.journal import BatchJournal
from rlm.models.batch.model import BatchModel, GatheredModel
from rlm.models.chat import ContextOverflow, CostState, FatalModelError, ModelError
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel
from rlm.models.prices import PriceTable

DOLLAR_A_TOKEN = PriceTable({"m": {"input": 1e6, "output": 1e6}})
QUICK = {"batch": True, "batch_poll_s": 0.01, "backoff_s": 0.01, "max_outage_wait_s": 2, "api_key_env": "TEST_KEY"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-secret-0123456789")
    monkeypatch.setattr(gathering_module, "SETTLE_S", 0.02)


class Session:
    """One session of a program: samples that each make one call, as a run does. calls: from (text, epoch) to result."""

    def __init__(self, server, folder, at_once=3, **settings):
        self.server, self.folder, self.at_once = server, folder, at_once
        self.endpoint = Endpoint(server.base_url, **{**QUICK, **settings})

    async def __call__(self, *texts, prepare=None):
        gathering = Gathering(self.at_once)
        journal = BatchJournal(self.folder)
        inner = OpenAIModel("m", self.endpoint, prices=DOLLAR_A_TOKEN)
        model = BatchModel(inner, Batcher("m", self.endpoint, journal, gathering))
        gathered = GatheredModel(model, gathering)
        self.batcher, self.gathering = model.batcher, gathering

        async def sample(text):
            async with gathering.sample():
                if prepare is not None:
                    await prepare(text)
                return await gathered.complete([{"role": "user", "content": text}])

        try:
            return await asyncio.gather(*map(sample, texts), return_exceptions=True)
        finally:
            await model.aclose()


@pytest.fixture
def serve(fake_batches, tmp_path):
    """Serve batches and return the server and a session: serve(outcome, ..., polls=2)(endpoint setting=...)."""
    opened = []

    def start(*outcomes, **settings):
        context = fake_batches.fake_batches(*outcomes, reply=lambda b: f"to {b['messages'][0]['content']}", **settings)
        opened.append(context)
        server = context.__enter__()
        return server, lambda **more: Session(server, tmp_path / "batches", **more)

    yield start
    for context in opened:
        context.__exit__(None, None, None)


def names(count):
    return [f"sample {number}" for number in range(count)]


def texts_of(replies):
    return [getattr(reply, "text", reply) for reply in replies]


async def test_all_requests_go_in_one_batch_at_half_the_price(serve):
    server, session = serve(polls=3)
    began = []

    async def prepare(text):
        began.append(text)
        await asyncio.sleep(0.005)

    replies = await session()(*names(10), prepare=prepare)
    assert texts_of(replies) == [f"to {name}" for name in names(10)]
    assert [len(requests) for requests in server.requests.values()] == [10] and not server.live
    first = replies[0]
    assert first.usage.total == 5 and first.cost.state == CostState.KNOWN
    assert first.cost.usd == first.cost.uncached_usd == pytest.approx(2.5)
    body = next(iter(server.requests.values()))[0]["body"]
    assert body == {"model": "m", "messages": [{"role": "user", "content": began[0]}]}
    (replies,) = await session(batch_discount=0.1)("another")
    assert replies.cost.usd == pytest.approx(0.9 * 3)


async def test_a_request_that_takes_long_to_write_goes_in_the_same_batch(serve, monkeypatch):
    made = batcher_module._request_line

    def slowly(custom_id, path, body):
        time.sleep(0.2 if body["messages"][0]["content"] == "sample 1" else 0.0)
        return made(custom_id, path, body)

    monkeypatch.setattr(batcher_module, "_request_line", slowly)
    server, session = serve()
    replies = await session()(*names(3))
    assert texts_of(replies) == [f"to {name}" for name in names(3)]
    assert [len(requests) for requests in server.requests.values()] == [3]


SPLITS = [({"batch_max_requests": 4}, [4, 4, 2]), ({"batch_max_bytes": 500}, [2, 2, 2, 2, 2])]


@pytest.mark.parametrize(("limit", "sizes"), SPLITS, ids=["requests", "bytes"])
async def test_limits_of_a_batch_split_the_requests(serve, limit, sizes):
    server, session = serve()
    replies = await session(**limit)(*names(10))
    assert texts_of(replies) == [f"to {name}" for name in names(10)]
    assert sorted(len(requests) for requests in server.requests.values()) == sorted(sizes)
    if "batch_max_bytes" in limit:
        assert all(len(server.files[batch["input_file_id"]]) <= 500 for batch in server.batches.values())
        (refused,) = await session(**limit)("x" * 500)
        assert "more than model.endpoint.batch_max_bytes" in str(refused) and len(server.batches) == len(sizes)


async def test_failed_lines_are_treated_as_failed_requests(serve):
    overflow = {"error": {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}}
    lines = {
        0: {"status": 500, "body": {"error": {"message": "oops"}}},
        1: {"status": 400, "body": {"error": {"message": "messages[0] is not right"}}},
        2: {"status": 400, "body": overflow},
        3: {"status": 400, "body": {"error": {"message": "no", "code": "content_filter"}}},
        4: {"status": 200, "body": {"choices": []}},
        5: {"error": {"code": "server_error", "message": "the request was lost"}},
    }
    server, session = serve({"lines": lines})
    replies = await session(at_once=1)(*names(7))
    sent = [[request["body"]["messages"][0]["content"] for request in part] for part in server.requests.values()]
    assert [len(part) for part in sent] == [7, 3] and sent[0] == names(7)
    assert {replies[at].text for at in (0, 4, 5, 6)} == {f"to sample {at}" for at in (0, 4, 5, 6)}
    assert [failure.kind for failure in replies[0].failures] == ["server_error"]
    assert type(replies[1]) is ModelError and "messages[0] is not right" in str(replies[1])
    assert isinstance(replies[2], ContextOverflow) and replies[3].refused


async def test_an_expired_batch_keeps_its_results_and_the_rest_goes_in_the_next(serve):
    server, session = serve({"status": "expired", "cut": 3}, {"status": "expired", "cut": 1})
    replies = await session()(*names(5))
    assert texts_of(replies) == [f"to {name}" for name in names(5)]
    assert [len(requests) for requests in server.requests.values()] == [5, 2, 1]
    assert sorted(len(reply.failures) for reply in replies) == [0, 0, 0, 1, 2]

    server, session = serve(*[{"status": "expired", "cut": 0}] * 4)
    (error,) = await session()("x")
    assert len(server.batches) == 3 and "attempt 3" in str(error) and "expired before" in str(error)


async def test_a_full_queue_is_waited_for_with_smaller_batches(serve):
    server, session = serve(queue=3, polls=2)
    replies = await session()(*names(10))
    assert texts_of(replies) == [f"to {name}" for name in names(10)]
    done = [len(server.requests[name]) for name, one in server.batches.items() if one["status"] == "completed"]
    assert sum(done) == 10 and max(done) == 2
    server, session = serve(queue=0)
    (error,) = await session()("x")
    assert isinstance(error, FatalModelError) and "Enqueued token limit reached" in str(error)


async def test_a_queue_that_a_batch_of_an_earlier_session_fills_is_waited_for(serve):
    server, session = serve(held=True, queue=3)

    async def polled(times):
        while server.asked.count(("GET", "/v1/batches/batch_2")) < times:
            await asyncio.sleep(0.01)

    earlier = asyncio.create_task(session()(*names(3)))
    await polled(2)
    earlier.cancel()
    await asyncio.gather(earlier, return_exceptions=True)
    waiting = asyncio.create_task(session()("other"))
    await polled(6)
    # The batch that was refused is submitted again once the other one has ended.
    assert len(server.batches) == 2
    server.release()
    assert texts_of(await waiting) == ["to other"] and len(server.batches) == 3


async def test_a_batch_that_fails_stops_the_run_or_only_the_lines_at_fault(serve):
    no_model = {"code": "model_not_found", "message": "The model m does not exist", "line": None}
    _, session = serve({"errors": [no_model]})
    (error,) = await session()("x")
    assert isinstance(error, FatalModelError) and "model_not_found: The model m does not exist" in str(error)

    server, session = serve({"errors": [{"code": "invalid_request", "message": "line 2 is bad", "line": 2}]})
    replies = await session(at_once=1)(*names(3))
    assert "line 2 is bad" in str(replies[1]) and [replies[0].text, replies[2].text] == ["to sample 0", "to sample 2"]
    assert [len(requests) for requests in server.requests.values()] == [3, 2]


async def test_a_cancelled_batch_gives_what_it_has_and_the_rest_only_when_asked_again(serve):
    server, session = serve({"status": "cancelled", "cut": 2})
    replies = await session(at_once=1)(*names(3))
    assert texts_of(replies[:2]) == ["to sample 0", "to sample 1"]
    assert isinstance(replies[2], FatalModelError) and "was cancelled; run the same command" in str(replies[2])
    again = await session()(*names(3))
    assert texts_of(again) == [f"to {name}" for name in names(3)] and len(server.sent()) == 4


async def test_a_later_session_polls_the_submitted_batch_and_submits_nothing(serve, tmp_path):
    server, session = serve(held=True)
    first = session()
    task = asyncio.create_task(first(*names(4)))
    while not any(path.startswith("/v1/batches/") for _, path in server.asked):
        await asyncio.sleep(0.01)
    assert first.batcher.waiting == (4, 1, 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    # The submission of the batch was not confirmed before the kill, and its event was cut off.
    journal = tmp_path / "batches" / "batches.jsonl"
    begun, confirmed = journal.read_bytes().splitlines(keepends=True)
    assert json.loads(confirmed)["batch"] in server.batches
    for kept in (begun + confirmed, begun + confirmed[:9], begun):
        journal.write_bytes(kept)
        server.release()
        replies = await session()(*names(4))
        assert texts_of(replies) == [f"to {name}" for name in names(4)]
        assert len(server.batches) == len([path for path in server.asked if path == ("POST", "/v1/batches")]) == 1
    # The file was uploaded, but the kill came before the batch was made.
    journal.write_bytes(begun)
    (tmp_path / "batches" / "0000-output.jsonl").unlink()
    server.batches.clear()
    assert texts_of(await session()(*names(4))) == [f"to {name}" for name in names(4)]
    assert len(server.batches) == 1


async def test_results_of_an_ended_batch_are_read_from_disk(serve):
    server, session = serve()
    await session()(*names(3))
    asked = len(server.asked)
    assert texts_of(await session()(*names(3))) == [f"to {name}" for name in names(3)]
    assert len(server.asked) == asked


DAMAGES = {"cut": lambda text: text[: text.rfind(b"\n", 0, -1) + 1], "zeros": lambda text: b"\x00" * 40}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_results_that_were_damaged_on_disk_are_downloaded_again_and_not_paid_again(serve, tmp_path, damage):
    server, session = serve()
    await session()(*names(3))
    kept = tmp_path / "batches" / "0000-output.jsonl"
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert texts_of(await session()(*names(3))) == [f"to {name}" for name in names(3)]
    assert len(server.batches) == 1 and kept.read_bytes() == whole


async def test_a_line_that_cannot_be_read_costs_only_its_own_request(serve):
    """The file begins with a line of another batch, an error for a request that has a reply too, and no object."""
    server, session = serve({"lines": {1: {"status": True, "body": {}}}})
    finish = server._finish

    def damaged(batch, status):
        finish(batch, status)
        if len(server.batches) == 1:
            file = batch["output_file_id"]
            first, *rest = server.files[file].splitlines(keepends=True)
            again = json.dumps(json.loads(rest[0]) | {"response": {"status_code": 500, "body": {}}}).encode() + b"\n"
            other = again.replace(json.loads(rest[0])["custom_id"].encode(), b"of-another-batch")
            server.files[file] = b"".join([other, again, b"[1]\n", first[:40] + b"\n", *rest])

    server._finish = damaged
    replies = await session(at_once=1)(*names(4))
    assert texts_of(replies) == [f"to {name}" for name in names(4)]
    sent = [[request["body"]["messages"][0]["content"] for request in part] for part in server.requests.values()]
    assert [sorted(part) for part in sent] == [names(4), ["sample 1", "sample 3"]]
    assert len(replies[2].failures) == 0


@pytest.mark.parametrize("line", [b"x" * 6000, b"[" * 60 + b"]" * 60 + b" " * 600])
async def test_a_line_of_results_beyond_the_bounds_costs_only_its_own_request(serve, monkeypatch, line):
    monkeypatch.setattr("rlm.models.batch.journal.MAX_LINE_BYTES", 5000)
    monkeypatch.setattr("rlm.structure._SHORT_BYTES", 500)
    server, session = serve()
    finish = server._finish

    def damaged(batch, status):
        finish(batch, status)
        if len(server.batches) == 1:
            _, *rest = server.files[batch["output_file_id"]].splitlines(keepends=True)
            server.files[batch["output_file_id"]] = b"".join([line, b"\n", *rest])

    server._finish = damaged
    assert texts_of(await session()(*names(3))) == [f"to {name}" for name in names(3)]
    assert sorted(map(len, server.requests.values())) == [1, 3]


async def test_answers_of_the_batch_api_are_bounded_and_files_of_results_have_another_bound(serve, monkeypatch):
    monkeypatch.setattr("rlm.models.batch.api.MAX_ANSWER_BYTES", 2000)
    server, session = serve()
    texts = [f"{name} {'x' * 5000}" for name in names(2)]
    assert texts_of(await session()(*texts)) == [f"to {text}" for text in texts]
    server._numbers = iter(["y" * 2000] * 99)
    (error,) = await session(max_outage_wait_s=0)("x")
    assert isinstance(error, FatalModelError) and "the response is longer than 2000 bytes" in str(error)


async def test_an_id_that_a_shell_would_read_as_commands_is_refused(serve):
    server, session = serve()
    server._numbers = iter(["1'; echo paid; '"] * 99)
    (error,) = await session(max_outage_wait_s=0)("x")
    assert isinstance(error, FatalModelError) and "the response is not a file or batch" in str(error)
    assert not server.batches


async def test_a_file_without_any_result_is_not_paid_for_again(serve):
    server, session = serve()
    finish = server._finish

    def page(batch, status):
        finish(batch, status)
        server.files[batch["output_file_id"]] = b"<html>gateway</html>\n"

    server._finish = page
    for _ in range(2):
        (error,) = await session()("x")
        assert isinstance(error, FatalModelError) and "cannot be read" in str(error)
    assert len(server.batches) == 1


async def test_passing_failures_of_the_api_are_repeated_and_a_lost_response_submits_nothing_twice(serve):
    server, session = serve()
    server.faults = {"POST /v1/files": [500, 429], "POST /v1/batches": [0], "GET /v1/batches": [503]}
    replies = await session()(*names(3))
    assert texts_of(replies) == [f"to {name}" for name in names(3)]
    assert len(server.batches) == 1
    server.faults = {"POST /v1/files": [401]}
    (error,) = await session()("x")
    assert isinstance(error, FatalModelError) and "the requests cannot be uploaded: HTTP 401" in str(error)


async def test_a_request_that_hangs_longer_than_an_outage_may_take_is_repeated(serve):
    server, session = serve()
    server.faults = {"POST /v1/batches": [0.3]}
    assert texts_of(await session(max_outage_wait_s=0.1)("x")) == ["to x"]
    assert len(server.batches) == 1


async def test_the_progress_line_can_be_read_while_requests_come_and_go(serve):
    _, session = serve()
    sessions, ended, faults = session(at_once=400), threading.Event(), []

    def read():
        while not ended.is_set():
            try:
                if hasattr(sessions, "batcher"):
                    assert len(sessions.batcher.waiting) == 3
            except RuntimeError as error:
                faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        await sessions(*names(400))
    finally:
        ended.set()
        reader.join()
    assert not faults


async def test_equal_requests_at_the_same_time_are_two_requests(serve):
    server, session = serve()
    replies = await session()("same", "same", "other")
    assert texts_of(replies) == ["to same", "to same", "to other"]
    assert len(set(server.sent())) == 3


async def test_few_requests_are_held_in_memory_at_a_time(serve, monkeypatch):
    monkeypatch.setattr(gathering_module, "MOST_HELD_CHARS", 40)
    server, session = serve()
    replies = await session(at_once=2)(*names(8))
    assert texts_of(replies) == [f"to {name}" for name in names(8)]
    assert len(server.batches) > 1 and max(map(len, server.requests.values())) <= 5


async def test_stopping_cancels_waiting_samples_and_leaves_the_batch(serve, tmp_path):
    server, session = serve(held=True)
    first = session(at_once=1)
    task = asyncio.create_task(first(*names(3)))
    while not server.batches:
        await asyncio.sleep(0.01)
    assert first.gathering.stop() == 3
    assert all(isinstance(one, asyncio.CancelledError) for one in await task)
    assert [batch.batch_id for batch in BatchJournal(tmp_path / "batches").open] == list(server.batches)
    assert not list((tmp_path / "batches").glob("*.spool"))


async def test_a_damaged_journal_is_one_line(serve, tmp_path):
    _, session = serve()
    await session()("x")
    journal = tmp_path / "batches" / "batches.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [sorted(event) for event in events] == [
        ["address", "file", "ids", "model", "number"], ["batch", "number"], ["number", "status", "unanswered"],
    ]  # fmt: skip
    journal.write_text("not an event\n" + journal.read_text())
    with pytest.raises(FatalModelError, match=r"batches.jsonl, line 1 cannot be read: restore the file"):
        BatchJournal(tmp_path / "batches")
