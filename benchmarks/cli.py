"""The command line: `rlm-eval COMMAND ...`. Each command is a module of benchmarks.commands, imported when needed."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from rlm.terminal import guard_streams

COMMANDS = {
    "run": "run benchmarks with methods and print a table of scores",
    "report": "rebuild the tables and figures of runs, offline",
    "compare": "compare two runs sample by sample, as a check for CI",
    "top": "print a leaderboard over run folders",
    "score": "score predictions that were made elsewhere",
    "rescore": "score a run again, without calling the method's models",
    "data": "print the samples that a run would use",
    "estimate": "estimate the calls, tokens and dollars of a run",
    "view": "open runs in the browser",
    "export": "export a run for other tools",
    "serve": "serve methods as an OpenAI-compatible endpoint",
    "ask": "ask one question over files or folders",
    "models": "list or fetch weights of the embedded model",
    "list": "list benchmarks, methods, models and experiments",
    "doctor": "check this machine",
}

# Errors of the file system (full, read-only, no permission), which are not bugs of the program.
NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
# Errors of a path that cannot exist, which are usage errors.
NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)

USAGE = """usage: rlm-eval COMMAND ...

Runs Recursive Language Models and their baselines over long-context benchmarks.

commands:
{commands}

examples:
  rlm-eval run +experiment=quickstart
  rlm-eval run 'benchmark=[sniah]' 'benchmark.sniah.lengths=[1024]' 'method=[base,rlm]' model=local limit=5
  rlm-eval run 'benchmark=[sniah]' 'benchmark.sniah.lengths=[1024,2048]' 'method=[base]' model=openai
  rlm-eval report results/runs/quickstart

Settings of a run are Hydra overrides: KEY=VALUE; groups are lists of names. `rlm-eval list` shows the names,
`rlm-eval run --help` the keys with their values, `rlm-eval COMMAND --help` the other options. Completion in the shell:
eval "$(rlm-eval -sc install=bash)"
Exit codes: 0 done, 1 a run that failed or a regression, 2 a usage error, 130 interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 2 for a usage error, which is reported in one line."""
    guard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE.format(commands="\n".join(f"  {name:<10}{line}" for name, line in COMMANDS.items())))
        if not words:
            print("To begin, type: rlm-eval run +experiment=quickstart")
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"rlm-eval {version('rlm-eval')}")
        return 0
    if words[0] in ("-sc", "--shell-completion"):
        from benchmarks.commands.shell_completion import main as complete

        return complete(words, list(COMMANDS))
    if words[0] not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(words[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see `rlm-eval --help`"
        return _refuse(f"there is no command {words[0]!r}; {hint}")
    try:
        return importlib.import_module(f"benchmarks.commands.{words[0]}").main(words[1:])
    except ValueError as error:
        if not type(error).__module__.startswith(("benchmarks.", "rlm.")):
            raise
        return _refuse(" ".join(str(error).split()))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has gone. This keeps the interpreter from reporting it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (*NO_PLACE, *NO_PATH):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"rlm-eval: {where}{error.strerror}", file=sys.stderr)
        return 2 if error.errno in NO_PATH else 1


def _refuse(message: str) -> int:
    print(f"rlm-eval: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
