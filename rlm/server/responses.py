"""Writes completions in OpenAI's shapes, complete or as streams."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from rlm.completion import Completion, StopReason
from rlm.server.requests import RequestError
from rlm.trajectory import Event

# The fields of an event that a stream sends, besides its kind, depth and time.
PROGRESS_FIELDS = ("turn", "role", "model", "status", "cost_usd", "prompt_tokens", "completion_tokens", "reason")

# Stands for the answer in a response that is made in pieces, because JSON takes up to twelve bytes for a character.
_ANSWER = secrets.token_hex(16)
_PIECE_CHARS = 1 << 16


class ChatShape:
    """Answers in the shape of /v1/chat/completions."""

    def __init__(self, model: str, stream_usage: bool) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self._stream_usage = stream_usage

    def complete(self, result: Completion) -> dict[str, Any]:
        message = {"role": "assistant", "content": result.answer or "", "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": _finish_reason(result), "logprobs": None}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": chat_usage(result),
            "rlm": extension(result),
        }

    def start(self) -> list[str]:
        return [_data(self._chunk({"role": "assistant", "content": ""}))]

    def progress(self, event: Event) -> list[str]:
        return [_data({**self._chunk({}), "rlm": {"event": progress(event)}})]

    def piece(self, text: str) -> list[str]:
        return [_data(self._chunk({"content": text}))]

    def end(self, result: Completion) -> Iterator[str]:
        last = self._chunk({}, finish_reason=_finish_reason(result)) | {"rlm": extension(result)}
        usage = {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": chat_usage(result)}
        yield from [_data(last), *([_data(usage)] if self._stream_usage else []), "data: [DONE]\n\n"]

    def failed(self, error: RequestError) -> list[str]:
        return [_data(error.body), "data: [DONE]\n\n"]

    def _chunk(self, delta: Mapping[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": dict(delta), "finish_reason": finish_reason, "logprobs": None}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}


class ResponseShape:
    """Answers in the shape of /v1/responses."""

    def __init__(self, model: str) -> None:
        self._id = uuid.uuid4().hex
        self._item = f"msg_{self._id}"
        self._head = {
            "id": f"resp_{self._id}", "object": "response", "created_at": int(time.time()), "model": model,
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [],
            "tool_choice": "auto", "parallel_tool_calls": False, "temperature": None, "top_p": None,
        }  # fmt: skip
        self._sequence = 0

    def complete(self, result: Completion) -> dict[str, Any]:
        cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(_finish_reason(result))
        return {
            **self._head,
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": cut} if cut else None,
            "output": [self._message(result.answer or "", "incomplete" if cut else "completed")],
            "usage": response_usage(result),
            "rlm": extension(result),
        }

    def start(self) -> list[str]:
        begun = {**self._head, "status": "in_progress", "output": [], "usage": None}
        message = self._message("", "in_progress") | {"content": []}
        return [
            self._event("response.created", response=begun),
            self._event("response.in_progress", response=begun),
            self._event("response.output_item.added", output_index=0, item=message),
            self._event("response.content_part.added", **self._place(), part=_output_text("")),
        ]

    def progress(self, event: Event) -> list[str]:
        begun = {**self._head, "status": "in_progress", "output": [], "usage": None}
        return [self._event("response.in_progress", response=begun, rlm={"event": progress(event)})]

    def piece(self, text: str) -> list[str]:
        return [self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[])]

    def end(self, result: Completion) -> Iterator[str]:
        response, text = self.complete(_marked(result)), _ANSWER if result.answer else ""
        for event in (
            self._event("response.output_text.done", **self._place(), text=text, logprobs=[]),
            self._event("response.content_part.done", **self._place(), part=_output_text(text)),
            self._event("response.output_item.done", output_index=0, item=response["output"][0]),
            self._event(f"response.{response['status']}", response=response),
        ):
            yield from _filled(event, result.answer or "")

    def failed(self, error: RequestError) -> list[str]:
        cause = error.body["error"]
        shown = {"code": cause["code"] or "server_error", "message": cause["message"]}
        failed = {**self._head, **error.body, "status": "failed", "error": shown, "output": [], "usage": None}
        return [self._event("response.failed", response=failed)]

    def _message(self, text: str, status: str) -> dict[str, Any]:
        return {
            "type": "message", "id": self._item, "status": status, "role": "assistant", "content": [_output_text(text)],
        }  # fmt: skip

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **fields: Any) -> str:
        data = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return f"event: {kind}\n{_data(data)}"


def complete_pieces(shape: ChatShape | ResponseShape, result: Completion) -> Iterator[str]:
    """Return the JSON of a complete response in pieces of bounded length."""
    return _filled(json.dumps(shape.complete(_marked(result))), result.answer or "")


def _marked(result: Completion) -> Completion:
    return replace(result, answer=_ANSWER) if result.answer else result


def _filled(text: str, answer: str) -> Iterator[str]:
    """Return a JSON text in pieces, with the answer in the place of its mark."""
    first, *others = text.split(_ANSWER)
    yield first
    for other in others:
        for start in range(0, len(answer), _PIECE_CHARS):
            yield json.dumps(answer[start : start + _PIECE_CHARS])[1:-1]
        yield other


def chat_usage(result: Completion) -> dict[str, Any]:
    """Return the tokens of the complete call tree in the shape of chat completions."""
    tokens = result.usage.tokens
    return {
        "prompt_tokens": tokens.prompt_tokens,
        "completion_tokens": tokens.completion_tokens,
        "total_tokens": tokens.total,
        "prompt_tokens_details": {"cached_tokens": tokens.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning_tokens},
    }


def response_usage(result: Completion) -> dict[str, Any]:
    """Return the tokens of the complete call tree in the shape of responses."""
    tokens = result.usage.tokens
    return {
        "input_tokens": tokens.prompt_tokens,
        "input_tokens_details": {"cached_tokens": tokens.cached_tokens},
        "output_tokens": tokens.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning_tokens},
        "total_tokens": tokens.total,
    }


def extension(result: Completion) -> dict[str, Any]:
    """Return the field `rlm` of a response: the completion's stop reason and the usage of its call tree."""
    usage = result.usage
    counts = {key: value for key, value in asdict(usage).items() if isinstance(value, int)}
    return {
        "stop_reason": str(result.stop_reason),
        "status": str(result.status),
        "truncated": result.truncated,
        "cost_usd": usage.cost.usd,
        "cost_state": str(usage.cost.state),
        "wall_s": round(result.wall_s, 3),
        "model_s": round(usage.model_s, 3),
        **counts,
    }


def progress(event: Event) -> dict[str, Any]:
    """Return an event in the form that a stream sends."""
    always = {key: event[key] for key in ("kind", "depth", "at")}
    return always | {key: event[key] for key in PROGRESS_FIELDS if event.get(key) is not None}


def _finish_reason(result: Completion) -> str:
    if result.truncated or result.answer is None:
        return "content_filter" if result.stop_reason == StopReason.REFUSAL else "length"
    return "stop"


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _data(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
