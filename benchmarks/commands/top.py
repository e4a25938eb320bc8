"""`rlm-eval top`: a leaderboard over run folders, paired where the samples are the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands.parser import Parser


def main(argv: Sequence[str]) -> int:
    """Print the leaderboard. Raises ConfigError for a path that is not a run and for runs that cannot be ranked."""
    parser = Parser(
        prog="rlm-eval top",
        description="Rank the methods of several runs within each benchmark. Methods are ranked only on the same "
        "samples; the others are listed with the reason why they have no rank.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, or folders of run folders")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the leaderboard as CSV")
    words = parser.parse_args(argv)

    from benchmarks.config.errors import ConfigError
    from benchmarks.report.tables.formats import write_csv
    from benchmarks.report.top import leaderboard, leaderboard_text

    board = leaderboard(words.runs)
    if words.csv:
        try:
            words.csv.parent.mkdir(parents=True, exist_ok=True)
            write_csv(board, words.csv)
        except OSError as error:
            raise ConfigError(f"--csv {words.csv} cannot be written: {error.strerror or error}") from error
    print(leaderboard_text(board), end="")
    return 0
