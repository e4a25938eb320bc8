"""Other people's packages beside ours: a folder `benchmarks`, and the package rlms, which installs a module `rlm`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def command(*words, cwd, path=None):
    """Run `python -m rlm_eval` in a folder with PYTHONPATH set."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path or []))}
    return subprocess.run(
        [sys.executable, "-m", "rlm_eval", *words], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def neighbour(tmp_path):
    """A repository with a package `benchmarks` of its own."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise RuntimeError('the neighbour was imported')\n")
    return tmp_path


@pytest.mark.parametrize("on_path", [True, False])
def test_a_folder_benchmarks_of_another_repository_does_not_break_the_command(neighbour, on_path):
    done = command("list", "method", cwd=neighbour, path=[neighbour] if on_path else None)
    assert done.returncode == 0, done.stderr
    assert "rlm_depth2" in done.stdout


def test_doctor_names_the_package_that_import_finds_first(neighbour):
    shown = command("doctor", cwd=neighbour, path=[neighbour]).stdout
    assert f"`import benchmarks` finds {neighbour / 'benchmarks'} first; rlm-eval uses its own package" in shown


def test_a_replaced_module_rlm_is_reported_in_one_line(tmp_path):
    shutil.copy(ROOT / "rlm_eval.py", tmp_path)
    (tmp_path / "rlm").mkdir()
    (tmp_path / "rlm" / "__init__.py").write_text("from rlm.core.rlm import RLM\n")
    done = command("list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.startswith("rlm-eval: another package, such as rlms, has replaced") and done.stderr.count("\n") == 1
    )
    assert "pip uninstall -y rlms" in done.stderr


def test_our_own_module_is_not_taken_for_a_replaced_one():
    import rlm_eval

    assert not rlm_eval.replaced() and rlm_eval.HOME == ROOT
