"""The server stays responsive whatever its clients send: connections, headers, bodies and hosts are bounded."""

import contextlib
import json
import socket
import time

import pytest

import rlm.structure
from rlm.methods.base import PlainModel
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
