"""A server on 127.0.0.1 that answers `VERB /path` with the JSON of a table, and keeps what it was sent."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class JsonServer:
    """routes: a body by `GET /v1/models`, or a function of the request's body. requests: (route, body, headers)."""

    def __init__(self, routes):
        self.routes = routes
        self.requests = []

    def respond(self, route, body, headers):
        self.requests.append((route, body, headers))
        answer = self.routes.get(route)
        return answer(body) if callable(answer) else answer


@contextmanager
def json_server(routes):
    """Serve the routes; gives a JsonServer with `base_url`, which ends with /v1."""
    served = JsonServer(routes)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = served.respond(f"{self.command} {self.path}", body, headers)
            content = json.dumps(answer if answer is not None else {"error": "not found"}).encode()
            self.send_response(200 if answer is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chat_answer(text="4711"):
    """A function that answers /v1/chat/completions."""

    def answer(body):
        return {
            "id": "chatcmpl-1", "object": "chat.completion", "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 2000, "completion_tokens": 4, "total_tokens": 2004},
        }  # fmt: skip

    return answer


# What three servers answer, in the form that they send it.
VLLM = {
    "GET /v1/models": {
        "object": "list",
        "data": [
            {
                "id": "Qwen/Qwen3-8B", "object": "model", "created": 1764115200, "owned_by": "vllm",
                "root": "Qwen/Qwen3-8B", "parent": None, "max_model_len": 40960,
                "permission": [{"id": "modelperm-1", "object": "model_permission", "allow_sampling": True}],
            }
        ],
    }
}  # fmt: skip
LLAMA_CPP = {
    "GET /v1/models": {
        "object": "list",
        "models": [{"name": "tiny.gguf", "model": "tiny.gguf", "type": "model"}],
        "data": [
            {
                "id": "tiny.gguf", "object": "model", "created": 1764115200, "owned_by": "llamacpp",
                "meta": {"vocab_type": 2, "n_vocab": 49152, "n_ctx_train": 8192, "n_embd": 576},
            }
        ],
    },
    "GET /props": {"default_generation_settings": {"n_ctx": 2048, "params": {"seed": 1}}, "total_slots": 4},
}  # fmt: skip
OLLAMA = {
    "GET /v1/models": {
        "object": "list",
        "data": [{"id": "qwen3:8b", "object": "model", "created": 1764115200, "owned_by": "library"}],
    },
    "POST /api/show": {
        "parameters": 'stop                           "<|im_end|>"\nnum_ctx                        16384',
        "details": {"family": "qwen3", "parameter_size": "8.2B", "quantization_level": "Q4_K_M"},
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960, "qwen3.block_count": 36},
        "capabilities": ["completion", "tools"],
    },
}
