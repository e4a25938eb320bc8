"""Shell completion: command names come from this module, keys and choices of a configuration from Hydra."""

from __future__ import annotations

import os
from collections.abc import Sequence

# The commands whose arguments are configuration.
_CONFIGURED = ("run", "estimate", "data", "serve", "ask")


def main(argv: Sequence[str], commands: Sequence[str]) -> int:
    """Do what Hydra does for `-sc install=SHELL` and `-sc query=SHELL`; COMP_LINE holds the current line.

    Hydra's shell script calls the program without its command, so the command is removed from the line here.
    """
    if any(word.startswith("query=") for word in argv):
        program, _, rest = os.environ.get("COMP_LINE", "").lstrip().partition(" ")
        command, space, words = rest.lstrip().partition(" ")
        if not space:
            print(" ".join(name for name in commands if name.startswith(command)))
            return 0
        if command not in _CONFIGURED:
            return 0
        os.environ["COMP_LINE"] = f"{program} {words}"
    from benchmarks.commands.run import main as run

    return run(argv)
