"""`rlm-eval serve` as a process: what it prints, which methods it names, what it refuses, how it ends."""

import http.client
import json
import os
import signal

import openai
import pytest

SCRIPT = [
    {"match": "slow", "reply": "```repl\nimport time\ntime.sleep(600)\n```"},
    {"match": "", "reply": "FINAL(4711)"},
]
MESSAGES = [{"role": "user", "content": "Which number?"}]


@pytest.fixture
def serve(tmp_path, forks):
    """Start `rlm-eval serve` with these words; what is left of them is ended after the test."""
    script = tmp_path / "script.jsonl"
    script.write_text("".join(json.dumps(rule) + "\n" for rule in SCRIPT))
    started = []

    def start(*words, **environment):
        command = ["serve", "model=scripted", f"model.script={script}", *words]
        started.append(forks.start(forks.RLM_EVAL, *command, cwd=tmp_path, env=os.environ | environment))
        return started[-1]

    yield start
    for process in started:
        process.close()


def address(process):
    line = process.stdout.readline()
    assert line.startswith("listening: http://127.0.0.1:"), process.stderr.read()
    return line.removeprefix("listening: ").strip()


def test_several_methods_are_served_by_name_and_ctrl_c_ends_the_server(serve):
    server = serve("server.port=0", "method=[rlm,base]")
    with openai.OpenAI(base_url=f"{address(server)}/v1", api_key="any", max_retries=0) as api:
        assert [model.id for model in api.models.list()] == ["rlm/scripted", "base/scripted"]
        answers = {
            name: api.chat.completions.create(model=name, messages=MESSAGES).choices[0].message.content
            for name in ("rlm/scripted", "base/scripted")
        }
        limited = api.chat.completions.create(
            model="rlm/scripted", messages=MESSAGES, extra_body={"rlm": {"limits": {"max_calls": 0}}}
        )
    assert answers == {"rlm/scripted": "4711", "base/scripted": "FINAL(4711)"}
    assert limited.rlm["stop_reason"] == "max_calls"
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=60)
    assert (server.returncode, out) == (130, "")
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_ended_while_a_cell_runs_tells_its_clients(serve, number):
    server = serve("server.port=0")
    url = address(server)
    slow = [{"role": "user", "content": "slow"}]
    # The request has reached the server before the other client begins.
    waiting = http.client.HTTPConnection(url.removeprefix("http://").strip("/"), timeout=60)
    body = json.dumps({"model": "rlm/scripted", "messages": slow})
    waiting.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as api:
        stream = api.chat.completions.create(model="rlm/scripted", messages=slow, stream=True)
        with pytest.raises(openai.APIError, match="the server is shutting down"):
            for chunk in stream:
                if ((chunk.model_extra or {}).get("rlm") or {}).get("event", {}).get("kind") == "call":
                    server.send_signal(number)
    assert waiting.getresponse().status == 503
    waiting.close()
    _, err = server.communicate(timeout=60)
    assert (server.returncode, err.count("\n")) == (130, 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["server.host=0.0.0.0"], "server.host=0.0.0.0 is not loopback: set server.api_key_env"),
        (["server.api_key_env=NOT_SET_ANYWHERE"], "names NOT_SET_ANYWHERE, which is not set"),
        (["server.port=99999"], "server.port is 99999: expected an integer from 0 to 65535"),
        (["server.max_requests=0"], "server.max_requests is 0: expected an integer of at least 1"),
        (["method=[floor]"], "reference rows cannot be served"),
        (["server.prot=1"], "did you mean 'server.port'?"),
    ],
)
def test_what_cannot_be_served_ends_with_one_line_and_exit_code_2(serve, words, told):
    server = serve("server.port=0", *words) if "server.port" not in words[0] else serve(*words)
    out, err = server.communicate(timeout=60)
    assert (server.returncode, out) == (2, "")
    assert told in err and err.count("\n") == 1


def test_a_key_is_required_where_one_is_named(serve):
    server = serve("server.port=0", "server.host=127.0.0.1", "server.api_key_env=SERVED_KEY", SERVED_KEY="secret")
    url = f"{address(server)}/v1"
    with openai.OpenAI(base_url=url, api_key="wrong", max_retries=0) as api, pytest.raises(openai.AuthenticationError):
        api.chat.completions.create(model="rlm/scripted", messages=MESSAGES)
    with openai.OpenAI(base_url=url, api_key="secret", max_retries=0) as api:
        assert api.chat.completions.create(model="rlm/scripted", messages=MESSAGES).choices[0].message.content == "4711"
