"""Reads replies from response bodies, whose shape differs between endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm.models.chat import TokenUsage, ToolCall
from rlm.models.client.error_body import read_error
from rlm.models.client.event_stream import first_choice, is_stream, whole_reply, without_comments
from rlm.models.client.faults import MAX_VALUES, Action, Fault, error_fault
from rlm.models.client.usage import provider_cost, token_usage
from rlm.structure import parsed_json

_FINISH = {
    "length": (
        "length", "max_tokens", "model_length", "max_output_tokens", "max_length", "max_completion_tokens",
        "model_context_window_exceeded", "token_limit",
    ),
    "stop": (
        "stop", "end_turn", "eos", "eos_token", "stop_sequence", "stop_token", "completed", "complete", "eosfound",
    ),
    "content_filter": (
        "content_filter", "refusal", "safety", "recitation", "prohibited_content", "blocklist", "spii",
        "content_filtered", "sensitive", "guardrail_intervened", "image_safety", "language", "error_toxic",
    ),
}  # fmt: skip
_FINISH_OF = {name: ours for ours, names in _FINISH.items() for name in names}
# The endpoint ended the reply early because of an error: OpenRouter, DeepSeek, vLLM, Zhipu.
_BROKEN_OFF = {"error", "insufficient_system_resource", "abort", "network_error", "malformed_response"}
# Headers in which routers name the provider that served a call.
_PROVIDER_HEADERS = ("x-inference-provider", "x-provider", "x-upstream-provider", "x-litellm-model-id")
_ERROR_KEYS = (
    "error", "errors", "detail", "error_msg", "err_msg", "base_resp", "error_code", "message", "msg", "promptFeedback",
)  # fmt: skip
# Statuses of codes in errors that come with a status of success.
_STATUSES = {
    "rate_limit_exceeded": 429, "rate_limit_error": 429, "overloaded_error": 529, "invalid_request_error": 400,
    "invalid_api_key": 401, "authentication_error": 401, "permission_error": 403, "not_found_error": 404,
}  # fmt: skip
_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "thought", "reasoning_details",
              "thinking_blocks", "provider_specific_fields")  # fmt: skip
# The most characters of a reply, several times as many as those of 200,000 tokens. Parsers take some seconds for it.
MAX_REPLY_CHARS = 4_000_000
# The most tool calls that are read from one reply.
_MAX_TOOL_CALLS = 128
_PART_TEXTS = ("thinking", "reasoning", "text", "refusal", "summary", "content", "reasoning_content")


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
    content = without_comments(content)
    if is_stream(content, headers.get("content-type") or ""):
        body: object = whole_reply(content)
        if body is None:
            return ResponseBody(), Fault("half_body", "the response is a stream that breaks off", Action.RETRY)
    else:
        try:
            # Some servers write control characters into strings.
            body = parsed_json(content, MAX_VALUES, strict=False)
        except (ValueError, RecursionError) as error:
            return ResponseBody(), Fault("bad_json", f"response is not JSON ({error}): {_start(content)}", Action.RETRY)
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping):
        return ResponseBody(), Fault("bad_json", f"response is not a JSON object: {_start(content)}", Action.RETRY)
    return _read(body, headers)


def _read(body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[ResponseBody, Fault | None]:
    choice = first_choice(body)
    message = next((one for key in ("message", "delta") if isinstance(one := choice.get(key), Mapping)), {})
    finish = _finish(choice)
    text, reasoning = _split(message.get("content"))
    if text is None and isinstance(choice.get("text"), str):
        text = choice["text"]
    reasoning = reasoning or next(filter(None, (_joined(message.get(key)) for key in _REASONING)), "")
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
    body: Mapping[str, Any], choice: Mapping[str, Any], read: ResponseBody, text: str | None, finish: str
) -> Fault | None:
    error = choice.get("error") or (None if choice else next((body[k] for k in _ERROR_KEYS if body.get(k)), None))
    if error:
        wrapped = {"error": error} if choice or body.get("error") else body
        return error_fault(_status_of(error if isinstance(error, Mapping) else body, wrapped), {}, wrapped)
    if not choice:
        return Fault("no_choices", "the response has no choices", Action.RETRY)
    chars = len(read.text) + len(read.reasoning) + sum(len(call.arguments) for call in read.tool_calls)
    if chars > MAX_REPLY_CHARS:
        message = f"the reply has {chars:,} characters: expected at most {MAX_REPLY_CHARS:,}"
        return Fault("oversized", message, Action.RETRY)
    if finish in _BROKEN_OFF:
        return Fault("broken_off", f"the endpoint ended the reply with finish_reason {finish!r}", Action.RETRY)
    if text is None and not (read.usage and read.usage.completion_tokens) and not (read.reasoning or read.tool_calls):
        if read.finish_reason in ("length", "content_filter"):
            return None
        return Fault("no_content", "the reply has no content", Action.RETRY)
    return None


def _status_of(error: Mapping[str, Any], body: Mapping[str, Any]) -> int:
    """Return the HTTP status that an error gives as its code in a response with a success status; by default 500."""
    for key in ("code", "status", "status_code"):
        code = error.get(key)
        code = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code
        if isinstance(code, int | float) and not isinstance(code, bool) and 400 <= code < 600:
            return int(code)
    codes = read_error(body).codes
    return next((status for code, status in _STATUSES.items() if code in codes), 500)


def _finish(choice: Mapping[str, Any]) -> str:
    """Return the finish reason in lower case, without the prefixes of enumerations; empty if there is none."""
    for key in ("finish_reason", "finishReason", "stop_reason"):
        value = choice.get(key)
        name = _string(value.get("type") if isinstance(value, Mapping) else value).lower()[:50]
        name = re.sub(r"^finish_?reason[._]", "", name).partition(":")[0]
        # vLLM puts the text that ended the reply into stop_reason.
        if name not in ("", "null", "none") and (key != "stop_reason" or name in _FINISH_OF):
            return name
    return ""


def _split(content: object) -> tuple[str | None, str]:
    """Return text and reasoning of a message's content: a string, a typed part, or a list of them."""
    if isinstance(content, str):
        return content, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in [content] if isinstance(content, Mapping) else content if isinstance(content, list) else ():
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") != "tool_use":
            inner = next((part[key] for key in _PART_TEXTS if isinstance(part.get(key), str | list)), None)
            thought = _string(part.get("type")).startswith(("thinking", "reasoning", "thought")) or part.get("thought")
            if inner is not None:
                (thoughts if thought else texts).append(_joined(inner))
    return ("".join(texts) if texts else None), "".join(thoughts)


def _joined(content: object) -> str:
    return "".join(filter(None, _split(content)))


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
    return tuple(ToolCall(_name(name), _arguments(arguments)) for name, arguments in found[:_MAX_TOOL_CALLS])


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
