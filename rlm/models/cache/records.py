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
from rlm.unpacking import unpacked

_LONGEST_LINE = 128 << 20

# The stored result of a call: a reply, or the fact that its prompt was too long.
StoredResult = Reply | ContextOverflow

# Statuses and words of temporary failures. Older versions stored some of these as context overflows.
_PASSING = re.compile(r"\bHTTP (408|409|425|429|5\d\d)\b|deadline", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """One stored call. checksum: None in records of older versions. request: see requests.py; None if not stored."""

    key: bytes
    model: str
    outcome: str
    checksum: str | None = None
    request: str | None = None


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
    if record.checksum is not None and record.checksum != checksum(record.key, record.model, record.outcome):
        raise ValueError("its checksum does not match")
    try:
        result = _decode(json.loads(record.outcome))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"it cannot be read: {error!r}") from error
    if not is_final(result):
        raise ValueError("it holds a temporary failure, not a result")
    return result


def read_recording(path: Path) -> Iterator[Record | tuple[bytes, str]]:
    """Read the records of a recording, and its texts as pairs (id, stored form).

    Raises OSError for a file that cannot be read, ValueError naming the line that is damaged.
    """
    number = 0
    file = path.open("rb")
    try:
        with file, unpacked(file) as lines:
            if not file.peek(1):
                raise ValueError("it is empty")
            for line in iter(lambda: lines.readline(_LONGEST_LINE + 1), b""):
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise ValueError(f"it has more than {_LONGEST_LINE:,} bytes")
                row = json.loads(line)
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
        raise ValueError(f"{path} is not a complete recording of model calls (line {number}): {error}") from error


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
        FailedAttempt(kind, message, wait_s, TokenUsage(*usage), Cost(cost[0], cost[1], CostState(cost[2])))
        for kind, message, wait_s, usage, cost in row.get("failures", ())
    ]
    if "overflow" in row:
        overflow = ContextOverflow(str(row["overflow"]), failures)
        overflow.cache_hit = True
        return overflow
    usd, uncached_usd, state = row["cost"]
    return Reply(
        text=str(row.get("text", "")),
        finish_reason=str(row["finish_reason"]),
        reasoning=str(row.get("reasoning", "")),
        usage=TokenUsage(*row["usage"]),
        cost=Cost(usd, uncached_usd, CostState(state)),
        model=str(row.get("model", "")),
        latency_s=float(row["latency_s"]),
        cache_hit=True,
        failures=tuple(failures),
        provider=str(row.get("provider", "")),
        system_fingerprint=str(row.get("system_fingerprint", "")),
        output_cap=row.get("output_cap"),
        prompt_cut=bool(row.get("prompt_cut", False)),
        tool_calls=tuple(ToolCall(name, arguments) for name, arguments in row.get("tool_calls", ())),
    )


def _failures(failures: Sequence[FailedAttempt]) -> list[Any]:
    return [[f.kind, f.message, f.wait_s, _usage(f.usage), _cost(f.cost)] for f in failures]


def _usage(usage: TokenUsage) -> list[Any]:
    return [usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens, usage.clamped]


def _cost(cost: Cost) -> list[Any]:
    return [cost.usd, cost.uncached_usd, str(cost.state)]
