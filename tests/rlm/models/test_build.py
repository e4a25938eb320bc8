"""Models by name and by configuration, and how wrong ones are refused."""

import pytest
import yaml

from rlm.models import load_model
from rlm.models.build import PROVIDERS, build_models
from rlm.models.chat import CostState, FatalModelError, Sampling, TokenUsage
from rlm.models.client.model import OpenAIModel

PLAIN = {"endpoint": {"base_url": "http://127.0.0.1:1/v1", "free": True}, "root": {"name": "m"}}


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for provider in PROVIDERS.values():
        for name in (provider.api_key_env, provider.base_url_env):
            if name:
                monkeypatch.delenv(name, raising=False)


def test_a_model_is_returned_unchanged():
    model = build_models(PLAIN)["root"]
    assert load_model(model) is model


@pytest.mark.parametrize(
    ("name", "variable", "base_url", "model"),
    [
        ("openai/gpt-5", "OPENAI_API_KEY", "https://api.openai.com/v1", "gpt-5"),
        ("openrouter/qwen/qwen3-coder", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1", "qwen/qwen3-coder"),
        ("deepseek/deepseek-chat", "DEEPSEEK_API_KEY", "https://api.deepseek.com", "deepseek-chat"),
    ],
)
def test_a_name_consists_of_a_provider_and_a_model(monkeypatch, name, variable, base_url, model):
    with pytest.raises(FatalModelError, match=f"set the environment variable {variable}"):
        load_model(name)
    monkeypatch.setenv(variable, "sk-1")
    loaded = load_model(name)
    assert (loaded.name, loaded.endpoint.base_url) == (model, base_url)


def test_an_own_server_needs_no_key_and_is_free(monkeypatch):
    monkeypatch.setenv("VLLM_BASE_URL", "http://10.0.0.7:8000/v1")
    model = load_model("vllm/Qwen/Qwen3-8B")
    assert (model.name, model.endpoint.base_url, model.endpoint.free) == (
        "Qwen/Qwen3-8B",
        "http://10.0.0.7:8000/v1",
        True,
    )


def test_openai_base_url_is_honoured(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:4000/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert load_model("openai/gpt-5").endpoint.base_url == "http://127.0.0.1:4000/v1"


@pytest.mark.parametrize("name", ["gpt-5", "opnai/gpt-5", "openai/", "", "/"])
def test_an_unknown_name_is_refused_with_the_known_providers(name):
    with pytest.raises(ValueError, match=r"expected local, .* or one of openai/NAME, openrouter/NAME"):
        load_model(name)


def test_missing_roles_use_the_model_of_the_root():
    models = build_models(PLAIN)
    assert list(models) == ["root", "sub", "compactor"]
    assert models["root"] is models["sub"] is models["compactor"]


def test_roles_have_their_own_names_and_sampling_and_one_endpoint():
    config = PLAIN | {
        "sub": {"name": "s", "context_window": 9, "max_output_tokens": 7, "temperature": 0, "extra": {"top_k": 2}},
    }
    models = build_models(config)
    assert models["sub"].sampling == Sampling(temperature=0, max_output_tokens=7, extra={"top_k": 2})
    assert (models["sub"].context_window, models["compactor"].name) == (9, "m")
    assert len({model.endpoint for model in models.values()}) == 1


def test_the_key_is_checked_before_any_call_but_not_for_a_replay():
    config = PLAIN | {"endpoint": {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "NO_SUCH_KEY"}}
    with pytest.raises(ValueError, match="set the environment variable NO_SUCH_KEY"):
        build_models(config)
    assert build_models(config, replay=True)["root"].name == "m"


def test_prices_of_the_configuration_are_used():
    config = PLAIN | {"endpoint": {"base_url": "http://127.0.0.1:1/v1"}}
    root = build_models(config, prices={"m": {"input": 1, "output": 1}})["root"]
    cost = root.prices.cost("m", TokenUsage(1_000_000))
    assert (cost.usd, cost.state) == (1.0, CostState.KNOWN)


ENDPOINT = PLAIN["endpoint"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "openia", **PLAIN}, "model.kind is 'openia': expected openai, embedded or scripted"),
        ({"root": {"name": "m"}}, "model.endpoint is missing: expected a section"),
        ({**PLAIN, "rot": {}}, "there is no key 'model.rot'; did you mean 'model.root'?"),
        ({"endpoint": ENDPOINT}, "model.root is missing"),
        ({"endpoint": ENDPOINT, "root": {}}, "model.root.name is missing"),
        ({"endpoint": ENDPOINT, "root": "gpt-5"}, "model.root is 'gpt-5': expected a section"),
        ({"endpoint": ENDPOINT, "root": {"name": "m", "temprature": 1}}, "did you mean 'model.root.temperature'?"),
        ({"endpoint": ENDPOINT, "root": {"name": "m", "temperature": "hot"}}, "model.root.temperature is 'hot'"),
        ({"endpoint": ENDPOINT, "root": {"name": "m", "max_output_tokens": 1.5}}, "max_output_tokens is 1.5"),
        ({"endpoint": ENDPOINT, "root": {"name": "m", "max_output_tokens": 0}}, "expected an integer of at least 1"),
        ({"endpoint": {}, "root": {"name": "m"}}, "model.endpoint.base_url is missing"),
        ({"endpoint": {"base_url": "localhost:8000"}, "root": {"name": "m"}}, "model.endpoint.base_url is 'localhost"),
        ({"endpoint": ENDPOINT | {"total_s": 0}, "root": {"name": "m"}}, "model.endpoint.total_s is 0"),
        ({"endpoint": ENDPOINT | {"max_concurrency": 0}, "root": {"name": "m"}}, "model.endpoint.max_concurrency is 0"),
        ({"endpoint": ENDPOINT | {"retries": 3}, "root": {"name": "m"}}, "there is no key 'model.endpoint.retries'"),
        ({"endpoint": ENDPOINT | {"kind": "azure"}, "root": {"name": "m"}}, "model.endpoint.api_version is null"),
        ({"endpoint": ENDPOINT | {"headers": {"a": 1}}, "root": {"name": "m"}}, "model.endpoint.headers"),
        ({"endpoint": ENDPOINT | {"headers": {"a": "env:NO_SUCH"}}, "root": {"name": "m"}}, "set the environment"),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_key(config, message):
    with pytest.raises(ValueError) as caught:
        build_models(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_shipped_configuration_builds(request, monkeypatch):
    from omegaconf import OmegaConf

    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    folder = request.config.rootpath / "conf" / "model"
    built = 0
    for path in sorted(folder.glob("*.yaml")):
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        if config.get("kind", "openai") == "openai":
            asks = "name" in config and config["root"]["name"] is None
            models = build_models(config | ({"name": "m"} if asks else {}), replay=True)
            assert all(isinstance(model, OpenAIModel) for model in models.values())
            assert asks or all(model.context_window for model in models.values())
            built += 1
    assert built >= 10


def test_the_shipped_override_file_is_empty(request):
    path = request.config.rootpath / "conf" / "prices.yaml"
    assert yaml.safe_load(path.read_text()) == {"prices": {}}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://a.openai.azure.com/openai?api-version=2024-10-21", "set endpoint.kind=azure"),
        ("http://host/v1/chat/completions", "without /chat/completions"),
        ("http:///v1", "with a host"),
        ("http://host:port/v1", "valid address"),
        ("http://ho st/v1", "without spaces"),
    ],
)
def test_an_address_that_cannot_work_is_refused(address, expected):
    with pytest.raises(ValueError, match=expected):
        build_models(PLAIN | {"endpoint": {"base_url": address}})


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="expected an address without one") as caught:
        build_models(PLAIN | {"endpoint": {"base_url": "http://user:hunter2@host/v1"}})
    assert "hunter2" not in str(caught.value)


def test_former_names_of_endpoint_settings_are_accepted_with_a_warning(capsys):
    models = build_models(PLAIN | {"endpoint": ENDPOINT | {"first_byte_s": 7, "patience_s": 8}})
    endpoint = models["root"].endpoint
    assert (endpoint.read_timeout_s, endpoint.max_outage_wait_s) == (7, 8)
    assert len(capsys.readouterr().err.splitlines()) <= 2


@pytest.mark.parametrize("value", ["", "  "])
def test_a_variable_that_is_set_but_empty_counts_as_unset(monkeypatch, value):
    monkeypatch.setenv("OPENAI_BASE_URL", value)
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(FatalModelError, match="set the environment variable OPENAI_API_KEY"):
        load_model("openai/gpt-5")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert load_model("openai/gpt-5").endpoint.base_url == "https://api.openai.com/v1"
