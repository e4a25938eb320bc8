"""A served method answers the real OpenAI client: sync, async, streaming, with errors in OpenAI's shape."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import openai
import pytest

from rlm.limits import Limits
from rlm.methods.base import PlainModel
from rlm.methods.rlm.method import RLM
from rlm.models.chat import Cost, CostState, FatalModelError, ModelError, Reply, Sampling, TokenUsage
from rlm.models.scripted import ScriptedModel
from rlm.server.app import make_app
from rlm.server.connections import make_server


class Echo:
    """A model that answers with the last message, once `gate()` is true if it has one."""

    name = "echo"
    context_window = None
    sampling = Sampling()

    def __init__(self, gate=None, error=None, text=None):
        self.gate, self.error, self.text = gate, error, text
        self.seen, self.cancelled, self.began, self.all_cancelled = [], 0, threading.Event(), threading.Event()

    async def complete(self, messages, *, epoch=0, occurrence=0):
        self.seen.append(messages)
        self.began.set()
        try:
            while self.gate and not self.gate():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled += 1
            if self.cancelled == len(self.seen):
                self.all_cancelled.set()
            raise
        if self.error:
            raise self.error
        usage = TokenUsage(prompt_tokens=10, cached_tokens=4, completion_tokens=3, reasoning_tokens=1)
        text = messages[-1]["content"] if self.text is None else self.text
        return Reply(text, usage=usage, cost=Cost(0.01, 0.02, CostState.KNOWN), model="echo")

    async def aclose(self):
        pass


def never():
    return False


@contextlib.contextmanager
def served(api_key=None, max_body_bytes=1 << 24, max_requests=64, body_timeout_s=60.0, server=None, **methods):
    """The methods on a free port of loopback, in a thread. server: options of make_server."""
    bound = socket.create_server(("127.0.0.1", 0))
    app = make_app(
        {name.replace("_", "/"): method for name, method in methods.items()},
        api_key=api_key,
        max_body_bytes=max_body_bytes,
        max_requests=max_requests,
        body_timeout_s=body_timeout_s,
    )
    running = make_server(app, log_level="critical", **(server or {}))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
    finally:
        running.should_exit = True
        thread.join()
        bound.close()


def client(base_url, key="any", **options):
    return openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, **options)


USER = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def api():
    """A client of one server of `base/echo` that tests share."""
    with served(base_echo=PlainModel(model=Echo())) as url, client(url) as shared:
        yield shared


def test_a_chat_completion_has_the_answer_the_usage_of_the_tree_and_its_cost():
    with served(base_echo=PlainModel(model=Echo())) as url, client(url) as api:
        done = api.chat.completions.create(model="base/echo", messages=USER)
        assert done.choices[0].message.content == "Hello"
        assert done.choices[0].finish_reason == "stop"
        assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (10, 3, 13)
        assert done.usage.prompt_tokens_details.cached_tokens == 4
        assert done.rlm["cost_usd"] == 0.01
        assert done.rlm["stop_reason"] == "answer"


def test_a_stream_sends_progress_then_the_answer_and_its_usage():
    answer = "x" * 10_000
    with served(base_echo=PlainModel(model=Echo(text=answer))) as url, client(url) as api:
        chunks = list(
            api.chat.completions.create(
                model="base/echo", messages=USER, stream=True, stream_options={"include_usage": True}
            )
        )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 13
    kinds = [chunk.rlm["event"]["kind"] for chunk in chunks if (chunk.model_extra or {}).get("rlm", {}).get("event")]
    assert "call" in kinds


def test_a_silent_stream_sends_comments_that_clients_ignore(monkeypatch):
    monkeypatch.setattr("rlm.server.app.HEARTBEAT_S", 0.01)
    asked = {"model": "base/echo", "messages": USER, "stream": True}
    lines = []
    # The answer comes after two comments.
    model = Echo(gate=lambda: lines.count(": still working") >= 2)
    with served(base_echo=PlainModel(model=model)) as url, client(url) as api:
        with api._client.stream("POST", f"{url}/chat/completions", json=asked) as answer:
            for line in answer.iter_lines():
                lines.append(line)
        assert "data: [DONE]" in lines
        model.gate = iter([False] * 10 + [True] * 10).__next__
        with api.chat.completions.stream(model="base/echo", messages=USER) as stream:
            assert stream.get_final_completion().choices[0].message.content == "Hello"
        model.gate = iter([False] * 10 + [True] * 10).__next__
        with api.responses.stream(model="base/echo", input="Hello") as stream:
            assert stream.get_final_response().output_text == "Hello"


async def test_requests_are_answered_concurrently():
    model = Echo()
    # No request is answered before all of them have reached the model.
    model.gate = lambda: len(model.seen) >= 20
    with served(base_echo=PlainModel(model=model)) as url:
        async with openai.AsyncOpenAI(base_url=url, api_key="any") as api:
            asked = [
                api.chat.completions.create(model="base/echo", messages=[{"role": "user", "content": str(i)}])
                for i in range(20)
            ]
            answers = [done.choices[0].message.content for done in await asyncio.gather(*asked)]
    assert answers == [str(i) for i in range(20)]


def test_responses_are_served_complete_and_as_a_stream():
    with served(base_echo=PlainModel(model=Echo())) as url, client(url) as api:
        done = api.responses.create(model="base/echo", input="Hello", instructions="Be brief.")
        assert done.output_text == "Hello"
        assert done.usage.total_tokens == 13
        with api.responses.stream(model="base/echo", input=USER) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            assert text == stream.get_final_response().output_text == "Hello"


def test_models_are_listed_by_name():
    methods = {"rlm_echo": PlainModel(model=Echo()), "codeact_echo": PlainModel(model=Echo())}
    with served(**methods) as url, client(url) as api:
        assert [model.id for model in api.models.list()] == ["rlm/echo", "codeact/echo"]
        assert api.models.retrieve("rlm/echo").id == "rlm/echo"


def test_a_conversation_of_200_long_turns_is_answered():
    model = Echo()
    turns = [{"role": ("user", "assistant")[i % 2], "content": f"turn {i} " + "words " * 2000} for i in range(200)]
    with served(base_echo=PlainModel(model=model)) as url, client(url) as api:
        done = api.chat.completions.create(model="base/echo", messages=[*turns, *USER])
    assert done.choices[0].message.content == "Hello"
    assert model.seen[0] == [*turns, *USER]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "nope", "messages": USER}, 404, "model_not_found"),
        ({"messages": USER}, 400, None),
        ({"model": "base/echo"}, 400, None),
        ({"model": "base/echo", "messages": []}, 400, None),
        ({"model": "base/echo", "messages": [{"content": "x"}]}, 400, None),
        ({"model": "base/echo", "messages": [{"role": "assistant", "content": "x"}]}, 400, None),
        ({"model": "base/echo", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, None),
        ({"model": "base/echo", "messages": USER, "n": 2}, 400, None),
        ({"model": "base/echo", "messages": USER, "rlm": {"limits": {"max_turn": 1}}}, 400, None),
        ({"model": "base/echo", "messages": USER, "rlm": {"limits": {"max_turns": "x"}}}, 400, None),
        ({"model": ["base/echo"], "messages": USER}, 400, None),
        ([], 400, None),
    ],
)
def test_bad_requests_get_errors_in_openais_shape(api, body, status, code):
    answer = api._client.post(f"{api.base_url}chat/completions", content=json.dumps(body))
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code and error["message"] and error["type"]


def test_a_body_that_is_not_json_gets_400(api):
    assert api._client.post(f"{api.base_url}chat/completions", content=b"\xff{").status_code == 400


def test_an_endpoint_that_fails_is_an_error_and_not_an_answer():
    for error in (ModelError("the endpoint is down"), FatalModelError("no key")):
        with served(base_echo=PlainModel(model=Echo(error=error))) as url, client(url) as api:
            with pytest.raises(openai.InternalServerError, match=str(error)):
                api.chat.completions.create(model="base/echo", messages=USER)
            with pytest.raises(openai.APIError, match=str(error)):
                list(api.chat.completions.create(model="base/echo", messages=USER, stream=True))


def test_the_cost_of_a_failed_completion_is_reported_and_no_client_pays_for_it_again():
    model = Echo(error=ModelError("the endpoint is down"))
    with served(base_echo=PlainModel(model=model)) as url, openai.OpenAI(base_url=url, api_key="any") as api:
        with pytest.raises(openai.InternalServerError) as failed:
            api.chat.completions.create(model="base/echo", messages=USER)
        with api.responses.stream(model="base/echo", input="Hello") as stream:
            last = list(stream)[-1]
    extension = failed.value.response.json()["rlm"]
    assert (extension["stop_reason"], extension["root_calls"], extension["cost_usd"]) == ("error", 1, 0.0)
    assert (last.type, last.response.rlm["root_calls"]) == ("response.failed", 1)
    # One for each request: the client would try twice more without the header x-should-retry.
    assert len(model.seen) == 2


def test_a_refusal_is_an_incomplete_response():
    model = Echo()
    model.complete = lambda messages, **_: _refusal()
    with served(base_echo=PlainModel(model=model)) as url, client(url) as api:
        done = api.responses.create(model="base/echo", input="Hello")
        chat = api.chat.completions.create(model="base/echo", messages=USER)
    assert (done.status, done.incomplete_details.reason, done.output_text) == ("incomplete", "content_filter", "")
    assert chat.choices[0].finish_reason == "content_filter"


async def _refusal():
    return Reply("", finish_reason="content_filter", model="echo")


def test_a_key_is_required_if_one_is_set():
    with served(api_key="secret", base_echo=PlainModel(model=Echo())) as url:
        with client(url, key="wrong") as api, pytest.raises(openai.AuthenticationError):
            api.chat.completions.create(model="base/echo", messages=USER)
        with client(url, key="secret") as api:
            assert api.chat.completions.create(model="base/echo", messages=USER).choices


def test_a_request_may_lower_limits_and_not_raise_them():
    model = Echo()
    with served(base_echo=PlainModel(model=model, limits=Limits(max_calls=5))) as url, client(url) as api:
        extra = {"rlm": {"limits": {"max_calls": 0}}}
        stopped = api.chat.completions.create(model="base/echo", messages=USER, extra_body=extra)
        assert stopped.rlm["stop_reason"] == "max_calls" and not model.seen
        extra = {"rlm": {"limits": {"max_calls": 100, "max_cost_usd": None}}}
        assert api.chat.completions.create(model="base/echo", messages=USER, extra_body=extra).choices


def test_a_wrong_key_is_reported_to_a_client_with_a_long_body():
    with served(api_key="sécret", base_echo=PlainModel(model=Echo())) as url:
        long = [{"role": "user", "content": "x" * 5_000_000}]
        for wrong in ("wrong", "secret", "s"):
            with client(url, key=wrong) as api, pytest.raises(openai.AuthenticationError) as refused:
                api.chat.completions.create(model="base/echo", messages=long)
            assert refused.value.code == "invalid_api_key"


def test_an_empty_key_is_refused():
    with pytest.raises(ValueError, match="api_key is empty"):
        make_app({}, api_key=" ")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_stops_the_sub_calls_of_its_tree(stream, sessions):
    cell = "```repl\nprint(llm_query_batched(['a', 'b', 'c']))\n```"
    sub = Echo(gate=never)
    method = RLM(model=ScriptedModel([cell]), sub_model=sub)
    body = json.dumps({"model": "rlm/scripted", "messages": USER, "stream": stream}).encode()
    with served(rlm_scripted=method) as url:
        with hung_up_after(url, body):
            assert sub.began.wait(60)
            while len(sub.seen) < 3:
                time.sleep(0.01)
        sessions.wait_for_end()
        assert sub.all_cancelled.wait(60)
    assert sub.cancelled == 3 and len(sub.seen) == 3


@contextlib.contextmanager
def hung_up_after(url, body):
    """Ask, and hang up at the end of the block."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as asking:
        asking.sendall(head.encode() + body)
        yield


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_cancels_its_completion(stream):
    model = Echo(gate=never)
    body = json.dumps({"model": "base/echo", "messages": USER, "stream": stream}).encode()
    with served(base_echo=PlainModel(model=model)) as url:
        with hung_up_after(url, body):
            assert model.began.wait(60)
        assert model.all_cancelled.wait(60)
    assert model.cancelled == 1


def test_health_needs_no_key_and_names_no_model():
    with served(api_key="secret", base_echo=PlainModel(model=Echo())) as url, client(url) as api:
        assert api._client.get(url.removesuffix("/v1") + "/health").json() == {"status": "ok"}
        assert api._client.get(f"{url}/models").status_code == 401


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"best_of": 2}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"store": True}, "store"),
        ({"stop": ["\n"]}, "stop"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": [1]}, "max_tokens"),
        ({"stream_options": "x"}, "stream_options"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"stream": "yes"}, "stream"),
        ({"rlm": {"limit": {}}}, "rlm"),
        ({"messages": [{"role": "tool", "content": "x"}, *USER]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}, *USER]}, "messages[0]"),
    ],
)
def test_a_chat_that_asks_for_an_unsupported_field_is_refused(api, fields, param):
    asked = {"model": "base/echo", "messages": USER, **fields}
    answer = api._client.post(f"{api.base_url}chat/completions", json=asked)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"input": [{"type": "function_call_output", "output": "1"}]}, "input[0]"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"text": "json"}, "text"),
        ({"instructions": 5}, "instructions"),
    ],
)
def test_a_response_that_asks_for_an_unsupported_field_is_refused(api, fields, param):
    answer = api._client.post(f"{api.base_url}responses", json={"model": "base/echo", "input": "Hello", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_unknown_routes_and_wrong_methods_get_errors_in_openais_shape():
    with served(base_echo=PlainModel(model=Echo())) as url, client(url) as api:
        asked = {("GET", "/embeddings"): 404, ("GET", "/chat/completions"): 405, ("POST", "/models"): 405}
        for (verb, path), status in asked.items():
            answer = api._client.request(verb, f"{url}{path}")
            assert answer.status_code == status
            assert path in answer.json()["error"]["message"]
        assert "POST" in api._client.get(f"{url}/chat/completions").headers["allow"]


def test_a_body_that_is_too_long_is_refused_with_413():
    with served(base_echo=PlainModel(model=Echo()), max_body_bytes=100_000) as url, client(url) as api:
        with pytest.raises(openai.APIStatusError, match="longer than 100000 bytes") as refused:
            api.chat.completions.create(model="base/echo", messages=[{"role": "user", "content": "x" * 3_000_000}])
        assert refused.value.status_code == 413
        assert api.chat.completions.create(model="base/echo", messages=USER).choices


def test_a_client_that_stops_sending_gets_408():
    with served(base_echo=PlainModel(model=Echo()), body_timeout_s=0.2) as url:
        port = int(url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.settimeout(30)
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")
            assert slow.recv(65536).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("stream", [False, True])
def test_no_more_completions_run_at_a_time_than_allowed(stream):
    refused = []

    async def ask(api):
        try:
            answer = await api.chat.completions.create(model="base/echo", messages=USER, stream=stream)
        except openai.RateLimitError as error:
            refused.append(error)
            return error
        return [chunk async for chunk in answer] if stream else answer

    async def ask_many(url, count):
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as api:
            return await asyncio.gather(*(ask(api) for _ in range(count)))

    model = Echo(gate=lambda: len(refused) >= 10)
    with served(base_echo=PlainModel(model=model), max_requests=2) as url:
        answers = asyncio.run(ask_many(url, 12))
        assert sum(isinstance(answer, openai.RateLimitError) for answer in answers) == len(refused) == 10
        assert len(model.seen) == 2
        # The places are free again.
        assert not any(isinstance(answer, Exception) for answer in asyncio.run(ask_many(url, 2)))


def test_text_without_an_encoding_is_passed_through():
    lone = "\ud800 \r\nX-Evil: 1"
    body = json.dumps({"model": "base/echo", "messages": [{"role": "user", "content": lone}]})
    with served(base_echo=PlainModel(model=Echo())) as url, client(url) as api:
        answer = api._client.post(f"{url}/chat/completions", content=body)
        assert json.loads(answer.text)["choices"][0]["message"]["content"] == lone
        missing = api._client.post(f"{url}/chat/completions", content=json.dumps({"model": lone, "messages": USER}))
        assert missing.status_code == 404 and "x-evil" not in missing.headers
        streamed = api._client.post(f"{url}/chat/completions", content=body.replace("{", '{"stream": true, ', 1))
        assert "\\ud800" in streamed.text


def test_web_pages_of_other_hosts_cannot_spend_the_users_money():
    model = Echo()
    with served(base_echo=PlainModel(model=model)) as url, client(url) as api:
        body = json.dumps({"model": "base/echo", "messages": USER})
        for origin, status in {"https://evil.example": 403, "null": 403, "http://localhost:3000": 200}.items():
            # Also one whose name was made to mean this machine, for which the page and the server are of one origin.
            host = {"host": origin.split("//")[-1]}
            answer = api._client.post(f"{url}/chat/completions", content=body, headers={"origin": origin, **host})
            assert answer.status_code == status, origin
            assert "access-control-allow-origin" not in answer.headers
        asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        assert api._client.options(f"{url}/chat/completions", headers=asked).status_code == 405
    assert len(model.seen) == 1


def test_an_internal_error_is_an_error_in_the_stream_too():
    with served(base_echo=PlainModel(model=Echo(error=ZeroDivisionError("oops")))) as url, client(url) as api:
        with pytest.raises(openai.InternalServerError, match="ZeroDivisionError: oops"):
            api.chat.completions.create(model="base/echo", messages=USER)
        with pytest.raises(openai.APIError, match="ZeroDivisionError: oops"):
            list(api.chat.completions.create(model="base/echo", messages=USER, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_ends_the_session_whose_cell_runs(stream, sessions):
    cell = "```repl\nprint('begun')\nimport time\ntime.sleep(600)\n```"
    body = json.dumps({"model": "rlm/scripted", "messages": USER, "stream": stream}).encode()
    with served(rlm_scripted=RLM(model=ScriptedModel([cell]))) as url:
        with hung_up_after(url, body):
            deadline = time.monotonic() + 60
            while sessions.running() <= 0:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        sessions.wait_for_end()
