"""Runs a script as root or as an ordinary user, from a copy of the project that any user may read."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDINARY = 54321
# The packages outside the standard library that the scripts import; the interpreter below need not have them.
PACKAGES = ("annotated_types",)
# The interpreter of the tests may lie where only root may go.
INTERPRETERS = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")
_VERSION = "import sys; print(sys.version_info >= (3, 11))"


def users() -> list[str]:
    """The kinds of users that can be tested here."""
    return ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder that every user may enter, with a copy of the project in `project`; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="rlm-hostile-") as name:
        folder = Path(name)
        for part in ("rlm", "tests/hostile"):
            shutil.copytree(ROOT / part, folder / "project" / part, ignore=shutil.ignore_patterns("__pycache__"))
        for package in PACKAGES:
            found = Path(importlib.util.find_spec(package).origin).parent
            shutil.copytree(found, folder / "project" / package, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder


def start(user: str, folder: Path, home: Path, script: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start a script from the workplace `folder`, in a new folder `home` that belongs to the user."""
    project = folder / "project"
    home.mkdir()
    change = {}
    if user == "ordinary" and os.geteuid() == 0:
        os.chown(home, ORDINARY, ORDINARY)
        change = {"user": ORDINARY, "group": ORDINARY, "extra_groups": []}
    return subprocess.Popen(
        [_interpreter(change), str(project / "tests/hostile" / script), *arguments],
        env={
            "PYTHONPATH": str(project),
            "PATH": "/usr/bin:/bin",
            "TMPDIR": str(home),
            "CANARY_KEY": f"canary-{os.urandom(12).hex().upper()}-CANARY",
        },
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **change,
    )


def _interpreter(change: dict[str, object]) -> str:
    for interpreter in INTERPRETERS:
        try:
            found = subprocess.run([interpreter, "-c", _VERSION], capture_output=True, text=True, cwd="/", **change)
        except OSError:
            continue
        if found.stdout == "True\n":
            return interpreter
    pytest.skip("an ordinary user can run no Python of version 3.11 or later here")
