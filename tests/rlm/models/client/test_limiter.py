"""How many requests go out at once: under refusals, outages, cancellations and ten thousand callers."""

import asyncio
import gc
import random
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.models.chat import ModelError
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.limiter import EndpointDown, Limiter, RequestResult, backoff
from rlm.models.client.model import OpenAIModel


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self):
        super().__init__()
        self._now = 0.0

    def time(self):
        return self._now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0]._when)
        super()._run_once()


def on_a_fake_clock(work):
    """Run a coroutine on a clock of its own, which jumps to the next timer."""
    loop = FastLoop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.fixture
def on_fake_clock():
    return on_a_fake_clock


def now():
    return asyncio.get_running_loop().time()


async def answering(kind, *settings, **more):
    """A limiter of an endpoint that has answered a request of this kind."""
    limiter = Limiter(*settings, **more)
    limiter.release(await limiter.acquire("earlier", kind), RequestResult.ANSWERED)
    return limiter


async def take(limiter, count):
    return [await limiter.acquire(call) for call in range(count)]


async def test_a_refusal_lowers_the_limit_once_for_all_requests_sent_under_it():
    limiter = Limiter(10, max_outage_wait_s=60)
    slots = await take(limiter, 10)
    for slot in slots:
        limiter.release(slot, RequestResult.REFUSED)
    assert limiter.limit == pytest.approx(7)
    for slot in await take(limiter, 7):
        limiter.release(slot, RequestResult.REFUSED)
    assert limiter.limit == pytest.approx(4.9)


async def test_answers_raise_the_limit_by_one_a_round_up_to_the_most_allowed():
    limiter = Limiter(10, max_outage_wait_s=60)
    for slot in await take(limiter, 10):
        limiter.release(slot, RequestResult.REFUSED)
    for slot in await take(limiter, 7):
        limiter.release(slot, RequestResult.ANSWERED)
    assert limiter.limit == pytest.approx(8, abs=0.1)
    for _ in range(100):
        limiter.release(await limiter.acquire(0), RequestResult.ANSWERED)
    assert limiter.limit == 10


def test_retry_after_holds_everybody_back(on_fake_clock):
    async def check():
        limiter = Limiter(4, max_outage_wait_s=60)
        limiter.release(await limiter.acquire(0), RequestResult.REFUSED, 10)
        before = now()
        await asyncio.gather(limiter.acquire(1), limiter.acquire(2))
        assert 10 <= now() - before <= 11

    on_fake_clock(check())


async def test_a_single_failure_changes_nothing():
    limiter = Limiter(4, max_outage_wait_s=60)
    slots = await take(limiter, 4)
    limiter.release(slots[0], RequestResult.FAILED)
    limiter.release(slots[1], RequestResult.ANSWERED)
    assert limiter.limit == 4


def test_after_an_outage_one_request_goes_out_and_then_twice_as_many_again_and_again(on_fake_clock):
    async def check():
        limiter = await answering(None, 40, max_outage_wait_s=60, backoff_s=0.01)
        for slot in await take(limiter, 40):
            limiter.release(slot, RequestResult.FAILED)
        assert limiter.in_outage()
        waiting = [asyncio.create_task(limiter.acquire(call)) for call in range(100)]
        seen = []
        while limiter.in_flight < 28:
            await asyncio.sleep(0.001)
            if limiter.in_flight not in seen[-1:]:
                seen.append(limiter.in_flight)
        assert seen == [0, 1, 2, 4, 8, 16, 28]
        for task in waiting:
            task.cancel()

    on_fake_clock(check())


def test_an_endpoint_that_has_never_answered_is_not_in_an_outage(on_fake_clock):
    async def check():
        limiter = Limiter(8, max_outage_wait_s=300, backoff_s=10)
        await fail(limiter, "arm that fails first", 100, calls=20)
        assert not limiter.in_outage("arm that fails first") and (now(), limiter.limit) == (0, 8)
        limiter.release(await limiter.acquire("healthy", "other arm"), RequestResult.ANSWERED)
        await fail(limiter, "arm that fails first", 7)
        assert (now(), limiter.limit) == (0, 8)

    on_fake_clock(check())


async def test_the_failures_of_one_call_alone_are_no_outage():
    limiter = Limiter(4, max_outage_wait_s=60, backoff_s=0.001)
    for _ in range(8):
        limiter.release(await limiter.acquire("one"), RequestResult.FAILED)
    assert not limiter.in_outage()


def test_a_call_that_has_waited_too_long_learns_that_the_endpoint_is_down(on_fake_clock):
    async def check():
        limiter = await answering(None, 2, max_outage_wait_s=5, backoff_s=0.001)
        slots = await take(limiter, 2)
        waiting = [asyncio.create_task(limiter.acquire(call)) for call in range(5)]
        limiter.release(slots[0], RequestResult.FAILED)
        await asyncio.sleep(10)
        limiter.release(slots[1], RequestResult.FAILED)
        results = await asyncio.gather(*waiting[1:], return_exceptions=True)
        assert {type(result) for result in results} == {EndpointDown}
        assert limiter.in_flight == 1

    on_fake_clock(check())


async def fail(limiter, kind, times, calls=2):
    """Failures in a row of requests of one kind, from several calls."""
    for number in range(times):
        limiter.release(await limiter.acquire((kind, number % calls), kind), RequestResult.FAILED)


def test_in_an_outage_nobody_waits_longer_than_allowed_even_for_a_request_that_hangs(on_fake_clock):
    async def check():
        limiter = await answering("a", 1, max_outage_wait_s=30, backoff_s=0.01)
        await fail(limiter, "a", 6)
        hanging = await limiter.acquire("hangs", "a")
        before = now()
        with pytest.raises(EndpointDown):
            await limiter.acquire("waits", "a")
        assert 29 <= now() - before <= 31
        limiter.release(hanging, RequestResult.FAILED)
        assert limiter.gave_up

    on_fake_clock(check())


def test_after_an_outage_has_lasted_too_long_calls_no_longer_wait_for_its_end(on_fake_clock):
    async def check():
        limiter = await answering("a", 8, max_outage_wait_s=30, backoff_s=0.01)
        await fail(limiter, "a", 6)
        await asyncio.sleep(31)
        slot = await limiter.acquire("probe", "a")
        waiting = [asyncio.create_task(limiter.acquire(number, "a")) for number in range(20)]
        await asyncio.sleep(0)
        before = now()
        limiter.release(slot, RequestResult.FAILED)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {EndpointDown} and now() == before
        limiter.release(await limiter.acquire("recovers", "a"), RequestResult.ANSWERED)
        assert not limiter.gave_up and not limiter.in_outage("a")

    on_fake_clock(check())


def test_a_kind_of_request_that_keeps_failing_does_not_delay_another_kind(on_fake_clock):
    async def check():
        limiter = await answering("broken arm", 8, max_outage_wait_s=300, backoff_s=10)
        await fail(limiter, "broken arm", 7)
        assert limiter.in_outage("broken arm") and limiter.in_outage("other arm")

        async def keep_failing(call):
            while True:
                slot = await limiter.acquire(call, "broken arm", ahead=True)
                await asyncio.sleep(1)
                limiter.release(slot, RequestResult.FAILED)

        broken = [asyncio.create_task(keep_failing(number)) for number in range(6)]
        await asyncio.sleep(0)
        before = now()
        first = await limiter.acquire("healthy", "other arm")
        assert now() == before
        limiter.release(first, RequestResult.ANSWERED)
        # The healthy arm has shown that the endpoint works: the other arm's failures are its own from here on.
        assert not limiter.in_outage("other arm") and not limiter.in_outage("broken arm")
        assert limiter.limit == 8
        for number in range(40):
            slot = await limiter.acquire(number, "other arm")
            await asyncio.sleep(0.5)
            limiter.release(slot, RequestResult.ANSWERED)
        assert now() - before == pytest.approx(20)
        for task in broken:
            task.cancel()

    on_fake_clock(check())


def test_a_kind_that_fails_from_the_start_is_at_fault_although_the_others_have_ended(on_fake_clock):
    async def check():
        limiter = Limiter(8, max_outage_wait_s=300, backoff_s=10)
        limiter.release(await limiter.acquire("healthy", ("other arm", 1)), RequestResult.ANSWERED)
        before = now()
        await fail(limiter, ("broken arm", 1), 30)
        assert not limiter.in_outage(("broken arm", 1))
        assert (now(), limiter.limit) == (before, 8)

    on_fake_clock(check())


def test_a_new_size_of_an_arm_that_was_answered_is_not_at_fault_in_an_outage(on_fake_clock):
    async def check():
        limiter = Limiter(8, max_outage_wait_s=300, backoff_s=0.01)
        limiter.release(await limiter.acquire("first turn", ("arm", 1)), RequestResult.ANSWERED)
        await fail(limiter, ("arm", 2), 7)
        assert limiter.in_outage(("arm", 2))

    on_fake_clock(check())


def test_an_answer_to_a_request_from_before_the_failures_blames_nobody(on_fake_clock):
    async def check():
        limiter = Limiter(8, max_outage_wait_s=300, backoff_s=0.01)
        limiter.release(await limiter.acquire("first", "arm"), RequestResult.ANSWERED)
        old = await limiter.acquire("old", "other arm")
        await asyncio.sleep(1)
        await fail(limiter, "arm", 7)
        limiter.release(old, RequestResult.ANSWERED)
        await fail(limiter, "arm", 5)
        assert limiter.in_outage("arm")

    on_fake_clock(check())


def test_an_arm_that_recovers_is_no_longer_at_fault(on_fake_clock):
    async def check():
        limiter = await answering("arm", 8, max_outage_wait_s=300, backoff_s=0.01)
        await fail(limiter, "arm", 7)
        limiter.release(await limiter.acquire("healthy", "other arm"), RequestResult.ANSWERED)
        await fail(limiter, "arm", 7)
        assert not limiter.in_outage("arm")
        limiter.release(await limiter.acquire("again", "arm"), RequestResult.ANSWERED)
        await fail(limiter, "arm", 7)
        assert limiter.in_outage("arm")

    on_fake_clock(check())


async def test_a_call_tried_again_goes_ahead():
    limiter = Limiter(1, max_outage_wait_s=60)
    slot = await limiter.acquire(0)
    first, again = asyncio.create_task(limiter.acquire(1)), asyncio.create_task(limiter.acquire(2, ahead=True))
    await asyncio.sleep(0)
    limiter.release(slot, RequestResult.ANSWERED)
    await asyncio.wait([first, again], return_when=asyncio.FIRST_COMPLETED)
    assert again.done() and not first.done()
    limiter.release(again.result(), RequestResult.ANSWERED)
    await first


async def test_a_smaller_configuration_of_the_same_endpoint_counts():
    limiter = Limiter(10, max_outage_wait_s=60)
    limiter.lower_to(3)
    limiter.lower_to(5)
    assert limiter.limit == limiter.max_concurrency == 3


async def test_ten_thousand_callers_all_get_their_turn():
    limiter = Limiter(100, max_outage_wait_s=60)
    most = 0

    async def call(number):
        nonlocal most
        slot = await limiter.acquire(number)
        most = max(most, limiter.in_flight)
        await asyncio.sleep(0)
        limiter.release(slot, RequestResult.ANSWERED)

    await asyncio.gather(*map(call, range(10_000)))
    assert (most, limiter.in_flight) == (100, 0)


OUTCOMES = st.sampled_from([RequestResult.ANSWERED, RequestResult.REFUSED, RequestResult.FAILED, RequestResult.UNKNOWN])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.lists(st.tuples(OUTCOMES, st.booleans()), min_size=1, max_size=40), st.randoms())
def test_whatever_happens_no_slot_is_lost_and_none_is_given_twice(most, script, chance):
    async def run():
        limiter = Limiter(most, max_outage_wait_s=60, backoff_s=1e-4)
        held = 0

        async def call(number, outcome):
            nonlocal held
            slot = await limiter.acquire(number, ahead=chance.random() < 0.3)
            held += 1
            assert 1 <= held <= most
            try:
                await asyncio.sleep(chance.random() * 1e-3)
            except asyncio.CancelledError:
                outcome = RequestResult.UNKNOWN
                raise
            finally:
                held -= 1
                limiter.release(slot, outcome)

        tasks = [asyncio.create_task(call(number, outcome)) for number, (outcome, _) in enumerate(script)]
        await asyncio.sleep(chance.random() * 1e-3)
        for task, (_, cancelled) in zip(tasks, script, strict=True):
            if cancelled:
                task.cancel()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        assert limiter.in_flight == held == 0

    # The clock jumps from timer to timer, so nothing really waits.
    on_a_fake_clock(run())


def test_waits_double_up_to_a_most_and_are_drawn():
    random.seed(1)
    for attempt in range(2000):
        full = min(30.0, 0.5 * 2 ** min(attempt, 30))
        assert full / 2 <= backoff(attempt, 0.5, 30.0) <= full
    assert backoff(3, 0.5) != backoff(3, 0.5)


ASK = [{"role": "user", "content": "?"}]


async def test_no_herd_meets_an_endpoint_that_comes_back(fake_openai):
    burst, outage = 54, 3
    async with fake_openai.FakeOpenAI([None] + ["503"] * (burst + outage), latency_s=0.02) as server:
        model = OpenAIModel("m", Endpoint(server.base_url, max_concurrency=50, max_retries=3, backoff_s=0.2, free=True))
        await model.complete(ASK)
        replies = await asyncio.gather(*(model.complete(ASK, occurrence=number) for number in range(150)))
        await model.aclose()
        refused = [entry for entry in server.log if entry.step == "503"]
        after = [entry for entry in server.log[1:] if entry.step is None]
    assert len(replies) == len(after) == 150
    # The first burst, and four more before it is taken for an outage; from then on requests go out alone. The first of
    # them may still meet requests of the burst.
    assert all(entry.open == 1 for entry in refused[burst + 1 :])
    assert [entry.open for entry in after[:3]] < [4, 4, 4]
    assert max(entry.open for entry in after) <= 35


async def test_refusals_bring_the_load_down_to_what_the_endpoint_takes(fake_openai):
    async with fake_openai.FakeOpenAI(latency_s=0.02) as server:
        server.script = lambda number, body: "429" if server.open > 8 else None
        model = OpenAIModel("m", Endpoint(server.base_url, max_concurrency=64, backoff_s=0.02, free=True))
        await asyncio.gather(*(model.complete(ASK, occurrence=number) for number in range(300)))
        await model.aclose()
        late = [entry for entry in server.log[-150:] if entry.step == "429"]
        assert len(server.paid) == 300
    assert len(late) < 50


async def test_a_call_that_fails_alone_ends_while_others_go_on(fake_openai):
    def script(number, body):
        return "500" if body["messages"][0]["content"] == "poison" else None

    async with fake_openai.FakeOpenAI(script) as server:
        model = OpenAIModel("m", Endpoint(server.base_url, max_retries=2, backoff_s=0.01, free=True))
        poison = asyncio.create_task(model.complete([{"role": "user", "content": "poison"}]))
        replies = [await model.complete(ASK) for _ in range(30)]
        with pytest.raises(ModelError, match=r"server error \(attempt 3\)"):
            await poison
        await model.aclose()
    assert len(replies) == 30


async def test_an_arm_that_always_fails_leaves_other_arms_all_their_answers(fake_openai):
    def script(number, body):
        return "500" if body["messages"][0]["role"] == "system" else None

    broken = [{"role": "system", "content": "You have a REPL."}, {"role": "user", "content": "?"}]
    async with fake_openai.FakeOpenAI(script) as server:
        settings = {"max_retries": 4, "backoff_s": 0.01, "max_backoff_s": 0.05, "max_concurrency": 8}
        model = OpenAIModel("m", Endpoint(server.base_url, free=True, **settings))
        asked = [model.complete(broken, occurrence=number) for number in range(20)]
        asked += [model.complete(ASK, occurrence=number) for number in range(20)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        await model.aclose()
    assert [type(result) for result in results[:20]] == [ModelError] * 20
    assert [result.text[:6] for result in results[20:]] == ["reply "] * 20


async def test_the_prompts_of_failed_calls_are_not_kept():
    class Call:
        """A call, which holds its prompt."""

    limiter = await answering("kind", 50, 60)
    calls = [Call() for _ in range(50)]
    slots = [await limiter.acquire(call, "kind") for call in calls]
    for slot in slots:
        limiter.release(slot, RequestResult.FAILED)
    left = [weakref.ref(call) for call in calls]
    calls.clear()
    slots.clear()
    del slot
    gc.collect()
    assert sum(call() is not None for call in left) <= 2
