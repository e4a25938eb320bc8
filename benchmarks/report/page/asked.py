"""The page of a trajectory that `rlm-eval ask` saved, finished or still being written: one sample without a score."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.report.page.html import write_page
from benchmarks.report.runs import Run, Runs, prepare
from benchmarks.running.journal import Record
from benchmarks.running.rows import SampleRow
from benchmarks.running.run_files import write_whole
from benchmarks.running.tables import samples_table
from rlm.models.chat import CostState
from rlm.reading import open_regular
from rlm.structure import check_structure

ENDS = (".jsonl", ".jsonl.gz")
# Longer trajectories are shown in part.
MAX_BYTES, MAX_VALUES = 2**27, 2_000_000
# Sums of such numbers are integers of 64 bits.
_LARGEST = 10**12
_HEAD_BYTES = 2**16
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")


def write_asked_page(file: Path, out: Path, live: str = "") -> Path:
    """Write `out`/report.html for a trajectory, and return it. live: as in `write_page`. Raises ConfigError."""
    lines = _lines(file)
    row = _row(file, [event for event in map(_event, lines) if event])
    out.mkdir(parents=True, exist_ok=True)
    row.trajectory = "trajectory.jsonl.gz"
    write_whole(out / row.trajectory, gzip.compress(b"\n".join([*lines, b""]), mtime=0))
    # An answer to a question without a target has no score.
    samples = prepare(samples_table([Record(row)]).assign(run=0)).assign(score=None, lenient_score=None)
    run = Run(out, {"name": file.name, "state": "finished" if row.stop_reason else "running"}, missing=0)
    return write_page(Runs((run,), samples, {}), out, {}, [], live=live)[0]


def is_trajectory(file: Path) -> bool:
    """True if a file begins like a trajectory; other files of JSON lines have no events."""
    if not file.name.endswith(ENDS) or not file.is_file():
        return False
    try:
        with open_regular(file) as opened:
            content = opened.read(_HEAD_BYTES)
        if file.suffix == ".gz":
            content = zlib.decompressobj(wbits=31).decompress(content, _HEAD_BYTES)
    except (OSError, zlib.error):
        return False
    # The first event has the question, which may be longer than the part that was read.
    first = content.lstrip().split(b"\n", 1)[0]
    return first.startswith(b"{") and b'"kind"' in first


def is_finished(file: Path) -> bool:
    """True if a trajectory has its answer."""
    return any((_event(line) or {}).get("kind") == "answer" for line in _lines(file)[-3:])


def _lines(file: Path) -> list[bytes]:
    try:
        with open_regular(file) as opened:
            content = opened.read(MAX_BYTES)
        if file.suffix == ".gz":
            # The file has no final event while the question is being answered, or if the process was killed.
            content = zlib.decompressobj(wbits=31).decompress(content, MAX_BYTES)
    except (OSError, zlib.error) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    lines, left = [], MAX_VALUES
    for line in io.BytesIO(content):
        if line.strip():
            try:
                left -= 1 + check_structure(line, left)
            except ValueError:
                break
            lines.append(line.rstrip(b"\n").decode("utf-8", "replace").encode())
    return lines


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "kind" in event else None


def _row(file: Path, events: Sequence[Mapping[str, Any]]) -> SampleRow:
    if not events:
        raise ConfigError(f"{file} has no events: expected a trajectory of `rlm-eval ask`")
    calls = [event for event in events if event["kind"] == "call"]
    roots = [call for call in calls if call.get("role") == "root" and not call.get("depth")]
    start: Mapping[str, Any] = next((event for event in events if event["kind"] == "completion"), {})
    end: Mapping[str, Any] = next((event for event in reversed(events) if event["kind"] == "answer"), {})
    counts: dict[str, Any] = {name: int(sum(_number(call.get(name)) for call in calls)) for name in _TOKENS}
    dollars = sum(float(_number(call.get("cost_usd"))) for call in calls)
    answer, error = end.get("answer"), end.get("error")
    return SampleRow(
        benchmark="ask",
        method=str(start.get("method") or "method"),
        model=next((str(call.get("model")) for call in roots), None),
        sample_id=file.name,
        score=0.0,
        prediction=None if answer is None else str(answer),
        status="error" if error else "ok",
        stop_reason=str(end.get("stop_reason") or ""),
        error=None if error is None else str(error),
        cost_usd=dollars,
        cost_state=str(CostState.KNOWN if dollars else CostState.FREE),
        **counts,
        root_calls=len(roots),
        sub_calls=len(calls) - len(roots),
        turns=sum(event["kind"] == "turn" for event in events),
        cells=sum(event["kind"] == "cell" for event in events),
        wall_s=float(max(_number(event.get("at")) for event in events)),
    )


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value < _LARGEST else 0
