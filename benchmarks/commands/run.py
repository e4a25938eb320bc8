"""`rlm-eval run`: a Hydra application."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.config.compose import resolve
from benchmarks.config.errors import ConfigError
from benchmarks.config.explain import explain
from benchmarks.config.plugins import conf_dir, register
from benchmarks.config.renamed import words_today
from benchmarks.config.roles import role_words
from benchmarks.config.schema import RunConfig
from benchmarks.config.words import check_words

# A run that the embedded model would compute for longer begins only with --yes.
MOST_HOURS = 1.0
EXIT_CODES = {"finished": 0, "failed": 1, "budget": 1, "interrupted": 130}


def main(argv: Sequence[str]) -> int:
    """Run the matrix, print the table, and finally the line `run: PATH`. Raises ConfigError."""
    agreed = "--yes" in argv
    argv = [word for word in argv if word != "--yes"]
    # Hydra then raises its errors here instead of printing a traceback.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    codes: list[int] = []
    errors: list[Exception] = []
    begun: list[bool] = []

    @hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
    def job(composed: Any) -> None:
        begun.append(True)
        try:
            codes.append(_run(composed, agreed))
        except Exception as error:
            # In a sweep, the job may run in another process, from which only exceptions return.
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            # Hydra rewords the exceptions of a job, so they are kept here and raised afterwards.
            errors.append(error)

    check_words(argv)
    register()
    # Hydra registers the shell completion under this name, which must be one word.
    completing = any(word in ("-sc", "--shell-completion") for word in argv)
    before, sys.argv = sys.argv, ["rlm-eval" if completing else "rlm-eval run", *words_today(role_words(argv))]
    try:
        job()
    except Exception as error:
        # Before a job begins, any exception is Hydra's error about the overrides.
        if begun and not type(error).__module__.startswith(("hydra", "omegaconf")):
            raise
        raise explain(error, argv) from error
    finally:
        sys.argv = before
    if errors:
        raise errors[0]
    return max(codes, default=0)


def _run(composed: Any, agreed: bool) -> int:
    from benchmarks.running.progress import clock
    from benchmarks.running.run import run

    started = time.monotonic()
    config = resolve(composed)
    if not agreed:
        _refuse_hours(config)
    outcome = run(config, _hydra_files(composed))
    try:
        if outcome.samples:
            _print_report(outcome)
    except (OSError, ConfigError):
        # The outcome already reports that nothing can be written, or that the folder is gone.
        if not outcome.message:
            raise
    finally:
        for line in filter(None, (outcome.message, *outcome.unscored)):
            print(f"rlm-eval: {line}", file=sys.stderr)
        print(f"used: {clock(time.monotonic() - started)}, {outcome.used}")
        print(f"run: {outcome.path}", flush=True)
    return EXIT_CODES[outcome.state] or int(bool(outcome.unscored))


def _refuse_hours(config: RunConfig) -> None:
    """Raise ConfigError for a new run that would keep this machine's CPU busy for hours."""
    from benchmarks.running.estimate import embedded_hours
    from benchmarks.running.estimate_time import in_words

    if config.cache.mode == "replay" or (config.folder / "run.json").exists():
        return
    hours = embedded_hours(config)
    if hours > MOST_HOURS:
        raise ConfigError(
            f"this run would take about {in_words(hours)} on the embedded model: begin with +experiment=quickstart, "
            "or set limit=5 with short inputs such as benchmark.sniah.lengths=[1024], or model=NAME, or add --yes"
        )


def _print_report(outcome: Any) -> None:
    from benchmarks.report import write_report
    from benchmarks.running.busy import Busy

    with Busy("building the report") as busy:
        files = write_report([outcome.path], outcome.path / "report", tell=busy.step)
    print(files.table)
    for path in files:
        print(f"wrote: {path}")


def _hydra_files(composed: Any) -> dict[str, str]:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    hydra_config = HydraConfig.get()
    return {
        "config.yaml": OmegaConf.to_yaml(composed),
        "overrides.yaml": OmegaConf.to_yaml(hydra_config.overrides.task),
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra_config})),
    }
