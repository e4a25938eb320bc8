"""`rlm-eval list`: lists benchmarks, methods, models and experiments, with one line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands.parser import Parser
from benchmarks.config.plugins import conf_files

GROUPS = ("benchmark", "method", "model", "judge", "executor", "repl", "experiment", "paper")


def main(argv: Sequence[str]) -> int:
    """Print every choice of every group with the first sentence of its file."""
    parser = Parser(prog="rlm-eval list", description="List the choices of each group, one line each.")
    parser.add_argument(
        "group", nargs="?", choices=GROUPS, metavar="GROUP", help=f"only this group: {', '.join(GROUPS)}"
    )
    words = parser.parse_args(argv)
    for group in [words.group] if words.group else GROUPS:
        files = conf_files(group)
        if not files:
            continue
        print(f"{group}")
        width = max(map(len, files))
        for name, path in files.items():
            print(f"  {name:<{width}}  {first_sentence(path)}")
        print()
    return 0


def first_sentence(path: Path) -> str:
    """Return the first comment of a configuration file that is not an instruction to Hydra."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
        if line and not line.startswith("#"):
            break
    return ""
