"""Exports the samples and methods of a run as an environment for `verifiers`, which `vf-eval` and trainers load."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import RunConfig, read_recorded
from benchmarks.export.tables import empty_folder
from benchmarks.running.manifest import read_manifest
from benchmarks.running.samples import load_benchmarks
from rlm.completion import one_line

# The id of the environment: the name of its module with hyphens.
ENVIRONMENT = "rlm-eval-run"
_MODULE = ENVIRONMENT.replace("-", "_")
_PROJECT = f"""[project]
name = "{ENVIRONMENT}"
version = "0.1.0"
description = "Samples and methods of a run of rlm-eval as an environment for verifiers."
requires-python = ">=3.11"
dependencies = ["verifiers>=0.4,<0.5"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["{_MODULE}"]
"""


def export_environment(path: Path, out: Path) -> list[Path]:
    """Write an installable package with the prompts of a run's samples, and return its files.

    It holds no targets: answers are scored by a process of this installation, which reads the run's configuration.
    Samples of protected benchmarks are left out. Raises ConfigError.
    """
    config = run_config(path)
    methods = [name for name, target in config.method.items() if not target.name.startswith("benchmarks.")]
    if not methods:
        raise ConfigError(f"{path}: the run has only reference rows: expected at least one method")
    benchmarks, infos = load_benchmarks(config)
    open_ones = [name for name, benchmark in benchmarks.items() if not benchmark.protected]
    if not open_ones:
        raise ConfigError(f"{path}: all benchmarks of the run are protected, so that no prompt may be exported")
    package = empty_folder(out) / _MODULE
    try:
        package.mkdir()
        shutil.copyfile(Path(__file__).with_name("environment_module.py"), package / "__init__.py")
        (out / "pyproject.toml").write_text(_PROJECT, encoding="utf-8")
        settings = {"python": sys.executable, "run": str(path.resolve()), "methods": methods}
        (package / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        with (package / "tasks.jsonl").open("w", encoding="utf-8") as tasks:
            for name in open_ones:
                for sample_id in infos[name]:
                    messages = benchmarks[name].sample(sample_id).prompt.messages()
                    task = {"benchmark": name, "sample_id": sample_id, "messages": messages}
                    tasks.write(json.dumps(task) + "\n")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {one_line(error)}") from error
    return [out / "pyproject.toml", package / "settings.json", package / "tasks.jsonl"]


def run_config(path: Path) -> RunConfig:
    """Read the configuration of a run. Raises ConfigError."""
    return read_recorded(read_manifest(path)["config"])
