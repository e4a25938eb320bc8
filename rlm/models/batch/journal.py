"""BatchJournal: the submitted batches of a run, recorded on disk, so that a killed run submits none of them again."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm.models.chat import FatalModelError
from rlm.reading import bounded_lines
from rlm.structure import bounded_json

# The files of results of a batch.
KINDS = ("output", "errors")
# A longer line of results is ignored, as a longer response of a single call is.
MAX_LINE_BYTES = 16 << 20


@dataclass(eq=False)
class Submitted:
    """A batch that was submitted, or whose submission was not confirmed before the program ended.

    number: its number in the journal. file_id: its uploaded file. batch_id: None until the submission is confirmed.
    ids: the custom ids of its requests, in the order of the file. status: None until its results were read. unanswered:
    requests without a reply.
    """

    number: int
    file_id: str
    model: str
    address: str
    ids: tuple[str, ...]
    batch_id: str | None = None
    status: str | None = None
    unanswered: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Line:
    """The result of one request: HTTP status and body of its response. batch: where it was found."""

    status: int
    body: bytes
    batch: Submitted | None = None

    @property
    def is_reply(self) -> bool:
        return 200 <= self.status < 300


class BatchJournal:
    """The file batches.jsonl in a folder, and beside it the results of each batch.

    An event is on disk when the method that records it returns. Raises FatalModelError, one line, for a folder that
    cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.batches: list[Submitted] = []
        self._file = folder / "batches.jsonl"
        self._of_request: dict[str, list[Submitted]] = {}
        self._results: dict[Submitted, Mapping[str, Line]] = {}
        try:
            kept = self._file.read_bytes() if self._file.exists() else b""
            if kept and not kept.endswith(b"\n"):
                # The process was killed while it wrote the last event.
                kept = kept[: kept.rfind(b"\n") + 1]
                os.truncate(self._file, len(kept))
            for spool in folder.glob("*.spool"):
                # Requests of a killed session that were not submitted.
                spool.unlink()
        except OSError as error:
            raise FatalModelError(f"{self._file} cannot be read: {error.strerror or error}") from error
        for number, line in enumerate(kept.splitlines(), 1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
                raise FatalModelError(f"{self._file}, line {number} cannot be read: restore the file") from error

    def submitting(self, file_id: str, model: str, address: str, ids: Sequence[str]) -> Submitted:
        """Record that a file is about to be submitted."""
        number = len(self.batches)
        event = {"number": number, "file": file_id, "model": model, "address": address, "ids": list(ids)}
        self._write(event)
        batch = self._apply(event)
        for kind in KINDS:
            # The file may be left over from a journal that was removed.
            self.path(batch, kind).unlink(missing_ok=True)
        return batch

    def submitted(self, batch: Submitted, batch_id: str) -> None:
        """Record the id of a batch."""
        self._record({"number": batch.number, "batch": batch_id})

    def ended(self, batch: Submitted, status: str, unanswered: Collection[str]) -> None:
        """Record the status of a batch that has ended and whose results were read."""
        self._record({"number": batch.number, "status": status, "unanswered": sorted(unanswered)})

    def batch_of(self, custom_id: str, excluded: Collection[Submitted] = ()) -> Submitted | None:
        """Return the latest batch with a request that was answered or may be, except those in `excluded`."""
        for batch in reversed(self._of_request.get(custom_id, ())):
            if batch not in excluded and not (batch.status is not None and custom_id in batch.unanswered):
                return batch
        return None

    @property
    def open(self) -> list[Submitted]:
        """The batches that have not ended, or whose results were not read."""
        return [batch for batch in self.batches if batch.status is None]

    def path(self, batch: Submitted, kind: str) -> Path:
        """Return the path of a batch's file of results. kind: one of KINDS."""
        return self.folder / f"{batch.number:04d}-{kind}.jsonl"

    def results(self, batch: Submitted) -> Mapping[str, Line]:
        """Read the results of a batch by custom id. An error without a response has the status 0.

        If a request has several results, a reply precedes an error, and the first of equals counts. Unreadable lines
        are ignored. Raises OSError, and ValueError if no line can be read.
        """
        if batch not in self._results:
            found: dict[str, Line] = {}
            unreadable: Exception | None = None
            ids = frozenset(batch.ids)
            for path in filter(Path.exists, (self.path(batch, kind) for kind in KINDS)):
                with path.open("rb") as file:
                    for text in bounded_lines(file, MAX_LINE_BYTES):
                        if text is not None and not text.strip():
                            continue
                        try:
                            custom_id, line = _result(batch, text)
                        except (ValueError, RecursionError) as error:
                            unreadable = unreadable or error
                            continue
                        if custom_id in ids and (custom_id not in found or line.is_reply > found[custom_id].is_reply):
                            found[custom_id] = line
            if unreadable and not found:
                raise ValueError(str(unreadable))
            self._results[batch] = found
        return self._results[batch]

    def forget(self, batch: Submitted) -> None:
        """Discard the results of a batch from memory, so that the next request for them reads the files again."""
        self._results.pop(batch, None)

    def _record(self, event: dict[str, Any]) -> None:
        self._write(event)
        self._apply(event)

    def _write(self, event: Mapping[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                try:
                    line = json.dumps(event).encode() + b"\n"
                    while line:
                        line = line[file.write(line) :]
                    os.fsync(file.fileno())
                except OSError:
                    # A partial line must not become the start of the next one.
                    file.truncate(size)
                    raise
        except OSError as error:
            raise FatalModelError(f"{self._file} cannot be written: {error.strerror or error}") from error

    def _apply(self, event: Mapping[str, Any]) -> Submitted:
        if "ids" in event:
            batch = Submitted(len(self.batches), event["file"], event["model"], event["address"], tuple(event["ids"]))
            self.batches.append(batch)
            for custom_id in batch.ids:
                self._of_request.setdefault(custom_id, []).append(batch)
            return batch
        batch = self.batches[event["number"]]
        batch.batch_id = event.get("batch", batch.batch_id)
        batch.status = event.get("status", batch.status)
        batch.unanswered = frozenset(event.get("unanswered", batch.unanswered))
        return batch


def _result(batch: Submitted, text: bytes | None) -> tuple[str | None, Line]:
    """Return the custom id and the result of a line, None without an id. Raises ValueError and RecursionError."""
    if text is None:
        raise ValueError(f"a line of results has more than {MAX_LINE_BYTES} bytes")
    row = bounded_json(text)
    row = row if isinstance(row, Mapping) else {}
    custom_id, response, error = row.get("custom_id"), row.get("response"), row.get("error")
    status = response.get("status_code") if isinstance(response, Mapping) else None
    if isinstance(response, Mapping) and type(status) is int and 100 <= status < 600:
        line = Line(status, json.dumps(response.get("body")).encode(), batch)
    else:
        line = Line(0, json.dumps(error or {"message": "the line has no response"}).encode(), batch)
    return custom_id if isinstance(custom_id, str) else None, line
