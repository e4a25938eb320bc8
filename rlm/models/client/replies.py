"""A response body read as a reply; what an endpoint sends is not trusted to have any shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm.models.chat import TokenUsage
from rlm.models.client.event_stream import is_stream, whole_reply
from rlm.models.client.faults import Fault, Verdict, error_fault
from rlm.models.client.usage import provider_cost, token_usage

_FINISH = {
    "length": ("length", "max_tokens", "model_length", "max_output_tokens", "max_length"),
    "stop": ("stop", "end_turn", "eos", "eos_token", "stop_sequence", "stop_token"),
    "content_filter": ("content_filter", "refusal", "safety", "recitation", "prohibited_content", "blocklist"),
}
_FINISH_OF = {name: ours for ours, names in _FINISH.items() for name in names}
# The endpoint gave up in the middle: OpenRouter, DeepSeek, vLLM.
_BROKEN_OFF = {"error", "insufficient_system_resource", "abort"}


@dataclass(frozen=True)
class Parsed:
    """What a body says. usage is None where it says nothing of tokens; charged_usd likewise."""

    text: str
    reasoning: str
    finish_reason: str
    model: str
    usage: TokenUsage | None
    charged_usd: float | None


def parse_reply(content: bytes, headers: Mapping[str, str]) -> tuple[Parsed, Fault | None]:
    """Read the body of a success; a Fault beside it says that it holds no reply (it can be billed all the same)."""
    if is_stream(content):
        body = whole_reply(content)
        if body is None:
            return _NOTHING, Fault("half_body", "the response is a stream that breaks off", Verdict.RETRY)
        return _parsed(body, headers)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        return _NOTHING, Fault("bad_json", f"the response is not JSON ({error}): {_start(content)}", Verdict.RETRY)
    if not isinstance(body, Mapping):
        return _NOTHING, Fault("bad_json", f"the response is no JSON object: {_start(content)}", Verdict.RETRY)
    return _parsed(body, headers)


def _parsed(body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Parsed, Fault | None]:
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else None
    message = choice.get("message") if choice else None
    message = message if isinstance(message, Mapping) else {}
    finish = choice.get("finish_reason") if choice else None
    finish = finish.lower()[:50] if isinstance(finish, str) else ""
    text, reasoning = _text(message.get("content"))
    reasoning = reasoning or _string(message.get("reasoning_content")) or _string(message.get("reasoning"))
    refusal = _string(message.get("refusal"))
    if refusal and not text:
        text, finish = refusal, "content_filter"
    parsed = Parsed(
        text=text or "",
        reasoning=reasoning,
        finish_reason=_FINISH_OF.get(finish, finish or "unknown"),
        model=" ".join(_string(body.get("model")).split())[:200],
        usage=token_usage(body, headers),
        charged_usd=provider_cost(body),
    )
    return parsed, _fault(body, choice, parsed, text, finish)


def _fault(
    body: Mapping[str, Any], choice: Mapping[str, Any] | None, parsed: Parsed, text: str | None, finish: str
) -> Fault | None:
    error = (choice or {}).get("error") or (None if choice else body.get("error"))
    if error:
        code = error.get("code") if isinstance(error, Mapping) else None
        status = int(code) if isinstance(code, int | float) and 400 <= code < 600 else 500
        return error_fault(status, {}, {"error": error})
    if choice is None:
        return Fault("no_choices", "the response has no choices", Verdict.RETRY)
    if finish in _BROKEN_OFF:
        return Fault("broken_off", f"the endpoint ended the reply with finish_reason {finish!r}", Verdict.RETRY)
    if text is None and not (parsed.usage and parsed.usage.completion_tokens):
        if parsed.finish_reason in ("length", "content_filter"):
            return None
        return Fault("no_content", "the reply has no content", Verdict.RETRY)
    return None


def _text(content: object) -> tuple[str | None, str]:
    """Text and reasoning of a content: a string, or a list of typed parts."""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        return None, ""
    texts, thoughts = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            if part.get("type") == "thinking":
                thoughts.append(_text(part.get("thinking"))[0] or "")
            else:
                texts.append(_string(part.get("text")) or _string(part.get("refusal")))
    return ("".join(texts) if texts else None), "".join(thoughts)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _start(content: bytes) -> str:
    return content[:120].decode("utf-8", "replace")


_NOTHING = Parsed("", "", "error", "", None, None)
