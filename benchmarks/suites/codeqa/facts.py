"""Extracts facts from the syntax tree of a piece: functions, parameters, calls, exceptions, classes."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass

from benchmarks.suites.codeqa.corpus import Piece
from rlm.syntax import parsed

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function at the top level, or a method of a class at the top level.

    name: `f` or `Class.f`. parameters: pairs of a name and the source of its default, None without one. calls: names
    that the body calls, including nested functions; `c` for `a.b.c()`. mentions: all names in the body. raises:
    exceptions that the body raises, None for one without a name.
    """

    name: str
    owner: str | None
    parameters: tuple[tuple[str, str | None], ...]
    calls: frozenset[str]
    mentions: frozenset[str]
    raises: frozenset[str | None]

    @property
    def short(self) -> str:
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Class:
    """A class at the top level. bases: the source of each base. methods: names of functions in its body, in order."""

    name: str
    bases: tuple[str, ...]
    methods: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """The definitions of one piece. loose_calls: names that are called outside the bodies of `functions`.

    Functions and classes that are defined more than once, or under an `if` or a `try`, are omitted.
    """

    piece: Piece
    functions: tuple[Function, ...]
    classes: tuple[Class, ...]
    loose_calls: frozenset[str]


def facts_of(piece: Piece) -> Facts | None:
    """Extract the facts of a piece; None if it cannot be parsed."""
    source = piece.source
    tree = parsed(source)
    if tree is None:
        return None
    lines = source.encode().split(b"\n")
    nodes: list[tuple[FunctionNode, str | None]] = []
    classes: list[Class] = []
    for node in tree.body:
        if isinstance(node, FunctionNode):
            nodes.append((node, None))
        elif isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, FunctionNode)]
            nodes += [(method, node.name) for method in methods]
            bases = tuple(_source(base, lines) for base in node.bases)
            classes.append(Class(node.name, bases, tuple(method.name for method in methods)))
    defined = Counter(node.name for node in ast.walk(tree) if isinstance(node, FunctionNode | ast.ClassDef))
    named = Counter((owner, node.name) for node, owner in nodes)
    kept = [(n, owner) for n, owner in nodes if named[owner, n.name] == 1 and defined[owner or n.name] == 1]
    inside = {id(inner) for node, _ in kept for statement in node.body for inner in ast.walk(statement)}
    loose = {_called(node) for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in inside}
    return Facts(
        piece,
        tuple(_function(node, owner, lines) for node, owner in kept),
        tuple(item for item in classes if defined[item.name] == 1),
        frozenset(name for name in loose if name),
    )


def _function(node: FunctionNode, owner: str | None, lines: list[bytes]) -> Function:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True))
    pairs += [(arguments.vararg, None)] if arguments.vararg else []
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs += [(arguments.kwarg, None)] if arguments.kwarg else []
    body = [inner for statement in node.body for inner in ast.walk(statement)]
    calls = {_called(inner) for inner in body if isinstance(inner, ast.Call)}
    return Function(
        f"{owner}.{node.name}" if owner else node.name,
        owner,
        tuple((a.arg, _source(d, lines) if d is not None else None) for a, d in pairs),
        frozenset(name for name in calls if name),
        frozenset(name for inner in body if (name := _last_name(inner))),
        frozenset(_raised(inner) for inner in body if isinstance(inner, ast.Raise) and inner.exc is not None),
    )


def _source(node: ast.expr, lines: list[bytes]) -> str:
    """Return the source of an expression. (`ast.get_source_segment` would split the complete file each time.)"""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    if first == last:
        return lines[first][node.col_offset : node.end_col_offset].decode()
    parts = [lines[first][node.col_offset :], *lines[first + 1 : last], lines[last][: node.end_col_offset]]
    return b"\n".join(parts).decode()


def _called(node: ast.Call) -> str | None:
    return _last_name(node.func)


def _raised(node: ast.Raise) -> str | None:
    name = _last_name(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
    # A name in lower case is a variable that holds an exception.
    return name if name and name[0].isupper() else None


def _last_name(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None
