"""One run in which each sample meets another fault: every sample ends in its true state, and none is scored wrong."""

import asyncio
import re
import threading

import pandas as pd
import pytest

from tests.endpoints.cases import ANSWER, CASES

NAMES = [name for name, case in CASES.items() if case.outcome != "fatal"]
WORDS = [
    "model=openai", "benchmark=[sniah]", "method=[base]", "benchmark.sniah.lengths=[1024]", "concurrency.samples=1",
    "benchmark.sniah.variants=[single_1]", f"benchmark.sniah.samples={len(NAMES)}", "model.root.name=gpt-5",
    "model.root.max_output_tokens=65535", "model.endpoint.max_retries=2", "model.endpoint.backoff_s=0.01",
    "model.endpoint.max_backoff_s=0.02", "model.endpoint.max_tokens_key=max_tokens", "run_dir=run",
]  # fmt: skip
# A reply without a text and without reasoning is no answer.
EMPTY = ("tool call",)
STATUS = {"answered": "ok", "refused": "ok", "context_overflow": "context_overflow", "error": "error"}


class Script:
    """The n-th prompt that comes meets the n-th case, in each of its attempts the next step."""

    def __init__(self):
        self.order = {}
        self.attempts = {}

    def __call__(self, number, body):
        prompt = str(body["messages"])
        name = NAMES[self.order.setdefault(prompt, len(self.order))]
        attempt = self.attempts[name] = self.attempts.get(name, -1) + 1
        steps = CASES[name].steps
        step = steps[attempt] if attempt < len(steps) else {"text": ANSWER}
        key = re.search(r"give for ([\w-]+)\?", prompt)[1]
        number = re.search(rf"{key}\D{{1,40}}?(\d{{4,}})", prompt)[1]
        return _with_number(step, number)


def _with_number(step, number):
    if isinstance(step, str):
        return step.replace("4711", number)
    if isinstance(step, dict):
        return {key: _with_number(value, number) for key, value in step.items()}
    return step


@pytest.fixture
def endpoint(fake_openai):
    """A server in a thread of its own, since a run brings its own event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = fake_openai.FakeOpenAI(Script())
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    yield server
    asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _stop(server):
    await server.__aexit__()
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def test_each_sample_of_a_run_ends_in_its_true_state(endpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    _run(monkeypatch, tmp_path)
    samples = pd.read_parquet(tmp_path / "run" / "samples.parquet")
    calls = pd.read_parquet(tmp_path / "run" / "calls.parquet").set_index("sample_id")
    for name, sample in zip(NAMES, samples.to_dict("records"), strict=True):
        case, call = CASES[name], calls.loc[sample["sample_id"]]
        assert (name, sample["status"]) == (name, STATUS[case.outcome])
        # A sample of which every call failed may have been billed.
        cost = "unknown" if case.outcome in ("error", "context_overflow") else case.cost
        assert (name, sample["cost_state"]) == (name, cost)
        if case.outcome == "answered":
            assert (name, bool(sample["prompt_cut"])) == (name, bool((case.flags or {}).get("prompt_cut")))
        assert (name, call["retries"]) == (name, case.attempts - 1)
        right = case.outcome == "answered" and name not in EMPTY
        assert (name, sample["score"]) == (name, float(right))
        assert case.message in str(sample["error"])
    asked = endpoint.requests
    _run(monkeypatch, tmp_path)
    # A resumed run sends the prompts of failed samples again, and no other.
    failed = [name for name in NAMES if CASES[name].outcome == "error"]
    assert len({str(entry.body["messages"]) for entry in endpoint.log[asked:]}) == len(failed)


def _run(monkeypatch, folder):
    from benchmarks.config.compose import compose
    from benchmarks.running.run import run

    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    run(compose(WORDS))
