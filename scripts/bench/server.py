"""A minimal scripted OpenAI-compatible endpoint, so that the endpoint is not what is measured.

The address selects the answers: /SCRIPT/LATENCY_MS/v1/chat/completions. Bodies are not parsed: the number of assistant
messages in a request (or of dspy's steps) gives its turn, and the model's name shows if it is a sub-call. A GET returns
the time of the first request since the last GET, in seconds of the system's monotonic clock.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import time

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SUB = re.compile(rb'"model": *"[^"]*sub"')
_TURNS = re.compile(rb'"role": *"assistant"|=== Step ')
_COUNT = "hits = context.count('needle')\nprint(hits)"
# The last cell prints the processor time of its process, which cannot be read once it has ended.
_SET_ANSWER = "import time\nprint('cpu', time.process_time())\nanswer['content'] = 'done'\nanswer['ready'] = True"
_ASK = "answers = llm_query_batched([f'item {i}: what is it?' for i in range(%d)])\nprint(len(answers))"

# The cells of each root turn by script; the last turn answers.
SCRIPTS: dict[str, list[str]] = {
    "base": [],
    "three": ["print(len(context))", _COUNT],
    "four": ["print(len(context))", _COUNT + "\nprint(llm_query(context[:200]))"],
    "meet": ["print(len(context))", _COUNT + "\nmeet()"],
    **{f"batch{count}": [_ASK % count] for count in (20, 100, 1000)},
}


def replies(script: str, style: str) -> list[str]:
    """The replies of the root in each turn, in the style of rlm-eval and rlms (`repl`) or of dspy."""
    cells = SCRIPTS[script]
    if not cells:
        return ["The answer is 4711."]
    if style == "dspy":
        form = "[[ ## reasoning ## ]]\nNext.\n\n[[ ## code ## ]]\n```python\n{}\n```\n\n[[ ## completed ## ]]"
        return [form.format(cell) for cell in (*cells, "SUBMIT('done')")]
    return [f"Next.\n```repl\n{cell}\n```" for cell in (*cells, _SET_ANSWER)]


def response(text: str) -> bytes:
    """A complete HTTP response with that reply."""
    body = json.dumps({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440},
    }).encode()  # fmt: skip
    return _http(body)


def _http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Connection(asyncio.Protocol):
    """One client's connection, kept alive."""

    prepared: dict[str, list[bytes]] = {}  # noqa: RUF012
    sub = response("A short answer.")
    first: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._wanted = 0

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= max(1, self._wanted):
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = _LENGTH.search(self._buffer, 0, head + 2)
            self._wanted = head + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < self._wanted:
                return
            request = bytes(self._buffer[: self._wanted])
            del self._buffer[: self._wanted]
            self._wanted = 0
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"GET"):
            first, Connection.first = Connection.first, None
            self._transport.write(_http(json.dumps({"first": first}).encode()))
            return
        if Connection.first is None:
            Connection.first = time.monotonic()
        _, script, latency, _ = request[:200].decode("latin-1").split("/", 3)
        if _SUB.search(request):
            reply = self.sub
        else:
            turns = self.prepared[script]
            reply = turns[min(len(_TURNS.findall(request)), len(turns) - 1)]
        if latency == "0":
            self._transport.write(reply)
        else:
            asyncio.get_running_loop().call_later(float(latency) / 1000, self._transport.write, reply)


async def serve() -> None:
    """Print the address and answer until killed."""
    for script in SCRIPTS:
        Connection.prepared[script] = [*map(response, replies(script, "repl"))]
        Connection.prepared[f"dspy-{script}"] = [*map(response, replies(script, "dspy"))]
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
