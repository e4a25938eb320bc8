"""Requests as they leave: credentials, headers, Azure's paths, proxies, streams, and keys kept out of messages."""

import base64
import json

import pytest

from rlm.models.chat import FatalModelError, ModelError, Sampling, ToolCall
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel
from rlm.models.client.redaction import Redactor

ASK = [{"role": "user", "content": "how many words"}]
QUICK = {"backoff_s": 0.01, "max_backoff_s": 0.02, "max_retries": 1, "free": True}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-secret-1")


async def ask(server, *, base_url=None, name="m", sampling=None, **settings):
    """The reply of one call."""
    model = OpenAIModel(name, Endpoint(base_url or server.base_url, **QUICK | settings), sampling=sampling)
    try:
        return await model.complete(ASK)
    finally:
        await model.aclose()


def sent(server):
    """The headers of the last request, by lower-case name."""
    return {name.lower(): value for name, value in server.log[-1].headers.items()}


async def test_azure_gets_the_deployment_in_the_path_and_the_key_as_api_key(fake_openai):
    async with fake_openai.FakeOpenAI() as server:
        root = server.base_url.removesuffix("/v1")
        azure = {"kind": "azure", "api_version": "2024-10-21", "api_key_env": "TEST_KEY"}
        for base_url in (root, f"{root}/", f"{root}/openai"):
            await ask(server, base_url=base_url, name="gpt-5-eu", **azure)
            assert server.log[-1].path == "/openai/deployments/gpt-5-eu/chat/completions?api-version=2024-10-21"
            assert sent(server)["api-key"] == "sk-secret-1"
            assert "authorization" not in sent(server)


async def test_azure_accepts_a_token_in_a_header_from_the_environment(fake_openai, monkeypatch):
    monkeypatch.setenv("TOKEN", "Bearer eyJ")
    async with fake_openai.FakeOpenAI() as server:
        root = server.base_url.removesuffix("/v1")
        headers = {"Authorization": "env:TOKEN"}
        await ask(server, base_url=root, kind="azure", api_version="2024-10-21", headers=headers)
        assert sent(server)["authorization"] == "Bearer eyJ"


async def test_organization_project_and_own_headers_are_sent(fake_openai, monkeypatch):
    monkeypatch.setenv("TEAM", "blue")
    async with fake_openai.FakeOpenAI() as server:
        headers = {"X-Team": "env:TEAM", "X-Title": "evaluation"}
        await ask(server, api_key_env="TEST_KEY", organization="org-1", project="proj-1", headers=headers)
        expected = {
            "authorization": "Bearer sk-secret-1", "openai-organization": "org-1", "openai-project": "proj-1",
            "x-team": "blue", "x-title": "evaluation", "user-agent": "rlm-eval",
        }  # fmt: skip
        assert expected.items() <= sent(server).items()


async def test_variables_of_the_sdk_that_belong_to_another_endpoint_are_not_sent(fake_openai, monkeypatch):
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: 1\nAuthorization: Bearer other")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    async with fake_openai.FakeOpenAI() as server:
        await ask(server)
        assert not {"x-other", "authorization"} & sent(server).keys()
        await ask(server, api_key_env="TEST_KEY")
        assert sent(server)["authorization"] == "Bearer sk-secret-1"


async def test_a_header_variable_that_is_not_set_is_named(fake_openai):
    async with fake_openai.FakeOpenAI() as server:
        with pytest.raises(FatalModelError, match="set the environment variable NO_SUCH"):
            await ask(server, headers={"X-Team": "env:NO_SUCH"})
        assert server.requests == 0


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_proxy_is_used_for_other_hosts_and_never_for_this_machine(fake_openai, monkeypatch, variable):
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with fake_openai.FakeOpenAI() as proxy, fake_openai.FakeOpenAI() as server:
        monkeypatch.setenv(variable, proxy.base_url.removesuffix("/v1"))
        await ask(server)
        await ask(server, base_url=server.base_url.replace("127.0.0.1", "localhost"))
        assert (server.requests, proxy.requests) == (2, 0)
        await ask(server, base_url="http://models.invalid/v1")
        assert (server.requests, proxy.requests) == (2, 1)
        assert sent(proxy)["host"] == "models.invalid"


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "0.0.0.0", "LOCALHOST.", "a.localhost", "[::ffff:127.0.0.1]"])
def test_every_name_of_this_machine_is_local(host):
    assert Endpoint(f"http://{host}:8000/v1").is_local
    assert not Endpoint("http://localhost.example.org/v1").is_local


@pytest.mark.parametrize("extra", [{"top_k": float("nan")}, {"a": [float("inf")]}, {"a": {1}}, {"messages": []}])
def test_further_request_fields_that_cannot_be_sent_are_refused(extra):
    with pytest.raises(ValueError, match=r"^extra"):
        Sampling(extra=extra)


async def test_proxies_and_certificates_that_cannot_be_used_are_one_line(monkeypatch):
    for variable, value in (("ALL_PROXY", "foo://proxy"), ("SSL_CERT_FILE", "/no/such/file")):
        with monkeypatch.context() as only:
            only.setenv(variable, value)
            with pytest.raises(FatalModelError, match=r"^http://there\.invalid/v1: the proxies or .* \(HTTP_PROXY"):
                await ask(None, base_url="http://there.invalid/v1")


async def test_a_stream_is_asked_for_and_put_together(fake_openai):
    step = {"text": "one two  three", "message": {"reasoning_content": "hm"}, "fields": {"provider": "p"}}
    async with fake_openai.FakeOpenAI([step]) as server:
        reply = await ask(server, stream=True)
        assert server.log[0].body["stream"] is True
        assert server.log[0].body["stream_options"] == {"include_usage": True}
    assert (reply.text, reply.reasoning, reply.finish_reason, reply.provider) == ("one two  three", "hm", "stop", "p")
    assert reply.usage.completion_tokens == 3


async def test_an_endpoint_that_does_not_stream_although_asked_is_understood(fake_openai):
    body = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}
    async with fake_openai.FakeOpenAI([{"body": body}]) as server:
        assert (await ask(server, stream=True)).text == "whole"


async def test_an_error_of_a_gateway_that_cuts_silent_requests_names_the_setting(fake_openai):
    async with fake_openai.FakeOpenAI([{"status": 504, "body": "Gateway Time-out"}] * 9) as server:
        with pytest.raises(ModelError, match=r"set model\.endpoint\.stream=true"):
            await ask(server)
        with pytest.raises(ModelError) as caught:
            await ask(server, stream=True)
        assert "stream=true" not in str(caught.value)


async def test_tool_calls_of_a_stream_are_joined(fake_openai):
    def delta(**function):
        return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": function}]}}]}

    chunks = [
        delta(name="python", arguments='{"code": '), delta(arguments='"print(1)"}'),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]  # fmt: skip
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    async with fake_openai.FakeOpenAI([{"body": body}]) as server:
        reply = await ask(server)
    assert reply.tool_calls == (ToolCall("python", '{"code": "print(1)"}'),)
    assert (reply.tool_code, reply.failures) == ("print(1)", ())


@pytest.mark.parametrize("key", ["x", "t", "e", "400"])
async def test_a_short_key_does_not_change_how_errors_are_read(fake_openai, monkeypatch, key):
    monkeypatch.setenv("TEST_KEY", key)
    body = {"error": {"message": "This model's maximum context length is 8 tokens", "code": "context_length_exceeded"}}
    async with fake_openai.FakeOpenAI([{"status": 400, "body": body}]) as server:
        with pytest.raises(ModelError, match="maximum cont"):
            await ask(server, api_key_env="TEST_KEY")


LONG = "sk-or-v1-0123456789abcdef/+&"


@pytest.mark.parametrize(
    "echo",
    [
        LONG, "".join(f"\\u{ord(c):04x}" for c in LONG), "".join(f"\\\\u{ord(c):04X}" for c in LONG),
        "".join(f"%{ord(c):02X}" for c in LONG), "".join(f"%25{ord(c):02x}" for c in LONG),
        "".join(f"&#{ord(c)};" for c in LONG), "".join(f"\\x{ord(c):02x}" for c in LONG), LONG.encode().hex(),
        LONG.upper(), LONG.replace("/", "\\/").replace("-", "\\u002d"), f"key%3D{LONG}",
        f"Authorization:Bearer%20{LONG}%20",
    ],
)  # fmt: skip
def test_a_key_that_is_echoed_in_escaped_form_is_removed(echo):
    redacted = Redactor([LONG])(f"no such key: {echo}.")
    assert "***" in redacted and "0123" not in redacted and echo not in redacted


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "Bearer "])
@pytest.mark.parametrize("after", ["", "!", "}}"])
def test_a_key_inside_base64_is_removed(before, after):
    encoded = base64.b64encode(f"{before}{LONG}{after}".encode()).decode()
    for text in (encoded, encoded.replace("+", "-").replace("/", "_").rstrip("=")):
        left = Redactor([LONG])(f"Basic {text} is wrong")
        assert "***" in left and len(left) < len("Basic *** is wrong") + 2 * len(before + after) + 8


@pytest.mark.parametrize("secret", ['a"b', "a/b+c", "a&b", "a'b\\c"])
def test_secrets_are_removed_in_every_escape(secret):
    from html import escape
    from urllib.parse import quote

    redact = Redactor([secret])
    for form in (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        quote(secret, safe=""),
        escape(secret),
    ):
        assert redact(f"the key ({form}) is wrong") == "the key (***) is wrong"


async def test_a_key_at_the_end_of_a_long_message_leaves_no_part(fake_openai):
    message = "x" * 285 + " sk-secret-1 is not right"
    async with fake_openai.FakeOpenAI([{"status": 400, "body": {"error": {"message": message}}}]) as server:
        with pytest.raises(ModelError) as caught:
            await ask(server, api_key_env="TEST_KEY")
    assert "sk-" not in str(caught.value) + repr(caught.value.failures)


CONVERSATION = [
    {"role": "system", "content": "rules"},
    {"role": "user", "content": "question"},
    {"role": "assistant", "content": "code"},
    {"role": "user", "content": "output"},
]
MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("messages", "marked"),
    [
        (CONVERSATION, [0, 3]),
        (CONVERSATION[:2], [0]),
        (CONVERSATION[1:2], []),
        ([{"role": "system", "content": ""}, *CONVERSATION[1:]], [3]),
    ],
)
async def test_prompts_are_marked_for_the_cache_where_the_endpoint_asks_for_it(fake_openai, messages, marked):
    async with fake_openai.FakeOpenAI() as server:
        for cache_control in (True, False):
            model = OpenAIModel("m", Endpoint(server.base_url, free=True, cache_control=cache_control))
            await model.complete(messages)
            await model.aclose()
        sent, plain = (entry.body["messages"] for entry in server.log)
    assert plain == messages
    assert [place for place, message in enumerate(sent) if isinstance(message["content"], list)] == marked
    assert all(
        sent[place]["content"] == [{"type": "text", "text": messages[place]["content"]} | MARK] for place in marked
    )
