"""The library in a program: prompts of every kind, limits, events, cancellation, event loops, names and types."""

import asyncio
import pickle
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import rlm
from rlm import RLM, Budget, CodeAct, Compaction, Limits, PlainModel, Prompt, ScriptedModel, StopReason
from rlm.completion import Status
from rlm.methods.method import Method

SUB_CALL = "```repl\nprint(llm_query('say it'))\n```"
TEXT = "The magic number is 4711. " * 40


class Stalled:
    """A model that never answers; `asked` is set once it was, `cancelled` counts calls that were dropped."""

    name = "stalled"
    context_window = None

    def __init__(self):
        self.sampling = rlm.load_model(ScriptedModel(["x"])).sampling
        self.asked, self.cancelled = threading.Event(), 0

    async def complete(self, messages, *, epoch=0, occurrence=0):
        self.asked.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def aclose(self):
        pass


def reading_root():
    return ScriptedModel(["```repl\nprint(len(context), type(context).__name__)\n```", "FINAL(4711)"])


@pytest.mark.parametrize(
    "method",
    [
        lambda: PlainModel(model=ScriptedModel(["4711"])),
        lambda: RLM(model=reading_root()),
        lambda: CodeAct(model=ScriptedModel(["ANSWER: 4711"])),
        lambda: Compaction(model=ScriptedModel(["4711"])),
    ],
    ids=["PlainModel", "RLM", "CodeAct", "Compaction"],
)
def test_any_method_can_replace_a_model_call(method):
    result = method().completion(TEXT, "Which number?")
    assert (result.answer, result.stop_reason) == ("4711", StopReason.ANSWER)
    assert result.usage.tokens.total > 0 and result.usage.root_calls >= 1
    assert [event["kind"] for event in result.trajectory.events][-1] == "answer"


def test_a_prompt_is_a_text_documents_messages_or_a_path(tmp_path):
    book = tmp_path / "book.txt"
    book.write_text(TEXT)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# A\n")
    (tmp_path / "notes" / "b.bin").write_bytes(b"\0\1")
    turns = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}, {"role": "assistant", "content": "Hi"}]
    said = len("user: Hello\n\nassistant: Hi")
    shown = {
        "str": (TEXT, f"{len(TEXT)} str"),
        "documents": ([TEXT, TEXT], "2 list"),
        "file": (book, f"{len(TEXT)} str"),
        "folder": (tmp_path / "notes", "1 list"),
        "messages": ([*turns, {"role": "user", "content": "Which?"}], f"{said} str"),
    }
    for kind, (prompt, told) in shown.items():
        root = reading_root()
        assert RLM(model=root).completion(prompt).answer == "4711", kind
        assert told in root.requests[1][-1]["content"], kind


def test_one_long_message_that_ends_in_a_question_never_enters_the_roots_prompt():
    root = reading_root()
    asked = f"{TEXT * 500}\n\nWhich number is it?"
    told = [{"role": "system", "content": "Answer in digits."}]
    assert RLM(model=root).completion([*told, {"role": "user", "content": asked}]).answer == "4711"
    first = root.requests[0][-1]["content"]
    assert "Answer in digits." in first and "Which number is it?" in first and len(first) < 5_000
    assert f"{len('system: Answer in digits.') + 2 + len('user: ') + len(asked)} str" in root.requests[1][-1]["content"]


def test_the_root_sees_the_system_message_of_a_conversation():
    root = reading_root()
    turns = [{"role": "system", "content": "Answer in digits."}, {"role": "user", "content": "Which number?"}]
    RLM(model=root).completion(turns)
    assert "Answer in digits.\n\nWhich number?" in root.requests[0][-1]["content"]


@pytest.mark.parametrize(
    ("prompt", "error", "told"),
    [
        (Path("/nowhere/book.txt"), ValueError, "/nowhere/book.txt cannot be read: No such file"),
        (Path(sys.executable), ValueError, "is not a text file"),
        (3, TypeError, "is int: expected"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], TypeError, "parts that are not text"),
        ([{"role": "user", "content": 5}], TypeError, "neither a string"),
        ([{"role": "user", "content": [{"type": "text", "text": 5}]}], TypeError, "without a text"),
        ("", ValueError, "the prompt is empty"),
    ],
)
def test_an_invalid_prompt_is_refused_in_one_line(prompt, error, told):
    with pytest.raises(error, match=told):
        PlainModel(model=ScriptedModel(["x"])).completion(prompt)


@pytest.mark.parametrize(
    ("model", "error", "told"),
    [
        (None, TypeError, "model is NoneType, without name"),
        (PlainModel, TypeError, "model is type, without name"),
        ("gpt-5", ValueError, "there is no model 'gpt-5': expected local, local/"),
        ("", ValueError, "there is no model ''"),
    ],
)
def test_an_invalid_model_is_refused_when_the_method_is_made(model, error, told):
    with pytest.raises(error, match=told):
        RLM(model=model)


def test_limits_of_a_call_replace_those_of_the_method_and_end_in_a_stop_reason():
    model = RLM(model=ScriptedModel([SUB_CALL] * 9), sub_model=ScriptedModel(["it"] * 9), limits=Limits(max_turns=9))
    result = model.completion(TEXT, limits=Limits(max_sub_calls=1))
    assert (result.answer, result.stop_reason, result.usage.sub_calls) == (None, StopReason.MAX_SUB_CALLS, 1)


def test_completions_share_a_budget():
    budget = Budget(max_cost_usd=0.001)
    model = PlainModel(model=ScriptedModel(["x"] * 3, usd_per_million=(100.0, 100.0)))
    reasons = [model.completion(TEXT, budget=budget).stop_reason for _ in range(3)]
    assert reasons == [StopReason.ANSWER, StopReason.MAX_RUN_COST, StopReason.MAX_RUN_COST]


def test_a_callback_hears_of_turns_and_sub_calls_as_they_happen():
    heard, model = [], RLM(model=ScriptedModel([SUB_CALL, "FINAL(4711)"]), sub_model=ScriptedModel(["it"]))
    result = model.completion(TEXT, on_event=heard.append)
    assert heard == result.trajectory.events
    assert [(e["kind"], e.get("role")) for e in heard if e["kind"] in ("turn", "call")] == [
        ("turn", None), ("call", "root"), ("call", "sub"), ("turn", None), ("call", "root"),
    ]  # fmt: skip


async def test_cancelling_ends_the_session_and_the_calls_in_flight(sessions):
    sub = Stalled()
    work = asyncio.create_task(RLM(model=ScriptedModel([SUB_CALL]), sub_model=sub).acompletion(TEXT))
    await asyncio.to_thread(sub.asked.wait, 60)
    assert sessions.running() > 0
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert sub.cancelled == 1
    await asyncio.to_thread(sessions.wait_for_end)


def test_ctrl_c_in_a_completion_cancels_the_whole_tree(sessions):
    sub, main = Stalled(), threading.main_thread().ident
    threading.Thread(target=lambda: (sub.asked.wait(60), signal.pthread_kill(main, signal.SIGINT)), daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        RLM(model=ScriptedModel([SUB_CALL]), sub_model=sub).completion(TEXT)
    assert sub.cancelled == 1
    sessions.wait_for_end()


async def test_completion_works_while_an_event_loop_runs_and_beside_acompletion(fake_openai, monkeypatch):
    async with fake_openai.FakeOpenAI(reply=lambda body: "4711") as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.base_url)
        model = PlainModel(model="vllm/any")
        # The server lives on this loop, so the blocking call is made beside it, from a thread with a loop of its own.
        assert await asyncio.to_thread(lambda: asyncio.run(_blocking(model))) == "4711"
        assert (await model.acompletion("Which?")).answer == "4711"
        assert (await asyncio.to_thread(model.completion, "Which?")).answer == "4711"
        await model.model.aclose()


async def _blocking(model):
    return model.completion("Which?").answer


def test_a_completion_inside_the_callback_of_another_is_refused_and_does_not_hang(caplog):
    inner = PlainModel(model=ScriptedModel(["x"]))
    result = PlainModel(model=ScriptedModel(["y"])).completion("a", on_event=lambda event: inner.completion("b"))
    assert result.answer == "y"
    assert "await acompletion" in caplog.text


def test_an_exception_of_a_callback_is_logged_and_does_not_end_the_completion(caplog):
    def fail(event):
        raise ValueError("no room on the screen")

    model = RLM(model=ScriptedModel([SUB_CALL, "FINAL(4711)"]), sub_model=ScriptedModel(["it"]))
    result = model.completion(TEXT, on_event=fail)
    assert (result.answer, result.usage.sub_calls, result.trajectory.of_kind("cell")[0]["status"]) == ("4711", 1, "ok")
    assert "no room on the screen" in caplog.text and "kind completion" in caplog.text


def test_a_completion_can_be_pickled():
    result = RLM(model=ScriptedModel([SUB_CALL, "FINAL(4711)"]), sub_model=ScriptedModel(["it"])).completion(TEXT)
    again = pickle.loads(pickle.dumps(result))
    assert (again.answer, again.calls, again.trajectory.events) == (
        result.answer,
        result.calls,
        result.trajectory.events,
    )


def test_a_fault_of_a_method_is_an_error_that_reports_the_cost():
    class Faulty(Method):
        async def answer(self, prompt, tree):
            await tree.call(self.model, prompt.messages())
            return {}["nothing"]

    result = Faulty(model=ScriptedModel(["x"], usd_per_million=(100.0, 100.0))).completion(TEXT)
    assert (result.answer, result.status, result.error) == (None, Status.ERROR, "KeyError: 'nothing'")
    assert result.usage.cost.usd > 0 and len(result.calls) == 1
    assert "in answer" in result.trajectory.of_kind("error")[0]["traceback"]


def test_many_threads_may_complete_at_once():
    model, answers = PlainModel(model=ScriptedModel(lambda messages: messages[-1]["content"])), {}
    threads = [
        threading.Thread(target=lambda i=i: answers.update({i: model.completion(str(i)).answer})) for i in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {i: str(i) for i in range(20)}


def test_every_public_name_is_there_and_no_other():
    for name in rlm.__all__:
        assert getattr(rlm, name) is not None
    assert set(rlm.__all__) <= set(dir(rlm))
    with pytest.raises(AttributeError, match="RLMs"):
        rlm.RLMs  # noqa: B018
    assert Prompt.of("x", "y").query == "y"


def test_importing_the_library_imports_no_heavy_module():
    heavy = ("hydra", "omegaconf", "pandas", "numpy", "datasets", "openai", "aiohttp", "starlette", "matplotlib", "ray")
    code = (
        "import sys, rlm\nfrom rlm import RLM, CodeAct, Compaction, PlainModel, Limits, ScriptedModel\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_says_that_it_is_typed():
    assert Path(rlm.__file__).with_name("py.typed").is_file()


def test_the_former_name_of_the_plain_model_warns() -> None:
    import rlm

    with pytest.warns(DeprecationWarning, match="use rlm.PlainModel"):
        assert rlm.BaseModel is rlm.PlainModel


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_cost": 1}, "there is no key 'limits.max_cost'; did you mean 'limits.max_cost_usd'?"),
        ({"max_cost_usd": "1"}, "limits.max_cost_usd is '1': expected a number of at least 0, or null"),
        (1, "limits is 1: expected a section of keys and values"),
    ],
)
def test_limits_that_do_not_fit_are_refused_before_a_call_with_what_was_expected(limits, told):
    model = ScriptedModel(["FINAL(1)"])
    with pytest.raises(ValueError, match=re.escape(told)):
        RLM(model=model, limits=limits)
    with pytest.raises(ValueError, match=re.escape(told)):
        RLM(model=model).completion("text", limits=limits)
    assert model.requests == []


def test_limits_may_be_written_as_a_mapping():
    method = RLM(model=ScriptedModel(["text"] * 3), limits={"max_cost_usd": 1, "max_turns": 5})
    assert method.limits.max_cost_usd == 1
    assert method.completion("text", limits={"max_calls": 0}).stop_reason == "max_calls"
