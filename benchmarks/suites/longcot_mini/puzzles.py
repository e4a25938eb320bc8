"""Checks solutions of puzzles by their rules: plans of moves, Sokoban and Sudoku."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

State = Sequence[Sequence[int]]
# A block or disc, the stack that it leaves and the stack that it goes to.
Move = Sequence[int]
Cell = tuple[int, int]
STEPS: Mapping[str, Cell] = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}


def are_moves(value: object) -> TypeGuard[list[list[int]]]:
    """True if a value is a list of at least one move, each a list of three integers."""
    return bool(value) and are_rows(value) and all(len(move) == 3 for move in value)


def are_rows(value: object) -> TypeGuard[list[list[int]]]:
    """True if a value is a list of lists of integers."""
    return isinstance(value, list) and all(
        isinstance(row, list) and all(isinstance(number, int) for number in row) for row in value
    )


def reaches(initial: State, goal: State, moves: Iterable[Move], by_size: bool) -> bool:
    """True if moves of top blocks lead from one state to another. by_size: no block lies on a smaller one."""
    stacks = [list(stack) for stack in initial]
    for block, source, target in moves:
        inside = 0 <= source < len(stacks) and 0 <= target < len(stacks) and source != target
        if not inside or not stacks[source] or stacks[source][-1] != block:
            return False
        if by_size and stacks[target] and stacks[target][-1] < block:
            return False
        stacks[target].append(stacks[source].pop())
    return stacks == [list(stack) for stack in goal]


def is_sudoku(grid: State, givens: State, block: int) -> bool:
    """True if a grid keeps all givens and has each number once in every row, column and block."""
    side = len(givens)
    if block <= 0 or block * block != side or len(grid) != side or any(len(row) != side for row in grid):
        return False
    if any(given and given != number for ours, row in zip(grid, givens, strict=True)
           for number, given in zip(ours, row, strict=True)):  # fmt: skip
        return False
    corners = [(i, j) for i in range(0, side, block) for j in range(0, side, block)]
    blocks = [[grid[i + a][j + b] for a in range(block) for b in range(block)] for i, j in corners]
    return all(sorted(unit) == list(range(1, side + 1)) for unit in (*grid, *zip(*grid, strict=True), *blocks))


def solves_sokoban(level: Mapping[str, Any], moves: str) -> bool:
    """True if the boxes of a level are on its goals after all moves; a blocked move changes nothing."""
    walls, goals = _cells(level["walls"]), _cells(level["goals"])
    boxes, player = _cells(level["boxes"]), tuple(level["player"])
    for move in moves:
        down, right = STEPS[move]
        cell = player[0] + down, player[1] + right
        if cell in walls:
            continue
        if cell in boxes:
            behind = cell[0] + down, cell[1] + right
            if behind in walls or behind in boxes:
                continue
            boxes.remove(cell)
            boxes.add(behind)
        player = cell
    return boxes == goals


def _cells(pairs: Iterable[Sequence[int]]) -> set[Cell]:
    return {(row, column) for row, column in pairs}
