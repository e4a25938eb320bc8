"""What servers report about their models: names and windows, from the bodies that vLLM, llama.cpp and Ollama send."""

import json
import time

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.models.client.bounded import bounded_body
from rlm.models.client.endpoint import Endpoint
from rlm.models.served import (
    NotServed,
    ServedModel,
    read_loaded,
    read_models_list,
    read_props,
    read_show,
    served_models,
    served_window,
)


def test_vllm_reports_name_and_window_in_its_list(json_servers):
    with json_servers.json_server(json_servers.VLLM) as server:
        endpoint = Endpoint(server.base_url, window_from="models")
        assert served_models(endpoint) == [ServedModel("Qwen/Qwen3-8B", 40960)]
        assert served_window(endpoint, "Qwen/Qwen3-8B") == 40960
        assert served_window(endpoint, "another") is None


def test_llama_cpp_reports_the_window_of_one_slot(json_servers):
    with json_servers.json_server(json_servers.LLAMA_CPP) as server:
        endpoint = Endpoint(server.base_url, window_from="llama_cpp")
        assert served_models(endpoint) == [ServedModel("tiny.gguf", None)]
        assert served_window(endpoint, "tiny.gguf") == 2048


def test_ollama_reports_the_window_that_the_model_sets(json_servers):
    with json_servers.json_server(json_servers.OLLAMA) as server:
        assert served_window(Endpoint(server.base_url, window_from="ollama"), "qwen3:8b") == 16384
        assert [body for route, body, _ in server.requests] == [{"model": "qwen3:8b"}]


def test_ollama_without_num_ctx_loads_the_model_and_reports_the_window_that_it_has_then(json_servers):
    show = {**json_servers.OLLAMA["POST /api/show"], "parameters": 'stop "<|im_end|>"'}
    loaded = []

    def load(body):
        loaded.append({"name": "qwen3:8b", "model": "qwen3:8b", "size": 1, "context_length": 32768})
        return {"model": "qwen3:8b", "response": "", "done": True, "done_reason": "load"}

    routes = {"POST /api/show": show, "POST /api/generate": load, "GET /api/ps": lambda _: {"models": loaded}}
    with json_servers.json_server(routes) as server:
        assert served_window(Endpoint(server.base_url, window_from="ollama"), "qwen3:8b") == 32768


def test_an_older_ollama_that_reports_no_window_has_its_default_one_and_not_the_longest(json_servers):
    show = {**json_servers.OLLAMA["POST /api/show"], "parameters": ""}
    routes = {"POST /api/show": show, "POST /api/generate": {"done": True}, "GET /api/ps": {"models": []}}
    with json_servers.json_server(routes) as server:
        assert served_window(Endpoint(server.base_url, window_from="ollama"), "qwen3:8b") == 4096


@pytest.mark.parametrize(
    ("entry", "window"),
    [
        ({"id": "m", "context_length": 200000, "top_provider": {"context_length": 131072}}, 131072),
        ({"id": "m", "context_window": 131072}, 131072),
        ({"id": "m", "max_context_length": 32768}, 32768),
        ({"id": "m", "type": "model", "max_input_tokens": 200000}, 200000),
        ({"id": "m", "meta": {"n_ctx": 512, "n_ctx_train": 8192}}, 512),
        ({"id": "m", "max_model_len": True}, None),
        ({"id": "m", "max_model_len": -1}, None),
    ],
)
def test_the_field_of_the_window_differs_by_server(entry, window):
    assert read_models_list({"data": [entry]}) == [ServedModel("m", window)]
    assert read_models_list([entry]) == [ServedModel("m", window)]


def test_a_model_that_is_listed_twice_is_one_with_its_smallest_window():
    entries = [{"id": "m", "max_model_len": 9}, {"id": "m", "max_model_len": 5}, {"id": "m"}]
    assert read_models_list({"data": entries}) == [ServedModel("m", 5)]


def test_a_key_and_further_headers_are_sent(json_servers, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-1")
    with json_servers.json_server(json_servers.VLLM) as server:
        served_models(Endpoint(server.base_url, "TEST_KEY", headers={"X-Team": "a"}))
        (_, _, headers) = server.requests[0]
    assert (headers["authorization"], headers["x-team"]) == ("Bearer sk-1", "a")


def test_a_server_that_cannot_be_asked_is_named_with_the_reason(json_servers):
    with pytest.raises(NotServed, match=r"nothing answers at http://127\.0\.0\.1:1/v1/models"):
        served_models(Endpoint("http://127.0.0.1:1/v1"))
    with (
        json_servers.json_server({}) as server,
        pytest.raises(NotServed, match="/v1/models answers with status 404: "),
    ):
        served_models(Endpoint(server.base_url))
    with json_servers.json_server({"GET /v1/models": {"data": 3}}) as server, pytest.raises(NotServed, match="no list"):
        served_models(Endpoint(server.base_url))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["data", "id", "meta", "n_ctx", "max_model_len", "top_provider", "context_length", "models", "name",
         "parameters", "model_info", "a.context_length", "default_generation_settings"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def test_a_proxy_of_an_unknown_kind_is_named(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "foo://proxy")
    with pytest.raises(NotServed, match=r"proxies or certificates of the environment cannot be used .*foo://proxy"):
        served_models(Endpoint("http://there.invalid/v1", window_from="models"))


@given(JSON)
def test_any_body_gives_a_positive_window_or_none(body):
    try:
        windows = [model.context_window for model in read_models_list(body)]
    except NotServed:
        windows = []
    windows += [read_props(body), *read_show(body), read_loaded(body, "m")]
    assert all(window is None or window > 0 for window in windows)


def test_a_real_llama_cpp_server_reports_its_model_and_the_window_of_a_slot(llama_cpp):
    endpoint = Endpoint(f"{llama_cpp}/v1", window_from="llama_cpp")
    assert [model.name for model in served_models(endpoint)] == ["tiny"]
    assert served_window(endpoint, "tiny") == 512


@pytest.mark.parametrize("answer", [{"data": "x" * 2000}, json.loads("[" * 60 + "]" * 60)])
def test_an_answer_beyond_the_bounds_is_refused_in_one_line(json_servers, monkeypatch, answer):
    monkeypatch.setattr("rlm.models.client.bounded.MAX_BODY_BYTES", 1000)
    with json_servers.json_server({"GET /v1/models": answer}) as server:
        with pytest.raises(NotServed, match=r"/models (cannot be read: the response is longer|does not answer)"):
            served_models(Endpoint(server.base_url))
        assert server.requests[0][2]["accept-encoding"] == "identity"


def test_an_answer_that_never_ends_is_given_up():
    def pieces():
        while True:
            time.sleep(0.005)
            yield b" "

    with pytest.raises(ValueError, match="not complete within"):
        bounded_body(httpx2.Response(200, content=pieces()), 0.02)
