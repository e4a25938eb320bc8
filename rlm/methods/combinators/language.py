"""Reads programs of combinators: a small part of Python's syntax, which is checked and never executed as Python."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from rlm.syntax import parsed

# The number of arguments of each combinator, at least and at most.
COMBINATORS = {
    "ask": (1, 1), "split": (2, 2), "map": (2, 2), "filter": (2, 2), "reduce": (2, 2), "concatenate": (1, 2),
    "cross": (2, 2), "peek": (3, 3), "count": (1, 1), "contains": (2, 2), "is_yes": (1, 1),
}  # fmt: skip
# Those whose first argument is a function.
OF_FUNCTIONS = frozenset({"map", "filter", "reduce"})
GIVEN = ("context", "query")
_STATEMENTS = ("FINAL", "FINAL_VAR", "print")
RESERVED = frozenset({*COMBINATORS, *GIVEN, *_STATEMENTS})
_LARGEST = 10**12
_MOST_CHARS, _MOST_NODES, _MOST_DEPTH = 20_000, 3_000, 60


class ProgramError(Exception):
    """A program was rejected or failed; the message is shown to the root. kind: the name of the error, as in Python."""

    kind = "ProgramError"


class SyntaxFault(ProgramError):
    """A text that is not a program of combinators."""

    kind = "SyntaxError"


class TypeFault(ProgramError):
    """A combinator with a value of another type than it takes."""

    kind = "TypeError"


class CostFault(ProgramError):
    """A program whose bound exceeds a limit."""

    kind = "CostError"


@dataclass(frozen=True)
class Statement:
    """One line of a program. name: the variable that gets the value. final: the value is the answer."""

    value: ast.expr
    name: str | None = None
    final: bool = False


def read_program(code: str) -> list[Statement]:
    """Read a program. Raises SyntaxFault, which names the line, for anything that is not one."""
    tree = parsed(code) if len(code) <= _MOST_CHARS else None
    if tree is None:
        raise SyntaxFault(f"expected a program of combinators with at most {_MOST_CHARS:,} characters")
    _check_size(tree)
    statements = [_statement(one) for one in tree.body]
    if not statements:
        raise SyntaxFault("the program is empty")
    for statement in statements:
        _check(statement.value, function_allowed=False)
    return statements


def template_parts(node: ast.JoinedStr) -> Iterator[str | ast.expr]:
    """Yield the texts and the expressions of an f-string in order."""
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            yield part.value
        elif isinstance(part, ast.Constant):
            yield str(part.value)


def combinator(node: ast.AST) -> str | None:
    """Return the name of the combinator that a node calls; None for any other node."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def parameters(node: ast.Lambda) -> list[str]:
    """Return the names of a function's parameters."""
    return [one.arg for one in node.args.args]


def is_call_free(node: ast.AST) -> bool:
    """True if an expression makes no sub-call."""
    return all(combinator(one) != "ask" for one in ast.walk(node))


def literal(node: ast.expr) -> str | int | None:
    """Return the value of a literal text or number; None for any other expression."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return -value if isinstance(value, int) else None
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def names(node: ast.AST) -> set[str]:
    """Return the variables that an expression reads, without the parameters of its own functions."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Lambda):
        return names(node.body) - set(parameters(node))
    below = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    return set().union(*map(names, below))


def _statement(node: ast.stmt) -> Statement:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        if name in RESERVED:
            raise _fault(node, f"`{name}` cannot be assigned: choose another name")
        return Statement(node.value, name)
    if not isinstance(node, ast.Expr):
        raise _fault(node, "expected `name = expression` or an expression; there are no other statements")
    value = node.value
    if combinator(value) not in _STATEMENTS:
        return Statement(value)
    assert isinstance(value, ast.Call)
    if len(value.args) != 1 or value.keywords:
        raise _fault(node, f"{combinator(value)} takes one value")
    argument, final = value.args[0], combinator(value) != "print"
    if combinator(value) == "FINAL_VAR" and isinstance(argument, ast.Constant) and _is_name(argument.value):
        argument = ast.copy_location(ast.Name(argument.value), argument)
    return Statement(argument, final=final)


def _check(node: ast.expr, *, function_allowed: bool) -> None:
    """Raise SyntaxFault for a node that is not in the language."""
    below: list[ast.expr] = []
    match node:
        case ast.Name() | ast.Constant(value=str()):
            pass
        case ast.Constant(value=int()) | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int())):
            number = literal(node)
            if isinstance(number, int) and abs(number) >= _LARGEST:
                raise _fault(node, f"numbers are below {_LARGEST:,}")
        case ast.JoinedStr():
            for part in node.values:
                if isinstance(part, ast.FormattedValue) and (part.conversion != -1 or part.format_spec is not None):
                    raise _fault(node, "a value in an f-string has neither a conversion nor a format")
            below = [part for part in template_parts(node) if isinstance(part, ast.expr)]
        case ast.List():
            below = node.elts
        case ast.BoolOp():
            below = node.values
        case ast.UnaryOp(op=ast.Not()):
            below = [node.operand]
        case ast.Lambda():
            if not function_allowed:
                raise _fault(node, f"a lambda can only be the first argument of {', '.join(sorted(OF_FUNCTIONS))}")
            _check_lambda(node)
            below = [node.body]
        case ast.Call():
            _check_call(node)
            below = node.args
        case _:
            raise _fault(node, f"`{_shown(node)}` is not in the language of combinators")
    takes_function = combinator(node) in OF_FUNCTIONS
    for place, one in enumerate(below):
        _check(one, function_allowed=takes_function and place == 0)


def _check_call(node: ast.Call) -> None:
    name = combinator(node)
    if name not in COMBINATORS:
        shown = name or _shown(node.func)
        raise _fault(node, f"there is no combinator `{shown}`; there are {', '.join(COMBINATORS)}")
    least, most = COMBINATORS[name]
    if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
        raise _fault(node, f"{name} takes its arguments by position")
    if not least <= len(node.args) <= most:
        wanted = f"{least}" if least == most else f"{least} or {most}"
        raise _fault(node, f"{name} takes {wanted} argument{'s' if most > 1 else ''}, not {len(node.args)}")
    if name in OF_FUNCTIONS and not isinstance(node.args[0], ast.Lambda):
        raise _fault(node, f"the first argument of {name} is a function, written as `lambda item: ...`")


def _check_lambda(node: ast.Lambda) -> None:
    given = node.args
    if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults:
        raise _fault(node, "the parameters of a lambda are plain names")
    found = parameters(node)
    if not 1 <= len(found) <= 2 or len(set(found)) < len(found) or RESERVED & set(found):
        raise _fault(node, "a lambda has one or two parameters, with names of their own")


def _check_size(tree: ast.Module) -> None:
    """Bound the nodes and the depth of a tree, so that it can be walked by recursion."""
    level: list[ast.AST] = [tree]
    depth, nodes = 0, 0
    while level:
        depth, nodes = depth + 1, nodes + len(level)
        if depth > 2 * _MOST_DEPTH or nodes > _MOST_NODES:
            raise SyntaxFault("the program is too long or too deeply nested: store parts of it in variables")
        level = [below for node in level for below in ast.iter_child_nodes(node)]


def _fault(node: ast.AST, message: str) -> SyntaxFault:
    return SyntaxFault(f"line {getattr(node, 'lineno', 1)}: {message}")


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isidentifier()


def _shown(node: ast.AST) -> str:
    try:
        text = " ".join(ast.unparse(node).split())
    except ValueError:
        # ast.unparse fails for an integer with more digits than Python converts.
        text = "a number with too many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
