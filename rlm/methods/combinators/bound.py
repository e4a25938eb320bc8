"""Checks the types of a program and bounds its sub-calls, tokens and work before anything runs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlm.methods.combinators.evaluate import Evaluator, finished
from rlm.methods.combinators.language import (
    CostFault,
    Statement,
    TypeFault,
    combinator,
    is_call_free,
    literal,
    names,
    parameters,
    template_parts,
)
from rlm.methods.combinators.shapes import (
    ITEM_WORK,
    MOST_NESTED,
    MOST_SHAPES,
    Flag,
    Items,
    Number,
    Pair,
    Shape,
    Text,
    Value,
    extent_of,
    items_of,
    joined,
    kind,
    measured,
    parts,
    pieces,
    same_kind,
    shape_of,
)

# Tokens that a chat template adds to a request at most.
REQUEST_TOKENS = 64
# Characters that a reply is cut to for each of its tokens.
REPLY_CHARS = 32
LEAST_PIECE = 100
_NUMBER = Text(20, 20)
# Steps of the checker itself.
_MOST_STEPS = 200_000


@dataclass(frozen=True)
class Bound:
    """The maximum that a program can use. work: the characters that it reads and writes on the host."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    work: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Bound) -> Bound:
        return Bound(*(one + two for one, two in zip(self._sums, other._sums, strict=True)))

    def __mul__(self, times: int) -> Bound:
        return Bound(*(times * one for one in self._sums))

    @property
    def _sums(self) -> tuple[int, ...]:
        return self.calls, self.prompt_tokens, self.completion_tokens, self.work


@dataclass(frozen=True)
class Room:
    """The room for one sub-call and for one program.

    prompt_tokens: the tokens that a sub-call's prompt may have; None if unknown. reply_tokens: the tokens that its
    reply may have. work: the characters that a program may read and write on the host.
    """

    prompt_tokens: int | None
    reply_tokens: int
    work: int


class Checker:
    """Checks one program over the values that its session holds. shapes: the shapes of these values.

    Parts that make no sub-call are computed at once, so that their sizes are exact; known: their values by the node's
    id. Other sizes are upper bounds: a reply has reply_tokens, a filter keeps all, a text split at a separator costs as
    much as one long and many empty parts.
    """

    def __init__(self, values: Mapping[str, Value], shapes: Mapping[str, Shape], room: Room) -> None:
        self.known: dict[int, Value] = {}
        self._values = dict(values)
        self._shapes = dict(shapes)
        self._room = room
        self._evaluator = Evaluator(None, self.known)
        self._steps = 0
        self._worked = 0

    def program(self, statements: Sequence[Statement]) -> Bound:
        """Return the bound of a program. Raises TypeFault and CostFault, which name the line."""
        shapes, total = self._shapes, Bound()
        for statement in statements:
            shape, bound = self._check(statement.value, shapes, frozenset())
            total += bound
            self._limit(total.work, statement.value)
            if statement.name:
                shapes[statement.name] = shape
                self._values.pop(statement.name, None)
                if id(statement.value) in self.known:
                    self._values[statement.name] = self.known[id(statement.value)]
        return total

    def _check(
        self, node: ast.expr, shapes: Mapping[str, Shape], local: frozenset[str], *, exact: bool = True
    ) -> tuple[Shape, Bound]:
        """Return the shape of an expression and its bound. local: the parameters of the functions around it."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise _fault(CostFault, node, "the program is too complex to be bounded: store its parts in variables")
        if not exact or isinstance(node, ast.Name | ast.Constant) or not self._is_known(node, local):
            return self._nested(node, *self._abstract(node, shapes, local, exact))
        shape, bound = self._nested(node, *self._abstract(node, shapes, local, exact=False))
        self._worked += bound.work
        self._limit(self._worked, node)
        value = finished(self._evaluator.value(node, self._values))
        size = measured(value, self._room.work)
        if self._worked + size > self._room.work:
            # One item may be in it many times, which costs nothing when the program runs.
            return shape, bound
        self._worked += size
        self.known[id(node)] = value
        return shape_of(value), Bound(work=bound.work)

    def _is_known(self, node: ast.expr, local: frozenset[str]) -> bool:
        return is_call_free(node) and names(node) <= self._values.keys() - local

    @staticmethod
    def _nested(node: ast.expr, shape: Shape, bound: Bound) -> tuple[Shape, Bound]:
        number, depth = extent_of(shape)
        if depth > MOST_NESTED or number > MOST_SHAPES:
            raise _fault(CostFault, node, f"lists and pairs are nested too deeply: at most {MOST_NESTED} in each other")
        return shape, bound

    def _abstract(
        self, node: ast.expr, shapes: Mapping[str, Shape], local: frozenset[str], exact: bool
    ) -> tuple[Shape, Bound]:
        if isinstance(node, ast.Name):
            if node.id not in shapes:
                raise _fault(TypeFault, node, f"there is no variable `{node.id}`; there are {', '.join(shapes)}")
            return shapes[node.id], Bound()
        if isinstance(node, ast.Constant):
            constant: Any = node.value
            return shape_of(constant), Bound()
        if combinator(node) in ("map", "filter", "reduce"):
            return self._of_function(node, shapes, local, exact)
        below = _below(node)
        checked = [self._check(one, shapes, local, exact=exact) for one in below]
        bound = sum((one for _, one in checked), Bound())
        found = [shape for shape, _ in checked]
        name = combinator(node)
        if name == "split":
            first = below[0]
            text = self._values[first.id] if isinstance(first, ast.Name) and self._is_known(first, local) else None
            shape, own = _split(node, found[0], text if isinstance(text, str) else None)
        else:
            shape, own = self._of_call(name, node, found) if name else self._of_syntax(node, found)
        return shape, bound + own

    def _of_syntax(self, node: ast.expr, found: list[Shape]) -> tuple[Shape, Bound]:
        """Return shape and bound of a template, a list, a condition or a negative number."""
        if isinstance(node, ast.JoinedStr):
            for shape in found:
                _expect(node, "an f-string", shape, Text, Number, Flag)
            texts = [shape if isinstance(shape, Text) else _NUMBER for shape in found]
            fixed = [shape_of(part) for part in template_parts(node) if isinstance(part, str)]
            text = _together([*texts, *(one for one in fixed if isinstance(one, Text))])
            return text, Bound(work=text.chars)
        if isinstance(node, ast.List):
            for shape in found[1:]:
                if not same_kind(found[0], shape):
                    raise _fault(TypeFault, node, f"a list has items of one type, not {kind(found[0])}, {kind(shape)}")
            return items_of((shape, 1) for shape in found), Bound(work=ITEM_WORK * len(found))
        if isinstance(node, ast.BoolOp) or isinstance(getattr(node, "op", None), ast.Not):
            for shape in found:
                _expect(node, "a condition", shape, Flag)
            return Flag(), Bound()
        return Number(), Bound()

    def _of_call(self, name: str, node: ast.expr, found: list[Shape]) -> tuple[Shape, Bound]:
        first = found[0]
        if name == "ask":
            return self._ask(node, _text(node, "ask", first))
        if name == "is_yes":
            _text(node, "is_yes", first)
            return Flag(), Bound(work=ITEM_WORK)
        if name == "contains":
            chars = sum(_text(node, "contains", shape).chars for shape in found)
            return Flag(), Bound(work=chars)
        if name == "count":
            _items(node, "count", first)
            return Number(), Bound(work=ITEM_WORK)
        if name == "cross":
            return _cross(node, _items(node, "cross", first), _items(node, "cross", found[1]))
        if name == "concatenate":
            return _concatenate(node, found)
        return _peek(node, first)

    def _ask(self, node: ast.expr, text: Text) -> tuple[Shape, Bound]:
        prompt, room, reply = text.tokens + REQUEST_TOKENS, self._room.prompt_tokens, self._room.reply_tokens
        if room is not None and prompt > room:
            raise _fault(
                CostFault, node,
                f"the prompt of a sub-call could have {prompt:,} tokens, and {room:,} fit: split the text into smaller "
                "pieces. Sizes are exact for pieces that an earlier program stored in a variable",
            )  # fmt: skip
        return Text(REPLY_CHARS * reply, reply), Bound(1, prompt, reply, text.chars)

    def _of_function(
        self, node: ast.expr, shapes: Mapping[str, Shape], local: frozenset[str], exact: bool
    ) -> tuple[Shape, Bound]:
        assert isinstance(node, ast.Call) and isinstance(node.args[0], ast.Lambda)
        name, function = combinator(node) or "", node.args[0]
        shape, bound = self._check(node.args[1], shapes, local, exact=exact)
        items = _items(node, name, shape)

        def applied(*given: Shape) -> tuple[Shape, Bound]:
            found = parameters(function)
            if len(given) == 1 and len(found) == 2 and isinstance(given[0], Pair):
                given = (given[0].first, given[0].second)
            if len(given) != len(found):
                raise _fault(TypeFault, function, f"{name} calls its function with {len(given)}, not {len(found)}")
            inner = {**shapes, **dict(zip(found, given, strict=True))}
            return self._check(function.body, inner, local | set(found), exact=exact)

        if name == "reduce":
            made, own = self._reduce(node, items, applied)
            return made, bound + own
        results: list[tuple[Shape, int]] = []
        for item, count in items.groups:
            made, own = applied(item)
            bound += (own + Bound(work=ITEM_WORK)) * count
            results.append((made, count))
            if name == "filter":
                _expect(function, "the function of filter", made, Flag)
        return items if name == "filter" else items_of(results), bound

    def _reduce(
        self, node: ast.expr, items: Items, applied: Callable[[Shape, Shape], tuple[Shape, Bound]]
    ) -> tuple[Shape, Bound]:
        """Return shape and bound of a balanced reduction: neighbours are combined until one is left."""
        item, left, bound = items.item, items.count, Bound()
        if item is None:
            return Text(0, 0), bound
        while left > 1:
            made, own = applied(item, item)
            if not same_kind(made, item):
                raise _fault(TypeFault, node, f"the function of reduce makes {kind(made)} of two items, {kind(item)}")
            bound += (own + Bound(work=ITEM_WORK)) * (left // 2)
            item, left = joined(item, made), left - left // 2
        return item, bound

    def _limit(self, work: int, node: ast.expr) -> None:
        if work > self._room.work:
            raise _fault(
                CostFault, node,
                f"the program would handle up to {work:,} characters on the host, and {self._room.work:,} are allowed",
            )  # fmt: skip


def _below(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.JoinedStr():
            return [part for part in template_parts(node) if isinstance(part, ast.expr)]
        case ast.List():
            return node.elts
        case ast.BoolOp():
            return node.values
        case ast.UnaryOp():
            return [node.operand]
        case ast.Call():
            # The second argument of split and the numbers of peek are literals.
            return node.args[:1] if combinator(node) in ("split", "peek") else node.args
    return []


def _together(texts: Iterable[Text]) -> Text:
    found = list(texts)
    return Text(sum(one.chars for one in found), sum(one.tokens for one in found) + len(found))


def _split(node: ast.expr, shape: Shape, value: str | None) -> tuple[Shape, Bound]:
    """Return shape and bound of a split. value: the text if it is known, so that the number of its parts is exact."""
    text = _text(node, "split", shape)
    assert isinstance(node, ast.Call)
    by = literal(node.args[1])
    if isinstance(by, str) and by:
        found = parts(text, text.chars // len(by) if value is None else value.count(by))
    elif isinstance(by, int) and by >= LEAST_PIECE:
        found = pieces(text, by)
    else:
        raise _fault(
            TypeFault, node,
            f"the second argument of split is a number of characters, at least {LEAST_PIECE}, or a separator in quotes",
        )  # fmt: skip
    return found, Bound(work=text.chars + ITEM_WORK * found.count)


def _peek(node: ast.expr, shape: Shape) -> tuple[Shape, Bound]:
    _expect(node, "the first argument of peek", shape, Text, Items)
    assert isinstance(node, ast.Call)
    start, size = map(literal, node.args[1:])
    if not isinstance(start, int) or not isinstance(size, int) or size < 1:
        raise _fault(TypeFault, node, "peek takes a start, negative from the end, and a size, both written as numbers")
    if isinstance(shape, Items):
        return items_of([(shape.item, min(size, shape.count))] if shape.item else []), Bound(work=ITEM_WORK * size)
    assert isinstance(shape, Text)
    return Text(min(size, shape.chars), min(4 * size, shape.tokens)), Bound(work=min(size, shape.chars))


def _cross(node: ast.expr, one: Items, other: Items) -> tuple[Shape, Bound]:
    groups = ((Pair(first, second), count * others) for first, count in one.groups for second, others in other.groups)
    return items_of(groups), Bound(work=ITEM_WORK * one.count * other.count)


def _concatenate(node: ast.expr, found: list[Shape]) -> tuple[Shape, Bound]:
    items = _items(node, "concatenate", found[0])
    if items.item is not None:
        _text(node, "concatenate", items.item, "its list holds")
    between = _text(node, "concatenate", found[1]) if len(found) == 2 else Text(1, 1)
    texts = [(shape, count) for shape, count in items.groups if isinstance(shape, Text)]
    text = Text(
        sum(count * (shape.chars + between.chars) for shape, count in texts),
        sum(count * (shape.tokens + between.tokens + 2) for shape, count in texts),
    )
    return text, Bound(work=text.chars)


def _text(node: ast.expr, name: str, shape: Shape, what: str = "it got") -> Text:
    if not isinstance(shape, Text):
        raise _fault(TypeFault, node, f"{name} takes a text, and {what} {kind(shape)}")
    return shape


def _items(node: ast.expr, name: str, shape: Shape) -> Items:
    if not isinstance(shape, Items):
        raise _fault(TypeFault, node, f"{name} takes a list, and it got {kind(shape)}")
    return shape


def _expect(node: ast.expr, what: str, shape: Shape, *kinds: type[Shape]) -> None:
    if not isinstance(shape, kinds):
        wanted = {Text: "a text", Number: "a number", Flag: "a yes or no", Items: "a list", Pair: "a pair"}
        raise _fault(TypeFault, node, f"{what} takes {' or '.join(wanted[one] for one in kinds)}, not {kind(shape)}")


def _fault(kind_of: type[TypeFault | CostFault], node: ast.expr, message: str) -> TypeFault | CostFault:
    return kind_of(f"line {node.lineno}: {message}")
