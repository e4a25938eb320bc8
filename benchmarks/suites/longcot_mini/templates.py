"""The kinds of questions of LongCoT-Mini, and the targets of their samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import TypeAliasType

Domain = TypeAliasType("Domain", Literal["logic", "cs", "chess", "math"])
DOMAINS: tuple[Domain, ...] = ("logic", "cs", "chess", "math")
# The rows of the data set's easy split. Chemistry's 100 rows, which need RDKit, are not read.
ROWS: Mapping[str, int] = {"logic": 105, "cs": 100, "chess": 100, "math": 102}

PLANS = ("BlocksWorld", "RandomHanoi")
NUMBERS = ("Dungeon", "TrapezoidCounting")
MODULAR_NUMBERS = ("PackagingMinWaste", "WizardsTotalStrength")
LOGIC = (*PLANS, *NUMBERS, *MODULAR_NUMBERS, "Sokoban", "Sudoku")
OBJECTS = ("HM", "MCM")
CHEMISTRY = ("easy1", "easy2")
MATH = ("linear", "dag", "dag_first", "conditional", "backtracking")
DOMAIN_OF: Mapping[str, str] = (
    dict.fromkeys(LOGIC, "logic")
    | dict.fromkeys((*OBJECTS, "DistMem"), "cs")
    | dict.fromkeys(("uci_to_fen", "piece_combinations"), "chess")
    | dict.fromkeys(MATH, "math")
)


@dataclass(frozen=True)
class LongCoTTarget:
    """The facts by which an answer is checked.

    template: the kind of the question, a key of DOMAIN_OF. facts: for a puzzle its instance, else `value` or `parts`.
    question: the text of a mathematical question, for a judge. solution: a right answer, if the generator knows one.
    """

    template: str
    facts: Mapping[str, Any]
    question: str = field(default="", compare=False)
    solution: str = field(default="", compare=False)
