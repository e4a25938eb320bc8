"""Finds configuration files: in the project's folder, and in folders that other packages name by entry points."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

# An entry point of this group names a package whose folder has the layout of conf/: `my_evals = "my_evals.conf"`.
GROUP = "rlm_eval.conf"


def conf_dir() -> Path:
    """Return the project's folder of configuration files: that of the checkout, or the installed one."""
    here = Path(__file__).parents[1]
    installed = here / "_conf"
    return installed if installed.is_dir() else here.parent / "conf"


def conf_dirs() -> list[Path]:
    """Return the project's configuration folder and those of other packages.

    Of two files with one name, the first counts.
    """
    return [conf_dir(), *(folder for _, folder in _folders())]


def conf_files(group: str) -> dict[str, Path]:
    """Return the files of a group by name."""
    files: dict[str, Path] = {}
    for folder in conf_dirs():
        for path in sorted((folder / group).glob("*.yaml")):
            files.setdefault(path.stem, path)
    return dict(sorted(files.items()))


@cache
def register() -> None:
    """Prepare Hydra to search the folders of other packages, and to treat an empty environment variable as unset."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("oc.env", environment, replace=True)
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class EntryPointConf(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for name, folder in _folders():
                search_path.append(name, f"file://{folder}")

    Plugins.instance().register(EntryPointConf)


def environment(name: str, *default: str | None) -> str | None:
    """Resolve `${oc.env:NAME,DEFAULT}`. Raises KeyError for an unset variable without a default."""
    value = os.environ.get(name, "")
    if value.strip() or not default:
        return value if value.strip() else os.environ[name]
    return default[0]


def _folders() -> Iterator[tuple[str, Path]]:
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        folder = _folder(point)
        if folder is None:
            # A partly uninstalled package must not stop everything else.
            _tell(f"rlm-eval: entry point {point.name} of {GROUP} is {point.value!r}: expected a package with a folder")
        else:
            yield point.name, folder


def _folder(point: EntryPoint) -> Path | None:
    try:
        spec = importlib.util.find_spec(point.module)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((Path(place) for place in places if Path(place).is_dir()), None)


@cache
def _tell(line: str) -> None:
    # Warn once a process, although the folders are looked up often.
    print(line, file=sys.stderr)
