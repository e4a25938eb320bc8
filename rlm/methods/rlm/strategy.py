"""Recognises a root's strategy from its cells: the first decomposition of the context, and a ready answer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import StrEnum

from rlm.syntax import parsed_cell

_ANSWER_NAMES = frozenset({"answer", "final_answer"})
_QUERIES = frozenset({"llm_query", "llm_query_batched", "rlm_query", "rlm_query_batched"})
_SEARCHES = frozenset({"find", "rfind", "index", "count", "search", "findall", "finditer", "startswith", "endswith"})
_TAKES_APART = frozenset(
    {"loads", "reader", "DictReader", "fromstring", "literal_eval", "enumerate", "zip", "map", "filter", "sorted"}
)
_LOOPS = (ast.For, ast.While, ast.FunctionDef, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp)


class Decomposition(StrEnum):
    """The first decomposition of the context.

    whole: a sub-call gets the complete context. per_line: its lines one by one. structure: its documents, or parts
    found by a separator or a parser. keyword_search: search for strings or patterns. fixed_chunks: slices at computed
    positions in a loop. peek: sizes, and slices outside loops.
    """

    WHOLE = "whole"
    PER_LINE = "per_line"
    STRUCTURE = "structure"
    KEYWORD_SEARCH = "keyword_search"
    FIXED_CHUNKS = "fixed_chunks"
    PEEK = "peek"


class Strategy:
    """Follows the cells of one loop. An answer is ready when a cell sets a variable `answer` or `final_answer`.

    decomposition: of the first cell that does more with `context` than peek at it; otherwise peek, or None.
    """

    # The number of turns with an unchanged ready answer until the root is asked about it, and until it is stopped.
    PATIENCE = 4
    LAST_PATIENCE = 16

    def __init__(self) -> None:
        self.ready: str | None = None
        self.ready_turn: int | None = None
        self.decomposition: Decomposition | None = None
        self._contexts = {"context"}
        self._asked = False

    def ran(self, code: str, turn: int) -> None:
        """Record a cell that ran without error in a turn."""
        tree = parsed_cell(code)
        if tree is None:
            return
        if self.decomposition in (None, Decomposition.PEEK):
            self._contexts |= _aliases(tree, self._contexts)
            found = set(_kinds(tree, self._contexts))
            # Of several kinds in one cell, the first counts; a peek is the last.
            self.decomposition = next((kind for kind in Decomposition if kind in found), self.decomposition)
        name = _answer_name(tree)
        if name:
            self.ready, self.ready_turn = name, turn

    def forget(self) -> None:
        """Record that the session has lost its variables."""
        self.ready, self.ready_turn = None, None

    def overdue(self, turn: int) -> int | None:
        """Return the number of turns with a ready answer once, when it becomes too large; otherwise None."""
        if self.ready_turn is None or self._asked or turn - self.ready_turn < self.PATIENCE:
            return None
        self._asked = True
        return turn - self.ready_turn

    def is_stuck(self, turn: int) -> bool:
        """True if an answer has been ready and unchanged for so long that the loop must be stopped."""
        return self.ready_turn is not None and turn - self.ready_turn >= self.LAST_PATIENCE


def _answer_name(tree: ast.Module) -> str | None:
    """Return the answer variable that a cell sets, `answer` or `final_answer`, or None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            node = node.value
            if isinstance(node, ast.Name) and node.id in _ANSWER_NAMES:
                return node.id
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in _ANSWER_NAMES:
            return node.id
    return None


def _kinds(tree: ast.Module, names: set[str]) -> Iterator[Decomposition]:
    looped = _inside_loops(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _kinds_of_call(node, names)
        elif isinstance(node, ast.Subscript) and _is_context(node.value, names):
            if id(node) in looped and _computed(node.slice):
                yield Decomposition.FIXED_CHUNKS if isinstance(node.slice, ast.Slice) else Decomposition.STRUCTURE
            else:
                yield Decomposition.PEEK
        elif isinstance(node, ast.For | ast.comprehension) and _is_context(node.iter, names):
            yield Decomposition.STRUCTURE
        elif isinstance(node, ast.Compare) and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
            if any(_is_context(side, names) for side in node.comparators):
                yield Decomposition.KEYWORD_SEARCH
        elif isinstance(node, ast.Expr) and _is_context(node.value, names):
            yield Decomposition.PEEK


def _inside_loops(tree: ast.Module) -> set[int]:
    """Return the identities of the nodes in loops, comprehensions and functions."""
    left: list[tuple[ast.AST, bool]] = [(tree, False)]
    found = set()
    while left:
        node, inside = left.pop()
        inside = inside or isinstance(node, _LOOPS)
        if inside:
            found.add(id(node))
        left += ((child, inside) for child in ast.iter_child_nodes(node))
    return found


def _kinds_of_call(call: ast.Call, names: set[str]) -> Iterator[Decomposition]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    of_context = owner is not None and _is_context(owner, names)
    given = any(_is_context(argument, names) for argument in call.args)
    if name in _QUERIES:
        if any(_holds_whole(argument, names) for argument in [*call.args, *(k.value for k in call.keywords)]):
            yield Decomposition.WHOLE
    elif name == "splitlines" and of_context:
        yield Decomposition.PER_LINE
    elif name == "split" and (of_context or given):
        newline = any(isinstance(a, ast.Constant) and a.value in ("\n", r"\n") for a in call.args)
        yield Decomposition.PER_LINE if newline else Decomposition.STRUCTURE
    elif (name in _SEARCHES and (of_context or given)) or (name == "search" and owner is None):
        # A bare `search` is the retriever of rlm_bm25, which searches the context.
        yield Decomposition.KEYWORD_SEARCH
    elif name == "wrap" and given:
        yield Decomposition.FIXED_CHUNKS
    elif name in _TAKES_APART and given:
        yield Decomposition.STRUCTURE
    elif given:
        yield Decomposition.PEEK


def _holds_whole(node: ast.expr, names: set[str]) -> bool:
    """True if an expression contains the complete context: not sliced, searched or measured."""
    left = [node]
    while left:
        node = left.pop()
        if _is_context(node, names):
            return True
        if isinstance(node, ast.Call):
            joins = isinstance(node.func, ast.Attribute) and node.func.attr in ("join", "format")
            left += node.args if joins or getattr(node.func, "id", "") == "str" else ()
        elif not isinstance(node, ast.Subscript | ast.Attribute | ast.Compare):
            left += (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
    return False


def _is_context(node: ast.AST, names: set[str]) -> bool:
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("lower", "strip"):
        node = node.func.value
    return isinstance(node, ast.Name) and node.id in names


def _computed(index: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) for node in ast.walk(index))


def _aliases(tree: ast.Module, names: set[str]) -> set[str]:
    """Return the names to which a cell assigns the context."""
    return {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_context(node.value, names)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
