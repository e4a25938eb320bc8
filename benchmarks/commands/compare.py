"""`rlm-eval compare`: a paired comparison of two runs, as a gate for CI."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str]) -> int:
    """Print the comparison; 0 no regression, 1 regression. Raises ConfigError (exit code 2)."""
    parser = argparse.ArgumentParser(
        prog="rlm-eval compare",
        description="Compare two runs in pairs by sample and epoch. Exit code 0: no regression; 1: regression; 2: the "
        "runs cannot be compared.",
    )
    parser.add_argument("base", type=Path, metavar="BASE", help="run folder to compare with")
    parser.add_argument("new", type=Path, metavar="NEW", help="run folder that is judged")
    parser.add_argument(
        "--max-drop", type=float, metavar="X", help="the score (0 to 1) must be shown not to be worse by X or more"
    )
    parser.add_argument(
        "--max-cost-rise", type=float, metavar="X", help="the mean cost may rise by this fraction; 0.2 is 20%%"
    )
    parser.add_argument("--alpha", type=float, default=0.05, metavar="A", help="level of the tests (default 0.05)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the verdict as JUnit XML too")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="WHAT",
        help="compare all the same: data, missing (unfinished too), caps or scorer; can be given several times",
    )
    words = parser.parse_args(argv)

    from benchmarks.config.compose import ConfigError
    from benchmarks.report.compare import NotComparable, compare
    from benchmarks.report.verdict import junit, junit_not_comparable, text

    try:
        verdict = compare(
            words.base,
            words.new,
            max_drop=words.max_drop,
            max_cost_rise=words.max_cost_rise,
            alpha=words.alpha,
            allow=frozenset(words.allow),
        )
    except ConfigError as refusal:
        _write(words.junit, junit_not_comparable(str(refusal)))
        raise
    except Exception as error:
        # Exit code 1 says that there is a regression, so nothing else may end with it.
        told = f"not comparable: {type(error).__name__}: {error}"
        _write(words.junit, junit_not_comparable(told))
        raise NotComparable(told) from error
    _write(words.junit, junit(verdict))
    _say(text(verdict))
    return verdict.code


def _say(told: str) -> None:
    try:
        print(told, end="", flush=True)
    except BrokenPipeError:
        # Whoever reads no further still gets the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(path: Path | None, content: str) -> None:
    if path is None:
        return
    from benchmarks.config.compose import ConfigError
    from benchmarks.running.run_folder import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise ConfigError(f"--junit {path} cannot be written: {error.strerror or error}") from error
