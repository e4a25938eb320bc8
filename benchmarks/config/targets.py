"""Reads sections that name a class by `_target_`: benchmarks, methods, executors and custom models."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.renamed import today
from rlm.completion import one_line
from rlm.validation import SettingError, located, make, shown, validate


@dataclass(frozen=True)
class Target:
    """A class that a configuration names, with its settings. It is imported and built only when needed.

    where: the key of the section, for messages. name: the dotted name of the class.
    """

    where: str
    name: str
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, section: object, where: str) -> Target:
        """Read a section. Raises ConfigError."""
        if not isinstance(section, Mapping):
            raise ConfigError(f"{where} is {shown(section)}: expected a section of keys and values")
        name = section.get("_target_")
        if not isinstance(name, str) or "." not in name:
            raise ConfigError(f"{where} has no _target_: expected the dotted name of a class")
        return cls(where, today(name), {key: value for key, value in section.items() if key != "_target_"})

    @property
    def target(self) -> Callable[..., Any]:
        """Import the class. Raises ConfigError."""
        module, _, name = self.name.rpartition(".")
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{self.where}._target_ is {self.name!r}: {error}") from error
        return found

    def check(self, given: Iterable[str] = ()) -> None:
        """Check the settings without building. given: the names of the parameters that `build` will be passed."""
        try:
            validate(self.target, self.settings, self.where, given)
        except SettingError as error:
            raise ConfigError(str(error)) from error

    def build(self, **given: Any) -> Any:
        """Make an object of the class from the settings and the given arguments. Raises ConfigError."""
        try:
            return make(self.target, self.settings, self.where, **given)
        except ConfigError:
            raise
        except SettingError as error:
            raise ConfigError(str(error)) from error
        except (ArithmeticError, OSError) as error:
            raise ConfigError(located(error, self.target, self.where)) from error
        except (Exception, SystemExit) as error:
            # The class can be a plug-in, whose constructor raises anything.
            raise ConfigError(f"{self.where}: {self.name}() raised {one_line(error)}") from error


def targets_of(section: object, where: str) -> dict[str, Target]:
    """Read the classes of a group such as `benchmark`, by the names under which they are chosen."""
    if not section:
        raise ConfigError(f"{where} is empty: choose at least one, as in '{where}=[...]'; see `rlm-eval list`")
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where} is {shown(section)}: expected a list of names, as in '{where}=[...]'")
    return {str(name): Target.of(settings, f"{where}.{name}") for name, settings in section.items()}
