"""Explains errors of Hydra and OmegaConf in one line that names the key and the nearest existing one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.identity import flat
from benchmarks.config.plugins import conf_dir, conf_dirs, conf_files
from rlm.validation import unknown


def explain(error: Exception, overrides: Sequence[str] = ()) -> ConfigError:
    """Explain the error of a composition in one line."""
    message = str(error)
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", message) or re.search(
        r"In '[^']*': Could not (?:find|load) '([^']+)/([^'/]+)'", message
    ):
        group, choice = match.groups()
        if choice == "submitit_slurm":
            return ConfigError("hydra/launcher=slurm needs Submitit: pip install 'rlm-eval[slurm]'")
        if group.split("/")[0] == "model":
            vendor, known = group.removeprefix("model").lstrip("/"), conf_files("model")
            server = vendor if vendor in known else "openai"
            return ConfigError(
                f"{unknown('model', f'{vendor}/{choice}'.lstrip('/'), known)}; the name of a server's model is set as "
                f"model={server} model.name={choice}"
            )
        return ConfigError(unknown(group, choice, conf_files(group)))
    match = re.search(r"is not in struct\s+full_key: (\S+)", f"{message}\n{error.__cause__}")
    match = match or re.search(r"Could not override '([^']+)'", message)
    if match:
        bad, written = match.group(1), [word.lstrip("+~").partition("=")[0] for word in overrides]
        full = next((key for key in written if key.startswith(f"{bad}.")), bad)
        if full in (keys := _all_keys()):
            return ConfigError(f"{full} cannot be set: {'.'.join(full.split('.')[:2])} is not chosen")
        return ConfigError(unknown("key", full, keys))
    text = with_cause(error).replace("LexerNoViableAltException: ", "cannot be read: ")
    given = [word.lstrip("+~").partition("=")[0] for word in overrides]
    named = any(key and key in text for key in given)
    return ConfigError(text if named else f"{text} (in: {' '.join(overrides)[:200]})")


def with_cause(error: Exception) -> str:
    """Format an error and its cause as one line of at most 400 characters; name a required key without a value."""
    if match := re.search(r"Missing mandatory value:.*full_key: (\S+)", str(error), re.DOTALL):
        return f"{match[1]} is not set: expected a value, as in {match[1]}=VALUE"
    causes = [str(error)] + ([str(error.__cause__)] if error.__cause__ else [])
    return " ".join(" ".join(causes).split())[:400]


def _all_keys() -> list[str]:
    keys = set(_keys_of(conf_dir() / "config.yaml"))
    for path in (path for folder in conf_dirs() for path in folder.glob("*/*.yaml")):
        head = path.read_text(encoding="utf-8")[:200]
        package = re.search(r"@package\s+(\S+)", head)
        prefix = package.group(1) if package else path.parent.name
        if prefix != "_global_":
            keys.update(f"{prefix}.{key}" for key in _keys_of(path))
    parents = {key.rsplit(".", depth)[0] for key in keys for depth in range(1, key.count(".") + 1)}
    return sorted(key for key in keys | parents if "defaults" not in key and "_target_" not in key)


def _keys_of(path: Path) -> Iterable[str]:
    from omegaconf import OmegaConf

    loaded: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    return flat(loaded)
