"""Bodies in forms that were not asked for: streams of events, packed, packed without end."""

import gzip
import json
import zlib

import pytest

from rlm.models.chat import TokenUsage
from rlm.models.client.endpoint import Endpoint
from rlm.models.client.model import OpenAIModel


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


async def test_an_endpoint_that_streams_unasked_is_understood(ask):
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 2}}
    chunks = [
        delta(role="assistant", content=""), delta(reasoning_content="hm"), delta(content="two "),
        delta(content="words"), delta("length"), {"choices": [], "usage": usage},
    ]  # fmt: skip
    for end in ("data: [DONE]\n\n", ""):
        reply, _ = await ask(streamed(*chunks, end=end))
        assert (reply.text, reply.reasoning, reply.finish_reason) == ("two words", "hm", "length")
        assert (reply.usage, reply.model, reply.failures) == (TokenUsage(3, 0, 4, 2), "m-1", ())


async def test_a_stream_that_breaks_off_or_tells_an_error_is_tried_again(ask):
    broken, cut = streamed(delta(content="two "), end=""), streamed(delta(content="two "), end='data: {"choi')
    reply, _ = await ask(broken, cut, streamed({"error": {"message": "Provider returned error", "code": 502}}))
    assert [failure.kind for failure in reply.failures] == ["half_body", "half_body", "server_error"]


def packed(content, kind="gzip"):
    """A step that answers with a packed body."""
    body = gzip.compress(content) if kind == "gzip" else zlib.compress(content)
    name = "gzip" if kind == "gzip" else "deflate"
    return {"body": body[2:-4] if kind == "raw" else body, "headers": {"Content-Encoding": name}}


@pytest.mark.parametrize("kind", ["gzip", "deflate", "raw"])
async def test_a_packed_reply_is_unpacked(ask, kind):
    body = {"choices": [{"message": {"content": "short"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    reply, _ = await ask(packed(json.dumps(body).encode(), kind))
    assert (reply.text, reply.failures) == ("short", ())


async def test_what_unpacks_without_end_is_cut_off(ask, monkeypatch):
    monkeypatch.setattr("rlm.models.client.bounded.MAX_BODY_BYTES", 100_000)
    reply, _ = await ask(packed(b" " * 10_000_000), packed(b" " * 10_000_000, "deflate"))
    assert [failure.kind for failure in reply.failures] == ["oversized", "oversized"]


async def test_what_cannot_be_unpacked_is_tried_again(ask):
    whole = packed(json.dumps({"choices": []}).encode())
    broken, half = ({**whole, "body": body} for body in (b"not gzip at all", whole["body"][:-12]))
    reply, _ = await ask(broken, half)
    assert [failure.kind for failure in reply.failures] == ["bad_http", "half_body"]
