"""Roles of a model section: taken from other choices, at other endpoints, and completed by what servers report."""

import sys

import pandas as pd
import pytest

from benchmarks.cli import main
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.config.identity import differences

SMALL = ["benchmark=[sniah]", "benchmark.sniah.lengths=[256]", "benchmark.sniah.variants=[single_1]", "limit=1"]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("OPENAI_BASE_URL", "VLLM_BASE_URL", "OLLAMA_BASE_URL", "LLAMA_CPP_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def hosted(*words):
    """Name, address and window of the models behind endpoints, by role."""
    models = compose(words).model.hosted
    return {role: (one.name, one.endpoint.base_url, one.settings.context_window) for role, one in models.items()}


def test_a_role_is_taken_from_another_choice():
    config = compose(["model=openai", "model.sub=smollm2"])
    assert config.model.hosted.keys() == {"root", "compactor"}
    assert config.model.roles.local["sub"].context_window == 2048
    assert config.model.paid_for("sub") is None
    assert config.model.paid_for("root").name == "gpt-5"


def test_further_keys_of_a_role_replace_those_of_the_choice():
    config = compose(["model=openai", "model.sub=local", "model.sub.max_output_tokens=7", "model.sub.threads=1"])
    section = config.plain["model"]["sub"]
    assert (section["kind"], section["max_output_tokens"], section["threads"]) == ("embedded", 7, 1)


def test_a_hosted_sub_model_under_a_local_root():
    config = compose(["model=local", "model.sub=openai"])
    assert config.model.hosted["sub"].name == "gpt-5-mini"
    assert config.model.roles.local.keys() == {"root", "compactor"}
    assert [config.model.paid_for(role) is None for role in ("root", "sub", "compactor")] == [True, False, True]


@pytest.mark.parametrize(
    "words",
    [
        ["model.sub.endpoint=http://127.0.0.1:9/v1"],
        ["model.sub.endpoint.base_url=http://127.0.0.1:9/v1"],
        ["model.sub.endpoint={base_url: 'http://127.0.0.1:9/v1'}"],
    ],
)
def test_a_role_has_an_endpoint_of_its_own_and_none_of_the_others_sampling(words):
    config = compose(["model=openai", "model.sub.name=q", *words])
    sub = config.model.hosted["sub"]
    assert (sub.name, sub.endpoint.base_url, sub.endpoint.api_key_env) == ("q", "http://127.0.0.1:9/v1", None)
    assert (sub.settings.reasoning_effort, sub.settings.max_output_tokens, sub.settings.context_window) == (None,) * 3
    assert config.model.hosted["root"].endpoint.base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("sub", [[], ["model.sub=openai"]])
def test_keys_of_an_endpoint_complete_an_address_in_any_order(turn, sub):
    words = [*sub, "model.sub.endpoint=http://127.0.0.1:9/v1", "model.sub.endpoint.max_retries=2", "model.sub.name=q"]
    endpoint = compose(["model=openai", *words[::turn]]).model.hosted["sub"].endpoint
    assert (endpoint.base_url, endpoint.max_retries) == ("http://127.0.0.1:9/v1", 2)
    assert endpoint.api_key_env is None, "no key goes to another address"


def test_keys_of_an_endpoint_complete_a_choice():
    words = ["model.sub.endpoint.api_key_env=MINE", "model.sub.endpoint=qwen3_8b", "model.sub.name=q"]
    endpoint = compose(["model=openai", *words]).model.hosted["sub"].endpoint
    assert (endpoint.base_url, endpoint.api_key_env) == ("http://127.0.0.1:8000/v1", "MINE")


def test_an_endpoint_is_taken_from_a_choice_by_name():
    sub = compose(
        ["model=openai", "model.sub.endpoint=qwen3_8b", "model.sub={name: q, context_window: 9}"]
    ).model.hosted["sub"]
    assert (sub.endpoint.base_url, sub.endpoint.free) == ("http://127.0.0.1:8000/v1", True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model.sub=lcal"], "model.sub is 'lcal': there is no model 'lcal'; did you mean 'local'?"),
        (["model.sub.nmae=x"], "there is no key 'model.sub.nmae'; did you mean 'model.sub.name'?"),
        (["model.sub.endpoint=local"], "model.sub.endpoint is 'local': model=local has no endpoint"),
        (["model.sub.endpoint=olama"], "did you mean 'ollama'?"),
        (["model=gpt-5"], "the name of a server's model is set as model=openai model.name=gpt-5"),
        (["model=anthropic/claude"], "there is no model 'anthropic/claude'"),
        (["model=anthropic/claude"], "is set as model=anthropic model.name=claude"),
        (["model.sub.endpoint.base_ulr=x"], "did you mean 'model.sub.endpoint.base_url'?"),
        (["model.sub.endpoint.connect_s=3"], "model.sub.endpoint.base_url is missing"),
        (["model.sub=local", "model.sub.name=x"], "there is no key 'model.sub.name'"),
        (["model.sub=local", "model.sub.context_window=x"], "model.sub.context_window is 'x': expected an integer"),
        (["model=local", "model.name=x"], "model.name is 'x': expected null for models of kind embedded"),
        (["model=azure"], "model.endpoint.base_url is missing: expected an address such as https://NAME.openai.azure.com"),
        (["model=vllm", "model.root.context_window=9"], "nothing answers at http://127.0.0.1:8000/v1/models"),
        (["model=vllm", "cache.mode=replay"], "model.root.name is missing"),
    ],
)  # fmt: skip
def test_what_a_role_cannot_be_is_answered_with_its_key(words, told):
    with pytest.raises(ConfigError) as caught:
        compose([*([] if words[0].startswith("model=") else ["model=openai"]), *words])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_name_sets_all_roles_and_drops_what_belongs_to_other_models(monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    config = compose(["model=openrouter", "model.name=anthropic/claude-sonnet-4.5", "model.root.temperature=0"])
    assert config.model.hosted.keys() == {"root"}
    root = config.model.hosted["root"]
    assert (root.name, root.settings.reasoning_effort, root.settings.temperature) == (
        "anthropic/claude-sonnet-4.5", None, 0)  # fmt: skip
    extra = compose(["model=qwen3_8b", "model.name=m", "model.root.context_window=9"]).model.hosted["root"].settings
    assert dict(extra.extra) == {}


def test_a_role_may_have_another_name():
    found = hosted("model=openai", "model.name=a", "model.sub.name=b")
    assert {role: name for role, (name, _, _) in found.items()} == {"root": "a", "sub": "b"}


@pytest.mark.parametrize(
    ("choice", "variable", "table", "name", "window"),
    [
        ("vllm", "VLLM_BASE_URL", "VLLM", "Qwen/Qwen3-8B", 40960),
        ("llama_cpp", "LLAMA_CPP_BASE_URL", "LLAMA_CPP", "tiny.gguf", 2048),
        ("ollama", "OLLAMA_BASE_URL", "OLLAMA", "qwen3:8b", 16384),
    ],
)
def test_a_server_of_ones_own_is_asked_for_name_and_window(
    json_servers, monkeypatch, choice, variable, table, name, window
):
    with json_servers.json_server(getattr(json_servers, table)) as server:
        monkeypatch.setenv(variable, server.base_url)
        assert hosted(f"model={choice}") == {"root": (name, server.base_url, window)}
        config = compose([f"model={choice}"])
        assert config.plain["model"]["root"]["name"] == name
        assert hosted(f"model={choice}", "model.root.context_window=99")["root"][2] == 99


def test_a_server_with_several_models_needs_a_name(json_servers, monkeypatch):
    entries = [{"id": name, "max_model_len": 10 + len(name)} for name in ("a", "bb")]
    with json_servers.json_server({"GET /v1/models": {"data": entries}}) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.base_url)
        with pytest.raises(ConfigError, match=r"has 2 models: expected one of a, bb"):
            compose(["model=vllm"])
        assert hosted("model=vllm", "model.name=bb") == {"root": ("bb", server.base_url, 12)}
        found = hosted("model=vllm", "model.name=bb", "model.sub.name=a")
        assert found["sub"] == ("a", server.base_url, 11)


def test_a_sub_model_of_ones_own_server_is_one_word(json_servers, monkeypatch):
    with json_servers.json_server(json_servers.VLLM) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.base_url)
        found = hosted("model=openai", "model.sub=vllm")
    assert found["sub"] == ("Qwen/Qwen3-8B", server.base_url, 40960)
    assert found["root"][0] == "gpt-5"


def test_a_window_that_nobody_reports_is_unknown_and_says_so(json_servers, monkeypatch, capsys):
    with json_servers.json_server({"GET /v1/models": {"data": [{"id": "m"}]}}) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.base_url)
        assert hosted("model=vllm")["root"][2] is None
    assert "does not report the window of m: set model.root.context_window" in capsys.readouterr().err


def test_a_replay_needs_no_address_and_asks_nobody():
    words = ["model=vllm", "model.name=m", "cache.mode=replay", "model.endpoint.base_url=null"]
    assert hosted(*words)["root"][0] == "m"


def test_a_run_with_two_servers_sends_each_its_own_model_key_and_sampling(json_servers, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-root")
    monkeypatch.setenv("SUB_KEY", "sk-sub")
    code = "```repl\nprint(llm_query('the secret number'))\n```"
    replies = iter([code, "FINAL(4711)"])
    root = {"POST /v1/chat/completions": lambda body: json_servers.chat_answer(next(replies))(body)}
    sub = {"POST /v1/chat/completions": json_servers.chat_answer("4711")}
    with json_servers.json_server(root) as one, json_servers.json_server(sub) as other:
        words = [
            "model=openai", f"model.endpoint.base_url={one.base_url}", f"model.sub.endpoint.base_url={other.base_url}",
            "model.sub.endpoint.api_key_env=SUB_KEY", "model.sub.name=small", "method=[rlm]", "run_dir=run",
            "+prices.small.input=2", "+prices.small.output=2",
        ]  # fmt: skip
        assert main(["run", *SMALL, *words]) == 0, capsys.readouterr().err
        (_, _, first), (_, body, headers) = one.requests[0], other.requests[0]
    assert (first["authorization"], headers["authorization"]) == ("Bearer sk-root", "Bearer sk-sub")
    assert body.keys() == {"model", "messages"} and body["model"] == "small"
    assert one.requests[0][1]["reasoning_effort"] == "medium"
    calls = pd.read_parquet("run/calls.parquet").set_index("role")
    assert calls.loc["sub", "cost_usd"] == pytest.approx(2004 * 2e-6)
    assert pd.read_parquet("run/samples.parquet").sub_model.tolist() == ["small"]


@pytest.mark.skipif(sys.platform != "linux", reason="the REPL needs Linux")
def test_a_local_sub_model_answers_under_a_hosted_root(json_servers, monkeypatch, tmp_path, llama_cpp, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-root")
    monkeypatch.setenv("LLAMA_CPP_BASE_URL", f"{llama_cpp}/v1")
    replies = iter(["```repl\nprint(llm_query('Say hello.'))\n```", "FINAL(4711)"])
    root = {"POST /v1/chat/completions": lambda body: json_servers.chat_answer(next(replies))(body)}
    with json_servers.json_server(root) as server:
        words = [
            "model=openai", f"model.endpoint.base_url={server.base_url}", "model.sub=llama_cpp", "method=[rlm]",
            "model.sub.max_output_tokens=8", "run_dir=run",
        ]  # fmt: skip
        assert main(["run", *SMALL, *words]) == 0, capsys.readouterr().err
    calls = pd.read_parquet("run/calls.parquet").set_index("role")
    assert (calls.loc["sub", "model"], calls.loc["sub", "cost_state"]) == ("tiny", "free")
    assert pd.isna(calls.loc["sub", "error"])
    assert calls.loc["sub", "completion_tokens"] > 0


def test_llama_cpp_is_run_by_its_name_alone(monkeypatch, tmp_path, llama_cpp, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLAMA_CPP_BASE_URL", f"{llama_cpp}/v1")
    words = ["model=llama_cpp", "method=[base_truncated]", "model.root.max_output_tokens=8", "run_dir=run"]
    assert main(["run", *SMALL, *words]) == 0, capsys.readouterr().err
    samples = pd.read_parquet("run/samples.parquet")
    assert (samples.model.tolist(), samples.status.tolist()) == (["tiny"], ["ok"])


def test_the_keys_of_a_role_that_do_not_change_results_are_no_part_of_the_run():
    words = ["model=openai", "model.sub.name=q", "model.sub.endpoint.base_url=http://127.0.0.1:9/v1"]
    before = compose(words)
    assert compose([*words, "model.sub.endpoint.max_retries=1"]).hash == before.hash
    other = compose([*words, "model.sub.endpoint.base_url=http://127.0.0.1:8/v1"])
    assert differences(before.plain, other.plain) == [
        "model.sub.endpoint.base_url: 'http://127.0.0.1:9/v1' -> 'http://127.0.0.1:8/v1'"
    ]
