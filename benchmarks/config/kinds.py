"""Whether a value of the configuration is of the kind that the class it is for declares."""

from __future__ import annotations

import collections.abc
import inspect
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

_WORDS: dict[Any, str] = {
    str: "a text (in quotes, if it looks like a number)",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
_LISTS = (list, tuple, collections.abc.Sequence)
_SECTIONS = (dict, collections.abc.Mapping)


def misfit(target: type, keys: Mapping[str, Any]) -> tuple[str, Any, str] | None:
    """The first of `keys` whose value is not of the kind that `target` annotates it with: key, value, what was wanted.

    Looks at plain kinds (numbers, texts, truth values, null, lists and sections of them) and lets all others pass.
    """
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None
    names = vars(sys.modules[target.__module__])
    for key, value in keys.items():
        kind = parameters[key].annotation if key in parameters else Any
        if isinstance(kind, str):
            try:
                kind = eval(kind, dict(names))
            except Exception:
                # Imported for type checkers only: nothing that a configuration could hold.
                kind = Any
        if not _fits(value, kind):
            return key, value, _words(kind)
    return None


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin in _LISTS or kind in _LISTS:
        inner = arguments[0] if arguments else Any
        return isinstance(value, Sequence) and not isinstance(value, str) and all(_fits(one, inner) for one in value)
    if origin in _SECTIONS or kind in _SECTIONS:
        return isinstance(value, Mapping)
    if kind not in _WORDS:
        return True
    if kind is float:
        kind = int | float
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _words(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(one) for one in arguments)
    if origin in _LISTS or kind in _LISTS:
        inner = {int: " of whole numbers", float: " of numbers", str: " of texts"}
        return "a list" + inner.get(arguments[0] if arguments else None, "")
    if origin in _SECTIONS or kind in _SECTIONS:
        return "a section (keys with values)"
    return _WORDS.get(kind, "something else")
