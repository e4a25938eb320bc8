"""The tables of a run for an export, brought up to date where the run was cut short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.compose import ConfigError
from benchmarks.running.manifest import read_manifest
from benchmarks.running.run_folder import refresh_tables

if TYPE_CHECKING:
    import pandas as pd


# Of a longer text a viewer gets both ends: prompts of a million tokens open nowhere.
TEXT_CHARS = 20_000


@dataclass(frozen=True)
class RunTables:
    """A run folder, its manifest, and the rows of samples.parquet."""

    path: Path
    manifest: Mapping[str, Any]
    samples: pd.DataFrame


def read_run(path: Path) -> RunTables:
    """Read a run folder; its tables are written again from the journal unless it is finished. Raises ConfigError."""
    import pandas as pd

    manifest = read_manifest(path)
    if manifest.get("state") != "finished" or not (path / "samples.parquet").is_file():
        refresh_tables(path)
    try:
        return RunTables(path, manifest, pd.read_parquet(path / "samples.parquet"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path / 'samples.parquet'} cannot be read: {error}") from error


def empty_folder(out: Path) -> Path:
    """Make the folder of an export. Raises ConfigError where it holds something or cannot be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ConfigError(f"{out} is not empty: name a new folder")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}") from error
    return out


def cut(text: str) -> str:
    """A text as viewers take it: at most about TEXT_CHARS of it, and no lone surrogates, which no encoding takes."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= TEXT_CHARS:
        return text
    half = TEXT_CHARS // 2
    return f"{text[:half]}\n[... {len(text) - TEXT_CHARS:,} characters are left out ...]\n{text[-half:]}"


def cell_output(event: Mapping[str, Any]) -> str:
    """What a cell printed, raised and was told, cut."""
    told = [event.get("stdout"), event.get("stderr"), event.get("error"), event.get("notice")]
    return cut("\n".join(str(part) for part in told if part))
