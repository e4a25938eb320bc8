"""A scripted OpenAI-compatible server that fails on command, for tests in this process or in one of its own.

Each request takes the next step of the script; after the last step, and with none, requests are answered. A step is

- a name of FAULTS, such as "reset";
- a mapping: `status`, `headers` and `body` (JSON; a string or bytes go as they are) of a response of its own; or
  changes to the usual answer: `text`, `message`, `choice`, `usage` (null leaves it out), `fields` (of the body);
  and how it is sent: `latency_s`, `sending` (`whole`, `reset`, `half`, `hang`, `drip`);
- null: the usual answer.

A script is a list of steps; or, in this process, a function of the request's number and body; or a mapping with one or
both of

- {"random": {"seed": 1, "faults": {"reset": 0.05}, "first": 100}}, which draws a step for each of the first requests;
- {"rules": [{"match": "pattern", "text": "..."}]}: the first rule whose pattern is found in the messages is the step of
  a request for which no fault was drawn.

The usual answer depends on the messages alone. Every request leaves an Entry in `log`, and a line in the log file when
it comes in and another when it has been answered.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

Step = str | Mapping[str, Any] | None
Script = Sequence[Step] | Mapping[str, Any] | Callable[[int, Mapping[str, Any]], Step]


def error_step(status: int, message: str, code: str | None = None, **headers: str) -> dict[str, Any]:
    """A step that answers with an error body of OpenAI's shape; underscores in header names stand for hyphens."""
    body = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return {
        "status": status,
        "body": body,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
    }


FAULTS: dict[str, dict[str, Any]] = {
    "429": error_step(429, "Rate limit reached", "rate_limit_exceeded"),
    "429_retry_after": error_step(429, "Rate limit reached", "rate_limit_exceeded", retry_after="1"),
    "500": error_step(500, "The server had an error"),
    "503": error_step(503, "The engine is overloaded"),
    "502_html": {"status": 502, "body": "<html><body><h1>502 Bad Gateway</h1></body></html>"},
    "200_html": {"status": 200, "body": "<html><body>Sign in</body></html>"},
    "reset": {"sending": "reset"},
    "half_body": {"sending": "half"},
    "hang": {"sending": "hang"},
    "drip": {"sending": "drip"},
    "bad_json": {"status": 200, "body": '{"choices": [{"message": {"content": "he'},
    "json_list": {"status": 200, "body": "[1, 2]"},
    "no_choices": {"fields": {"choices": []}},
    "null_content": {"message": {"content": None}, "usage": None},
    "null_fields": {"choice": {"finish_reason": None, "logprobs": None}, "fields": {"model": None, "id": None}},
    "no_usage": {"usage": None},
    "wrong_model": {"fields": {"model": "another-model"}},
    "error_in_200": {"status": 200, "body": {"error": {"message": "Provider returned error", "code": 502}}},
    "bad_key": error_step(401, "Incorrect API key provided", "invalid_api_key"),
    "no_quota": error_step(429, "You exceeded your current quota", "insufficient_quota"),
    "unknown_model": error_step(404, "The model `x` does not exist", "model_not_found"),
    "bad_request": error_step(400, "messages[0] is not right"),
    "context_length": error_step(
        400, "This model's maximum context length is 4096 tokens. Your messages have 9000.", "context_length_exceeded"
    ),
}
DRIP_S = 0.05


@dataclass
class Entry:
    """One request: its number, when it came (monotonic seconds), its body and headers, how many were open with it.

    status is that of the response, None where none was sent whole; `paid` says that a usable answer was sent whole.
    """

    number: int
    at: float
    body: dict[str, Any]
    headers: dict[str, str]
    open: int
    step: Step = None
    status: int | None = None
    paid: bool = False
    path: str = ""

    @property
    def sha256(self) -> str:
        """Hash of what was asked."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()


@dataclass
class FakeOpenAI:
    """The server; `async with FakeOpenAI(script) as server` runs it on a free port of 127.0.0.1 as `server.base_url`.

    reply: the text that answers a request body; latency_s: how long an answer takes, with up to jitter_s more.
    """

    script: Script = ()
    latency_s: float = 0.0
    jitter_s: float = 0.0
    reply: Callable[[Mapping[str, Any]], str] | None = None
    log_path: Path | None = None
    port: int = 0
    keep_log: bool = True
    log: list[Entry] = field(default_factory=list)
    requests: int = 0
    open: int = 0
    most_open: int = 0

    async def __aenter__(self) -> FakeOpenAI:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/{path:.*chat/completions}", self._answer)
        self._lines = self.log_path.open("a", encoding="utf-8", buffering=1) if self.log_path else None
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=4096)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        if self._lines:
            self._lines.close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def paid(self) -> list[Entry]:
        """The requests whose answer was sent whole."""
        return [entry for entry in self.log if entry.paid]

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "fake", "object": "model"}]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        at = time.monotonic()
        number, self.requests = self.requests, self.requests + 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            body = json.loads(await request.read())
            step = self._step(number, body)
            entry = Entry(number, at, body, dict(request.headers), self.open, step, path=request.path_qs)
            if self.keep_log:
                self.log.append(entry)
            self._write(entry, "received")
            step = FAULTS[entry.step] if isinstance(entry.step, str) else entry.step or {}
            jitter_s = random.Random(number).uniform(0.0, self.jitter_s)
            await asyncio.sleep(step.get("latency_s", self.latency_s) + jitter_s)
            try:
                return await self._send(request, step, entry)
            except ConnectionResetError:
                # The client went away: nobody is left to be answered.
                return web.Response()
        finally:
            self.open -= 1

    async def _send(self, request: web.Request, step: Mapping[str, Any], entry: Entry) -> web.StreamResponse:
        sending = step.get("sending", "whole")
        if sending == "hang":
            await asyncio.sleep(3600)
        if sending == "reset" and request.transport:
            request.transport.abort()
            await asyncio.sleep(3600)
        content = self._content(step, entry.body)
        response = web.StreamResponse(status=step.get("status", 200), headers=step.get("headers"))
        if "Content-Type" not in response.headers:
            response.content_type = _content_type(content)
        response.content_length = len(content)
        await response.prepare(request)
        if sending == "half":
            await response.write(content[: len(content) // 2])
            if request.transport:
                request.transport.close()
            await asyncio.sleep(3600)
        if sending == "drip":
            for index in range(len(content) - 1):
                await response.write(content[index : index + 1])
                await asyncio.sleep(DRIP_S)
            content = content[-1:]
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError
        # The line is written before the last bytes are sent, so that a client that has its answer finds it in the log.
        entry.status = response.status
        entry.paid = response.status == 200 and "body" not in step
        self._write(entry, "answered")
        await response.write(content)
        await response.write_eof()
        return response

    def _content(self, step: Mapping[str, Any], body: Mapping[str, Any]) -> bytes:
        if "body" in step:
            own = step["body"]
            if isinstance(own, bytes):
                return own
            return own.encode() if isinstance(own, str) else json.dumps(own).encode()
        text = step.get("text") or (self.reply or usual_reply)(body)
        message = {"role": "assistant", "content": text, **step.get("message", {})}
        answer = {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "model": body.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", **step.get("choice", {})}],
            "usage": usual_usage(body, text),
            **step.get("fields", {}),
        }
        if "usage" in step:
            answer["usage"] = step["usage"]
        answer = {key: value for key, value in answer.items() if key != "usage" or value}
        return stream_of(answer) if body.get("stream") else json.dumps(answer).encode()

    def _step(self, number: int, body: Mapping[str, Any]) -> Step:
        if callable(self.script):
            return self.script(number, body)
        if isinstance(self.script, Mapping):
            drawn = random_step(number, **self.script["random"]) if "random" in self.script else None
            return drawn or rule_step(body, self.script.get("rules", ()))
        return self.script[number] if number < len(self.script) else None

    def _write(self, entry: Entry, event: str) -> None:
        if self._lines:
            line = {"event": event, "number": entry.number, "sha256": entry.sha256, "at": time.time()}
            self._lines.write(json.dumps({**line, "status": entry.status, "paid": entry.paid}) + "\n")


def stream_of(answer: Mapping[str, Any]) -> bytes:
    """An answer as a stream of events: the role, the text in pieces, the finish reason, and the usage last."""
    choice = answer["choices"][0] if answer.get("choices") else {}
    message = dict(choice.get("message", {}))
    text = message.pop("content", None)
    deltas = [{"content": "", **message}, *({"content": piece} for piece in re.findall(r"\S+\s*|\s+", text or ""))]
    head = {key: value for key, value in answer.items() if key not in ("choices", "usage")}
    chunks = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice.get("finish_reason")}]})
    if answer.get("usage"):
        chunks.append(head | {"choices": [], "usage": answer["usage"]})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _content_type(content: bytes) -> str:
    if content.startswith(b"<"):
        return "text/html"
    return "text/event-stream" if content.startswith(b"data:") else "application/json"


def usual_reply(body: Mapping[str, Any]) -> str:
    """A text that depends on the messages alone."""
    return "reply " + hashlib.sha256(json.dumps(body.get("messages")).encode()).hexdigest()[:12]


def usual_usage(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Usage that counts words."""
    prompt = sum(len(str(message.get("content")).split()) for message in body.get("messages", []))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": len(text.split()),
        "total_tokens": prompt + len(text.split()),
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def random_step(number: int, seed: int, faults: Mapping[str, float], first: int = sys.maxsize) -> Step:
    """The step that is drawn for a request number; `faults` are probabilities by name."""
    if number >= first:
        return None
    drawn = random.Random(f"{seed}/{number}").random()
    for name, probability in faults.items():
        drawn -= probability
        if drawn < 0:
            return name
    return None


def rule_step(body: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> Step:
    """The first rule whose pattern is found in the contents of a request's messages."""
    said = "\n".join(str(message.get("content")) for message in body.get("messages", []))
    return next((rule for rule in rules if re.search(rule["match"], said)), None)


async def _serve(options: argparse.Namespace) -> None:
    script = json.loads(options.script.read_text()) if options.script else ()
    server = FakeOpenAI(
        script, options.latency, options.jitter, log_path=options.log, port=options.port, keep_log=False
    )
    async with server:
        print(f"listening: {server.base_url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve scripted answers and faults on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--script", type=Path, help="JSON file with the script")
    parser.add_argument("--log", type=Path, help="file that gets a JSON line a request in and a request answered")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds an answer takes")
    parser.add_argument("--jitter", type=float, default=0.0, help="seconds that an answer takes longer at most")
    asyncio.run(_serve(parser.parse_args()))
