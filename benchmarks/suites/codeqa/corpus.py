"""Reads the Python sources of installed packages, from which contexts are made."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from rlm.models.tokens import encoder
from rlm.syntax import parsed

# Files with more characters are mostly tables of data.
_MAX_FILE_BYTES = 300_000
# Excluded: lists of names, and files that the build of a wheel writes, which differ between machines.
_SKIPPED_FILES = ("__init__.py", "__config__.py", "version.py", "_version.py")
# Excluded: tests, copies of other packages, and numpy/distutils, which only wheels for Python 3.11 have.
_SKIPPED_FOLDERS = frozenset(
    {"tests", "test", "testing", "_vendor", "externals", "extern", "sphinxext", "docs", "distutils"}
)

_OPENING, _CLOSING = "\n\n```python\n", "\n```\n\n"


@dataclass(frozen=True)
class Piece:
    """A file, or consecutive top-level statements of a file, as text for a context.

    text: begins with `##` and ends with a line end, so that token counts of pieces add up. Only the text is stored,
    because a context has thousands of pieces.
    """

    path: str
    text: str

    @classmethod
    def of(cls, path: str, source: str, note: str = "") -> Piece:
        """Make a piece from source code. note: the range of lines; empty for a complete file."""
        return cls(path, f"## {path}{note}{_OPENING}{source.rstrip()}{_CLOSING}")

    @property
    def source(self) -> str:
        return self.text[self.text.index(_OPENING) + len(_OPENING) : -len(_CLOSING)]


@dataclass(frozen=True)
class SourceFile:
    """A file of an installed package. path: relative to site-packages; sha256: from the package's own record."""

    path: str
    location: Path
    sha256: str


class CodeCorpus:
    """The code of installed packages without their tests, read on demand.

    packages: names of installed distributions. encoding: the token encoding in which lengths are counted. Raises
    DataError, on first use, for a package that is not installed or has no record of its files.
    """

    def __init__(self, packages: Sequence[str], encoding: str) -> None:
        self.packages = tuple(packages)
        self._encoding = encoder(encoding)
        self._sizes: dict[str, int] = {}

    @cached_property
    def files(self) -> dict[str, list[SourceFile]]:
        """The files by package and path."""
        if not self.packages:
            raise DataError("benchmark.codeqa.packages is empty: expected names of installed packages")
        return {name: _python_files(name) for name in self.packages}

    def provenance(self) -> dict[str, object]:
        """Return the versions of the packages, and a hash over the hashes of all their files."""
        digest = hashlib.sha256()
        for files in self.files.values():
            for file in files:
                digest.update(f"{file.path} {file.sha256}\n".encode())
        versions = {name: metadata.version(name) for name in self.packages}
        return {"packages": versions, "sources_sha256": digest.hexdigest()}

    def tokens(self, text: str) -> int:
        return self._encoding.count(text)

    def complete(self, file: SourceFile) -> tuple[Piece, int] | None:
        """Return a complete file with its token count; None if it is empty or not ASCII.

        A single non-ASCII character could make the context up to four times as large in memory.
        """
        try:
            source = file.location.read_text(encoding="ascii")
        except UnicodeDecodeError:
            return None
        if not source.strip():
            return None
        piece = Piece.of(file.path, source)
        if file.path not in self._sizes:
            self._sizes[file.path] = self.tokens(piece.text)
        return piece, self._sizes[file.path]

    def excerpt(self, piece: Piece, budget: int, draws: Draws) -> tuple[Piece, int] | None:
        """Return consecutive top-level statements of a file within `budget` tokens; None if no definition fits.

        The excerpt grows from a randomly drawn definition, forwards first, so that the code after it is included.
        """
        source = piece.source
        tree = parsed(source)
        if tree is None or not tree.body:
            return None
        # `str.splitlines` would also split at form feeds, unlike Python's line numbers.
        lines = [f"{line}\n" for line in source.split("\n")]
        spans = _statement_spans(tree)
        sizes = [self.tokens("".join(lines[start:end])) for start, end in spans]
        room = budget - self.tokens(Piece.of(piece.path, "", " (lines 00000 to 00000)").text)
        defined = [i for i, node in enumerate(tree.body) if isinstance(node, _DEFINITIONS) and sizes[i] <= room]
        if not defined:
            return None
        first = last = draws.pick(defined)
        used = sizes[first]
        while last + 1 < len(spans) and used + sizes[last + 1] <= room:
            last, used = last + 1, used + sizes[last + 1]
        while first > 0 and used + sizes[first - 1] <= room:
            first, used = first - 1, used + sizes[first - 1]
        start, end = spans[first][0], spans[last][1]
        while not lines[start].strip():
            start += 1
        cut = Piece.of(piece.path, "".join(lines[start:end]), f" (lines {start + 1} to {end})")
        return cut, self.tokens(cut.text)

    def neighbours(self, file: SourceFile, draws: Draws) -> Iterator[SourceFile]:
        """Return all other files in a random order, those of the same package first."""
        home = next(name for name, files in self.files.items() if file in files)
        others = draws.shuffled([name for name in self.packages if name != home])
        for name in [home, *others]:
            yield from (other for other in draws.shuffled(self.files[name]) if other != file)


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _statement_spans(tree: ast.Module) -> list[tuple[int, int]]:
    """Return 0-based, end-exclusive line ranges of the top-level statements, each with the comments above it."""
    spans, start = [], 0
    for node in tree.body:
        end = node.end_lineno or node.lineno
        spans.append((start, end))
        start = end
    # Statements that share a line are merged.
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        merged.append((start, end) if start < end else (merged[-1][1], merged[-1][1]))
    return merged


def _python_files(package: str) -> list[SourceFile]:
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError as error:
        raise DataError(f"benchmark.codeqa.packages contains {package!r}: expected an installed package") from error
    if distribution.files is None:
        raise DataError(
            f"benchmark.codeqa.packages contains {package!r}: expected an installation with a record of its files"
        )
    chosen = [
        SourceFile(str(path), Path(str(distribution.locate_file(path))), path.hash.value)
        for path in distribution.files
        if path.suffix == ".py"
        and path.hash is not None
        and path.name not in _SKIPPED_FILES
        and (path.size or 0) <= _MAX_FILE_BYTES
        and not _SKIPPED_FOLDERS.intersection(path.parts[:-1])
        and not path.name.startswith("test_")
    ]
    return sorted(chosen, key=lambda file: file.path)
