"""Reads MRCR conversations from the rows of OpenAI's data set, on the hub or in a local copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import HubData, Source
from benchmarks.suites.data import in_turns
from benchmarks.suites.mrcr.scorer import MrcrTarget
from rlm.models.tokens import DEFAULT_ENCODING, count_tokens
from rlm.prompt import Prompt
from rlm.structure import bounded_json

if TYPE_CHECKING:
    from datasets import Dataset

# The commit after the correction of December 2025, which replaced conversations with too many equal requests.
REPO, REVISION = "openai/mrcr", "f4c69fae7cf81f7ca26b9fee34b392a50f6b8a1d"
# The upper bounds of the official bins, in tokens.
BINS = tuple(2**power for power in range(13, 21))
# 100 rows for each bin and number of needles.
_ROWS_PER_NEEDLES = 100 * len(BINS)
_PREFIX = "random_string_to_prepend"
_COLUMNS = ("prompt", "answer", _PREFIX, "n_needles", "n_chars")
_TYPES = {"prompt": str, "answer": str, _PREFIX: str, "n_needles": int, "n_chars": int}
# The characters of a token, at least and at most; only rows that can belong to a bin are read completely.
_FEWEST_CHARS, _MOST_CHARS = 2, 9


class MrcrRows:
    """The rows with some numbers of needles in some bins, read on first use.

    lengths: upper bounds of bins; a bin is (length / 2, length]. samples: the maximum number of rows of each bin, with
    the numbers of needles in turn. Raises DataError.
    """

    def __init__(self, where: str, revision: str, needles: Sequence[int], lengths: Sequence[int], samples: int) -> None:
        files = tuple(f"{number}needle*" for number in needles)
        self._source = Source(where, HubData(REPO, revision, files=files), "benchmark.mrcr.source")
        self._needles, self._lengths, self._samples = tuple(needles), tuple(lengths), samples

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        """Return the samples by id: the lengths and the numbers of needles in turn."""
        found: dict[tuple[int, int], list[SampleInfo]] = {}
        for sample_id, place in self._places.items():
            row = self._table[place]
            messages = self._messages(sample_id, row)
            tokens = sum(count_tokens(text, DEFAULT_ENCODING) for text in (*map(_content, messages), row["answer"]))
            length = next((each for each in self._lengths if each // 2 < tokens <= each or tokens == 4096), None)
            if length is not None:
                info = SampleInfo(sample_id, sample_id, f"{row['n_needles']}_needles", "constant", length)
                found.setdefault((row["n_needles"], length), []).append(info)
        for length in self._lengths:
            if not any((number, length) in found for number in self._needles):
                raise DataError(
                    f"{self._source.origin}: found no row with more than {length // 2} and up to {length} tokens: "
                    f"expected rows of each length; the data set's lengths are {', '.join(map(str, BINS))}"
                )
        of_length = [
            in_turns([found.get((number, length), []) for number in self._needles])[: self._samples]
            for length in self._lengths
        ]
        return {info.sample_id: info for info in in_turns(of_length)}

    def sample(self, sample_id: str) -> Sample:
        info, row = self.infos[sample_id], self._table[self._places[sample_id]]
        prompt = Prompt.of(self._messages(sample_id, row))
        return Sample(info, prompt, MrcrTarget(row["answer"], row[_PREFIX]))

    def provenance(self) -> Mapping[str, Any]:
        return self._source.identity()

    @cached_property
    def _all(self) -> list[tuple[str, int]]:
        """The id and the number of characters of each row with these numbers of needles."""
        counts = dict.fromkeys(self._needles, 0)
        rows = []
        match = {"n_needles": self._needles}
        for row in self._source.rows(("n_needles", "n_chars"), match, count=_ROWS_PER_NEEDLES * len(self._needles)):
            number = row["n_needles"]
            rows.append((f"mrcr-{number}needles-{counts[number]:03d}", row["n_chars"]))
            counts[number] += 1
        return rows

    @cached_property
    def _sizes(self) -> frozenset[int]:
        """The numbers of characters of rows that can belong to one of the bins."""
        return frozenset(
            chars
            for _, chars in self._all
            if any(length // 2 * _FEWEST_CHARS <= chars <= length * _MOST_CHARS for length in self._lengths)
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        """The places in the table by sample id."""
        ids = [sample_id for sample_id, chars in self._all if chars in self._sizes]
        return {sample_id: place for place, sample_id in enumerate(ids)}

    @cached_property
    def _table(self) -> Dataset:
        return self._source.table(_COLUMNS, {"n_needles": self._needles, "n_chars": self._sizes}, types=_TYPES)

    def _messages(self, sample_id: str, row: Mapping[str, Any]) -> list[Mapping[str, str]]:
        """Return the messages of a row, after a check of the row."""
        try:
            messages = bounded_json(row["prompt"])
        except (ValueError, RecursionError):
            messages = None
        if (
            not isinstance(messages, list)
            or len(messages) < 2
            or any(not isinstance(one, dict) or not isinstance(one.get("content"), str) for one in messages)
            or messages[-1].get("role") != "user"
        ):
            raise DataError(
                f"{self._source.origin}, {sample_id}: prompt is {row['prompt']!r:.60}: expected a JSON list of "
                "messages that ends with one of the user"
            )
        if not row["answer"].startswith(row[_PREFIX]):
            raise DataError(f"{self._source.origin}, {sample_id}: expected an answer that begins with {_PREFIX}")
        return messages


def _content(message: Mapping[str, str]) -> str:
    return message["content"]
