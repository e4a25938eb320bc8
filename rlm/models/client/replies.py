"""Reads replies from response bodies, whose shape differs between endpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm.models.chat import TokenUsage, ToolCall
from rlm.models.client.event_stream import is_stream, whole_reply
from rlm.models.client.faults import Action, Fault, error_fault
from rlm.models.client.usage import provider_cost, token_usage

_FINISH = {
    "length": ("length", "max_tokens", "model_length", "max_output_tokens", "max_length", "max_completion_tokens"),
    "stop": ("stop", "end_turn", "eos", "eos_token", "stop_sequence", "stop_token", "completed"),
    "content_filter": (
        "content_filter", "refusal", "safety", "recitation", "prohibited_content", "blocklist", "spii",
        "content_filtered", "sensitive", "guardrail_intervened", "image_safety", "language",
    ),
}  # fmt: skip
_FINISH_OF = {name: ours for ours, names in _FINISH.items() for name in names}
# The endpoint ended the reply early because of an error: OpenRouter, DeepSeek, vLLM, Zhipu.
_BROKEN_OFF = {"error", "insufficient_system_resource", "abort", "network_error", "malformed_response"}
# Headers in which routers name the provider that served a call.
_PROVIDER_HEADERS = ("x-inference-provider", "x-provider", "x-upstream-provider", "x-litellm-model-id")
_ERROR_KEYS = ("error", "errors", "detail", "error_msg", "err_msg", "base_resp", "error_code", "message")


@dataclass(frozen=True)
class ResponseBody:
    """A parsed response body. usage and charged_usd are None if the body does not report them."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str = "error"
    model: str = ""
    usage: TokenUsage | None = None
    charged_usd: float | None = None
    provider: str = ""
    system_fingerprint: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def read_response(content: bytes, headers: Mapping[str, str]) -> tuple[ResponseBody, Fault | None]:
    """Read the body of a response with a success status.

    A Fault is also returned if the body holds no usable reply, which may still be billed.
    """
    if is_stream(content, headers.get("content-type") or ""):
        body: object = whole_reply(content)
        if body is None:
            return ResponseBody(), Fault("half_body", "the response is a stream that breaks off", Action.RETRY)
    else:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError) as error:
            return ResponseBody(), Fault("bad_json", f"response is not JSON ({error}): {_start(content)}", Action.RETRY)
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping):
        return ResponseBody(), Fault("bad_json", f"response is not a JSON object: {_start(content)}", Action.RETRY)
    return _read(body, headers)


def _read(body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[ResponseBody, Fault | None]:
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else None
    message = choice.get("message") if choice else None
    message = message if isinstance(message, Mapping) else {}
    finish = choice.get("finish_reason") if choice else None
    finish = finish.lower()[:50] if isinstance(finish, str) else ""
    text, reasoning = _text(message.get("content"))
    if text is None and choice and isinstance(choice.get("text"), str):
        text = choice["text"]
    reasoning = reasoning or _reasoning(message)
    refusal = _string(message.get("refusal"))
    if refusal and not text:
        text, finish = refusal, "content_filter"
    read = ResponseBody(
        text=text or "",
        reasoning=reasoning,
        finish_reason=_FINISH_OF.get(finish, finish or "unknown"),
        model=_name(body.get("model")),
        usage=token_usage(body, headers),
        charged_usd=provider_cost(body),
        provider=_provider(body, headers),
        system_fingerprint=_name(body.get("system_fingerprint")),
        tool_calls=_tool_calls(message),
    )
    return read, _fault(body, choice, read, text, finish)


def _fault(
    body: Mapping[str, Any], choice: Mapping[str, Any] | None, read: ResponseBody, text: str | None, finish: str
) -> Fault | None:
    error = (choice or {}).get("error") or (
        None if choice else next((body[k] for k in _ERROR_KEYS if body.get(k)), None)
    )
    if error:
        wrapped = {"error": error} if choice or body.get("error") else body
        return error_fault(_status_of(error if isinstance(error, Mapping) else body), {}, wrapped)
    if choice is None:
        return Fault("no_choices", "the response has no choices", Action.RETRY)
    if finish in _BROKEN_OFF:
        return Fault("broken_off", f"the endpoint ended the reply with finish_reason {finish!r}", Action.RETRY)
    if text is None and not (read.usage and read.usage.completion_tokens) and not (read.reasoning or read.tool_calls):
        if read.finish_reason in ("length", "content_filter"):
            return None
        return Fault("no_content", "the reply has no content", Action.RETRY)
    return None


def _status_of(error: Mapping[str, Any]) -> int:
    """Return the HTTP status that an error gives as its code in a response with a success status; by default 500."""
    for key in ("code", "status", "status_code"):
        code = error.get(key)
        code = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code
        if isinstance(code, int | float) and not isinstance(code, bool) and 400 <= code < 600:
            return int(code)
    return 500


def _text(content: object) -> tuple[str | None, str]:
    """Return text and reasoning of a message's content, which is a string or a list of typed parts."""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        return None, ""
    texts, thoughts = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            kind = part.get("type")
            if kind in ("thinking", "reasoning", "thought") or part.get("thought") is True:
                thoughts.append(_text(part.get("thinking") or part.get("reasoning") or part.get("text"))[0] or "")
            elif kind != "tool_use":
                texts.append(_string(part.get("text")) or _string(part.get("refusal")))
    return ("".join(texts) if texts else None), "".join(thoughts)


def _reasoning(message: Mapping[str, Any]) -> str:
    for key in ("reasoning_content", "reasoning", "thinking", "reasoning_text"):
        value = message.get(key)
        text = value if isinstance(value, str) else _text(value)[0] or ""
        if isinstance(value, Mapping):
            text = _string(value.get("content")) or _string(value.get("text"))
        if text:
            return text
    details = message.get("reasoning_details")
    parts = [one for one in details if isinstance(one, Mapping)] if isinstance(details, list) else []
    return "".join(_string(one.get("text")) or _string(one.get("summary")) for one in parts)


def _tool_calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """Read tool calls in OpenAI's current and former shapes, and in Anthropic's content parts."""
    found: list[tuple[object, object]] = []
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        inner = call.get("function") if isinstance(call, Mapping) else None
        inner = inner if isinstance(inner, Mapping) else call
        if isinstance(inner, Mapping):
            arguments = next((inner[key] for key in ("arguments", "input", "parameters") if key in inner), "")
            found.append((inner.get("name"), arguments))
    former = message.get("function_call")
    if isinstance(former, Mapping):
        found.append((former.get("name"), former.get("arguments", "")))
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping) and part.get("type") == "tool_use":
            found.append((part.get("name"), part.get("input", "")))
    return tuple(ToolCall(_name(name), _arguments(arguments)) for name, arguments in found)


def _arguments(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def _provider(body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    provider = body.get("provider") or body.get("provider_name")
    if isinstance(provider, Mapping):
        provider = provider.get("name") or provider.get("slug") or provider.get("id")
    return _name(provider) or next((_name(headers[key]) for key in _PROVIDER_HEADERS if headers.get(key)), "")


def _name(value: object) -> str:
    """Return a name as one line."""
    return " ".join(_string(value).split())[:200]


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _start(content: bytes) -> str:
    return content[:120].decode("utf-8", "replace")
