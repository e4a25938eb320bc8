"""Reads tables and texts of a run for an export."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.running.manifest import read_manifest
from benchmarks.running.rows import SAMPLE_COLUMNS, SampleRow, defaults
from benchmarks.running.tables import read_samples, refresh_tables
from rlm.completion import one_line
from rlm.surrogates import without_surrogates

if TYPE_CHECKING:
    import pandas as pd


# Longer texts are cut in the middle, because viewers cannot open prompts of a million tokens.
TEXT_CHARS = 20_000


@dataclass(frozen=True)
class RunTables:
    """A run folder, its manifest, and the rows of samples.parquet."""

    path: Path
    manifest: Mapping[str, Any]
    samples: pd.DataFrame


def read_run(path: Path) -> RunTables:
    """Read a run folder; the tables of an unfinished run are rebuilt from its journal. Raises ConfigError."""
    manifest = read_manifest(path)
    if manifest.get("state") != "finished" or not (path / "samples.parquet").is_file():
        refresh_tables(path)
    samples = read_samples(path)
    missing = [name for name in SAMPLE_COLUMNS if name not in samples]
    values = {name: value for name, value in defaults(SampleRow).items() if name in missing}
    if lacking := [name for name in missing if name not in values]:
        raise ConfigError(f"{path / 'samples.parquet'} has no column {', '.join(lacking)}")
    return RunTables(path, manifest, samples.assign(**values))


@contextlib.contextmanager
def reading_events(run: RunTables, row: Mapping[str, Any]) -> Iterator[None]:
    """Raise ConfigError in place of the exceptions that events of another origin than a run of rlm-eval cause."""
    try:
        yield
    except ConfigError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        place = run.path / str(row["trajectory"] or "samples.parquet")
        raise ConfigError(f"{place} cannot be exported: not the events of a run ({one_line(error)})") from error


def empty_folder(out: Path) -> Path:
    """Create the folder of an export. Raises ConfigError if it is not empty or cannot be created."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ConfigError(f"{out} is not empty: expected a new folder")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}") from error
    return out


def cut(text: str) -> str:
    """Shorten a text for a viewer: the two ends of a text longer than TEXT_CHARS, without lone surrogates."""
    text = without_surrogates(text)
    if len(text) <= TEXT_CHARS:
        return text
    half = TEXT_CHARS // 2
    return f"{text[:half]}\n[... {len(text) - TEXT_CHARS:,} characters omitted ...]\n{text[-half:]}"


def cell_output(event: Mapping[str, Any]) -> str:
    """Return output, error and notice of a cell, shortened."""
    parts = [event.get("stdout"), event.get("stderr"), event.get("error"), event.get("notice")]
    return cut("\n".join(str(part) for part in parts if part))
