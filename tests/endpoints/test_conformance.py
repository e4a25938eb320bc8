"""Every fault of an endpoint in every role: state, cost, retries and cache of the call that meets it."""

import pytest

from benchmarks.scoring.judge import LlmJudge
from rlm import RLM, PlainModel
from rlm.limits import Limits
from rlm.methods.compaction import Compaction
from rlm.models.cache import model as cache
from rlm.models.chat import FatalModelError, ModelError, Sampling
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel
from rlm.models.prices import PriceTable
from rlm.models.scripted import ScriptedModel
from tests.endpoints.cases import ANSWER, CASES

CONTEXT = "The grass is green and the sky is blue, as they were on the day before. " * 60
QUESTION = "Which number does the text give?"
ASK = """```repl
try:
    said = llm_query("SUB " + str(context)) or "nothing"
except Exception as failure:
    said = f"failed: {failure}"
```"""
PRICES = PriceTable({"m": {"input": 1.0, "output": 1.0}})


class Role:
    """A completion in which the faulty endpoint plays one role; its calls, and what came of them."""

    def __init__(self, model):
        self.model = model

    async def run(self):
        """The call records of the role; raises what the public surface raises."""
        raise NotImplementedError


class Root(Role):
    async def run(self):
        self.completion = await PlainModel(model=self.model).acompletion(CONTEXT, query=QUESTION)
        return self.completion.calls

    def check(self, outcome):
        stop_reason = self.completion.stop_reason
        assert (outcome == "context_overflow") == (stop_reason == "context_overflow")
        assert (outcome == "error") == (stop_reason == "error")


class Sub(Role):
    async def run(self):
        root = ScriptedModel([ASK, "FINAL_VAR(said)"])
        rlm = RLM(model=root, sub_model=self.model, repl={"confinement": "unsafe"})
        self.completion = await rlm.acompletion(CONTEXT, query=QUESTION)
        return [call for call in self.completion.calls if call.role == "sub"]

    def check(self, outcome):
        # A failed sub-call raises in the model's code, and the root goes on.
        assert self.completion.stop_reason == "answer"
        failed = str(self.completion.answer).startswith("failed: ")
        assert failed == (outcome in ("error", "context_overflow", "refused"))


class Compactor(Role):
    async def run(self):
        root = ScriptedModel([ANSWER] * 9, context_window=700)
        method = Compaction(model=root, sub_model=self.model, summary_tokens=200, output_tokens=100)
        self.completion = await method.acompletion(CONTEXT, query=QUESTION)
        return [call for call in self.completion.calls if call.role == "compactor"][:1]

    def check(self, outcome):
        assert (outcome == "error") == (self.completion.stop_reason == "error")


class Judge(Role):
    async def run(self):
        ask, calls = LlmJudge(self.model, limits=Limits(max_calls=3)).open()
        self.verdict = None
        try:
            self.verdict = await ask(QUESTION, CONTEXT, "4711")
        except FatalModelError:
            raise
        except ModelError as failure:
            self.failure = failure
        return calls

    def check(self, outcome):
        # A judge that fails gives no verdict: the response is not wrong for that.
        assert (outcome == "error") == (self.verdict is None)
        assert self.verdict is None or self.verdict.correct is None


ROLES = {"root": Root, "sub": Sub, "compactor": Compactor, "judge": Judge}


@pytest.fixture
def endpoint(fake_openai):
    """A server for one case: the steps come first, then the answer, for every distinct request."""

    def make(case):
        seen = {}

        def script(number, body):
            prompt = str(body["messages"])
            # Only the first prompt of a completion meets the fault; its retries take the following steps.
            if seen and prompt not in seen:
                return {"text": ANSWER}
            attempt = seen[prompt] = seen.get(prompt, -1) + 1
            return case.steps[attempt] if attempt < len(case.steps) else {"text": ANSWER}

        return fake_openai.FakeOpenAI(script)

    return make


def model_at(server, store):
    settings = {"max_retries": 2, "backoff_s": 0.01, "max_backoff_s": 0.02, "max_outage_wait_s": 5.0}
    endpoint = Endpoint(server.base_url, "TEST_KEY", **settings)
    model = OpenAIModel("m", endpoint, sampling=Sampling(max_output_tokens=65_535), prices=PRICES)
    return cache.CachedModel(model, store)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", CASES)
async def test_a_fault_ends_right_in_every_role(endpoint, tmp_path, monkeypatch, name, role):
    case = CASES[name]
    monkeypatch.setenv("TEST_KEY", "sk-1")
    store = cache.CallStore(tmp_path / "calls.sqlite")
    async with endpoint(case) as server:
        model = model_at(server, store)
        played = ROLES[role](model)
        if case.outcome == "fatal":
            # No later call can succeed: it ends the run, whatever the role.
            with pytest.raises(FatalModelError, match=case.message):
                await played.run()
        else:
            call = (await played.run())[0]
            _check_call(call, case)
            played.check(case.outcome)
        requests = [entry for entry in server.log if entry.body["messages"] == server.log[0].body["messages"]]
        assert len(requests) == case.attempts
        if case.kept:
            before = server.requests
            again = (await ROLES[role](model).run())[0]
            assert server.requests == before and again.cache_hit
            assert (again.finish_reason, again.error, again.cost) == (call.finish_reason, call.error, call.cost)
        elif role == "judge" or case.outcome == "fatal":
            # No failure of an endpoint is stored: the next run asks again.
            assert len(store) == 0
        await model.aclose()
    store.close()


def _check_call(call, case):
    failed = case.outcome in ("error", "context_overflow")
    assert (call.error is not None) == failed
    assert (call.finish_reason == "content_filter") == (case.outcome == "refused")
    assert call.cost.state == case.cost
    assert call.retries == case.attempts - 1
    assert case.message in str(call.error)
    for flag, value in (case.flags or {}).items():
        assert getattr(call, flag) == value, flag
    assert case.outcome != "answered" or call.usage.completion_tokens > 0
