"""Requests in OpenAI's shapes read into messages and limits; what cannot be honoured is refused, not passed over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields, replace
from typing import Any

from rlm.limits import Limits
from rlm.prompt import message_text

ROLES = ("system", "developer", "user", "assistant")
# What a client that was told that its body is too long may still send, so that it reads the answer.
_DRAIN_S = 5.0
# Fields by which a client asks for more than the text of an answer, and the values that ask for nothing.
_REFUSED: dict[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "auto", "none"),
    "functions": (None, []),
    "function_call": (None, "auto", "none"),
    "web_search_options": (None,),
    "stop": (None, [], ""),
    "n": (None, 1),
    "logprobs": (None, False),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "previous_response_id": (None,),
    "conversation": (None,),
    "background": (None, False),
    "prompt": (None,),
}
_WHY = {
    "tools": "methods run their own code, tools of the client cannot be called",
    "functions": "methods run their own code, functions of the client cannot be called",
    "stop": "answers are not cut at a word",
    "n": "one choice is all that is offered",
    "previous_response_id": "responses are not stored; send the whole conversation as input",
    "conversation": "conversations are not stored; send the whole conversation as input",
    "background": "responses are not stored; use stream",
    "prompt": "there are no stored prompts; send input",
}
# Fields that are passed over, for they belong to the configuration, but not where they are nonsense.
_NUMBERS = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "max_tokens", "max_completion_tokens",
    "max_output_tokens",
)  # fmt: skip
_OBJECTS = ("stream_options", "text", "reasoning", "metadata")


class RequestError(Exception):
    """A request that cannot be served; told to the client in OpenAI's shape.

    rlm: the field of that name, where a completion was paid for all the same.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        rlm: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(status)
        kind = kind or ("invalid_request_error" if status < 500 else "api_error")
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        if rlm is not None:
            self.body["rlm"] = rlm
        # OpenAI's clients ask again after a failure unless they are told not to, and would pay for the tree again:
        # its calls have been retried, each by itself.
        self.headers = {"x-should-retry": "false"} if status in (500, 502) else {}


async def read_body(pieces: AsyncIterator[bytes], max_bytes: int, timeout_s: float) -> dict[str, Any]:
    """The JSON object of a request's body. Raises RequestError: 400, 408 (too slow) or 413 (too long).

    timeout_s: seconds that a client may be silent between two pieces.
    """
    body = bytearray()
    while True:
        try:
            piece = await asyncio.wait_for(anext(pieces, None), timeout_s)
        except TimeoutError:
            raise RequestError(408, f"the body did not come: nothing for {timeout_s:g} s", "request_timeout") from None
        if piece is None:
            break
        body += piece
        if len(body) > max_bytes:
            del body
            await _drain(pieces)
            raise RequestError(413, f"the body is longer than {max_bytes} bytes", "request_too_large")
    try:
        # In a thread, for a long body takes seconds.
        parsed = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise RequestError(400, "the body is not a JSON object")
    return parsed


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass
    except TimeoutError:
        pass


def check_request(body: Mapping[str, Any]) -> None:
    """Raise RequestError for a field that asks for what no method gives, or is not what it should be."""
    if not isinstance(body.get("model"), str):
        raise RequestError(400, "model is missing, or no string", param="model")
    for key, harmless in _REFUSED.items():
        if body.get(key) not in harmless:
            raise RequestError(400, f"{key}: {_WHY.get(key, 'only the text of an answer is offered')}", param=key)
    if not isinstance(body.get("stream"), bool | None):
        raise RequestError(400, "stream is neither true nor false", param="stream")
    for key in _NUMBERS:
        if not isinstance(body.get(key), int | float | None):
            raise RequestError(400, f"{key} is not a number", param=key)
    for key in _OBJECTS:
        if not isinstance(body.get(key), dict | None):
            raise RequestError(400, f"{key} is not an object", param=key)
    text = body.get("text")
    formats = {"response_format": body.get("response_format")}
    formats["text.format"] = text.get("format") if isinstance(text, dict) else None
    for key, wanted in formats.items():
        if wanted is not None and (not isinstance(wanted, dict) or wanted.get("type") != "text"):
            raise RequestError(400, f"{key}: answers are text; their form can be asked for in the prompt", param=key)


def request_limits(body: Mapping[str, Any], allowed: Limits) -> Limits:
    """The limits of a request: those of the method, lowered where its field `rlm.limits` says so.

    Raises RequestError.
    """
    section = body.get("rlm")
    if section is None:
        return allowed
    if not isinstance(section, dict) or not section.keys() <= {"limits"}:
        raise RequestError(400, "rlm takes limits", param="rlm")
    asked = section.get("limits")
    if asked is None:
        return allowed
    known = [field.name for field in fields(Limits)]
    if not isinstance(asked, dict) or not asked.keys() <= set(known):
        raise RequestError(400, f"rlm.limits takes {', '.join(known)}", param="rlm.limits")
    asked = {key: value for key, value in asked.items() if value is not None}
    try:
        Limits(**asked)
    except ValueError as error:
        raise RequestError(400, str(error), param="rlm.limits") from error
    return replace(allowed, **{key: _lower(getattr(allowed, key), value) for key, value in asked.items()})


def _lower(ours: Any, theirs: Any) -> Any:
    return theirs if ours is None else min(ours, theirs)


def chat_messages(messages: Any, where: str = "messages") -> list[dict[str, str]]:
    """Messages of a chat request with their text parts joined. Raises RequestError for what is not text."""
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, f"{where} is missing or empty", param=where)
    plain = []
    for place, message in enumerate(messages):
        here = f"{where}[{place}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise RequestError(400, f"{here}.role is not one of {', '.join(ROLES)}", param=here)
        if message.get("tool_calls") or message.get("function_call"):
            raise RequestError(400, f"{here} calls a tool: {_WHY['tools']}", param=here)
        try:
            plain.append({"role": message["role"], "content": message_text(message.get("content"))})
        except TypeError as error:
            raise RequestError(400, f"{here}: {error}", param=f"{here}.content") from None
    asked = [message["content"] for message in plain if message["role"] == "user"]
    if not asked:
        raise RequestError(400, f"{where} has no user turn to answer", param=where)
    if not any(map(str.strip, asked)):
        raise RequestError(400, f"{where} has no text in a user turn", param=where)
    return plain


def response_messages(items: Any, instructions: Any) -> list[dict[str, str]]:
    """The input of /v1/responses as messages. Raises RequestError."""
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list):
        raise RequestError(400, "input is neither a string nor a list of messages", param="input")
    for place, item in enumerate(items):
        if isinstance(item, dict) and item.get("type", "message") != "message":
            where = f"input[{place}]"
            raise RequestError(400, f"{where} is no message: its type is {str(item['type'])[:100]}", param=where)
    if not isinstance(instructions, str | None):
        raise RequestError(400, "instructions is not a string", param="instructions")
    plain = chat_messages(items, "input")
    return [{"role": "system", "content": instructions}, *plain] if instructions else plain
