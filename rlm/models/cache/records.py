"""Encodes, decodes and checks the records of a store and the lines of a recording."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm.models.chat import ContextOverflow, Cost, CostState, FailedAttempt, Reply, TokenUsage, ToolCall
from rlm.reading import open_regular
from rlm.structure import bounded_json
from rlm.unpacking import unpacked

# Bytes of a stored result, and of a line of a recording.
LONGEST = 128 << 20

# The stored result of a call: a reply, or the fact that its prompt was too long.
StoredResult = Reply | ContextOverflow

# Statuses and words of temporary failures. Older versions stored some of these as context overflows.
_PASSING = re.compile(r"\bHTTP (408|409|425|429|5\d\d)\b|deadline", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """One stored call. checksum: None in records of older versions. request: see requests.py; None if not stored.

    A column of a file can hold values of other types: `decode` refuses them.
    """

    key: bytes
    model: str
    outcome: str
    checksum: str | None = None
    request: str | None = None

    @property
    def name(self) -> str:
        """The start of the key, for messages."""
        return self.key.hex()[:16] if isinstance(self.key, bytes) else repr(self.key)[:40]


def canonical(value: Any) -> str:
    """Encode as canonical JSON, so that equal values have equal checksums."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def checksum(key: bytes, model: str, outcome: str) -> str:
    """Return the checksum of a record."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (key, model.encode("utf-8", "surrogatepass"), outcome.encode("utf-8", "surrogatepass")):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def is_final(result: StoredResult) -> bool:
    """False for a result that a retry may change, such as a gateway timeout that was stored as an overflow."""
    if isinstance(result, ContextOverflow):
        return not _PASSING.search(str(result))
    return result.finish_reason != "error"


def encode(result: StoredResult) -> str:
    """Encode a result as canonical JSON."""
    if isinstance(result, ContextOverflow):
        return canonical({"overflow": str(result), "failures": _failures(result.failures)})
    plain = {
        "text": result.text,
        "finish_reason": result.finish_reason,
        "reasoning": result.reasoning,
        "usage": _usage(result.usage),
        "cost": _cost(result.cost),
        "model": result.model,
        "latency_s": result.latency_s,
        "failures": _failures(result.failures),
        "provider": result.provider,
        "system_fingerprint": result.system_fingerprint,
        "output_cap": result.output_cap,
        "prompt_cut": result.prompt_cut or None,
        "tool_calls": [[call.name, call.arguments] for call in result.tool_calls],
    }
    return canonical({key: value for key, value in plain.items() if value not in ("", [], None)})


def decode(record: Record) -> StoredResult:
    """Decode the result of a record. Raises ValueError for a record that is damaged or holds no final result."""
    if not isinstance(record.key, bytes):
        raise ValueError("its key is not bytes")
    for column in ("model", "outcome", "checksum", "request"):
        value = getattr(record, column)
        if not isinstance(value, str) and (value is not None or column in ("model", "outcome")):
            raise ValueError(f"its {column} is not a text")
    if record.checksum is not None and record.checksum != checksum(record.key, record.model, record.outcome):
        raise ValueError("its checksum does not match")
    try:
        result = _decode(bounded_json(record.outcome))
        if record.request is not None:
            bounded_json(record.request)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it cannot be read: {error!r}") from error
    if not is_final(result):
        raise ValueError("it holds a temporary failure, not a result")
    return result


def read_recording(path: Path) -> Iterator[Record | tuple[bytes, str]]:
    """Read the records of a recording, and its texts as pairs (id, stored form).

    Raises OSError for a file that cannot be read, ValueError naming the line that is damaged.
    """
    number = 0
    file = open_regular(path)
    try:
        with file, unpacked(file) as lines:
            if not file.peek(1):
                raise ValueError("it is empty")
            for line in iter(lambda: lines.readline(LONGEST + 1), b""):
                number += 1
                if len(line) > LONGEST:
                    raise ValueError(f"it has more than {LONGEST:,} bytes")
                row = bounded_json(line)
                if "id" in row:
                    yield bytes.fromhex(row["id"]), str(row["text"])
                    continue
                _decode(row["outcome"])
                request = None if row.get("request") is None else canonical(row["request"])
                outcome = canonical(row["outcome"])
                yield Record(bytes.fromhex(row["key"]), str(row["model"]), outcome, row.get("checksum"), request)
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        OSError,
        EOFError,
        zlib.error,
        RecursionError,
    ) as error:
        # A failed look-up or conversion is described in terms of this code.
        why = error if isinstance(error, (ValueError, OSError, EOFError, zlib.error)) else "it is not a recorded call"
        place = f" (line {number})" if number else ""
        raise ValueError(f"{path} is not a complete recording of model calls{place}: {why}") from error


def recording_line(record: Record) -> bytes:
    """Format a record as a line of a recording."""
    row: dict[str, Any] = {"key": record.key.hex(), "model": record.model, "outcome": json.loads(record.outcome)}
    # Older versions encoded outcomes differently.
    row["checksum"] = checksum(record.key, record.model, canonical(row["outcome"]))
    if record.request is not None:
        row["request"] = json.loads(record.request)
    return canonical(row).encode() + b"\n"


def text_line(identifier: bytes, text: str) -> bytes:
    """Format a message text as a line of a recording."""
    return canonical({"id": identifier.hex(), "text": text}).encode() + b"\n"


def _decode(row: Mapping[str, Any]) -> StoredResult:
    failures = [
        FailedAttempt(_text(kind), _text(message), _amount(wait_s), _tokens(usage), _dollars(cost))
        for kind, message, wait_s, usage, cost in row.get("failures", ())
    ]
    if "overflow" in row:
        overflow = ContextOverflow(_text(row["overflow"]), failures)
        overflow.cache_hit = True
        return overflow
    cap = row.get("output_cap")
    return Reply(
        text=_text(row.get("text", "")),
        finish_reason=_text(row["finish_reason"]),
        reasoning=_text(row.get("reasoning", "")),
        usage=_tokens(row["usage"]),
        cost=_dollars(row["cost"]),
        model=_text(row.get("model", "")),
        latency_s=_amount(row["latency_s"]),
        cache_hit=True,
        failures=tuple(failures),
        provider=_text(row.get("provider", "")),
        system_fingerprint=_text(row.get("system_fingerprint", "")),
        output_cap=None if cap is None else _count(cap),
        prompt_cut=bool(row.get("prompt_cut", False)),
        tool_calls=tuple(ToolCall(_text(name), _text(arguments)) for name, arguments in row.get("tool_calls", ())),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is not a text")
    return value


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.40} is not an amount")
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.40} is not a number of tokens")
    return value


def _tokens(values: Sequence[Any]) -> TokenUsage:
    prompt, cached, completion, reasoning, *clamped = values
    return TokenUsage(_count(prompt), _count(cached), _count(completion), _count(reasoning), any(clamped))


def _dollars(values: Sequence[Any]) -> Cost:
    usd, uncached_usd, state = values
    return Cost(_amount(usd), _amount(uncached_usd), CostState(state))


def _failures(failures: Sequence[FailedAttempt]) -> list[Any]:
    return [[f.kind, f.message, f.wait_s, _usage(f.usage), _cost(f.cost)] for f in failures]


def _usage(usage: TokenUsage) -> list[Any]:
    return [usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens, usage.clamped]


def _cost(cost: Cost) -> list[Any]:
    return [cost.usd, cost.uncached_usd, str(cost.state)]
