"""Explains words of a command line that are not overrides, in one line each."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.config.errors import ConfigError
from benchmarks.config.plugins import conf_files

# The flags of a Hydra application, with the number of words that follow each.
_FLAGS = {
    "-h": 0, "--help": 0, "--hydra-help": 0, "--version": 0, "-r": 0, "--run": 0, "-m": 0, "--multirun": 0,
    "--resolve": 0, "-c": 1, "--cfg": 1, "-p": 1, "--package": 1, "-sc": 1, "--shell-completion": 1, "-i": 1,
    "--info": 1, "-cd": 1, "--config-dir": 1, "-cp": 1, "--config-path": 1, "-cn": 1, "--config-name": 1,
}  # fmt: skip
_PAIRS = {"[": "]", "{": "}", "(": ")"}


def check_words(words: Sequence[str]) -> None:
    """Raise ConfigError for a word that is neither an override nor a flag."""
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        if _FLAGS.get(before):
            continue
        key, equals, value = word.partition("=")
        if key.startswith("-"):
            if key not in _FLAGS:
                raise ConfigError(unknown_flag(key, value if equals else next(iter(words[place + 1 :]), "")))
        elif not equals and not key.startswith("~"):
            raise ConfigError(_bare_word(word, next(iter(words[place + 1 :]), "")))
        elif key == "experiment":
            raise ConfigError(f"{word}: an experiment is added with a plus: +experiment={value or 'NAME'}")
        elif equals and not _balanced(value):
            raise ConfigError(
                f"{word}: the brackets do not match; write a list as '{key.lstrip('+~')}=[a,b]', in quotes"
            )


def _bare_word(word: str, after: str) -> str:
    """Return one line for a word that is no override, with the override that was probably meant."""
    name = word.lstrip("+")
    if name == "experiment" or name in conf_files("experiment"):
        chosen = name if name != "experiment" else after if after and "=" not in after else "NAME"
        return f"{word}: an experiment is added as +experiment={chosen}"
    group = next((group for group in ("benchmark", "method", "model") if name in conf_files(group)), None)
    if group:
        meant = f"{group}={name}" if group == "model" else f"'{group}=[{name}]'"
    else:
        is_key = name.replace(".", "").replace("_", "").isalnum() and after and "=" not in after
        meant = f"{name}={after}" if is_key else "limit=5"
    return f"{word}: settings are written KEY=VALUE without spaces, such as {meant}"


def unknown_flag(flag: str, value: str) -> str:
    """Return one line for a flag that does not exist, with the setting that was probably meant."""
    name = flag.lstrip("-").replace("-", "_")
    if flag in ("-e", "--experiment"):
        return f"there is no flag {flag}: an experiment is added as +experiment={value or 'NAME'}"
    if not flag.startswith("--"):
        return f"there is no flag {flag}: settings are written KEY=VALUE, such as limit=5"
    return f"there is no flag {flag}: settings are written KEY=VALUE, such as {name}={value or 'VALUE'}"


def _balanced(value: str) -> bool:
    expected: list[str] = []
    quote = ""
    for before, char in zip(" " + value, value, strict=False):
        if quote:
            quote = "" if char == quote and before != "\\" else quote
        elif char in "'\"" and before in "[{(,:= ":
            quote = char
        elif char in _PAIRS and before != "\\":
            expected.append(_PAIRS[char])
        elif char in _PAIRS.values() and before != "\\" and (not expected or expected.pop() != char):
            return False
    return not expected
