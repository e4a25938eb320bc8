"""Generated puzzles in the form of LongCoT's logic questions, as large as fits into a length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from typing_extensions import TypeAliasType

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.suites.longcot_mini.instances import facts_of
from benchmarks.suites.longcot_mini.prompt import LAYOUT, WORDINGS, query_of
from benchmarks.suites.longcot_mini.puzzles import STEPS, Cell
from benchmarks.suites.longcot_mini.templates import LongCoTTarget
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt

GENERATOR = "longcot-generated-1"
# A shorter prompt has room for the rules and a tiny puzzle only.
SHORTEST = 512

Template = TypeAliasType(
    "Template",
    Literal["BlocksWorld", "Dungeon", "PackagingMinWaste", "Sokoban", "Sudoku", "WizardsTotalStrength"],
)
GENERATED_TEMPLATES: tuple[Template, ...] = (
    "BlocksWorld", "Dungeon", "PackagingMinWaste", "Sokoban", "Sudoku", "WizardsTotalStrength",
)  # fmt: skip
# Draws and a size -> the lines of an instance, and a right answer where finding one needs a search.
_Made = tuple[str, str]


def generated_sample(info: SampleInfo, length: int, template: Template, index: int, seed: int, encoding: str) -> Sample:
    """Generate the index-th puzzle of a template, the largest whose prompt has up to `length` tokens."""
    query = query_of(template)

    def prompt_of(size: int) -> tuple[Prompt, str]:
        lines, solution = _MAKERS[template](Draws(seed, "longcot", length, template, index), size)
        return Prompt(f"{WORDINGS[template].rules}\n\n{lines}\n", query, LAYOUT), solution

    def fits(size: int) -> bool:
        (message,) = prompt_of(size)[0].messages()
        return count_tokens(message["content"], encoding) <= length

    low, high = 2, 4
    if not fits(low):
        raise DataError(f"{info.sample_id}: {length} tokens have no room for a puzzle: expected a larger length")
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    prompt, solution = prompt_of(low)
    facts = facts_of(template, f"\n{prompt.context_text}\n{query}")
    return Sample(info, prompt, LongCoTTarget(template, facts, solution=solution))


def _blocks(draws: Draws, size: int) -> _Made:
    stacks = max(3, size // 8)

    def state() -> list[list[int]]:
        ends = sorted(draws.below(size + 1) for _ in range(stacks - 1))
        order = draws.order(size).tolist()
        return [order[start:end] for start, end in zip([0, *ends], [*ends, size], strict=True)]

    return _lines(
        {"Initial state": state(), "Goal state": state(), "Number of blocks": size, "Number of stacks": stacks}
    ), ""


def _dungeon(draws: Draws, size: int) -> _Made:
    numbers = [
        gain if kind == 0 else -loss
        for kind, gain, loss in zip(
            draws.many_below(4, size * size).tolist(), draws.many_below(5, size * size).tolist(),
            (draws.many_below(9, size * size) + 4).tolist(), strict=True,
        )
    ]  # fmt: skip
    numbers[0] = 0
    grid = [numbers[start : start + size] for start in range(0, size * size, size)]
    return _lines({"Grid size": f"{size} x {size}", "Grid layout": grid}), ""


def _packaging(draws: Draws, size: int) -> _Made:
    largest = max(100, size // 8)
    packages = (draws.many_below(largest, size) + 1).tolist()
    # Most suppliers have a box for the largest package, and the last one certainly has.
    suppliers = [
        sorted({*(draws.many_below(largest + 4, 12) + 1).tolist(), *([largest + 4] if draws.below(3) else [])})
        for _ in range(max(2, size // 24))
    ]
    suppliers[-1] = sorted({*suppliers[-1], largest})
    return _lines(
        {
            "Number of packages": size, "Number of suppliers": len(suppliers), "Packages": packages,
            "Suppliers": suppliers,
        }
    ), ""  # fmt: skip


def _wizards(draws: Draws, size: int) -> _Made:
    strengths = (draws.many_below(100_000, size) + 1).tolist()
    return _lines({"Number of wizards": size, "Strength array": strengths}), ""


def _sudoku(draws: Draws, size: int) -> _Made:
    side = size * size

    def order() -> list[int]:
        bands = draws.order(size).tolist()
        return [size * band + place for band in bands for place in draws.order(size).tolist()]

    rows, columns, numbers = order(), order(), draws.order(side).tolist()
    solved = [[numbers[(size * (i % size) + i // size + j) % side] + 1 for j in columns] for i in rows]
    kept = iter(draws.many_below(5, side * side).tolist())
    givens = [[number if next(kept) < 2 else 0 for number in row] for row in solved]
    lines = {"Grid size": f"{side} x {side}", "Block size": f"{size} x {size}", "Puzzle grid": givens}
    return _lines(lines), str(solved)


def _sokoban(draws: Draws, size: int) -> _Made:
    height, width = size + 3, size + 5
    inside = [(i, j) for i in range(1, height - 1) for j in range(1, width - 1)]
    walls = {cell for cell in inside if draws.below(12) == 0}
    walls |= {(i, j) for i in range(height) for j in range(width)} - set(inside)
    free = draws.shuffled([cell for cell in inside if cell not in walls])
    number = max(1, min(len(free) // 20, len(free) - 2))
    goals, player = set(free[:number]), free[number]
    boxes, moves = _pulled(draws, walls, goals, player, 6 * height * width)
    start = moves[-1][1] if moves else player
    marks = dict.fromkeys(walls, "#") | dict.fromkeys(goals, ".")
    marks |= {box: "*" if box in goals else "$" for box in boxes} | {start: "+" if start in goals else "@"}
    grid = [[marks.get((i, j), " ") for j in range(width)] for i in range(height)]
    lines = {
        "Grid": grid, "Width": width, "Height": height, "Number of boxes and goals": number,
        "Player start location": start, "Box start locations": sorted(boxes), "Goal locations": sorted(goals),
    }  # fmt: skip
    return _lines(lines), "".join(mark for mark, _ in reversed(moves))


def _pulled(
    draws: Draws, walls: set[Cell], goals: set[Cell], player: Cell, steps: int
) -> tuple[set[Cell], list[tuple[str, Cell]]]:
    """Walk backwards from the solved level and pull boxes on the way.

    Returns the boxes, and the moves that undo the walk, last move first, each with the player's place before it.
    """
    boxes, moves = set(goals), []
    opposite = {"U": "D", "D": "U", "L": "R", "R": "L"}
    for mark in (tuple(STEPS)[way] for way in draws.many_below(4, steps).tolist()):
        down, right = STEPS[mark]
        cell, behind = (player[0] + down, player[1] + right), (player[0] - down, player[1] - right)
        if cell in walls or cell in boxes:
            continue
        if behind in boxes:
            boxes.remove(behind)
            boxes.add(player)
        player = cell
        moves.append((opposite[mark], cell))
    return boxes, moves


def _lines(values: Mapping[str, object]) -> str:
    return "\n".join(f"{label}: {value}" for label, value in values.items())


_MAKERS: Mapping[str, Callable[[Draws, int], _Made]] = {
    "BlocksWorld": _blocks, "Dungeon": _dungeon, "PackagingMinWaste": _packaging, "Sokoban": _sokoban,
    "Sudoku": _sudoku, "WizardsTotalStrength": _wizards,
}  # fmt: skip
