"""Finds right answers to puzzles, for the oracle row."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import count, takewhile
from typing import Any

from benchmarks.suites.longcot_mini.puzzles import STEPS, Cell, State

Moves = list[list[int]]


def stacking_plan(initial: State, goal: State) -> Moves:
    """Return moves of top blocks from one state to another, for at least three stacks; not the shortest plan.

    The stacks are built one after the other. A block that is in the way goes on any other stack in turn, also on a
    finished one, where it waits for its own stack.
    """
    stacks = [list(stack) for stack in initial]
    stack_of = {block: number for number, stack in enumerate(stacks) for block in stack}
    moves: Moves = []
    turn = count()

    def move(source: int, target: int) -> None:
        block = stacks[source].pop()
        stacks[target].append(block)
        stack_of[block] = target
        moves.append([block, source, target])

    def clear(source: int, built: int) -> None:
        others = (place % len(stacks) for place in turn)
        move(source, next(place for place in others if place not in (source, built)))

    for built, wanted in enumerate(goal):
        same = (have == want for have, want in zip(stacks[built], wanted, strict=False))
        kept = sum(takewhile(bool, same))
        while len(stacks[built]) > kept:
            clear(built, built)
        for block in wanted[kept:]:
            source = stack_of[block]
            while stacks[source][-1] != block:
                clear(source, built)
            move(source, built)
    return moves


def hanoi_plan(initial: State, goal: State) -> Moves:
    """Return moves from one state of the Tower of Hanoi to another, for at least three stacks."""
    place = {disc: number for number, stack in enumerate(initial) for disc in stack}
    wanted = {disc: number for number, stack in enumerate(goal) for disc in stack}
    discs = sorted(place)
    moves: Moves = []

    def gather(number: int, target: int) -> None:
        """Bring the `number` smallest discs to one stack."""
        for i in reversed(range(number)):
            if place[discs[i]] != target:
                spare = next(stack for stack in range(len(initial)) if stack not in (place[discs[i]], target))
                gather(i, spare)
                moves.append([discs[i], place[discs[i]], target])
                place[discs[i]] = target

    for i in reversed(range(len(discs))):
        disc = discs[i]
        if place[disc] != wanted[disc]:
            gather(i, next(stack for stack in range(len(initial)) if stack not in (place[disc], wanted[disc])))
            moves.append([disc, place[disc], wanted[disc]])
            place[disc] = wanted[disc]
    return moves


def sudoku_grid(givens: State, block: int) -> list[list[int]]:
    """Return a grid that solves a Sudoku. Raises ValueError if there is none."""
    side = len(givens)
    grid = [list(row) for row in givens]
    free = [(i, j) for i in range(side) for j in range(side) if not grid[i][j]]

    def candidates(i: int, j: int) -> list[int]:
        top, left = i - i % block, j - j % block
        seen = {*grid[i], *(row[j] for row in grid)}
        seen |= {grid[top + a][left + b] for a in range(block) for b in range(block)}
        return [number for number in range(1, side + 1) if number not in seen]

    def fill() -> bool:
        if not free:
            return True
        cell = min(free, key=lambda cell: len(candidates(*cell)))
        free.remove(cell)
        for number in candidates(*cell):
            grid[cell[0]][cell[1]] = number
            if fill():
                return True
        grid[cell[0]][cell[1]] = 0
        free.append(cell)
        return False

    if not fill():
        raise ValueError("the Sudoku has no solution")
    return grid


def sokoban_moves(level: Mapping[str, Any]) -> str:
    """Return moves that bring all boxes of a level to its goals, by A* over pushes. Raises ValueError without any."""
    walls, goals = ({(row, column) for row, column in level[key]} for key in ("walls", "goals"))
    distance = _pushes_to_goal(walls, goals)
    player, boxes = tuple(level["player"]), frozenset((row, column) for row, column in level["boxes"])
    if not boxes <= set(distance):
        raise ValueError("the Sokoban level has no solution")
    order = count()
    queue = [(0, next(order), player, boxes, "")]
    seen = set()
    while queue:
        _, _, player, boxes, moves = heapq.heappop(queue)
        if boxes == goals:
            return moves
        ways = _walks(player, walls | boxes)
        state = min(ways), boxes
        if state in seen:
            continue
        seen.add(state)
        for box in boxes:
            for mark, (down, right) in STEPS.items():
                before, after = (box[0] - down, box[1] - right), (box[0] + down, box[1] + right)
                if before in ways and after in distance and after not in boxes:
                    moved = boxes - {box} | {after}
                    path = moves + ways[before] + mark
                    cost = len(path) // 8 + 2 * sum(distance[each] for each in moved)
                    heapq.heappush(queue, (cost, next(order), box, moved, path))
    raise ValueError("the Sokoban level has no solution")


def _pushes_to_goal(walls: set[Cell], goals: set[Cell]) -> dict[Cell, int]:
    """Return the least number of pushes from each cell to a goal; cells from which none is reached are missing."""
    distance = dict.fromkeys(goals, 0)
    frontier = list(goals)
    for cell in frontier:
        for down, right in STEPS.values():
            box, player = (cell[0] - down, cell[1] - right), (cell[0] - 2 * down, cell[1] - 2 * right)
            if box not in walls and player not in walls and box not in distance and _near(box, walls):
                distance[box] = distance[cell] + 1
                frontier.append(box)
    return distance


def _near(cell: Cell, walls: set[Cell]) -> bool:
    """True if a cell lies within the bounds of the walls."""
    return all(min(w[axis] for w in walls) <= cell[axis] <= max(w[axis] for w in walls) for axis in (0, 1))


def _walks(start: Cell, blocked: set[Cell] | frozenset[Cell]) -> dict[Cell, str]:
    """Return the cells that a player reaches without a push, each with its moves."""
    ways = {start: ""}
    frontier = [start]
    for cell in frontier:
        for mark, (down, right) in STEPS.items():
            reached = cell[0] + down, cell[1] + right
            if reached not in blocked and reached not in ways:
                ways[reached] = ways[cell] + mark
                frontier.append(reached)
    return ways
