"""Where configuration files lie: our folder, and those that other packages name by entry points."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

# An entry point of this group names a package whose folder is laid out as conf/ is: `my_evals = "my_evals.conf"`.
GROUP = "rlm_eval.conf"


def conf_dir() -> Path:
    """Our folder of configuration files: of this checkout, or as installed with the package."""
    here = Path(__file__).parents[1]
    installed = here / "_conf"
    return installed if installed.is_dir() else here.parent / "conf"


def conf_dirs() -> list[Path]:
    """Our folder of configuration files and those of other packages; of two files of one name the first counts."""
    return [conf_dir(), *(folder for _, folder in _folders())]


def conf_files(group: str) -> dict[str, Path]:
    """The choices of a group by name."""
    files: dict[str, Path] = {}
    for folder in conf_dirs():
        for path in sorted((folder / group).glob("*.yaml")):
            files.setdefault(path.stem, path)
    return dict(sorted(files.items()))


@cache
def register() -> None:
    """Prepare Hydra: it searches the folders of other packages too, and an empty environment variable is unset."""
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
    """The interpolation `${oc.env:NAME,DEFAULT}`. Raises KeyError for an unset variable without a default."""
    value = os.environ.get(name, "")
    if value.strip() or not default:
        return value if value.strip() else os.environ[name]
    return default[0]


def _folders() -> Iterator[tuple[str, Path]]:
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        folder = _folder(point)
        if folder is None:
            # One that was removed by halves must not keep everything else from running.
            _tell(f"rlm-eval: entry point {point.name} of {GROUP} names {point.value!r}, which is no folder")
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
    # Once a process, however often the folders are looked up.
    print(line, file=sys.stderr)
