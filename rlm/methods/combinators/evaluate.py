"""Runs a checked program of combinators on the host."""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from rlm.methods.combinators.language import (
    ProgramError,
    combinator,
    is_call_free,
    parameters,
    template_parts,
)
from rlm.methods.combinators.shapes import Value
from rlm.methods.subcalls import run_all
from rlm.methods.window import boundary

T = TypeVar("T")
Ask = Callable[[str], Awaitable[str]]
_YES = re.compile(r"[\W_]*yes\b", re.IGNORECASE)


class Evaluator:
    """Computes the value of checked expressions. Sub-calls of one list are made concurrently.

    ask: makes a sub-call; None for expressions without any. known: values that are computed already, by the node's id.
    """

    def __init__(self, ask: Ask | None, known: Mapping[int, Value]) -> None:
        self._ask = ask
        self._known = known

    async def value(self, node: ast.expr, values: Mapping[str, Value]) -> Value:
        """Return the value of an expression. Raises ProgramError and what `ask` raises."""
        if id(node) in self._known:
            return self._known[id(node)]
        match node:
            case ast.Constant():
                constant: Any = node.value
                return constant
            case ast.Name():
                return values[node.id]
            case ast.JoinedStr():
                return "".join(
                    [
                        part if isinstance(part, str) else as_text(await self.value(part, values))
                        for part in template_parts(node)
                    ]
                )
            case ast.List():
                return [await self.value(one, values) for one in node.elts]
            case ast.BoolOp():
                ends = isinstance(node.op, ast.Or)
                for one in node.values:
                    if bool(await self.value(one, values)) == ends:
                        return ends
                return not ends
            case ast.UnaryOp():
                operand: Any = await self.value(node.operand, values)
                return not operand if isinstance(node.op, ast.Not) else -operand
            case ast.Call():
                return await self._call(node, values)
        raise ProgramError(f"line {node.lineno}: this is not in the language of combinators")

    async def _call(self, node: ast.Call, values: Mapping[str, Value]) -> Value:
        name, function = combinator(node) or "", node.args[0]
        if isinstance(function, ast.Lambda):
            items: Any = await self.value(node.args[1], values)
            if name == "reduce":
                return await self._reduce(function, items, values)
            results = await self._each(function, [(item,) for item in items], values)
            return results if name == "map" else [one for one, kept in zip(items, results, strict=True) if kept]
        given: list[Any] = [await self.value(one, values) for one in node.args]
        if name == "ask":
            assert self._ask is not None
            # Pieces such as the empty lines of a text are not worth a call.
            return await self._ask(given[0]) if given[0].strip() else ""
        return _PRIMITIVES[name](*given)

    async def _reduce(self, function: ast.Lambda, items: Sequence[Value], values: Mapping[str, Value]) -> Value:
        while len(items) > 1:
            pairs = list(zip(items[::2], items[1::2], strict=False))
            odd = list(items[len(items) - 1 :]) if len(items) % 2 else []
            items = [*await self._each(function, pairs, values), *odd]
        return items[0] if items else ""

    async def _each(
        self, function: ast.Lambda, given: Sequence[tuple[Value, ...]], values: Mapping[str, Value]
    ) -> list[Value]:
        found = parameters(function)

        async def applied(place: int) -> Value:
            arguments: Any = given[place]
            if len(arguments) == 1 and len(found) == 2:
                arguments = arguments[0]
            return await self.value(function.body, {**values, **dict(zip(found, arguments, strict=True))})

        if is_call_free(function.body):
            return [await applied(place) for place in range(len(given))]
        results = await run_all(range(len(given)), applied)
        failed = {place: one for place, one in enumerate(results) if isinstance(one, Exception)}
        if not failed:
            return [one for one in results if not isinstance(one, Exception)]
        place, error = next(iter(failed.items()))
        raise ProgramError(
            f"{len(failed)} of {len(given)} items failed; the first is item {place}: {error}. The other replies are "
            "kept: the same program pays only for the sub-calls that failed"
        ) from error


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that does not wait, such as the value of an expression without sub-calls."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise ProgramError("an expression without sub-calls waited for one")


def as_text(value: Value) -> str:
    """Return a value as text: a list has a line for each item."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return f"({as_text(value[0])}, {as_text(value[1])})"
    return "\n".join(map(as_text, value)) if isinstance(value, list) else str(value)


def _split(text: str, by: str | int) -> list[Value]:
    if isinstance(by, str):
        return list(text.split(by))
    found: list[Value] = []
    start = 0
    while start < len(text) or not found:
        end = boundary(text, start, start + by)
        found.append(text[start:end])
        start = max(end, start + 1)
    return found


def _peek(value: Any, start: int, size: int) -> Value:
    start = max(0, len(value) + start) if start < 0 else start
    part: Value = value[start : start + size]
    return part


_PRIMITIVES: Mapping[str, Callable[..., Value]] = {
    "split": _split,
    "peek": _peek,
    "concatenate": lambda texts, between="\n": between.join(texts),
    "cross": lambda one, other: [(first, second) for first in one for second in other],
    "count": len,
    "contains": lambda text, part: part.casefold() in text.casefold(),
    "is_yes": lambda text: _YES.match(text) is not None,
}
