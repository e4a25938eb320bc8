"""Paths that users write, in which `~` stands for the home folder, and the folder of the user's cache."""

from __future__ import annotations

import os
from pathlib import Path


def expand_home(path: str | os.PathLike[str]) -> Path:
    """Replace `~` at the start of a path. Without such a home folder the path is kept, so that opening it names it."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def user_cache() -> Path:
    """Return the folder of rlm-eval in the user's cache. Raises ValueError if the user has no home folder."""
    given = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = expand_home(given)
    if folder == Path(given) and given.startswith("~"):
        raise ValueError(f"the cache folder {given} is unknown: expected a home folder; set XDG_CACHE_HOME to a folder")
    return folder / "rlm-eval"
