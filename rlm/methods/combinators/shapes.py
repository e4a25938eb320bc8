"""The types and the maximum sizes of a program's values, which are known before the program runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TypeAlias

from rlm.models.tokens import count_tokens

# A pair is a tuple of two values.
Value: TypeAlias = "str | int | bool | tuple[Value, Value] | list[Value]"
# Work on the host besides characters: for each item of a list, and for each value inside it.
ITEM_WORK, _VALUE_WORK = 100, 10
# A larger number of different sizes in one list is rounded up.
_MOST_GROUPS = 64
# A larger number of different shapes below one list is rounded up.
_MOST_NODES = 512
# A value with more lists and pairs within each other is refused: values and shapes are walked by recursion.
MOST_NESTED = 40
# Pairs of pairs have more shapes than lists.
MOST_SHAPES = 16 * _MOST_NODES
# A character has at most four bytes, and a token at least one.
_TOKENS_PER_CHAR = 4


@dataclass(frozen=True)
class Text:
    """A text of at most so many characters and tokens."""

    chars: int
    tokens: int


@dataclass(frozen=True)
class Number:
    """A number."""


@dataclass(frozen=True)
class Flag:
    """A truth value."""


@dataclass(frozen=True)
class Pair:
    """Two values, as `cross` makes them."""

    first: Shape
    second: Shape

    @cached_property
    def extent(self) -> tuple[int, int]:
        """The number of shapes in this one, and the depth of lists and pairs."""
        return _extent((self.first, self.second))

    @cached_property
    def _hash(self) -> int:
        return hash((self.first, self.second))

    def __hash__(self) -> int:
        # Kept, because a shape can hold the same one many times.
        return self._hash


@dataclass(frozen=True)
class Items:
    """A list. groups: the shapes of its items, each with the maximum number of items of this shape."""

    groups: tuple[tuple[Shape, int], ...]

    @cached_property
    def extent(self) -> tuple[int, int]:
        """The number of shapes in this one, and the depth of lists and pairs."""
        return _extent(shape for shape, _ in self.groups)

    @cached_property
    def _hash(self) -> int:
        return hash(self.groups)

    def __hash__(self) -> int:
        return self._hash

    @property
    def count(self) -> int:
        return sum(count for _, count in self.groups)

    @property
    def item(self) -> Shape | None:
        """The shape that holds every item; None for an empty list."""
        return reduce(joined, (shape for shape, _ in self.groups)) if self.groups else None


Shape: TypeAlias = Text | Number | Flag | Pair | Items


def items_of(groups: Iterable[tuple[Shape, int]]) -> Items:
    """Return a list's shape; many different sizes are rounded up to few."""
    found = _added(groups)
    if len(found) > _MOST_GROUPS:
        found = _added((_rounded(shape), count) for shape, count in found.items())
    if len(found) > _MOST_GROUPS or _extent(found)[0] > _MOST_NODES:
        found = {reduce(joined, found): sum(found.values())} if found else {}
    return Items(tuple(found.items()))


def shape_of(value: Value) -> Shape:
    """Return the shape of a value. Tokens are counted."""
    if isinstance(value, str):
        return Text(len(value), count_tokens(value))
    if isinstance(value, bool):
        return Flag()
    if isinstance(value, int):
        return Number()
    if isinstance(value, tuple):
        return Pair(shape_of(value[0]), shape_of(value[1]))
    return items_of((shape_of(one), 1) for one in value)


def extent_of(shape: Shape) -> tuple[int, int]:
    """Return the number of shapes in a shape, itself included, and the depth of its lists and pairs."""
    return shape.extent if isinstance(shape, Pair | Items) else (1, 0)


def measured(value: Value, most: int) -> int:
    """Return the number of characters of a value, plus ITEM_WORK for each item of its lists; stop beyond `most`.

    A list can contain another one many times, so a few items in memory may be many items as text.
    """
    size, stack = 0, [value]
    while stack and size <= most:
        one = stack.pop()
        size += _VALUE_WORK + (len(one) if isinstance(one, str) else 0)
        if isinstance(one, list | tuple):
            size += ITEM_WORK * len(one) if isinstance(one, list) else 0
            stack.extend(one if size <= most else ())
    return size


def kind(shape: Shape | None) -> str:
    """Name a type, as messages do."""
    match shape:
        case Text():
            return "a text"
        case Number():
            return "a number"
        case Flag():
            return "a yes or no"
        case Pair():
            return f"a pair of {kind(shape.first)} and {kind(shape.second)}"
        case Items():
            return f"a list, each item {kind(shape.item)}" if shape.groups else "an empty list"
    return "a value"


def same_kind(one: Shape, other: Shape) -> bool:
    """True if two shapes are of one type; an empty list is a list of any type."""
    match one, other:
        case Pair(), Pair():
            return same_kind(one.first, other.first) and same_kind(one.second, other.second)
        case Items(), Items():
            return one.item is None or other.item is None or same_kind(one.item, other.item)
    return type(one) is type(other)


def joined(one: Shape, other: Shape) -> Shape:
    """Return a shape that holds the values of both. They are of one type."""
    match one, other:
        case Text(), Text():
            return Text(max(one.chars, other.chars), max(one.tokens, other.tokens))
        case Pair(), Pair():
            return Pair(joined(one.first, other.first), joined(one.second, other.second))
        case Items(), Items():
            shapes = [shape for shape, _ in (*one.groups, *other.groups)]
            item = reduce(joined, shapes) if shapes else None
            return Items(((item, max(one.count, other.count)),) if item is not None else ())
    return one


def pieces(text: Text, size: int) -> Items:
    """Return the shape of a text that is split into pieces of at most `size` characters, at least three quarters."""
    number = max(1, math.ceil(text.chars / max(1, size - size // 4)))
    most = max(1, min(text.tokens, _TOKENS_PER_CHAR * size))
    full = min(number, math.ceil(text.tokens / most))
    chars = min(size, text.chars)
    return items_of(pair for pair in ((Text(chars, most), full), (Text(chars, 0), number - full)) if pair[1])


def parts(text: Text, separators: int) -> Items:
    """Return the shape of a text with this many separators, at the cost of one long part and many empty ones."""
    return items_of(pair for pair in ((text, 1), (Text(0, 0), separators)) if pair[1])


def chars_of(shape: Shape) -> int:
    """Return the characters that a value of this shape holds at most."""
    match shape:
        case Text():
            return shape.chars
        case Pair():
            return chars_of(shape.first) + chars_of(shape.second)
        case Items():
            return sum(count * (chars_of(item) + 1) for item, count in shape.groups)
    return 1


def _extent(shapes: Iterable[Shape]) -> tuple[int, int]:
    found = [extent_of(shape) for shape in shapes]
    return 1 + sum(number for number, _ in found), 1 + max((depth for _, depth in found), default=0)


def _added(groups: Iterable[tuple[Shape, int]]) -> dict[Shape, int]:
    found: dict[Shape, int] = {}
    for shape, count in groups:
        found[shape] = found.get(shape, 0) + count
    return found


def _rounded(shape: Shape) -> Shape:
    match shape:
        case Text():
            return Text(_up(shape.chars), _up(shape.tokens))
        case Pair():
            return Pair(_rounded(shape.first), _rounded(shape.second))
        case Items():
            return items_of((_rounded(item), count) for item, count in shape.groups)
    return shape


def _up(number: int) -> int:
    """Round up to a number with three significant bits."""
    step = 1 << max(0, number.bit_length() - 3)
    return -(-number // step) * step
