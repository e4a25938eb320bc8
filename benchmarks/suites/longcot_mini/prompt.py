"""The texts of generated LongCoT prompts. The labels before values and the form of answers are the data set's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlm.prompt import Message

LAYOUT: tuple[Message, ...] = ({"role": "user", "content": "{context}\n{query}"},)
MODULUS = 1_000_000_007


@dataclass(frozen=True)
class Wording:
    """The texts around one kind of puzzle: its rules, its question, and the form of the answer."""

    rules: str
    question: str
    form: str


WORDINGS: Mapping[str, Wording] = {
    "BlocksWorld": Wording(
        "Numbered blocks lie in stacks. A list gives each stack from its lowest block to its top block, and stacks are "
        "numbered from 0. A move takes the top block of one stack and puts it on top of another stack, which may be "
        "empty.",
        "Which moves turn the initial state into the goal state? Any plan that does so is right.",
        "[[block, stack it leaves, stack it goes to], ...]",
    ),
    "Dungeon": Wording(
        "A knight walks through a grid from the top left cell to the bottom right cell, and each step goes one cell "
        "right or one cell down. The number of a cell is added to the knight's health on entering it, also in the "
        "first cell. The health must be at least 1 before the walk and after each cell.",
        "What is the least health before the walk with which the knight can reach the last cell?",
        "<integer>",
    ),
    "PackagingMinWaste": Wording(
        "Each package goes into a box of its own that is at least as large as the package. All boxes come from one "
        "supplier, who has as many of each of his sizes as needed. The waste is the sum over all packages of the size "
        "of the box minus the size of the package.",
        f"What is the least waste over all suppliers who have boxes for all packages (mod {MODULUS})?",
        "<integer>",
    ),
    "Sokoban": Wording(
        "A player pushes boxes on a grid. `#` is a wall, `@` the player, `$` a box, `.` a goal, `*` a box on a goal "
        "and `+` the player on a goal. Rows and columns are numbered from 0, and places are given as (row, column). "
        "A move goes one cell up (U), down (D), left (L) or right (R). A box in the way is pushed ahead if the cell "
        "behind it has neither a wall nor another box; otherwise the move changes nothing. Boxes cannot be pulled.",
        "Which moves bring every box to a goal? Any sequence that does so is right.",
        "<the letters of the moves, without spaces>",
    ),
    "Sudoku": Wording(
        "Fill a square grid with the numbers from 1 to its side, so that each row, each column and each block has "
        "every number once. A 0 is a free cell, and the other numbers stay.",
        "What is the complete grid?",
        "[[numbers of the first row], ...]",
    ),
    "WizardsTotalStrength": Wording(
        "Wizards stand in a row. The strength of a group of neighbours is the least strength in the group times the "
        "sum of the strengths in the group. A single wizard is also a group.",
        f"What is the sum of the strengths of all groups of neighbours (mod {MODULUS})?",
        "<integer>",
    ),
}


def query_of(template: str) -> str:
    """Format the question of a puzzle and the form of its answer."""
    wording = WORDINGS[template]
    return (
        f"{wording.question} Think for as long as you need, and end your reply with the answer in this form:\n"
        f"solution = {wording.form}"
    )
