"""Validation of settings against the annotations of the class that they configure.

A class declares its settings once, in the annotations of its fields or of its `__init__`. Bounds are written with
`annotated_types` (`Annotated[int, Ge(1)]`), or with a pydantic `Field`, whose `description` replaces the wording
generated here.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any

if typing.TYPE_CHECKING:
    from pydantic import TypeAdapter

_NOUNS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "object": "a section of keys and values",
}
_BOUNDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "of at most",
    "exclusiveMaximum": "below",
}
_PLURALS = {"string": "strings", "integer": "integers", "number": "numbers"}


class SettingError(ValueError):
    """A setting that does not fit; the message is one line that names the key, the value and what was expected."""


def validate(target: type, settings: object, where: str = "") -> dict[str, Any]:
    """The settings of `target`, checked against its annotations; nested sections become objects of their class.

    where: the key of the whole section, which prefixes every key in messages. Annotations that only type checkers can
    resolve accept any value. Missing keys are reported by the constructor, not here. Raises SettingError for the first
    key that is unknown or whose value does not fit.
    """
    if not isinstance(settings, Mapping):
        raise SettingError(f"{where or target.__name__} is {_shown(settings)}: expected {_NOUNS['object']}")
    kinds = setting_types(target)
    checked = {}
    for key, value in settings.items():
        name = f"{where}.{key}" if where else str(key)
        if key not in kinds:
            raise SettingError(unknown("key", name, [f"{where}.{known}" if where else known for known in kinds]))
        checked[key] = _checked(kinds[key], value, name)
    return checked


def make(target: type, settings: object, where: str = "") -> Any:
    """An object of `target` from its settings. Raises SettingError, also for missing keys and for combinations."""
    checked = validate(target, settings, where)
    try:
        return target(**checked)
    except SettingError:
        raise
    except (TypeError, ValueError) as error:
        text = " ".join(str(error).replace(f"{target.__name__}.__init__() ", "").split())
        raise SettingError(text if not where or text.startswith(where) else f"{where}: {text}") from error


def unknown(what: str, got: str, known: Iterable[str]) -> str:
    """One line for a name that does not exist, with the nearest name that does."""
    names = list(known)
    near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(names))}"
    return f"there is no {what} {got!r}; {hint}"


@cache
def setting_types(target: type) -> dict[str, Any]:
    """The settings that a class takes, by name, with their annotations resolved."""
    if dataclasses.is_dataclass(target):
        names = [field.name for field in dataclasses.fields(target) if field.init]
        owners = [vars(sys.modules[base.__module__]) for base in target.__mro__ if base.__module__ in sys.modules]
        hints = {name: hint for base in reversed(target.__mro__) for name, hint in _own_annotations(base).items()}
        return {name: _resolved(hints.get(name, Any), owners) for name in names}
    parameters = inspect.signature(target).parameters.values()
    named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    owners = [vars(sys.modules[target.__module__])]
    return {one.name: Any if one.annotation is one.empty else _resolved(one.annotation, owners) for one in named}


def _own_annotations(base: type) -> Mapping[str, Any]:
    return inspect.get_annotations(base)


def _resolved(annotation: Any, owners: Sequence[Mapping[str, Any]]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    for names in owners:
        try:
            return eval(annotation, dict(names))
        except Exception:
            # Imported for type checkers only, or defined by another class of the same family.
            continue
    return Any


def _checked(kind: Any, value: Any, name: str) -> Any:
    section = _section(kind)
    if section is not None and isinstance(value, Mapping):
        return make(section, value, name)
    if section is not None and value is None and section is not kind:
        return None
    if section is not None:
        expected = _NOUNS["object"] + (", or null" if section is not kind else "")
        raise SettingError(f"{name} is {_shown(value)}: expected {expected}")
    adapter = _adapter(kind)
    if adapter is None:
        return value
    from pydantic import ValidationError

    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{name} is {value!r}: expected {expectation(kind)}; a number must be finite")
    try:
        # YAML has lists only, where a class may hold a tuple.
        return adapter.validate_python(tuple(value) if isinstance(value, list) and _takes_tuple(kind) else value)
    except ValidationError as error:
        own = [one["msg"].removeprefix("Value error, ") for one in error.errors() if one["type"] == "value_error"]
        raise SettingError(f"{name} is {_shown(value)}: expected {own[0] if own else expectation(kind)}") from None


def _takes_tuple(kind: Any) -> bool:
    return any(typing.get_origin(one) is tuple for one in (kind, *typing.get_args(kind)))


def _section(kind: Any) -> type | None:
    """The dataclass that a kind, or one of the kinds of an optional one, stands for."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, UnionType) else (kind,)
    return next((one for one in kinds if isinstance(one, type) and dataclasses.is_dataclass(one)), None)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    """What checks values of a kind; None for kinds that no configuration can hold, such as a model."""
    from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

    # YAML has strings only, where a class may hold a member of an enumeration.
    strict = not any(isinstance(one, type) and issubclass(one, Enum) for one in (kind, *typing.get_args(kind)))
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind, config=ConfigDict(strict=strict, allow_inf_nan=False))
        adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None
    return adapter


def expectation(kind: Any) -> str:
    """The values that an annotation accepts, in words: `an integer of at least 1, or null`."""
    adapter = _adapter(kind)
    return "another value" if adapter is None else _words(adapter.json_schema())


def _words(schema: Mapping[str, Any]) -> str:
    if "description" in schema:
        return str(schema["description"])
    if "anyOf" in schema:
        parts = [_words(one) for one in schema["anyOf"]]
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}{',' if len(parts) < 3 else ''} or {parts[-1]}"
    if "enum" in schema or "const" in schema:
        values = [str(one) for one in schema.get("enum", [schema.get("const")])]
        return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"
    if schema.get("type") == "array":
        items = schema.get("items") or {}
        noun = f"a list of {_PLURALS.get(items.get('type', ''), 'values')}"
        return noun + _bounds(items) + (", not empty" if schema.get("minItems") else "")
    return _NOUNS.get(schema.get("type", ""), "another value") + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    if schema.get("minLength"):
        return ", not empty"
    if "minimum" in schema and "maximum" in schema:
        return f" from {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    found = [f"{words} {_number(schema[key])}" for key, words in _BOUNDS.items() if key in schema]
    return f" {' and '.join(found)}" if found else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
