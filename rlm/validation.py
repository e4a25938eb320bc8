"""Validation of settings against the annotations of the class that they configure.

A class declares its settings once, in the annotations of its fields or of its `__init__`. Bounds are written with
`annotated_types` (`Annotated[int, Ge(1)]`), or with a pydantic `Field`, whose `description` replaces the wording
generated here.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import inspect
import math
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import PurePath
from types import NoneType, UnionType
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
_PLURALS = {"string": "strings", "integer": "integers", "number": "numbers", "object": "sections"}
_BOUNDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "of at most",
    "exclusiveMaximum": "below",
}
# Known names in a message.
_MOST_LISTED = 40
_YAML = {None: "null", True: "true", False: "false"}


class SettingError(ValueError):
    """An invalid setting. The message is one line that names the key, the value and the expectation."""


def validate(
    target: Callable[..., Any], settings: object, where: str = "", given: Iterable[str] = ()
) -> dict[str, Any]:
    """Check the settings of `target` against its annotations; nested sections become objects of their class.

    where: the key of the section, which prefixes every key in messages. given: names of parameters that the caller
    passes itself, which are not settings. Annotations that only type checkers can resolve accept any value. Missing
    keys are reported by `make`. Raises SettingError for the first key that is unknown or has an invalid value.
    """
    if not isinstance(settings, Mapping):
        raise SettingError(f"{where or target.__name__} is {shown(settings)}: expected {_NOUNS['object']}")
    kinds = {name: kind for name, kind in setting_types(target).items() if name not in set(given)}
    checked = {}
    for key, value in settings.items():
        name = _join(where, key)
        if key in kinds:
            checked[key] = _checked(kinds[key], value, name)
        elif _takes_any_key(target) and isinstance(key, str):
            checked[key] = value
        else:
            raise SettingError(unknown("key", name, [_join(where, known) for known in kinds]))
    return checked


def make(target: Callable[..., Any], settings: object, where: str = "", **given: Any) -> Any:
    """Call `target` with its settings and the given arguments.

    Raises SettingError for a key that is unknown or missing, for an invalid value and for a value that the constructor
    rejects. A constructor names a setting by its own name (`lengths is ...`); `where` is put before it. Settings that
    are an object of `target` are returned unchanged.
    """
    if isinstance(target, type) and isinstance(settings, target):
        return settings
    checked = validate(target, settings, where, given)
    for name, kind in setting_types(target).items():
        if name in _required(target) and name not in checked and name not in given:
            raise SettingError(f"{_join(where, name)} is missing: expected {expectation(kind)}")
    try:
        return target(**checked, **given)
    except SettingError:
        raise
    except (TypeError, ValueError) as error:
        raise SettingError(located(error, target, where)) from error


def check_fields(settings: Any, where: str) -> None:
    """Validate the fields of a dataclass in its `__post_init__`, for objects that are not made from a configuration."""
    kind: Any = type(settings)
    validate(kind, {name: getattr(settings, name) for name in setting_types(kind)}, where)


def located(error: Exception, target: Callable[..., Any], where: str) -> str:
    """Return a constructor's error as one line that begins with the key of the section or setting."""
    text = " ".join(str(error).replace(f"{target.__name__}.__init__() ", "").split())
    section = where.rpartition(".")[2]
    if section and text.startswith(f"{section}."):
        return where.removesuffix(section) + text
    if not where or text.startswith(where):
        return text
    setting = text.partition(" ")[0].partition(".")[0].rstrip(":")
    return f"{where}.{text}" if setting in setting_types(target) else f"{where}: {text}"


def unknown(what: str, got: str, known: Iterable[str]) -> str:
    """Return one line about a name that does not exist, with the nearest existing name."""
    names = sorted(known)
    section = got[: got.rfind(".") + 1]
    # Keys of the same section come first, and are compared without its name, which would make all of them similar.
    beside = {name[len(section) :]: name for name in names if name.startswith(section)}
    beside = {tail: name for tail, name in beside.items() if "." not in tail}
    near = [beside[tail] for tail in difflib.get_close_matches(got[len(section) :], beside, n=1, cutoff=0.5)]
    if not near and not (section and beside):
        near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    shown = list(beside.values()) or [name for name in names if "." not in name] or names
    more = f" and {len(shown) - _MOST_LISTED} more" if shown[_MOST_LISTED:] else ""
    listed = ", ".join(shown[:_MOST_LISTED]) + more
    hint = f"did you mean {near[0]!r}?" if near else f"known: {listed or 'none'}"
    return f"there is no {what} {got!r}; {hint}"


@cache
def setting_types(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the settings of a class by name, with their annotations resolved."""
    classes = getattr(target, "__mro__", (target,))
    owners = [vars(sys.modules[one.__module__]) for one in classes if one.__module__ in sys.modules]
    return {
        one.name: Any if one.annotation is one.empty else _resolved(one.annotation, owners)
        for one in _parameters(target)
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }


def expectation(kind: Any) -> str:
    """Describe the values that an annotation accepts: `an integer of at least 1, or null`."""
    arms = [_one_expectation(arm) for arm in _arms(kind)]
    return _either([arm for arm in arms if arm != _NOUNS["null"]] + [arm for arm in arms if arm == _NOUNS["null"]])


def shown(value: object) -> str:
    """Format a value for an error message: as in YAML, cut to 80 characters."""
    text = _YAML[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _parameters(target: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        # Classes written in C may have no signature.
        return [inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)]


def _takes_any_key(target: Callable[..., Any]) -> bool:
    return any(one.kind == one.VAR_KEYWORD for one in _parameters(target))


def _required(target: Callable[..., Any]) -> set[str]:
    return {one.name for one in _parameters(target) if one.default is one.empty}


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _resolved(annotation: Any, owners: Sequence[Mapping[str, Any]]) -> Any:
    if isinstance(annotation, str):
        for names in owners:
            try:
                annotation = eval(annotation, dict(names))
                break
            except Exception:
                # Imported for type checkers only, or defined by another class of the same family.
                continue
        else:
            return Any
    return annotation.type if isinstance(annotation, dataclasses.InitVar) else annotation


def _arms(kind: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, or a list with any other kind."""
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, UnionType) else (kind,)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _element(kind: Any, family: type) -> Any:
    """Return the kind of the values of a mapping or sequence; None for any other kind, or if any value is accepted."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if not isinstance(origin, type) or not issubclass(origin, family) or not arguments or arguments[-1] is Any:
        return None
    fixed = origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis)
    return None if fixed else arguments[0 if origin is tuple else -1]


def _checked(kind: Any, value: Any, name: str) -> Any:
    is_section = isinstance(value, Mapping) and any(map(_is_section, _arms(kind)))
    try:
        finite = is_section or _finite(value)
    except RecursionError:
        raise SettingError(f"{name} is nested too deeply, or contains itself") from None
    if not finite:
        raise SettingError(f"{name} is {shown(value)}: expected {expectation(kind)}; a number must be finite")
    for arm in _arms(kind):
        if _is_section(arm) and isinstance(value, arm):
            return value
        if isinstance(value, Mapping):
            if _is_section(arm):
                return make(arm, value, name)
            if (values := _element(arm, collections.abc.Mapping)) is not None:
                return {key: _checked(values, one, _join(name, key)) for key, one in value.items()}
        elif isinstance(value, list | tuple) and _is_section(items := _element(arm, collections.abc.Sequence)):
            return type(value)(make(items, one, f"{name}[{place}]") for place, one in enumerate(value))
    return _plain(kind, value, name)


def _plain(kind: Any, value: Any, name: str) -> Any:
    """Validate a value that is neither a section nor a collection of sections."""
    from pydantic import ValidationError

    own = []
    for arm in (arm for arm in _arms(kind) if not _is_section(arm)):
        adapter = _adapter(arm)
        if adapter is None:
            return value
        # YAML has only lists, but a class may hold a tuple.
        given = tuple(value) if isinstance(value, list) and _takes_tuple(arm) else value
        try:
            return adapter.validate_python(given)
        except ValidationError as error:
            own += [one["msg"].removeprefix("Value error, ") for one in error.errors() if one["type"] == "value_error"]
    raise SettingError(f"{name} is {shown(value)}: expected {own[0] if own else expectation(kind)}")


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _takes_tuple(kind: Any) -> bool:
    return kind is tuple or any(typing.get_origin(one) is tuple for one in (kind, *typing.get_args(kind)))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    """Return pydantic's checker for a kind; None for kinds that no configuration can hold, such as a model."""
    from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

    # YAML has only strings, but a class may hold a path or a member of an enumeration.
    parts = [one for one in (kind, *typing.get_args(kind)) if isinstance(one, type)]
    strict = not any(issubclass(one, Enum | PurePath) for one in parts)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind, config=ConfigDict(strict=strict, allow_inf_nan=False))
        adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None
    return adapter


def _one_expectation(kind: Any) -> str:
    if kind in (None, NoneType):
        return _NOUNS["null"]
    if _is_section(kind):
        return _NOUNS["object"]
    adapter = _adapter(kind)
    return "another value" if adapter is None else _words(adapter.json_schema())


def _words(schema: Mapping[str, Any]) -> str:
    if "description" in schema:
        return str(schema["description"])
    if "anyOf" in schema:
        return _either([_words(one) for one in schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        values = [_YAML.get(one, str(one)) if isinstance(one, bool) else str(one)
                  for one in schema.get("enum", [schema.get("const")])]  # fmt: skip
        return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"
    if schema.get("type") == "array":
        return _list_words(schema)
    if schema.get("format") == "path":
        return "a path"
    return _NOUNS.get(schema.get("type", ""), "another value") + _bounds(schema)


def _list_words(schema: Mapping[str, Any]) -> str:
    fixed = schema.get("prefixItems")
    items = fixed[0] if fixed else schema.get("items") or {}
    noun = _words(items) if "enum" in items else _PLURALS.get(items.get("type", ""), "values")
    if fixed:
        return f"a list of {len(fixed)} {noun}{_bounds(items)}"
    return f"a list of {noun}{_bounds(items)}" + (", not empty" if schema.get("minItems") else "")


def _either(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])}{',' if len(parts) == 2 else ''} or {parts[-1]}"


def _bounds(schema: Mapping[str, Any]) -> str:
    if schema.get("minLength"):
        return ", not empty"
    if "minimum" in schema and "maximum" in schema:
        return f" from {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    found = [f"{words} {_number(schema[key])}" for key, words in _BOUNDS.items() if key in schema]
    return f" {' and '.join(found)}" if found else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
