"""The server stays responsive whatever its clients send: connections, headers, bodies and hosts are bounded."""

import contextlib
import json
import logging
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlm.measured_json
import rlm.structure
from rlm.measured_json import TextTooLong, measured_json
from rlm.methods.base import PlainModel
from rlm.server.app import make_app
from rlm.server.connections import make_server
from rlm.structure import check_structure, parsed_json
from tests.rlm.server.test_server import USER, Echo, client, never, served


def connect(url):
    return socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0])), timeout=60)


def status(connection):
    return connection.recv(65536).split(b" ")[1:2]


def test_connections_that_send_half_their_headers_do_not_keep_others_out():
    with (
        served(base_echo=PlainModel(model=Echo()), server={"max_connections": 20}) as url,
        contextlib.ExitStack() as held,
    ):
        for _ in range(60):
            slow = held.enter_context(connect(url))
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
        with client(url) as api:
            assert api._client.get(url.removesuffix("/v1") + "/health").json() == {"status": "ok"}
            assert api.chat.completions.create(model="base/echo", messages=USER).choices


def test_a_client_that_never_ends_its_headers_is_disconnected():
    with served(base_echo=PlainModel(model=Echo()), server={"header_timeout_s": 0.05}) as url, connect(url) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        assert slow.recv(1) == b""


def test_a_long_answer_outlives_the_time_limit_for_headers():
    model = Echo(gate=iter([False] * 40 + [True]).__next__)
    with served(base_echo=PlainModel(model=model), server={"header_timeout_s": 0.02}) as url, client(url) as api:
        assert api.chat.completions.create(model="base/echo", messages=USER).choices


def test_requests_in_progress_share_a_bound_on_bytes():
    body = json.dumps({"model": "base/echo", "messages": [{"role": "user", "content": "x" * 70_000}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    model = Echo(gate=never)
    with served(base_echo=PlainModel(model=model), max_body_bytes=100_000) as url, connect(url) as first:
        with connect(url) as second, connect(url) as third:
            first.sendall(head + body)
            second.sendall(head + body)
            assert model.began.wait(60)
            while len(model.seen) < 2:
                time.sleep(0.005)
            third.sendall(head + body)
            assert status(third) == [b"503"]
        # The second client has gone, and its bytes with it.
        while not model.cancelled:
            time.sleep(0.005)
        model.gate = None
        with client(url) as api:
            assert api.chat.completions.create(model="base/echo", messages=USER).choices


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[" * 60 + "]" * 60, "nested deeper"),
        ("[" + "[]," * 1_000_000 + "0]", "more than 1,000,000 values"),
        (json.dumps(["[{" * 1000 + '\\"' * 1000 + ",\\" * 1000]), None),
        (json.dumps({"key": "x" * 3_000_000 + '"' * 10}), None),
        ('["never ends', None),
        ('["' + "\\" * 4001, None),
    ],
)
def test_the_structure_of_a_body_is_bounded_and_its_strings_are_not(text, error):
    if error is None:
        check_structure(text.encode())
        return
    with pytest.raises(ValueError, match=error):
        check_structure(text.encode())


def test_a_string_is_skipped_across_windows(monkeypatch):
    monkeypatch.setattr(rlm.structure, "_WINDOW_BYTES", 3)
    for inside in ('a"b', "\\\\", 'x\\"', "[" * 99, '"' * 7, "é\u2028"):
        check_structure(json.dumps([inside, {"k": inside}]).encode())
    with pytest.raises(ValueError, match="nested"):
        check_structure(b'["a\\"b' + b'",' + b"[" * 60)


def test_lists_hidden_by_utf_16_and_strings_without_commas_are_refused():
    # The second byte of U+2200 in UTF-16 is that of a quotation mark, behind which nothing would be counted.
    hidden = '{"x": "\u2200", "messages": [' + "[]," * 100 + "[]]}"
    with pytest.raises(ValueError, match="Expecting property name"):
        parsed_json(hidden.encode("utf-16-le"), 50)
    with pytest.raises(ValueError, match="more than 50 values"):
        parsed_json(b'["a"' + b'"a"' * 200, 50)
    assert parsed_json(b'\xef\xbb\xbf["a"]', 2) == ["a"]


JSON = st.lists(st.sampled_from([*'\\"u\u00e9\u6f22\U0001f600\ud83d\ude00\n\0', "\\ud83d", "x" * 90]), max_size=40).map(
    "".join
)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON), st.floats(allow_nan=False), st.booleans(), st.sampled_from([3, 50, 300, 1 << 20]))
def test_long_strings_are_decoded_in_parts_as_json_decodes_them(texts, number, escaped, window):
    value = {"texts": texts, "number": number, "long": "x" * 300}
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rlm.measured_json, "_WINDOW_BYTES", window)
        assert measured_json(body, 1000)[0] == json.loads(body.decode("utf-8", "surrogatepass"))


def test_a_long_string_with_a_control_character_is_refused_unless_it_is_allowed():
    for text in ("\0" + "x" * 300, "\0\u00e9" + "x" * 300, "\0\\n" + "x" * 300):
        body = f'["{text}"]'.encode()
        with pytest.raises(ValueError, match="control character"):
            measured_json(body, 9)
        assert measured_json(body, 9, strict=False)[0] == [text.replace("\\n", "\n")]


@pytest.mark.parametrize(("wide", "chars"), [("x", 2000), ("\u00e9", 2000), ("\u6f22", 1000), ("\U0001f600", 500)])
def test_the_memory_of_long_strings_is_measured_and_bounded(wide, chars):
    text = wide + "x" * (chars - 1)
    for escaped in (True, False):
        body = json.dumps([text], ensure_ascii=escaped).encode()
        assert measured_json(body, 9, max_text_bytes=2000) == ([text], 2000)
        with pytest.raises(TextTooLong):
            measured_json(body, 9, max_text_bytes=1999)
    with pytest.raises(ValueError, match="a key of more than"):
        measured_json(json.dumps({text: 1}).encode(), 9)


def test_a_body_whose_texts_take_too_much_memory_is_refused_with_413():
    with served(base_echo=PlainModel(model=Echo()), max_body_bytes=10_000) as url, client(url) as api:
        for content, status_code in {"x" * 4000 + "\u00e9": 200, "x" * 4000 + "\U0001f600": 413}.items():
            body = {"model": "base/echo", "messages": [{"role": "user", "content": content}]}
            answer = api._client.post(f"{url}/chat/completions", content=json.dumps(body))
            assert answer.status_code == status_code
    assert "more than 10000 bytes in memory" in answer.json()["error"]["message"]


def test_a_long_answer_is_sent_in_pieces(monkeypatch):
    text = "\ud800x\U0001f600" * 500
    monkeypatch.setattr("rlm.server.app.LONG_ANSWER_CHARS", 100)
    monkeypatch.setattr("rlm.server.responses._PIECE_CHARS", 64)
    with served(base_echo=PlainModel(model=Echo(text=text))) as url, client(url) as api:
        body = {"model": "base/echo", "messages": USER, "input": "q"}
        chat = api._client.post(f"{url}/chat/completions", json=body | {"input": None})
        assert chat.headers.get("transfer-encoding") == "chunked"
        assert json.loads(chat.text)["choices"][0]["message"]["content"] == text
        body.pop("messages")
        response = json.loads(api._client.post(f"{url}/responses", json=body).text)
        assert response["output"][0]["content"][0]["text"] == text
        streamed = api._client.post(f"{url}/responses", json=body | {"stream": True}).text
        events = [json.loads(line[6:]) for line in streamed.split("\n") if line.startswith("data: ")]
        ends = {event["type"]: event for event in events}
        assert ends["response.output_text.done"]["text"] == text
        assert ends["response.completed"]["response"]["output"][0]["content"][0]["text"] == text
        assert "".join(event["delta"] for event in events if "delta" in event) == text


def test_a_body_that_is_nested_too_deep_is_refused_with_400():
    with served(base_echo=PlainModel(model=Echo())) as url, client(url) as api:
        for body in ("[" * 100_000, '{"a":' * 1000, "[[]," * 2_000_000):
            answer = api._client.post(f"{url}/chat/completions", content=body)
            assert answer.status_code == 400 and "cannot be read as JSON" in answer.json()["error"]["message"]


def test_a_request_with_two_lengths_is_refused():
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    with served(base_echo=PlainModel(model=Echo())) as url, connect(url) as asking:
        asking.sendall(head)
        assert status(asking) == [b"400"]


def test_a_body_in_chunks_of_single_bytes_is_refused_early(monkeypatch):
    monkeypatch.setattr("rlm.server.connections._ALWAYS_CHUNKS", 100)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = json.dumps({"model": "base/echo", "messages": USER}).encode()
    few, many = (b"".join(b"1\r\n%c\r\n" % byte for byte in text) for text in (body, body + b" " * 100))
    with served(base_echo=PlainModel(model=Echo())) as url:
        for chunks, expected in {few: [b"200"], many: [b"400"]}.items():
            with connect(url) as asking:
                asking.sendall(head + chunks + b"0\r\n\r\n")
                assert status(asking) == expected


def test_a_connection_that_sends_requests_far_ahead_of_its_answers_is_closed(monkeypatch):
    monkeypatch.setattr("rlm.server.connections._AHEAD_BYTES", 5000)
    monkeypatch.setattr("rlm.server.connections._MAX_AHEAD", 50)
    body = json.dumps({"model": "base/echo", "messages": USER}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    model = Echo()
    with served(base_echo=PlainModel(model=model)) as url:
        with connect(url) as asking:
            asking.sendall((head + body) * 3)
            found = b""
            while found.count(b"200 OK") < 3:
                found += asking.recv(65536)
        model.gate = never
        with connect(url) as asking, contextlib.suppress(ConnectionError):
            asking.sendall((head + body) * 500)
            assert asking.recv(1) == b""


def test_a_host_name_that_was_made_to_resolve_to_loopback_is_refused():
    model = Echo()
    with served(base_echo=PlainModel(model=model)) as url, client(url) as api:
        port = url.split(":")[2].split("/")[0]
        body = json.dumps({"model": "base/echo", "messages": USER})
        hosts = {f"evil.example:{port}": 403, "localhost": 200, f"127.0.0.1:{port}": 200, f"[::1]:{port}": 200, "": 403}
        for host, expected in hosts.items():
            answer = api._client.post(f"{url}/chat/completions", content=body, headers={"host": host})
            assert answer.status_code == expected, host
    assert len(model.seen) == 3


def test_equal_warnings_of_invalid_requests_are_logged_once_a_minute():
    make_server(make_app({}))
    log = logging.getLogger("uvicorn.error")

    def passes(level, text):
        return bool(log.filter(log.makeRecord(log.name, level, "", 0, text, (), None)))

    assert [passes(logging.WARNING, "not HTTP, of this test") for _ in range(3)] == [True, False, False]
    assert passes(logging.WARNING, "another warning, of this test")
    assert all(passes(logging.ERROR, "an error, of this test") for _ in range(3))
