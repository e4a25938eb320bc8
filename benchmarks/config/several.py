"""The models of a run: the section `model` holds one of them, or several by name, as `model.NAME`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.config.errors import ConfigError
from rlm.models.build import ROLES

Plain = Mapping[str, Any]

# Mappings in the section of one model.
_PARTS = ("endpoint", *ROLES)
# A section has at least one of these keys.
_MARKS = (*_PARTS, "kind", "script", "name")


def sections_of(model: Any) -> dict[str, Any]:
    """Return the sections of the models by name; that of a single model has the name ''.

    Keys of a single model beside named ones are left over from an experiment, and are dropped.
    """
    if not isinstance(model, Mapping):
        return {"": model}
    return {name: section for name, section in model.items() if _is_section(name, section)} or {"": model}


def with_sections(model: Any, change: Callable[[Any, str], Any]) -> Any:
    """Return the section `model` with `change(section, key)` in place of each model's section."""
    changed = {name: change(section, place(name)) for name, section in sections_of(model).items()}
    return changed.get("", changed)


def place(name: str) -> str:
    """Return the key of a model's section."""
    return f"model.{name}" if name else "model"


def labels_of(roots: Mapping[str, str]) -> dict[str, str]:
    """Return the label of each model in tables: the name of its root, and that of the choice if the root is repeated.

    Only the later of two models with the same root gets the longer label, so an added model changes no other label.
    """
    labels: dict[str, str] = {}
    for name, root in roots.items():
        labels[name] = f"{root} ({name})" if root in labels.values() else root
    return labels


def model_words(words: Sequence[str], of_one: Callable[[Sequence[str]], list[str]]) -> list[str]:
    """Rewrite `model=[A,B]` and the overrides `model.A.KEY=VALUE` in the form that Hydra accepts.

    of_one: rewrites overrides of one model, `model.KEY=VALUE`. Raises ConfigError for a key without a model's name.
    """
    chosen = [found for word in words if (found := re.fullmatch(r"\+?model=\[([\w\s,.'\"-]*)\]", word))]
    if not chosen:
        return of_one(words)
    names = [name.strip(" \t'\"") for name in chosen[-1][1].split(",") if name.strip()]
    if not all(re.fullmatch(r"[\w-]+", name) for name in names) or not names or len(set(names)) < len(names):
        raise ConfigError(f"{chosen[-1][0]}: expected the names of models, each once; see `rlm-eval list`")
    others = [word for word in words if not re.match(r"\+?model=", word)]
    if len(names) == 1:
        return of_one([f"model={names[0]}", *others])
    written = ["~model", *(f"+model@model.{name}={name}" for name in names)]
    own: dict[str, list[str]] = {name: [] for name in names}
    for word in others:
        found = re.fullmatch(r"(\+*model)\.([\w-]+)(\..*)", word, re.DOTALL)
        if found and found[2] in own:
            own[found[2]].append(found[1] + found[3])
        elif re.match(r"[+~]*model[.=]", word):
            raise ConfigError(f"{word}: expected a key of one of the models, as in model.{names[0]}.KEY=VALUE")
        else:
            written.append(word)
    for name, keys in own.items():
        written += [re.sub(r"^(\+*model)\.", rf"\1.{name}.", word) for word in of_one(keys)]
    return written


def _is_section(name: Any, section: Any) -> bool:
    return name not in _PARTS and isinstance(section, Mapping) and any(mark in section for mark in _MARKS)
