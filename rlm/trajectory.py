"""Trajectory and CallRecord: the events of a completion in order, and a record of each model call."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from rlm.models.chat import Cost, FailedAttempt, TokenUsage
from rlm.unpacking import pack

_log = logging.getLogger("rlm")
# A tool may make completions in its own thread. All trajectories share the lock, so that they can be pickled.
_appending = threading.Lock()

# A longer text is recorded by its head, length and hash. When the texts of one trajectory have _ALL_CHARS, only short
# ones are complete and dictionaries are cut, and after twice as many only very short ones.
_TEXT_CHARS, _ALL_CHARS, _SHORT_CHARS, _VERY_SHORT_CHARS = 1 << 20, 128 << 20, 2_000, 100
_FEW_ENTRIES = 20
_HASHED_CHARS = 1 << 20
_SHORTENED = re.compile(r"\n\[\.\.\. cut: \d+ characters, SHA-256 [0-9a-f]{64} \.\.\.\]\Z")

Event = dict[str, Any]
OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class CallRecord:
    """One model call, finished or failed. usage and cost include the attempts that were retried.

    prompt_sha256: hash of its messages. prompt_file_sha256: hash of the method's prompt file, None without one.
    provider, system_fingerprint, output_cap, prompt_cut, only_reasoning: as in Reply. tool_call: the reply holds tool
    calls, although none was offered. model: the requested name; returned_model: the name that the endpoint returned.
    """

    call_id: int
    parent_id: int | None
    role: str
    depth: int
    model: str
    usage: TokenUsage
    cost: Cost
    finish_reason: str
    latency_s: float
    retries: int
    cache_hit: bool
    started_at: float
    prompt_sha256: str
    failures: tuple[FailedAttempt, ...] = ()
    error: str | None = None
    prompt_file_sha256: str | None = None
    provider: str = ""
    system_fingerprint: str = ""
    output_cap: int | None = None
    prompt_cut: bool = False
    only_reasoning: bool = False
    tool_call: bool = False
    returned_model: str = ""


class Trajectory:
    """The events of one completion: dictionaries with `id`, `parent`, `kind`, `depth`, `at` and the keys of the kind.

    Kinds of any method: `completion`, `turn`, `call`, `limit`, `notice` (a message of the harness to the model),
    `truncation` (of a context, a piece or a summary), `search`, `error` (a fault of the method) and `answer`. Kinds of
    methods with a session: `cell` and `tool`. Kinds of the RLM: `step` (the step that a reply asks for), `child`,
    `compaction` (of a loop's earlier turns), `summary`, `program` (one of several), `selection` (of a program) and
    `bound` (of a program of combinators). `at` is in seconds since the start. on_event gets each event when it is
    recorded, with the id that it has then. Its exceptions are logged.

    A text of more than 1,048,576 characters, such as a prompt, is recorded by its head, its length and its SHA-256.
    When a trajectory has 128 times as many characters, so is every text of more than 2,000, and a cell has at most 20
    variables; when it has 256 times as many, so is every text of more than 100.
    """

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self.events: list[Event] = []
        self._on_event = on_event
        self._room = _ALL_CHARS
        self._started = time.monotonic()

    def record(self, kind: str, *, parent: int | None = None, depth: int = 0, **data: Any) -> int:
        """Append an event and return its id."""
        at = round(time.monotonic() - self._started, 6)
        data = {key: self._kept(value) for key, value in data.items()}
        with _appending:
            number = len(self.events)
            event = {"id": number, "parent": parent, "kind": kind, "depth": depth, "at": at, **data}
            self.events.append(event)
        if self._on_event:
            try:
                self._on_event(event)
            except Exception:
                # The exception must neither end a paid completion nor appear in a cell of the model.
                _log.exception("on_event failed at event %d, kind %s", number, kind)
        return number

    def _kept(self, value: Any) -> Any:
        """Return a value of an event with its long texts shortened."""
        if isinstance(value, str):
            short = _SHORT_CHARS if self._room > -_ALL_CHARS else _VERY_SHORT_CHARS
            if len(value) > max(short, min(_TEXT_CHARS, self._room)):
                value = shortened(value, short)
            self._room -= len(value)
            return value
        if isinstance(value, list):
            return [self._kept(one) for one in value]
        if not isinstance(value, dict):
            return value
        # A cell can have up to 500 variables.
        entries = islice(value.items(), None if self._room > 0 else _FEW_ENTRIES)
        self._room -= sum(map(len, value)) if self._room > 0 else 0
        return {key: self._kept(one) for key, one in entries}

    def put_in_order(self) -> dict[int, int]:
        """Sort the events by their tree and renumber them and their calls; returns the new number of each call.

        Concurrent events, such as those of children and batches, then have the same order in every run.
        Sequential events keep their order and numbers.
        """
        below: dict[int | None, list[Event]] = defaultdict(list)
        for event in self.events:
            below[event["parent"]].append(event)
        ordered: list[Event] = []
        left = _as_begun(below[None])[::-1]
        while left:
            ordered.append(left.pop())
            left += _as_begun(below[ordered[-1]["id"]])[::-1]
        ids = {event["id"]: place for place, event in enumerate(ordered)}
        calls: dict[int, int] = {event["call_id"]: 0 for event in ordered if event["kind"] == "call"}
        calls = {old: place for place, old in enumerate(calls)}
        for place, event in enumerate(ordered):
            event = {**event, "id": place, "parent": ids.get(event["parent"])}
            event |= {key: calls[event[key]] for key in ("call_id", "after_call") if key in event}
            ordered[place] = event
        self.events = ordered
        return calls

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["kind"] == kind]

    def to_jsonl(self) -> str:
        """Return the events as JSON lines. Lone surrogates are escaped, so that the text is always valid UTF-8."""
        return "".join(self._lines())

    def to_gzip(self) -> bytes:
        """Return the events as gzipped JSON lines. Equal events give equal bytes."""
        return pack(self._lines())

    def _lines(self) -> Iterator[str]:
        return (json.dumps(event, default=str) + "\n" for event in self.events)


def chosen_events(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the events of a trajectory without those of programs that were not chosen."""
    chosen = {event["chosen"] for event in events if event["kind"] == "selection"}
    if not chosen:
        return list(events)
    others: set[int] = set()
    for event in events:
        if event["parent"] in others or (event["kind"] == "program" and event["number"] not in chosen):
            others.add(event["id"])
    return [event for event in events if event["id"] not in others]


def shortened(text: str, head_chars: int = _SHORT_CHARS) -> str:
    """Return the head of a text with its length and hash."""
    digest = hashlib.sha256()
    for start in range(0, len(text), _HASHED_CHARS):
        digest.update(text[start : start + _HASHED_CHARS].encode("utf-8", "surrogatepass"))
    return f"{text[:head_chars]}\n[... cut: {len(text)} characters, SHA-256 {digest.hexdigest()} ...]"


def is_shortened(text: str) -> bool:
    """True if a text of a trajectory is only the head of the original."""
    return _SHORTENED.search(text) is not None


def _as_begun(siblings: Sequence[Event]) -> list[Event]:
    """Return a parent's events in the order of recording, but adjacent calls in the order in which they began."""
    ordered: list[Event] = []
    for _, group in groupby(siblings, key=lambda event: event["kind"] == "call"):
        ordered += sorted(group, key=lambda event: event.get("call_id", 0))
    return ordered


def prompt_sha256(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the hash of the roles and contents of a list of messages."""
    digest = hashlib.sha256()
    for message in messages:
        for part in (message["role"], message["content"]):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()
