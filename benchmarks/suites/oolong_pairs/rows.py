"""Real windows, questions and answers of OOLONG-Pairs: from the hub, a local copy, or one labelled window as text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HUB, HubData, Source
from benchmarks.suites.oolong.suite import DATASET, TEXT_KINDS, TEXTS, WINDOWS, read_window
from benchmarks.suites.oolong.windows import Window, labelled_window
from benchmarks.suites.oolong_pairs.conditions import CONDITIONS, GoldPairs
from benchmarks.suites.oolong_pairs.scorer import score_pairs

REPO, REVISION = "mit-oasys/oolong-pairs", "d1e1522b86ac0c169bbc890b0471408aaa29e8fa"
_KEY = "benchmark.oolong_pairs.source"
_KINDS = {"id": (str, int, float), "question": str, "answer": (list, str)}


class PairRows:
    """The hub's two data sets: questions with answers, and the windows that they are about.

    source, windows: `hub`, or the path of a local copy. Methods raise DataError for data that is not as it should be.
    """

    def __init__(self, source: str, windows: str | None) -> None:
        self._source = source
        self._windows = Source(windows or source, WINDOWS, "benchmark.oolong_pairs.windows")
        self.window = lru_cache(maxsize=2)(self._read_window)
        self._rows = lru_cache(maxsize=2)(self._read_rows)

    def open(self, length: int) -> None:
        """Read what a length needs, and keep it."""
        self._rows(length)
        self.window(length)

    def question(self, length: int, task: int) -> str:
        return self._rows(length)[task][0]

    def check(self, length: int, gold: GoldPairs) -> None:
        """Raise DataError where the file's answer is not the gold that the labelled window gives."""
        written = self._rows(length)[gold.task][1]
        score = score_pairs(written, gold)
        if not score.right == score.gold == score.predicted:
            origin = self._pairs(length).origin
            raise DataError(
                f"{origin}: the answer of task {gold.task} at length {length} has {score.predicted} pairs, "
                f"the labelled window gives {score.gold}, and both have {score.right}: the files do not belong together"
            )

    def provenance(self) -> Mapping[str, Any]:
        files = ("data/oolong-pairs-*.json", "oolong-pairs-*.json")
        pairs = Source(self._source, HubData(REPO, REVISION, files=files), _KEY)
        return {"pairs": pairs.identity(), "windows": self._windows.identity()}

    def _pairs(self, length: int) -> Source:
        return Source(self._source, HubData(REPO, REVISION, files=(f"data/oolong-pairs-{length}.json",)), _KEY)

    def _read_window(self, length: int) -> Window:
        # The windows of a length follow each other, and the questions are about the first.
        rows = self._windows.rows(TEXTS, {"dataset": DATASET, "context_len": length}, kinds=TEXT_KINDS)
        return read_window(str(length), next(rows))

    def _read_rows(self, length: int) -> dict[int, tuple[str, str]]:
        source = self._pairs(length)
        rows = list(source.rows(("id", "question", "answer"), count=len(CONDITIONS), kinds=_KINDS))
        by_id = {str(row["id"]): row for row in rows}
        if len(rows) != len(CONDITIONS) or len(by_id) != len(CONDITIONS):
            found = f"{len(rows)} rows with {len(by_id)} different ids"
            raise DataError(f"{source.origin}: wanted {len(CONDITIONS)} questions, each with an id, found {found}")
        # Ids that are not the tasks' numbers leave the order of the rows; the answers show whether it is that.
        numbered = all(str(task) in by_id for task in CONDITIONS)
        ordered = {task: by_id[str(task)] for task in CONDITIONS} if numbered else zip(CONDITIONS, rows, strict=True)
        return {task: (row["question"], _text(source.origin, row)) for task, row in dict(ordered).items()}


class LabelledText:
    """One labelled window in a text file, with our own questions and no answers to compare with."""

    def __init__(self, path: str) -> None:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{_KEY} is {path!r}: {error}") from error
        self._sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.shared = labelled_window(Path(path).stem, text)

    def provenance(self) -> Mapping[str, Any]:
        return {"source": "local", "window_sha256": self._sha256}


def is_hub_or_rows(source: str) -> bool:
    """Whether a source that is not generated holds rows, and not one labelled window."""
    return source == HUB or not source.lower().endswith(".txt")


def _text(origin: str, row: Mapping[str, Any]) -> str:
    """An answer column, a list of pair strings or of lists of two, as text with pairs in the official form."""
    if isinstance(row["answer"], str):
        return row["answer"]
    pairs = []
    for pair in row["answer"]:
        if not isinstance(pair, str) and not (isinstance(pair, list) and len(pair) == 2):
            raise DataError(
                f"{origin}: the answer with the id {row['id']!r} has {pair!r:.60}, wanted '(1, 2)' or [1, 2]"
            )
        pairs.append(pair if isinstance(pair, str) else f"({pair[0]}, {pair[1]})")
    return "\n".join(pairs)
