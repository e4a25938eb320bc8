"""Reads the waiting times that endpoints ask for in headers and bodies, and recognises daily quotas."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from rlm.models.client.error_body import ErrorBody

# A wait as long as this means that a quota is used up.
QUOTA_WAIT_S = 3600.0
_MAX_S = 366 * 86_400.0
_DURATION_CHARS = 100
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(
    r"(\d+(?:\.\d+)?)\s*(milliseconds?|ms|minutes?|mins?|m|hours?|hrs?|h|days?|d|seconds?|secs?|s)(?![a-z])", re.I
)
# The words before a wait, such as `Please try again in 7m12.5s`, `retry after 20 seconds`.
_WAIT = re.compile(
    r"(?:try(?:ing)?(?: your request)? again|retry(?:ing)?(?: your request| the request)?|wait|available again|resets?|"
    r"come back|renews?)"
    r"(?: (?:the request|for|in|after|at least|about|another|until))*:?\s*(?=\d)",
    re.I,
)
_SECONDS = ("retry_after", "retryAfter", "retry_after_seconds", "retry_after_s", "retry-after", "Retry-After",
            "retryDelay", "retry_delay", "wait_seconds", "reset_after", "estimated_time")  # fmt: skip
_MILLISECONDS = ("retry_after_ms", "retryAfterMs", "retry-after-ms")
_RESETS = ("x-ratelimit-reset", "x-ratelimit-reset-after", "ratelimit-reset", "x-ratelimit-reset-requests",
           "x-ratelimit-reset-tokens", "anthropic-ratelimit-requests-reset", "anthropic-ratelimit-tokens-reset",
           "anthropic-ratelimit-input-tokens-reset")  # fmt: skip
_DAILY_WORDS = re.compile(
    r"\bper[- ]day\b|\b(?:RPD|TPD)\b|\bdaily\b.{0,40}\b(?:limit|quota|cap)|"
    r"\b(?:limit|quota)\b.{0,40}\b(?:for )?(?:today|the day)\b|\bper 24 ?h",
    re.I,
)
_DAILY_CODES = re.compile(r"per_?day|daily")


def wait_s(headers: Mapping[str, str], error: ErrorBody) -> float | None:
    """Return the seconds that a refusal asks to wait, by `retry-after`, in the body, or in rate-limit headers.

    None if it asks for no valid time.
    """
    asked = retry_after(headers)
    if asked is None:
        asked = _in_body(error)
    return _reset(headers) if asked is None else asked


def daily_quota(error: ErrorBody, wait: float | None, most_s: float) -> bool:
    """True if a quota is used up for longer than `most_s`, the time that a call waits."""
    if any(_DAILY_CODES.search(code) for code in error.codes):
        # Gemini asks to wait only some seconds even if its daily quota is used up.
        return True
    if wait is not None:
        return (wait >= QUOTA_WAIT_S and wait > most_s) or (wait > most_s and bool(_DAILY_WORDS.search(error.words)))
    return bool(_DAILY_WORDS.search(error.words))


def resumption(wait: float | None) -> str:
    """Describe when a run that a quota has stopped can be resumed."""
    if wait is None or wait < 60:
        return "the endpoint gives no time; such quotas are usually renewed at midnight, UTC or Pacific time"
    then = datetime.now(UTC) + timedelta(seconds=wait)
    return f"run again after {then:%Y-%m-%d %H:%M} UTC, in {_in_words(wait)}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in `retry-after-ms` or in `retry-after` (seconds or a date); None for an invalid value.

    A date is compared with the response's own `date`, if it has one.
    """
    for name, unit in (("retry-after-ms", "ms"), ("x-ms-retry-after-ms", "ms"), ("retry-after", "")):
        value = headers.get(name)
        if value is not None:
            seconds = _seconds(f"{value}{unit}", 1.0)
            if seconds is None:
                seconds = _until(value, headers.get("date"))
            if seconds is not None:
                return seconds
    return None


def _in_body(error: ErrorBody) -> float | None:
    for details in error.details:
        for keys, scale in ((_MILLISECONDS, 0.001), (_SECONDS, 1.0)):
            for key in keys:
                if (seconds := _seconds(details.get(key), scale)) is not None:
                    return seconds
        headers = details.get("headers")
        if isinstance(headers, Mapping):
            lowered = {str(name).lower(): str(value) for name, value in headers.items()}
            found = retry_after(lowered)
            if found is None:
                found = _reset(lowered)
            if found is not None:
                return found
    if start := _WAIT.search(error.words):
        return _duration(error.words[start.end() : start.end() + 60])
    return None


def _seconds(value: Any, scale: float) -> float | None:
    if isinstance(value, Mapping):
        value = value.get("seconds")
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _duration(value)
    # An integer may be too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_S / scale:
        return None
    return value * scale


def _duration(text: str) -> float | None:
    """Return the seconds of a text that begins with a duration such as `1h2m3.5s`, `350ms`, `2 minutes` or `20`."""
    text = text[:_DURATION_CHARS]
    total, place = 0.0, 0
    while found := _DURATION.match(text, place):
        total += float(found[1]) * _UNITS[_unit(found[2])]
        place = found.end()
        place += len(re.match(r"(?:\s*(?:,|and))?\s*", text[place:])[0])  # type: ignore[index]
    if not place:
        bare = re.match(r"\d+(?:\.\d+)?(?=\s*(?:$|[.,;)]))", text)
        total = float(bare[0]) if bare else math.nan
    return total if 0 <= total <= _MAX_S else None


def _unit(word: str) -> str:
    word = word.lower()
    return "ms" if word.startswith(("ms", "mil")) else word[0]


def _reset(headers: Mapping[str, str]) -> float | None:
    """Return the wait in rate-limit headers, whose values are durations, seconds or points in time."""
    waits = []
    for name in _RESETS:
        value = str(headers.get(name) or "").strip()
        # A limit with a positive remainder is not the one that was reached.
        left = str(headers.get(name.replace("reset", "remaining")) or "0").strip()
        if value and left in ("0", "0.0") and (seconds := _reset_s(value)) is not None:
            waits.append(seconds)
    return max(waits) if waits else None


def _reset_s(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        if re.match(r"\d{4}-\d\d-\d\dT", value):
            try:
                then = datetime.fromisoformat(value.replace("Z", "+00:00"))
                return _wait_until(then, datetime.now(then.tzinfo))
            except (ValueError, TypeError):
                return None
        return _duration(value)
    if number > 1e11:
        number /= 1000
    if number > 1e8:
        number -= datetime.now(UTC).timestamp()
    return number if 0 <= number <= _MAX_S else None


def _until(value: str, now: str | None) -> float | None:
    try:
        then = parsedate_to_datetime(value)
        start = parsedate_to_datetime(now) if now else datetime.now(UTC)
        return _wait_until(then, start)
    except (ValueError, TypeError, OverflowError):
        return None


def _wait_until(then: datetime, now: datetime) -> float | None:
    seconds = max(0.0, (then - now).total_seconds())
    return seconds if seconds <= _MAX_S else None


def _in_words(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
