"""Reads requests in OpenAI's shapes into messages and limits. A field that cannot be honoured is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from rlm.limits import Limits
from rlm.prompt import message_text
from rlm.validation import make

ROLES = ("system", "developer", "user", "assistant")
# Fields that ask for more than an answer's text, and their values that have no effect.
_REFUSED: dict[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "auto", "none"),
    "functions": (None, []),
    "function_call": (None, "auto", "none"),
    "web_search_options": (None,),
    "stop": (None, [], ""),
    "n": (None, 1),
    "best_of": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "echo": (None, False),
    "suffix": (None, ""),
    "prediction": (None,),
    "store": (None, False),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "previous_response_id": (None,),
    "conversation": (None,),
    "background": (None, False),
    "prompt": (None,),
}
_WHY = {
    "tools": "methods run their own code and do not call tools of the client",
    "functions": "methods run their own code and do not call functions of the client",
    "stop": "stop sequences are not supported",
    "n": "only one choice is supported",
    "best_of": "only one choice is supported",
    "logit_bias": "methods do not pass it to their models",
    "echo": "an answer does not repeat the prompt",
    "suffix": "insertion is not supported",
    "store": "responses are not stored",
    "previous_response_id": "responses are not stored; send the complete conversation as input",
    "conversation": "conversations are not stored; send the complete conversation as input",
    "background": "responses are not stored; use stream",
    "prompt": "there are no stored prompts; send input",
}
# The configuration sets these: the values in a request are checked and have no effect.
_NUMBERS = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "max_tokens", "max_completion_tokens",
    "max_output_tokens",
)  # fmt: skip
_OBJECTS = ("stream_options", "text", "reasoning", "metadata")


class RequestError(Exception):
    """A request that cannot be served; `body` is the answer in OpenAI's shape.

    rlm: the response's field `rlm`, if a completion was paid for before it failed.
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
        # OpenAI's clients repeat a failed request by default. That would pay for the tree again, although each of its
        # calls has been retried already.
        self.headers = {"x-should-retry": "false"} if status in (500, 502) else {}


def check_request(body: Mapping[str, Any]) -> None:
    """Raise RequestError for a field of the wrong type, or one that asks for something no method offers."""
    if not isinstance(body.get("model"), str):
        raise RequestError(400, "model is missing or is not a string", param="model")
    for key, harmless in _REFUSED.items():
        if body.get(key) not in harmless:
            raise RequestError(400, f"{key} is not supported: {_WHY.get(key, 'an answer is text')}", param=key)
    if not isinstance(body.get("stream"), bool | None):
        raise RequestError(400, "stream is not true or false", param="stream")
    for key in _NUMBERS:
        if not isinstance(body.get(key), int | float | None):
            raise RequestError(400, f"{key} is not a number", param=key)
    for key in _OBJECTS:
        if not isinstance(body.get(key), dict | None):
            raise RequestError(400, f"{key} is not an object", param=key)
    text = body.get("text")
    formats = {"response_format": body.get("response_format")}
    formats["text.format"] = text.get("format") if isinstance(text, dict) else None
    for key, value in formats.items():
        if value is not None and (not isinstance(value, dict) or value.get("type") != "text"):
            raise RequestError(400, f"{key} is not supported: describe the form of the answer in the prompt", param=key)


def request_limits(body: Mapping[str, Any], allowed: Limits) -> Limits:
    """Return the limits of a request: those of the method, lowered by the field `rlm.limits`. Raises RequestError."""
    section = body.get("rlm")
    if section is None:
        return allowed
    if not isinstance(section, dict) or not section.keys() <= {"limits"}:
        raise RequestError(400, "rlm is invalid: expected an object with the key limits", param="rlm")
    limits = section.get("limits")
    if limits is None:
        return allowed
    if not isinstance(limits, dict):
        raise RequestError(400, "rlm.limits is not an object", param="rlm.limits")
    given = {key: value for key, value in limits.items() if value is not None}
    try:
        asked: Limits = make(Limits, given, "rlm.limits")
    except ValueError as error:
        raise RequestError(400, str(error), param="rlm.limits") from error
    names = [field.name for field in fields(Limits) if field.name in given]
    return replace(allowed, **{name: _lower(getattr(allowed, name), getattr(asked, name)) for name in names})


def _lower(allowed: Any, asked: Any) -> Any:
    return asked if allowed is None else min(allowed, asked)


def chat_messages(messages: Any, where: str = "messages") -> list[dict[str, str]]:
    """Read the messages of a chat request, with their text parts joined. Raises RequestError for anything but text."""
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, f"{where} is missing or empty", param=where)
    plain = []
    for place, message in enumerate(messages):
        here = f"{where}[{place}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise RequestError(400, f"{here}.role is not one of {', '.join(ROLES)}", param=here)
        if message.get("tool_calls") or message.get("function_call"):
            raise RequestError(400, f"{here} has tool calls: {_WHY['tools']}", param=here)
        try:
            plain.append({"role": message["role"], "content": message_text(message.get("content"))})
        except TypeError as error:
            raise RequestError(400, f"{here}: {error}", param=f"{here}.content") from None
    asked = [message["content"] for message in plain if message["role"] == "user"]
    if not asked:
        raise RequestError(400, f"{where} has no user message to answer", param=where)
    if not any(map(str.strip, asked)):
        raise RequestError(400, f"{where} has no text in a user message", param=where)
    return plain


def response_messages(items: Any, instructions: Any) -> list[dict[str, str]]:
    """Read the input of /v1/responses as messages. Raises RequestError."""
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list):
        raise RequestError(400, "input is not a string or a list of messages", param="input")
    for place, item in enumerate(items):
        if isinstance(item, dict) and item.get("type", "message") != "message":
            where = f"input[{place}]"
            raise RequestError(400, f"{where} has type {str(item['type'])[:100]!r}: expected message", param=where)
    if not isinstance(instructions, str | None):
        raise RequestError(400, "instructions is not a string", param="instructions")
    plain = chat_messages(items, "input")
    return [{"role": "system", "content": instructions}, *plain] if instructions else plain
