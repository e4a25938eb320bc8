"""The command `rlm-eval`: runs with the packages `rlm` and `benchmarks` that are beside this file.

Both names are common. A folder `benchmarks` on PYTHONPATH or in the current folder would be imported in place of ours,
and the package `rlms` overwrites our module `rlm` when it is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

HOME = Path(__file__).resolve().parent
PACKAGES = ("rlm", "benchmarks")
REPLACED = (
    "another package, such as rlms, has replaced the module rlm of rlm-eval. To repair it: pip uninstall -y rlms && "
    "pip install --force-reinstall --no-deps rlm-eval. Install rlms in a separate environment"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    if replaced():
        print(f"rlm-eval: {REPLACED}", file=sys.stderr)
        return 2
    for name in PACKAGES:
        _load(name)
    from benchmarks.cli import main as run_command

    return run_command(argv)


def replaced() -> bool:
    """True if the module `rlm` beside this file belongs to another project."""
    try:
        text = (HOME / "rlm" / "__init__.py").read_text(encoding="utf-8")
    except OSError:
        return True
    return "rlm.methods.method" not in text


def shadowing() -> dict[str, str]:
    """The paths at which `import NAME` finds a package of another project, by name."""
    found = {}
    for name in PACKAGES:
        spec = PathFinder.find_spec(name)
        places = [*(spec.submodule_search_locations or ())] if spec else []
        if places and Path(places[0]).resolve() != HOME / name:
            found[name] = places[0]
    return found


def _load(name: str) -> None:
    """Import a package from beside this file, in place of another of this name that is loaded already."""
    loaded = sys.modules.get(name)
    if loaded is not None and str(HOME / name) in [str(Path(place).resolve()) for place in loaded.__path__]:
        return
    for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        del sys.modules[module]
    spec = PathFinder.find_spec(name, [str(HOME)])
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    sys.exit(main())
