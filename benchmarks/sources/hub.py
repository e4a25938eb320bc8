"""Reads the rows of a data set, from the hub at a pinned revision or from a local copy."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.sources.files import ENDINGS, DataError, Open, Row, Where, is_data_file, iter_rows, local_opener
from benchmarks.sources.tables import placed_rows
from rlm.completion import one_line
from rlm.paths import expand_home
from rlm.unpacking import TooLarge

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T")
# One type, or a choice of types.
ColumnType = type | tuple[type, ...]
ID: ColumnType = (str, int)

GENERATED, HUB = "generated", "hub"
_WRITER_ROWS = 32


class HubError(DataError):
    """The hub cannot be reached."""


@dataclass(frozen=True)
class HubData:
    """A data set on the hub at one commit.

    files: patterns of the files to read; empty for all files of the split. subset: the configuration of the data set;
    None is its default.
    """

    repo: str
    revision: str
    split: str = "train"
    files: tuple[str, ...] = ()
    subset: str | None = None


@dataclass(frozen=True)
class Source:
    """The rows of one data set.

    where: `hub`, or the path of a file or folder. hub: the data set. key: the configuration key, for messages. endings:
    the file name endings that are read in a folder.
    """

    where: str
    hub: HubData
    key: str
    endings: tuple[str, ...] = ENDINGS

    def rows(
        self,
        columns: Sequence[str],
        match: Where | None = None,
        count: int | None = None,
        types: Mapping[str, ColumnType] | None = None,
        optional: Sequence[str] = (),
    ) -> Iterator[Row]:
        """Yield the rows that match, reduced to `columns` and `optional`, which may be missing (None).

        Only the necessary columns and row groups of parquet files are read, also over the network. match: the value, or
        a collection of values, by column. count: the expected number of rows; it is checked only for the hub, because a
        local copy may be partial. types: the types of values by column; a string must not be empty. Raises DataError.
        """
        found = 0
        for name, opener in self._files():
            for row in self._named(iter_rows(name, opener, columns, match, optional)):
                found += 1
                for column, allowed in (types or {}).items():
                    _check_type(f"{name}, row {found}", column, row[column], allowed)
                yield row
        if not found or (count is not None and self.where == HUB and found != count):
            expected = "at least one row" if count is None or self.where != HUB else f"{count} rows"
            condition = f" with {_describe(match)}" if match else ""
            raise DataError(f"{self.origin}: found {found} rows{condition}: expected {expected}")

    def placed_rows(self, columns: Sequence[str], required: Sequence[str] = ()) -> Iterator[tuple[str, Row]]:
        """Yield all rows with their places, like `benchmarks.sources.tables.placed_rows`. Raises DataError."""
        for name, opener in self._files():
            yield from self._named(placed_rows(name, opener, columns, required))

    def _named(self, rows: Iterator[T]) -> Iterator[T]:
        """Name the configuration key in the error of a file that is too large to read."""
        try:
            yield from rows
        except DataError as error:
            if isinstance(error.__cause__, TooLarge):
                raise DataError(f"{self.key}: {error}") from error.__cause__
            raise

    def table(
        self,
        columns: Sequence[str],
        match: Where | None = None,
        count: int | None = None,
        types: Mapping[str, ColumnType] | None = None,
    ) -> Dataset:
        """Return the same rows as a memory-mapped `datasets.Dataset`, which gives any row in microseconds."""
        # The files count: two tables of one revision may be read from different files.
        identity = self.identity(), self.hub.files
        contents = repr((identity, list(columns), sorted(map(str, (match or {}).items())), str(types)))
        return as_table(partial(self.rows, columns, match, count, types), contents, self.origin)

    @property
    def origin(self) -> str:
        """The name of the data set in messages."""
        return f"{self.hub.repo} at {self.hub.revision}" if self.where == HUB else str(self.where)

    def identity(self) -> dict[str, Any]:
        """Return the identity of the data: the revision, or the names and hashes of local files."""
        if self.where == HUB:
            subset = {"subset": self.hub.subset} if self.hub.subset else {}
            return {
                "source": HUB,
                "repo": self.hub.repo,
                "revision": self.hub.revision,
                "split": self.hub.split,
            } | subset
        files = {name: _file_sha256(path) for name, path in self._local_paths()}
        return {"source": "local", "repo": self.hub.repo, "files_sha256": files}

    def _files(self) -> list[tuple[str, Open]]:
        if self.where == HUB:
            return _hub_files(self.hub, self.key)
        return [(name, local_opener(path)) for name, path in self._local_paths()]

    def _local_paths(self) -> list[tuple[str, Path]]:
        root = expand_home(self.where)
        if root.is_file():
            if not is_data_file(root.name, self.endings):
                raise DataError(
                    f"{self.key} is {self.where!r}: expected a parquet, jsonl or json file, or a folder of them"
                )
            return [(str(root), root)]
        if not root.is_dir():
            raise DataError(f"{self.key} is {self.where!r}: expected 'generated', 'hub', or an existing file or folder")
        inside = sorted(
            str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and is_data_file(p.name, self.endings)
        )
        chosen = _choose(inside, self.hub)
        if not chosen:
            raise DataError(
                f"{self.key} is {self.where!r}: expected a folder with parquet, jsonl or json files of this data"
            )
        return [(str(root / name), root / name) for name in chosen]


def pinned(hub: HubData, key: str) -> HubData:
    """Return the data set at the commit to which its revision, a branch or a tag, refers now. Raises DataError."""
    if re.fullmatch(r"[0-9a-f]{40}", hub.revision):
        return hub
    import huggingface_hub

    try:
        info = huggingface_hub.HfApi().dataset_info(hub.repo, revision=hub.revision, timeout=20)
    except Exception as error:
        raise _unreachable(hub, key, error) from error
    return replace(hub, revision=info.sha or hub.revision)


def as_table(
    make_rows: Callable[[], Iterator[Row]], contents: str, origin: str, columns: Mapping[str, str] | None = None
) -> Dataset:
    """Return rows as a memory-mapped `datasets.Dataset`, written once and then read from the cache of `datasets`.

    contents: identifies the rows in the cache. origin: the name of the data in messages. columns: name -> type
    (`string`, `int64` or `strings`); by default the types are those of the first rows. Raises DataError.
    """
    import datasets

    kinds = {"strings": datasets.List(datasets.Value("string"))}
    features = (
        datasets.Features({n: kinds.get(k) or datasets.Value(k) for n, k in columns.items()}) if columns else None
    )
    fingerprint = hashlib.sha256(contents.encode()).hexdigest()[:32]
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        # A row can be megabytes long, so batches are small.
        return datasets.Dataset.from_generator(
            make_rows, features=features, fingerprint=fingerprint, writer_batch_size=_WRITER_ROWS
        )
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__
        if isinstance(cause, DataError):
            raise cause from None
        raise DataError(f"{origin} cannot be prepared: {one_line(cause or error)}") from error
    except OSError as error:
        raise DataError(f"{origin} cannot be written to the cache of `datasets`: {one_line(error)}") from error
    finally:
        if shown:
            datasets.enable_progress_bars()


def _choose(names: Sequence[str], hub: HubData) -> list[str]:
    """Choose the files of a folder that match the patterns, else those of the split, else all files."""
    if hub.files:
        return _matching(names, hub) or [n for n in names if any(Path(n).name == Path(p).name for p in hub.files)]
    starts = (f"{hub.split}-", f"{hub.split}.")
    return [n for n in names if Path(n).name.startswith(starts) or hub.split in Path(n).parts] or list(names)


def _matching(names: Sequence[str], hub: HubData) -> list[str]:
    return sorted(name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in hub.files))


def _hub_files(hub: HubData, key: str) -> list[tuple[str, Open]]:
    """Return the files of a data set with functions that open them. Of parquet files, only byte ranges are fetched."""
    import huggingface_hub

    try:
        # One request without retries, so that a machine without a network fails at once.
        info = huggingface_hub.HfApi().dataset_info(hub.repo, revision=hub.revision, timeout=20)
        names = [file.rfilename for file in info.siblings or ()]
        chosen = _matching(names, hub) if hub.files else _split_files(hub)
    except DataError:
        raise
    except Exception as error:
        raise _unreachable(hub, key, error) from error
    if not chosen:
        expected, present = " or ".join(hub.files), ", ".join(names[:20])
        raise DataError(f"{hub.repo} at {hub.revision} has no file {expected}; its files: {present or 'none'}")
    return [(f"{hub.repo}/{name}", partial(_open_hub, hub, key, name)) for name in chosen]


def _split_files(hub: HubData) -> list[str]:
    # `datasets` derives the files of a split from the data set's card and layout.
    import datasets

    builder = datasets.load_dataset_builder(hub.repo, hub.subset, revision=hub.revision)
    split = (builder.config.data_files or {}).get(hub.split)
    if split is None:
        present = ", ".join(map(str, builder.config.data_files or {})) or "none"
        raise DataError(f"{hub.repo} at {hub.revision} has no split {hub.split!r}; its splits: {present}")
    return [str(path).partition(f"@{hub.revision}/")[2] for path in split]


def _open_hub(hub: HubData, key: str, name: str) -> Any:
    import huggingface_hub

    try:
        if name.endswith(".parquet"):
            path = f"datasets/{hub.repo}@{hub.revision}/{name}"
            # Read-ahead is off: pyarrow requests exactly the ranges that it needs.
            return huggingface_hub.HfFileSystem().open(path, "rb", cache_type="none")
        local = huggingface_hub.hf_hub_download(hub.repo, name, repo_type="dataset", revision=hub.revision)
        return Path(local).open("rb")
    except Exception as error:
        raise _unreachable(hub, key, error) from error


def _unreachable(hub: HubData, key: str, error: Exception) -> HubError:
    command = f"hf download {hub.repo} --repo-type dataset --revision {hub.revision} --local-dir DIR"
    return HubError(
        f"{hub.repo} at {hub.revision} cannot be read from the hub ({one_line(error)}); run `{command}` on a machine "
        f"with access to the hub, then set {key}=DIR"
    )


def _check_type(row: str, column: str, value: Any, allowed: ColumnType) -> None:
    types = allowed if isinstance(allowed, tuple) else (allowed,)
    # In Python, a bool is an int.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = " or ".join(one.__name__ for one in types)
        raise DataError(f"{row}: column {column} is {value!r:.60}: expected {names}, not {type(value).__name__}")
    if isinstance(value, str) and not value.strip():
        raise DataError(f"{row}: column {column} is {value!r}: expected text")


def _describe(match: Where) -> str:
    def shown(value: Any) -> str:
        return repr(value) if isinstance(value, str | int | float) else f"one of {len(value)} values"

    return " and ".join(f"{column} = {shown(value)}" for column, value in match.items())


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
