"""Reads messages, codes and details from error bodies, whose shape differs between providers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

# Longer texts are not searched.
MAX_TEXT = 20_000
_MAX_DEPTH = 6
_MAX_MAPPINGS = 200
# Tags, and styles and scripts with their content. Each match takes all that it has read, so that the time is linear.
_TAGS = re.compile(r"<(style|script)\b.*?(?:</\1>|\Z)|<[^<>]*+>", re.DOTALL | re.IGNORECASE)
# Paths of an error in a body, outermost first. Azure, LiteLLM and gateways wrap the error of a provider.
_WRAPPERS = ("error", "errors", "innererror", "inner_error", "metadata", "raw", "details", "detail", "fault", "cause",
             "provider_specific_fields", "base_resp", "upstream", "violations", "output", "promptFeedback")  # fmt: skip
_MESSAGES = ("message", "Message", "msg", "error_msg", "err_msg", "errmsg", "error_message", "errorMessage", "detail",
             "error_description", "status_msg", "error", "errors", "faultstring", "reason", "title", "description",
             "raw")  # fmt: skip
_CODES = ("code", "type", "status", "reason", "error_code", "err_code", "errorCode", "status_code", "error_type",
          "quotaId", "quota_limit", "finish_reason", "__type", "blockReason")  # fmt: skip


@dataclass
class ErrorBody:
    """A parsed error body.

    message: for people. words: the endpoint's own sentences, without parts of the request, for classification. codes:
    in lower case, also those of wrapped errors. param: the request field that is wrong. details: every mapping of the
    error, searched for waiting times. moderated: a gateway reports that its moderation flagged the prompt.
    """

    message: str = ""
    words: str = ""
    codes: set[str] = field(default_factory=set)
    param: str = ""
    details: list[Mapping[str, Any]] = field(default_factory=list)
    moderated: bool = False


def read_error(body: object) -> ErrorBody:
    """Read a parsed error body, or the text of one that is not JSON. Never raises."""
    if isinstance(body, str):
        text = " ".join(_TAGS.sub(" ", body[:MAX_TEXT]).split())
        return ErrorBody(message=text, words=text)
    found = ErrorBody()
    sentences: list[str] = []
    for holder in islice(_mappings(body, 0), _MAX_MAPPINGS):
        found.details.append(holder)
        found.codes |= {code for key in _CODES if (code := _code(holder.get(key)))}
        found.moderated |= "flagged_input" in holder
        if not found.param and isinstance(holder.get("param"), str):
            found.param = holder["param"]
        sentences += [text for key in _MESSAGES if (text := _sentence(holder, key))]
    sentences += [text for text in body if isinstance(text, str)] if isinstance(body, list) else []
    # A wrapper often repeats the message of the error that it wraps.
    kept = [text for place, text in enumerate(sentences) if not any(text in other for other in sentences[:place])]
    # vLLM repeats the request behind `input` in the text of its message.
    found.codes |= {code.lower() for text in kept for code in re.findall(r"\blitellm\.(\w+)", text)}
    found.words = re.sub(r"['\"]input['\"]\s*:.*", "", " ".join(kept)[:MAX_TEXT], flags=re.S)
    found.message = found.words or _shortened(body)
    return found


def _mappings(value: object, depth: int) -> Iterator[Mapping[str, Any]]:
    """Return the mappings of an error: the body itself, then the errors that it wraps."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for one in value[:20]:
            yield from _mappings(one, depth + 1)
    elif isinstance(value, str):
        if value.lstrip()[:1] in ("{", "["):
            yield from _mappings(_parsed(value), depth + 1)
    elif isinstance(value, Mapping):
        yield value
        for key in (*_WRAPPERS, "message"):
            inner = value.get(key)
            if key == "errors" and isinstance(inner, Mapping):
                # ASP.NET and Rails list the messages of each field.
                fields = [(name, texts) for name, texts in inner.items() if isinstance(texts, list)]
                inner = [{"loc": [name], "msg": text} for name, texts in fields for text in texts] or inner
            if isinstance(inner, Mapping | list | str):
                yield from _mappings(inner, depth + 1)


def _sentence(holder: Mapping[str, Any], key: str) -> str:
    text = holder.get(key)
    if isinstance(text, list):
        text = " ".join(one for one in text if isinstance(one, str)) if key in ("error", "errors") else ""
    if not isinstance(text, str) or not text.strip():
        return ""
    if isinstance(_parsed(text), Mapping | list):
        # This key holds a wrapped error, which is read separately.
        return ""
    if key in ("reason", "title", "description") and any(holder.get(other) for other in ("message", "msg", "detail")):
        return ""
    where = holder.get("loc")
    if key == "msg" and isinstance(where, list | tuple) and where:
        return f"{'.'.join(map(str, where))}: {text}"
    return text


def _parsed(text: str) -> object:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text[:MAX_TEXT])
    except (ValueError, RecursionError):
        return None


def _code(value: object) -> str:
    if isinstance(value, str) and value and len(value) <= 100 and " " not in value.strip():
        return value.strip().lower()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 999 else ""


def _shortened(body: object) -> str:
    """Shorten a body that has no message, for a person to read."""
    try:
        text = json.dumps(_without_input(body, 0), ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""
    return "" if text in ("null", "{}") else text[:200]


def _without_input(value: object, depth: int) -> object:
    """Remove `input`, in which FastAPI repeats the prompt."""
    if depth > _MAX_DEPTH:
        return "..."
    if isinstance(value, list):
        return [_without_input(one, depth + 1) for one in value[:5]]
    if isinstance(value, Mapping):
        return {key: _without_input(one, depth + 1) for key, one in list(value.items())[:20] if key != "input"}
    return value[:200] if isinstance(value, str) else value
