"""Real open-source code to ask about: the Python sources of packages that are installed with this one."""

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

# Larger files are tables of data more often than code.
_MAX_FILE_BYTES = 300_000
# Lists of names, and what is written when a wheel is built, which is not the same on every machine.
_SKIPPED_FILES = ("__init__.py", "__config__.py", "version.py", "_version.py")
# Tests, copies of other packages, and numpy/distutils, which only wheels for Python 3.11 have.
_SKIPPED_FOLDERS = frozenset(
    {"tests", "test", "testing", "_vendor", "externals", "extern", "sphinxext", "docs", "distutils"}
)

_OPENING, _CLOSING = "\n\n```python\n", "\n```\n\n"


@dataclass(frozen=True)
class Piece:
    """A file, or a run of whole top-level statements of one, as it stands in a context.

    text: begins with a word of its own and ends a line, so that token counts of pieces add up. Only the text is kept,
    since a context is put together from thousands of pieces.
    """

    path: str
    text: str

    @classmethod
    def of(cls, path: str, source: str, note: str = "") -> Piece:
        """note: which lines these are, empty for a whole file."""
        return cls(path, f"## {path}{note}{_OPENING}{source.rstrip()}{_CLOSING}")

    @property
    def source(self) -> str:
        return self.text[self.text.index(_OPENING) + len(_OPENING) : -len(_CLOSING)]


@dataclass(frozen=True)
class SourceFile:
    """A file of an installed package. path: as it is imported from; sha256: as the package's own record has it."""

    path: str
    location: Path
    sha256: str


class CodeCorpus:
    """The code of the named packages, without their tests. Nothing is read before it is asked for.

    packages: names of installed distributions. encoding: under which lengths are counted.
    Raises DataError, when first used, for a package that is not installed or has no record of its files.
    """

    def __init__(self, packages: Sequence[str], encoding: str) -> None:
        self.packages = tuple(packages)
        self._encoding = encoder(encoding)
        self._sizes: dict[str, int] = {}

    @cached_property
    def files(self) -> dict[str, list[SourceFile]]:
        """Package -> its files by path."""
        if not self.packages:
            raise DataError("benchmark.codeqa.packages is empty: wanted names of installed packages")
        return {name: _python_files(name) for name in self.packages}

    def provenance(self) -> dict[str, object]:
        """Versions of the packages, and a hash over the hashes of all their files."""
        digest = hashlib.sha256()
        for files in self.files.values():
            for file in files:
                digest.update(f"{file.path} {file.sha256}\n".encode())
        versions = {name: metadata.version(name) for name in self.packages}
        return {"packages": versions, "sources_sha256": digest.hexdigest()}

    def tokens(self, text: str) -> int:
        return self._encoding.count(text)

    def whole(self, file: SourceFile) -> tuple[Piece, int] | None:
        """A file with its tokens; None for one that is empty or not plain ASCII.

        One wider character would make a whole context take two or four times its size in memory.
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
        """A drawn run of whole top-level statements within `budget` tokens; None where there is none.

        The run grows from a drawn statement on, forwards first, so that a definition keeps what follows it.
        """
        source = piece.source
        tree = parsed(source)
        if tree is None or not tree.body:
            return None
        # As Python counts lines: splitlines would also cut at form feeds.
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
        """All other files in a drawn order: those of the same package first."""
        home = next(name for name, files in self.files.items() if file in files)
        others = draws.shuffled([name for name in self.packages if name != home])
        for name in [home, *others]:
            yield from (other for other in draws.shuffled(self.files[name]) if other != file)


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _statement_spans(tree: ast.Module) -> list[tuple[int, int]]:
    """Line ranges (from 0, end exclusive) of the top-level statements, each with the comments above it."""
    spans, start = [], 0
    for node in tree.body:
        spans.append((start, node.end_lineno))
        start = node.end_lineno
    # Statements that share a line cannot be told apart by lines.
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        merged.append((start, end) if start < end else (merged[-1][1], merged[-1][1]))
    return merged


def _python_files(package: str) -> list[SourceFile]:
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError as error:
        raise DataError(f"benchmark.codeqa.packages names {package!r}, which is not installed") from error
    if distribution.files is None:
        raise DataError(f"benchmark.codeqa.packages names {package!r}, whose installation has no record of its files")
    chosen = [
        SourceFile(str(path), Path(distribution.locate_file(path)), path.hash.value)
        for path in distribution.files
        if path.suffix == ".py"
        and path.hash is not None
        and path.name not in _SKIPPED_FILES
        and (path.size or 0) <= _MAX_FILE_BYTES
        and not _SKIPPED_FOLDERS.intersection(path.parts[:-1])
        and not path.name.startswith("test_")
    ]
    return sorted(chosen, key=lambda file: file.path)
