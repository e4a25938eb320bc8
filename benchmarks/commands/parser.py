"""The parser of command-line options. A usage error is one line, which explains settings written as flags."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from benchmarks.config.errors import ConfigError
from benchmarks.config.words import unknown_flag


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises ConfigError instead of printing its usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        found = re.match(r"unrecognized arguments: (--?[\w-]+)(?:[= ]([^\s-]\S*))?", message)
        # The positional arguments that may include settings.
        if found and any(action.dest in ("overrides", "paths") for action in self._actions):
            raise ConfigError(f"{unknown_flag(found[1], found[2] or '')}; see `{self.prog} --help`")
        raise ConfigError(f"{message}; see `{self.prog} --help`")
