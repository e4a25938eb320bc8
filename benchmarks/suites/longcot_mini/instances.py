"""Reads the instance of a logic puzzle from its prompt, where the data set's labels precede the values.

The hub's rows have no other copy of the instance. The examples in the rules have the same labels, so the last labels
count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.suites.longcot_mini.counts import least_health, least_waste, total_strength, trapezoids

Facts = dict[str, Any]


def facts_of(template: str, prompt: str) -> Facts:
    """Return the facts by which answers to a logic puzzle are checked. Raises ValueError for a prompt without them."""
    try:
        return _READERS[template](prompt)
    except (KeyError, IndexError, TypeError, AssertionError) as error:
        raise ValueError(f"the prompt has no complete instance of {template}") from error


def _last(prompt: str, label: str) -> str:
    place = prompt.rfind(f"\n{label}: ")
    if place < 0:
        raise ValueError(f"the prompt has no line that begins with {label!r}")
    return prompt[place + len(label) + 3 :].split("\n", 1)[0].strip()


def _value(prompt: str, label: str) -> Any:
    text = _last(prompt, label)
    try:
        return json.loads(text.replace("(", "[").replace(")", "]").replace("'", '"'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{label} is {text[:60]!r}: expected lists of values") from error


def _plan(prompt: str) -> Facts:
    return {"initial": _value(prompt, "Initial state"), "goal": _value(prompt, "Goal state")}


def _sudoku(prompt: str) -> Facts:
    return {"grid": _value(prompt, "Puzzle grid"), "block": int(_last(prompt, "Block size").split(" ")[0])}


def _sokoban(prompt: str) -> Facts:
    rows = _value(prompt, "Grid")
    walls = [[i, j] for i, row in enumerate(rows) for j, mark in enumerate(row) if mark == "#"]
    labels = {"goals": "Goal locations", "boxes": "Box start locations", "player": "Player start location"}
    return {"walls": walls} | {key: _value(prompt, label) for key, label in labels.items()}


def _modulus(prompt: str) -> int:
    return int(re.findall(r"\(mod (\d+)\)", prompt)[-1])


def _packaging(prompt: str) -> Facts:
    packages, suppliers, modulus = _value(prompt, "Packages"), _value(prompt, "Suppliers"), _modulus(prompt)
    return {"value": least_waste(packages, suppliers, modulus), "modulus": modulus}


def _wizards(prompt: str) -> Facts:
    modulus = _modulus(prompt)
    return {"value": total_strength(_value(prompt, "Strength array"), modulus), "modulus": modulus}


_READERS: Mapping[str, Callable[[str], Facts]] = {
    "BlocksWorld": _plan, "RandomHanoi": _plan, "Sudoku": _sudoku, "Sokoban": _sokoban,
    "Dungeon": lambda prompt: {"value": least_health(_value(prompt, "Grid layout"))},
    "TrapezoidCounting": lambda prompt: {"value": trapezoids(_value(prompt, "Points"))},
    "PackagingMinWaste": _packaging, "WizardsTotalStrength": _wizards,
}  # fmt: skip
