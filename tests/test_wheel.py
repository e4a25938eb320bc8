"""The wheel is complete: installed without the checkout, the command finds its configuration, data and prompts."""

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA_SUFFIXES = {
    ".csv",
    ".css",
    ".gz",
    ".html",
    ".j2",
    ".js",
    ".json",
    ".jsonl",
    ".md",
    ".parquet",
    ".txt",
    ".typed",
    ".yaml",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of an environment with the wheel; its dependencies come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    site = next(folder.glob("lib/python*/site-packages"))
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies))
    return folder / "bin"


@pytest.fixture
def run_installed(installed, tmp_path):
    """Run a program of that environment in an empty folder: run_installed("rlm-eval", "list")."""

    def run(*words):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            [installed / words[0], *words[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return run


def forced():
    """Folders outside the packages, and where the wheel has them."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    return build["force-include"]


def test_the_wheel_holds_every_data_file_of_the_packages(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = set()
    for folder, place in {"rlm": "rlm", "benchmarks": "benchmarks", **forced()}.items():
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in DATA_SUFFIXES | {".py"} and "__pycache__" not in file.parts:
                expected.add(f"{place}/{file.relative_to(ROOT / folder)}")
    assert expected - held == set()
    for part in ("_conf/config.yaml", "_published/rlm_paper_table1.csv", "results/recorded/ci.jsonl.gz"):
        assert f"benchmarks/{part}" in held
    assert "rlm_eval.py" in held
    assert [name for name in held if name.startswith(("tests/", "scripts/", "results/runs"))] == []


def test_extras_that_messages_and_pages_name_exist():
    """Each printed `pip install 'rlm-eval[NAME]'` installs what is missing."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    files = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    files += [file for folder in ("rlm", "benchmarks", "conf") for file in (ROOT / folder).rglob("*.[py]*")]
    texts = [file.read_text(encoding="utf-8") for file in files if file.suffix in (".py", ".yaml", ".md")]
    named = {name for text in texts for name in re.findall(r"rlm-eval\[(\w+)\]|\bextra (\w+)\)", text)}
    names = {part for pair in named for part in pair if part}
    assert names <= extras.keys() and {"local", "ray", "slurm", "inspect", "otel"} <= names


def test_the_installed_command_lists_its_choices(run_installed):
    done = run_installed("rlm-eval", "list")
    assert done.returncode == 0, done.stderr
    for name in ("sniah", "browsecomp_plus", "map_reduce", "scripted", "paper_table1_gpt5"):
        assert name in done.stdout


def test_the_installed_library_does_not_come_from_the_checkout(run_installed):
    done = run_installed("python", "-c", "import rlm, benchmarks; print(rlm.__file__, benchmarks.__file__)")
    assert str(ROOT) not in done.stdout and done.stdout.count("site-packages") == 2, done.stderr
