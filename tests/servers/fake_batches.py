"""OpenAI's files and batches on loopback, with a log of the requests, for tests in this process.

A batch is checked as OpenAI does: the purpose and form of its file, unique custom ids, one model, and the limits. A
batch that passes is in progress until it has been polled `polls` times, or until `release()` if `held` is set. Its
outcome is a mapping: `status` (by default completed), `errors` (of a failed batch), `lines` (by number from 0) and
`cut` (the lines from that number on are left out). A line is a mapping of `status` and `body`, or of `error`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import web

LEFT_OUT = {
    "expired": {"code": "batch_expired", "message": "The request could not be done before the window ended."},
    "cancelled": {"code": "batch_cancelled", "message": "The batch was cancelled."},
}


class FakeBatches:
    """The server. outcomes: the outcome of each batch in order; a further batch completes.

    batches: the batches by id, as they are reported. asked: (method, path) of every request. faults: by "METHOD path",
    a list of statuses that the next requests get; a number below 1 does the work, waits so many seconds and then closes
    the connection.
    """

    def __init__(self, reply: Callable[[Mapping[str, Any]], str], outcomes: list[Mapping[str, Any]], **settings: Any):
        self.reply = reply
        self.outcomes = iter(outcomes)
        self.polls = settings.pop("polls", 1)
        self.held = settings.pop("held", False)
        self.max_requests = settings.pop("max_requests", 50_000)
        self.max_bytes = settings.pop("max_bytes", 200_000_000)
        # Requests that may be in batches in progress.
        self.queue = settings.pop("queue", None)
        assert not settings
        self.faults: dict[str, list[float]] = {}
        self.files: dict[str, bytes] = {}
        self.purposes: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.live: list[dict[str, Any]] = []
        self.base_url = ""
        self._left: dict[str, int] = {}
        self._outcome: dict[str, Mapping[str, Any]] = {}
        self._numbers = itertools.count(1)

    def release(self) -> None:
        self.held = False

    def sent(self) -> list[str]:
        """The custom ids of all batches, in order."""
        return [request["custom_id"] for requests in self.requests.values() for request in requests]

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30, middlewares=[self._logged])
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._list)
        app.router.add_get("/v1/batches/{id}", self._retrieve)
        app.router.add_post("/v1/batches/{id}/cancel", self._cancel)
        app.router.add_post("/v1/chat/completions", self._call)
        return app

    @web.middleware
    async def _logged(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append((request.method, request.path))
        faults = self.faults.get(f"{request.method} {request.path}", [])
        status = faults.pop(0) if faults else None
        if status is not None and status >= 1:
            return web.json_response({"error": {"message": "not now"}}, status=int(status))
        response = await handler(request)
        if status is not None:
            await asyncio.sleep(status)
            if request.transport:
                request.transport.abort()
        return response

    async def _upload(self, request: web.Request) -> web.Response:
        identifier, fields = f"file-{next(self._numbers)}", {}
        async for part in await request.multipart():
            fields[part.name] = await part.read()
        self.files[identifier] = bytes(fields["file"])
        self.purposes[identifier] = fields["purpose"].decode()
        return web.json_response({"id": identifier, "object": "file", "purpose": self.purposes[identifier]})

    async def _content(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["id"])
        return _missing() if content is None else web.Response(body=content, content_type="application/octet-stream")

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        file_id = asked.get("input_file_id")
        if self.purposes.get(file_id) != "batch" or asked.get("completion_window") != "24h":
            return web.json_response({"error": {"message": "invalid batch"}}, status=400)
        identifier = f"batch_{next(self._numbers)}"
        batch = self.batches[identifier] = {
            "id": identifier, "object": "batch", "endpoint": asked["endpoint"], "input_file_id": file_id,
            "completion_window": "24h", "created_at": 1_700_000_000, "status": "validating", "output_file_id": None,
            "error_file_id": None, "errors": None, "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }  # fmt: skip
        lines = self.files[file_id].splitlines()
        self.requests[identifier] = requests = [json.loads(line) for line in lines]
        self._outcome[identifier] = next(self.outcomes, {})
        self._left[identifier] = self.polls
        waiting = sum(len(self.requests[i]) for i, one in self.batches.items() if one["status"] == "in_progress")
        if self.queue is not None and waiting + len(requests) > self.queue:
            error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
        elif errors := list(self._problems(asked["endpoint"], requests, len(self.files[file_id]))):
            batch |= {"status": "failed", "errors": {"object": "list", "data": errors}}
        elif "errors" in self._outcome[identifier]:
            batch |= {"status": "failed", "errors": {"object": "list", "data": self._outcome[identifier]["errors"]}}
        else:
            batch["status"] = "in_progress"
        return web.json_response(batch | {"status": "validating"})

    def _problems(self, endpoint: str, requests: list[dict[str, Any]], size: int) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        if len(requests) > self.max_requests or size > self.max_bytes:
            yield {"code": "too_large", "message": "too many requests or bytes", "line": None}
        for number, request in enumerate(requests, 1):
            name = request.get("custom_id", "")
            fits = name and len(name) <= 64 and name not in seen and request.get("method") == "POST"
            if not fits or request.get("url") != endpoint or request["body"].get("stream"):
                yield {"code": "invalid_request", "message": f"line {number} is invalid", "line": number}
            seen.add(name)
        if len({request["body"]["model"] for request in requests}) != 1:
            yield {"code": "mismatched_model", "message": "expected one model", "line": None}

    async def _list(self, request: web.Request) -> web.Response:
        known = list(reversed(self.batches.values()))
        names = [batch["id"] for batch in known]
        start = names.index(request.query["after"]) + 1 if "after" in request.query else 0
        # Pages shorter than what was asked for, as far as this server has more.
        page = known[start : start + 2]
        return web.json_response({"object": "list", "data": page, "has_more": start + 2 < len(known)})

    async def _retrieve(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _missing()
        if batch["status"] == "in_progress" and not self.held:
            self._left[batch["id"]] -= 1
            if self._left[batch["id"]] <= 0:
                self._finish(batch, self._outcome[batch["id"]].get("status", "completed"))
        return web.json_response(batch)

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        self._finish(batch, "cancelled")
        return web.json_response(batch | {"status": "cancelling"})

    async def _call(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.live.append(body)
        return web.json_response(self._answer(body))

    def _finish(self, batch: dict[str, Any], status: str) -> None:
        outcome = self._outcome[batch["id"]]
        output, errors = [], []
        for number, request in enumerate(self.requests[batch["id"]]):
            line = outcome.get("lines", {}).get(number, {})
            row = {"id": f"batch_req_{number}", "custom_id": request["custom_id"], "response": None, "error": None}
            if number >= outcome.get("cut", len(self.requests[batch["id"]])):
                errors.append(row | {"error": LEFT_OUT[status]})
            elif "error" in line:
                errors.append(row | {"error": line["error"]})
            else:
                code, body = line.get("status", 200), line.get("body") or self._answer(request["body"])
                (output if code < 300 else errors).append(row | {"response": {"status_code": code, "body": body}})
        counts = {"total": len(output) + len(errors), "completed": len(output), "failed": len(errors)}
        batch |= {"status": status, "request_counts": counts}
        # The order of results is not that of the requests.
        for key, rows in (("output_file_id", output[::-1]), ("error_file_id", errors)):
            if rows:
                batch[key] = f"file-{next(self._numbers)}"
                self.files[batch[key]] = "".join(json.dumps(row) + "\n" for row in rows).encode()

    def _answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        text = self.reply(body)
        prompt = sum(len(str(message["content"]).split()) for message in body["messages"])
        return {
            "id": "chatcmpl-fake", "object": "chat.completion", "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": len(text.split())},
        }  # fmt: skip


def _missing() -> web.Response:
    return web.json_response({"error": {"message": "no such object", "code": "not_found"}}, status=404)


@contextmanager
def fake_batches(
    *outcomes: Mapping[str, Any], reply: Callable[[Mapping[str, Any]], str] = lambda body: "a reply", **settings: Any
) -> Iterator[FakeBatches]:
    """Serve on a free port of 127.0.0.1, in a thread, until the block ends."""
    server = FakeBatches(reply, list(outcomes), **settings)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"

    asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
