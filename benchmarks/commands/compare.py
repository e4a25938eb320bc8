"""`rlm-eval compare`: a paired comparison of two runs, as a check for CI."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands.parser import Parser


def main(argv: Sequence[str]) -> int:
    """Print the comparison; return 0 for no regression, 1 for a regression. Raises ConfigError (exit code 2)."""
    parser = Parser(
        prog="rlm-eval compare",
        description="Compare two runs in pairs by sample and epoch. Exit code 0: no regression; 1: regression; 2: the "
        "runs cannot be compared.",
    )
    parser.add_argument("base", type=Path, metavar="BASE", help="run folder of the earlier run")
    parser.add_argument("new", type=Path, metavar="NEW", help="run folder of the run that is checked")
    parser.add_argument(
        "--max-drop", type=float, metavar="X", help="largest allowed drop of the score (0 to 1); 0.05 is 5 points"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="with --max-drop: fail unless a test at --alpha shows that the score did not drop by X (non-inferiority)",
    )
    parser.add_argument(
        "--max-cost-rise", type=float, metavar="X", help="largest allowed rise of the mean cost; 0.2 is 20%%"
    )
    parser.add_argument("--alpha", type=float, default=0.05, metavar="A", help="level of the tests (default 0.05)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write the result as JUnit XML")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="WHAT",
        help="compare despite a difference: data, missing (also unfinished runs), caps or scorer; repeatable",
    )
    words = parser.parse_args(argv)

    from benchmarks.config.errors import ConfigError
    from benchmarks.report.compare import NotComparable, compare
    from benchmarks.report.verdict import junit, junit_not_comparable, text

    try:
        compared = compare(
            words.base,
            words.new,
            max_drop=words.max_drop,
            max_cost_rise=words.max_cost_rise,
            alpha=words.alpha,
            strict=words.strict,
            allow=frozenset(words.allow),
        )
    except ConfigError as refusal:
        _write(words.junit, junit_not_comparable(str(refusal)))
        raise
    except Exception as error:
        # Exit code 1 means a regression, so an unexpected error must not end with it.
        reason = f"not comparable: {type(error).__name__}: {error}"
        _write(words.junit, junit_not_comparable(reason))
        raise NotComparable(reason) from error
    _write(words.junit, junit(compared))
    _print(text(compared))
    return compared.code


def _print(text: str) -> None:
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        # The reader has closed the pipe, but the exit code still counts.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(path: Path | None, content: str) -> None:
    if path is None:
        return
    from benchmarks.config.errors import ConfigError
    from benchmarks.running.run_files import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise ConfigError(f"--junit {path} cannot be written: {error.strerror or error}") from error
