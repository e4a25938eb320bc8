"""Bodies in unexpected forms: streams of events, compressed bodies, tool calls, answers in the reasoning."""

import gzip
import json
import time
import tracemalloc
import zlib

import pytest

from rlm.models.chat import TokenUsage
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.faults import status_fault
from rlm.models.client.model import OpenAIModel
from rlm.models.client.redaction import Redactor
from rlm.models.client.replies import read_response


@pytest.fixture
async def ask(fake_openai):
    """Ask a model once of a server with this script; gives the reply and the server."""

    async def once(*script):
        async with fake_openai.FakeOpenAI(script) as server:
            model = OpenAIModel("m", Endpoint(server.base_url, free=True, backoff_s=0.01))
            try:
                return await model.complete([{"role": "user", "content": "how many words"}]), server
            finally:
                await model.aclose()

    return once


def streamed(*chunks, end="data: [DONE]\n\n"):
    """A step that answers with a stream of chunks."""
    return {"body": ": a comment\n\n" + "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end}


def delta(finish=None, **message):
    return {"model": "m-1", "choices": [{"index": 0, "delta": message, "finish_reason": finish}]}


async def test_a_stream_that_was_not_requested_is_read(ask):
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 2}}
    chunks = [
        delta(role="assistant", content=""), delta(reasoning_content="hm"), delta(content="two "),
        delta(content="words"), delta("length"), {"choices": [], "usage": usage},
    ]  # fmt: skip
    for end in ("data: [DONE]\n\n", ""):
        reply, _ = await ask(streamed(*chunks, end=end))
        assert (reply.text, reply.reasoning, reply.finish_reason) == ("two words", "hm", "length")
        assert (reply.usage, reply.model, reply.failures) == (TokenUsage(3, 0, 4, 2), "m-1", ())


async def test_a_stream_that_breaks_off_or_holds_an_error_is_retried(ask):
    broken, cut = streamed(delta(content="two "), end=""), streamed(delta(content="two "), end='data: {"choi')
    reply, _ = await ask(broken, cut, streamed({"error": {"message": "Provider returned error", "code": 502}}))
    assert [failure.kind for failure in reply.failures] == ["half_body", "half_body", "server_error"]


def compressed(content, kind="gzip"):
    """A step that answers with a compressed body."""
    body = gzip.compress(content) if kind == "gzip" else zlib.compress(content)
    name = "gzip" if kind == "gzip" else "deflate"
    return {"body": body[2:-4] if kind == "raw" else body, "headers": {"Content-Encoding": name}}


@pytest.mark.parametrize("kind", ["gzip", "deflate", "raw"])
async def test_a_compressed_reply_is_decompressed(ask, kind):
    body = {"choices": [{"message": {"content": "short"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    reply, _ = await ask(compressed(json.dumps(body).encode(), kind))
    assert (reply.text, reply.failures) == ("short", ())


async def test_a_reply_that_is_compressed_in_several_members_is_decompressed(ask):
    body = json.dumps({"choices": [{"message": {"content": "short"}}]}).encode()
    members = gzip.compress(body[:20]) + gzip.compress(body[20:])
    reply, _ = await ask({"body": members, "headers": {"Content-Encoding": "gzip"}})
    assert (reply.text, reply.failures) == ("short", ())


async def test_a_decompression_bomb_is_cut_off(ask, monkeypatch):
    monkeypatch.setattr("rlm.models.client.bounded.MAX_BODY_BYTES", 100_000)
    reply, _ = await ask(compressed(b" " * 10_000_000), compressed(b" " * 10_000_000, "deflate"))
    assert [failure.kind for failure in reply.failures] == ["oversized", "oversized"]


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip, identity, deflate", "br"])
async def test_a_body_in_several_or_unknown_encodings_is_not_decompressed(ask, encoding):
    body = gzip.compress(gzip.compress(b" " * 10_000_000))
    tracemalloc.start()
    reply, _ = await ask({"body": body, "headers": {"Content-Encoding": encoding}})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [failure.kind for failure in reply.failures] == ["bad_json"] and peak < 5_000_000


async def test_only_encodings_that_are_decompressed_within_bounds_are_asked_for(ask):
    _, server = await ask()
    headers = {name.lower(): value for name, value in server.log[0].headers.items()}
    assert headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    "status, body, kind",
    [
        (200, b": x" + b"\n" * 50_000 + b"y", "half_body"),
        (200, b": x\n" * 20_000 + b" " * 50_000 + b"y", "half_body"),
        (200, b'{"choices": [' + b"[]," * 1_000_000 + b"[]]}", "bad_json"),
        (200, b"[" * 100_000, "bad_json"),
        (500, b'{"error": [' + b"[]," * 1_000_000 + b"[]]}", "server_error"),
        (200, b"data: {}\n" + b"\n" * 3_000_000, "half_body"),
        (200, b"data: " + b"{}" * 500_000, "half_body"),
        (200, b"data: {\ndata: " * 30_000, "half_body"),
        (200, b'data: {"a": [' + b"[]," * 1_000_000 + b"[]]}\n\n", "half_body"),
        (500, json.dumps({"error": "\\" * 20_000}).encode(), "server_error"),
        (500, b"<style" * 3_000 + b"<" * 2_000, "server_error"),
        (400, b'{"message": "unknown ' + b"exceed" * 3_000 + b'"}', "bad_request"),
        (400, b'{"message": "invalid model' + b"/" * 20_000 + b'"}', "bad_request"),
        (400, b'{"message": "requested ' + b"1" * 20_000 + b' tokens"}', "bad_request"),
        (400, b'{"message": "' + b"max_a_" * 3_000 + b'"}', "bad_request"),
        (429, b'{"message": "wait", "retry_after": "' + b"1s" * 50_000 + b'"}', "rate_limit"),
        (500, json.dumps({"errors": [{"message": f"{n} m", "errors": [str(n)]} for n in range(9000)]}).encode(),
         "server_error"),
    ],
    ids=["blank-lines", "comments", "lists", "depth", "error-of-lists", "empty-lines", "one-line", "open-objects",
         "lists-in-a-stream", "backslashes", "tags", "words", "slashes", "digits", "names", "duration", "errors"],
)  # fmt: skip
def test_a_hostile_body_is_refused_in_a_moment(status, body, kind):
    before = time.process_time()
    fault = status_fault(status, {}, body) if status != 200 else read_response(body, {})[1]
    fault.redact(Redactor(["sk-0123456789abcdef"]))
    assert fault.kind == kind
    # Twenty seconds with a pattern that tries every division of the blank lines.
    assert time.process_time() - before < 0.5


async def test_a_body_that_cannot_be_decompressed_is_retried(ask):
    whole = compressed(json.dumps({"choices": []}).encode())
    broken, half = ({**whole, "body": body} for body in (b"not gzip at all", whole["body"][:-12]))
    reply, _ = await ask(broken, half)
    assert [failure.kind for failure in reply.failures] == ["bad_http", "half_body"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_only_cr_lf_and_crlf_end_a_line_of_a_stream(ask, mark, end):
    chunk = json.dumps(delta("stop", content=f"a{mark}b"), ensure_ascii=False)
    reply, server = await ask({"body": f"data: {chunk}{end}{end}data: [DONE]{end}{end}"})
    assert (reply.text, reply.failures, server.requests) == (f"a{mark}b", (), 1)


STREAMS = {
    "without spaces": 'data:{"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]}\n\ndata:[DONE]\n\n',
    "without empty lines": 'data: {"choices":[{"delta":{"content":"y"}}]}\ndata: {"choices":[{"delta":{"content":"es"},'
    '"finish_reason":"stop"}]}\ndata: [DONE]\n',
    "ids first": 'id: 1\nevent: message\ndata: {"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]}\n\n',
    "a byte-order mark": '\ufeffdata: {"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]}\n\n',
    "data in two lines": 'data: {"choices":[{"delta":\ndata: {"content":"yes"},"finish_reason":"stop"}]}\n\n',
    "a complete message": 'data: {"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}]}\n\n',
    "parts": 'data: {"choices":[{"delta":{"content":[{"type":"text","text":"yes"}]},"finish_reason":"stop"}]}\n\n',
    "two choices": 'data: {"choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"yes"},'
    '"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    "heartbeats": ': ping\n\n: ping\n\ndata: {"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]}\n\n',
}


@pytest.mark.parametrize("body", STREAMS.values(), ids=STREAMS)
async def test_streams_of_every_shape_are_understood(ask, body):
    reply, server = await ask({"body": body})
    assert (reply.text, reply.failures, server.requests) == ("yes", (), 1)


@pytest.mark.parametrize(
    "event",
    [
        'data: {"error": {"message": "overloaded", "code": 503}}\n\n',
        'event: error\ndata: {"message": "overloaded", "code": 503}\n\n',
        'data: {"object": "error", "message": "overloaded", "code": 503}\n\n',
    ],
)
async def test_an_error_in_a_stream_is_an_error(ask, event):
    reply, _ = await ask({"body": 'data: {"choices":[{"delta":{"content":"y"}}]}\n\n' + event})
    assert [failure.kind for failure in reply.failures] == ["server_error"]
    assert "overloaded" in reply.failures[0].message


REASONED = {
    "reasoning_content": {"content": None, "reasoning_content": "So: 42"},
    "reasoning": {"content": "", "reasoning": "So: 42"},
    "thinking": {"content": None, "thinking": "So: 42"},
    "details": {"content": None, "reasoning_details": [{"type": "reasoning.text", "text": "So: 42"}]},
    "parts": {"content": [{"type": "thinking", "thinking": "So: 42"}]},
    "mapping": {"content": None, "reasoning": {"content": "So: 42"}},
}


@pytest.mark.parametrize("message", REASONED.values(), ids=REASONED)
@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 3, "completion_tokens": 4}])
async def test_an_answer_that_is_only_in_the_reasoning_is_kept_and_flagged(ask, message, usage):
    reply, server = await ask({"message": message, "usage": usage})
    assert (reply.text, reply.reasoning, reply.only_reasoning, server.requests) == ("", "So: 42", True, 1)


CALLED = {
    "openai": {"content": None, "tool_calls": [{"function": {"name": "python", "arguments": '{"code": "print(1)"}'}}]},
    "former openai": {"content": None, "function_call": {"name": "python", "arguments": '{"code": "print(1)"}'}},
    "a mapping": {"content": None, "tool_calls": [{"function": {"name": "python", "arguments": {"code": "print(1)"}}}]},
    "anthropic": {"content": [{"type": "tool_use", "name": "python", "input": {"code": "print(1)"}}]},
    "flat": {"content": None, "tool_calls": [{"name": "python", "arguments": {"code": "print(1)"}}]},
}


@pytest.mark.parametrize("message", CALLED.values(), ids=CALLED)
async def test_code_of_tool_calls_that_were_not_offered_is_given_on_the_reply(ask, message):
    reply, server = await ask({"message": message, "choice": {"finish_reason": "tool_calls"}, "usage": None})
    assert (reply.tool_code, server.requests, reply.failures) == ("print(1)", 1, ())


async def test_provider_and_fingerprint_of_a_reply_are_kept(ask):
    fields = {"provider": "DeepInfra", "system_fingerprint": "fp_1", "model": "m-2026"}
    reply, _ = await ask({"fields": fields})
    assert (reply.provider, reply.system_fingerprint, reply.model) == ("DeepInfra", "fp_1", "m-2026")
    routed, _ = await ask({"headers": {"x-inference-provider": "together"}})
    assert routed.provider == "together"


async def test_a_reply_of_more_characters_than_a_model_writes_is_refused(ask, monkeypatch):
    monkeypatch.setattr("rlm.models.client.replies.MAX_REPLY_CHARS", 100)
    reply, _ = await ask(streamed(delta(content="x" * 80), delta(reasoning="y" * 80)), {"text": "x" * 101})
    assert [failure.kind for failure in reply.failures] == ["oversized", "oversized"]


async def test_a_stream_may_be_longer_than_another_body(ask, monkeypatch):
    monkeypatch.setattr("rlm.models.client.bounded.MAX_BODY_BYTES", 1000)
    monkeypatch.setattr("rlm.models.client.bounded.MAX_STREAM_BYTES", 10_000)
    chunks = [delta(content="x" * 100) for _ in range(20)]
    kind = {"headers": {"Content-Type": "text/event-stream"}}
    reply, _ = await ask(streamed(*chunks * 10) | kind, streamed(*chunks) | kind)
    assert reply.text == "x" * 2000 and [failure.kind for failure in reply.failures] == ["oversized"]


def test_the_arguments_of_a_streamed_tool_call_are_joined():
    call = {"index": 0, "function": {"name": "", "arguments": "ab"}}
    chunks = [{"choices": [{"delta": {"tool_calls": [call]}}]}] * 3
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    assert read_response(body.encode(), {})[0].tool_calls[0].arguments == "ababab"
