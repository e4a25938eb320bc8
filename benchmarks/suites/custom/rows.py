"""Samples from a user's table: a jsonl, json, csv or parquet file, a folder of them, or a data set of the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.sample import SampleInfo
from benchmarks.scoring.choice import ALL_LETTERS
from benchmarks.scoring.gold import Gold, NamedScorer
from benchmarks.sources.files import DataError, is_data_file
from benchmarks.sources.hub import HUB, HubData, Source, as_table, pinned
from benchmarks.sources.tables import TABLE_ENDINGS
from benchmarks.suites.custom.columns import Columns, RowCells, found
from benchmarks.suites.custom.contexts import context_key, context_of, files_sha256, read_files
from rlm.paths import expand_home
from rlm.validation import shown

if TYPE_CHECKING:
    from datasets import Dataset

_REPO = re.compile(r"[\w.-]+/[\w.-]+")
_STORED = {
    "sample_id": "string", "cluster": "string", "group": "string", "length": "int64", "question": "string",
    "answers": "strings", "choices": "strings", "texts": "strings", "files": "strings", "many": "bool",
}  # fmt: skip
# The version of the checks: rows that an older version has checked are read again.
_VERSION = "custom-2"
_SMALL = ["sample_id", "cluster", "group", "length"]


@dataclass(frozen=True)
class Row:
    """A validated row. context: one text, or a list of documents."""

    question: str
    gold: Gold
    context: str | tuple[str, ...]


class CustomRows:
    """The rows of a table, read and checked on first use. Raises DataError, which names file, line and column.

    data: the path of a file or folder, or the name of a data set of the hub. hub: revision, split and subset of the
    data set. root: the folder of files that rows name; None is the folder of the data.
    """

    def __init__(
        self,
        key: str,
        data: str,
        hub: HubData,
        root: str | None,
        columns: Columns,
        scorer: NamedScorer,
        max_answer_tokens: int | None,
    ) -> None:
        self._key, self._data, self._hub, self._columns = key, data, hub, columns
        self._scorer, self._most_tokens = scorer, max_answer_tokens
        self._root = expand_home(root) if root is not None else None
        if self._root is not None and not self._root.is_dir():
            raise ValueError(f"root is {root!r}: expected an existing folder, or null")

    @cached_property
    def infos(self) -> dict[str, SampleInfo]:
        """Return the samples by id, in the order of the rows."""
        return {
            row["sample_id"]: SampleInfo(row["sample_id"], row["cluster"], row["group"], "unknown", row["length"])
            for row in self._table.select_columns(_SMALL)
        }

    def row(self, sample_id: str) -> Row:
        row = self._table[self._places[sample_id]]
        texts = row["texts"] or read_files(row["files"])
        context = tuple(texts) if row["many"] else texts[0]
        return Row(row["question"], Gold(tuple(row["answers"]), row["question"], tuple(row["choices"])), context)

    def identity(self) -> dict[str, object]:
        """Return the identity of the data, with a hash of the files that rows name."""
        named = [path for row in self._table.select_columns(["files"]) for path in row["files"]]
        files = {"context_files": len(set(named)), "context_files_sha256": files_sha256(named)} if named else {}
        return self._source.identity() | {"rows": len(self._table), "columns": self._columns.renamed()} | files

    @cached_property
    def _places(self) -> dict[str, int]:
        return {sample_id: place for place, sample_id in enumerate(self.infos)}

    @cached_property
    def _source(self) -> Source:
        path = expand_home(self._data)
        if path.exists():
            if path.is_file() and not is_data_file(path.name, TABLE_ENDINGS):
                raise DataError(f"{self._key}.source is {self._data!r}: expected a file that ends in {_endings()}")
            return Source(self._data, replace(self._hub, repo=path.name), f"{self._key}.source", TABLE_ENDINGS)
        if _REPO.fullmatch(self._data) and not is_data_file(self._data, TABLE_ENDINGS):
            return Source(HUB, pinned(self._hub, f"{self._key}.source"), f"{self._key}.source", TABLE_ENDINGS)
        raise DataError(
            f"{self._key}.source is {self._data!r}: expected an existing file or folder ({_endings()}), or the name of "
            "a data set of the hub, such as owner/name"
        )

    @cached_property
    def _table(self) -> Dataset:
        source = self._source
        identity = source.identity()
        settings = self._columns, self._scorer.id, self._most_tokens, str(self._root), self._data
        return as_table(self._rows, repr((_VERSION, identity, settings)), source.origin, _STORED)

    def _rows(self) -> Iterator[dict[str, Any]]:
        names = self._columns.named()
        required = [name for name in (names["question"], names["answer"]) if "." not in name]
        heads = {name.partition(".")[0] for name in names.values()} | set(names.values())
        unseen, number = dict(self._columns.renamed()), 0
        ids: dict[str, str] = {}
        for place, row in self._source.placed_rows(sorted(heads), required):
            number += 1
            unseen = {purpose: name for purpose, name in unseen.items() if found(row, name) is None}
            cells = RowCells(place, row, names, packed=place.rpartition(", ")[0].lower().endswith((".csv", ".csv.gz")))
            made = self._made(cells, number)
            first = ids.setdefault(made["sample_id"], place)
            if first != place:
                sample_id = made["sample_id"]
                raise cells.error("id", f"each id once; {first} has the same, {shown(sample_id)}")
            yield made
        if not number:
            raise DataError(f"{self._source.origin} has no rows: expected at least one")
        if unseen:
            purpose, name = next(iter(unseen.items()))
            where = f"{self._key}.columns.{purpose} is {name!r}"
            raise DataError(f"{where}: expected a column of {self._source.origin}; no row has it")

    def _made(self, cells: RowCells, number: int) -> dict[str, Any]:
        context = context_of(cells, self._root or self._folder(cells.place))
        question = cells.text("question")
        gold = self._gold(cells, question)
        return {
            "sample_id": cells.label("id") or f"custom-{number:04d}",
            "cluster": cells.label("cluster") or context_key(context),
            "group": cells.label("group") or "all",
            "length": cells.count("length"),
            "question": question,
            "answers": list(gold.answers),
            "choices": list(gold.choices),
        } | context

    def _folder(self, place: str) -> Path | None:
        """Return the folder of the file that a row is from; None for rows of the hub."""
        return None if self._source.where == HUB else Path(place.rpartition(", ")[0]).parent

    def _gold(self, cells: RowCells, question: str) -> Gold:
        is_choice = self._scorer.kind == "choice"
        choices: tuple[str, ...] = ()
        if is_choice:
            expected = f"a list of 2 to {len(ALL_LETTERS)} different texts"
            choices = tuple(cells.texts("choices", expected))
            if not 2 <= len(choices) <= len(ALL_LETTERS) or len(set(choices)) < len(choices):
                raise cells.error("choices", expected)
        elif cells.get("choices") is not None:
            raise cells.error(
                "choices", f"null, because only {self._key}.scorer=choice shows them; {self._key}.columns.choices=null "
                "leaves the column out",
            )  # fmt: skip
        answers = cells.texts("answer", "text, a number, or a list of them")
        if not answers and self._scorer.kind != "set_f1":
            raise cells.error("answer", "at least one answer; only the scorer set_f1 takes an empty list")
        gold = Gold(tuple(answers), question, choices)
        if is_choice:
            gold = replace(gold, answers=tuple(letter_of(answer, choices) for answer in answers))
        if expected := self._scorer.expected(gold):
            raise cells.error("answer", f"{expected} ({self._key}.scorer)")
        if too_long := self._too_long(gold):
            raise cells.error("answer", too_long)
        return gold

    def _too_long(self, gold: Gold) -> str:
        """Describe the token limit that an answer exceeds; empty if all answers fit."""
        most = self._most_tokens
        # A token has at least one byte. A pattern is not checked, because its length differs from that of an answer.
        if most is None or self._scorer.kind == "regex" or sum(len(one.encode()) for one in gold.answers) <= most:
            return ""
        from rlm.models.tokens import count_tokens

        tokens = max(map(count_tokens, gold.answers))
        return f"at most {most} tokens, not {tokens} ({self._key}.max_answer_tokens)" if tokens > most else ""


def letter_of(answer: str, choices: tuple[str, ...]) -> str:
    """Return the letter of a choice, given as `B`, `b`, `(B)` or by text; empty if it is not exactly one choice."""
    letters = ALL_LETTERS[: len(choices)] if choices else ALL_LETTERS
    bare = answer.strip().strip("().").upper()
    named = {bare} if len(bare) == 1 and bare in letters else set()
    named |= {letter for letter, text in zip(letters, choices, strict=False) if text.strip() == answer.strip()}
    return named.pop() if len(named) == 1 else ""


def _endings() -> str:
    return ", ".join(sorted(TABLE_ENDINGS, key=len))
