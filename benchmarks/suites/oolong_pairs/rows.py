"""Reads OOLONG-Pairs windows, questions and answers from the hub, a local copy, or one labelled text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HUB, ColumnType, HubData, Source
from benchmarks.suites.oolong.rows import OOLONG_SYNTH, read_window
from benchmarks.suites.oolong.windows import LabelledWindow, labelled_window
from benchmarks.suites.oolong_pairs.conditions import CONDITIONS, GoldPairs
from benchmarks.suites.oolong_pairs.scorer import count_pairs
from rlm.reading import read_text

REPO, REVISION = "mit-oasys/oolong-pairs", "d1e1522b86ac0c169bbc890b0471408aaa29e8fa"
_KEY = "benchmark.oolong_pairs.source"
_MAX_WINDOW_BYTES = 256 << 20
_TYPES: dict[str, ColumnType] = {"id": (str, int, float), "question": str, "answer": (list, str)}


class PairRows:
    """The hub's two data sets: questions with answers, and the windows that they refer to.

    source, windows: `hub`, or the path of a local copy. Methods raise DataError for malformed data.
    """

    def __init__(self, source: str, windows: str | None) -> None:
        self._source = source
        self._windows = Source(windows or source, OOLONG_SYNTH, "benchmark.oolong_pairs.windows")
        # The windows of a length are consecutive, and the questions refer to the first.
        self.window = lru_cache(maxsize=2)(lambda length: read_window(self._windows, context_len=length))
        self._rows = lru_cache(maxsize=2)(self._read_rows)

    def open(self, length: int) -> None:
        """Read the data of a length and keep it in memory."""
        self._rows(length)
        self.window(length)

    def question(self, length: int, task: int) -> str:
        return self._rows(length)[task][0]

    def check(self, length: int, gold: GoldPairs) -> None:
        """Raise DataError if the answer in the file differs from the gold pairs of the labelled window."""
        counts = count_pairs(self._rows(length)[gold.task][1], gold)
        if not counts.right == counts.gold == counts.predicted:
            raise DataError(
                f"{self._pairs(length).origin}: the answer of task {gold.task} at length {length} has "
                f"{counts.predicted} pairs: expected the {counts.gold} pairs of the labelled window, of which it has "
                f"{counts.right}; questions and windows must be of the same release"
            )

    def provenance(self) -> Mapping[str, Any]:
        files = ("data/oolong-pairs-*.json", "oolong-pairs-*.json")
        pairs = Source(self._source, HubData(REPO, REVISION, files=files), _KEY)
        return {"pairs": pairs.identity(), "windows": self._windows.identity()}

    def _pairs(self, length: int) -> Source:
        return Source(self._source, HubData(REPO, REVISION, files=(f"data/oolong-pairs-{length}.json",)), _KEY)

    def _read_rows(self, length: int) -> dict[int, tuple[str, str]]:
        """Read the question and the answer of each task."""
        source = self._pairs(length)
        rows = list(source.rows(("id", "question", "answer"), count=len(CONDITIONS), types=_TYPES))
        by_id = {str(row["id"]): row for row in rows}
        if len(rows) != len(CONDITIONS) or len(by_id) != len(CONDITIONS):
            found = f"{len(rows)} rows with {len(by_id)} different ids"
            raise DataError(f"{source.origin}: found {found}: expected {len(CONDITIONS)} questions, each with an id")
        # If ids are not task numbers, rows are taken in file order; the check of answers detects a wrong order.
        numbered = all(str(task) in by_id for task in CONDITIONS)
        ordered = {task: by_id[str(task)] for task in CONDITIONS} if numbered else zip(CONDITIONS, rows, strict=True)
        return {task: (row["question"], _answer_text(source.origin, row)) for task, row in dict(ordered).items()}


class LabelledText:
    """One labelled window in a text file. It has no answers to compare with; its questions are generated here."""

    def __init__(self, path: str) -> None:
        try:
            text = read_text(Path(path), _MAX_WINDOW_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{_KEY} is {path!r}: {error}") from error
        self._sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.window: LabelledWindow = labelled_window(Path(path).stem, text)

    def provenance(self) -> Mapping[str, Any]:
        return {"source": "local", "window_sha256": self._sha256}


def is_text_file(source: str) -> bool:
    """True if a source is a text file with one labelled window."""
    return source != HUB and source.lower().endswith(".txt")


def _answer_text(origin: str, row: Mapping[str, Any]) -> str:
    """Convert an answer column, a list of pair strings or of lists of two, to text with pairs in the official form."""
    if isinstance(row["answer"], str):
        return row["answer"]
    pairs = []
    for pair in row["answer"]:
        if not isinstance(pair, str) and not (isinstance(pair, list) and len(pair) == 2):
            raise DataError(
                f"{origin}, answer of id {row['id']!r}: a pair is {pair!r:.60}: expected '(1, 2)' or [1, 2]"
            )
        pairs.append(pair if isinstance(pair, str) else f"({pair[0]}, {pair[1]})")
    return "\n".join(pairs)
