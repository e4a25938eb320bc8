"""LongCoT's score: 1 if the rules of the question's template accept the solution in an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.sample import Judge, Score
from benchmarks.scoring.judgement import judged_score
from benchmarks.suites.longcot_mini import expressions
from benchmarks.suites.longcot_mini.boards import placement, placement_of
from benchmarks.suites.longcot_mini.extraction import (
    MOVES,
    grid_pattern,
    integer_of,
    integers,
    integers_of,
    last_brackets,
    last_match,
    last_object,
    list_of,
    object_of,
    solution_of,
)
from benchmarks.suites.longcot_mini.puzzles import are_moves, are_rows, is_sudoku, reaches, solves_sokoban
from benchmarks.suites.longcot_mini.templates import DOMAIN_OF, MATH, MODULAR_NUMBERS, OBJECTS, PLANS, LongCoTTarget

_STEPS = re.compile(r"(?<![A-Za-z])[UDLR]+(?![A-Za-z])", re.IGNORECASE)
_SPACED_STEPS = re.compile(r"(?<![A-Za-z])[UDLR](?:[\s,;>-]*[UDLR])*(?![A-Za-z])", re.IGNORECASE)
_SHOWN_CHARS = 200

Facts = Mapping[str, Any]


async def score_answer(target: LongCoTTarget, answer: str | None, judge: Judge | None = None) -> Score:
    """Score 1 if the solution in an answer is right; a judge is asked about mathematical answers that no rule accepts.

    Lenient: commas in numbers, a list or moves in another place or notation, quotes and LaTeX. format_ok: the answer
    has `solution = ` with a text after it. details: `domain`, and the details of the judgement.
    """
    text = answer or ""
    solution = solution_of(text)
    value = float(accepts(target, text))
    lenient = value or float(accepts_leniently(target, text))
    details: dict[str, Any] = {"domain": DOMAIN_OF[target.template]}
    if target.template in MATH and judge is not None and not value and text.strip():
        value, judged = await judged_score(judge, target.question, text.strip(), ", ".join(target.facts["parts"]))
        lenient, details = max(value, lenient), details | judged
    return Score(
        value, lenient, solution is not None, (solution or text.strip()[-_SHOWN_CHARS:])[:_SHOWN_CHARS], details
    )


def accepts(target: LongCoTTarget, answer: str) -> bool:
    """True if the official rule of the template accepts an answer."""
    return _RULES[target.template](target.facts, answer)


def accepts_leniently(target: LongCoTTarget, answer: str) -> bool:
    """True if a solution in another form is right."""
    template, facts = target.template, target.facts
    if template in PLANS or template == "Sudoku":
        return _RULES[template](facts, f"solution = {last_brackets(answer) or ''}")
    if template == "Sokoban":
        found = last_match(_SPACED_STEPS, answer)
        return bool(found) and _sokoban(facts, re.sub("[^A-Za-z]", "", found[0]) if found else "")
    if template in OBJECTS:
        found_object = last_object(answer)
        return found_object is not None and _plain(found_object) == _plain(facts["value"])
    if template == "uci_to_fen":
        return any(placement(word.strip("\"'`*.,;:{}()")) == placement(facts["value"]) for word in answer.split())
    if template in MATH:
        return _same_list(facts["parts"], answer)
    if template == "DistMem":
        return integers_of(_without_separators(last_brackets(answer) or answer)) == integers(facts["value"])
    # A box or bold type may hold the number, and commas may separate its thousands.
    return _RULES[template](facts, _without_separators((solution_of(answer) or answer).replace("\\boxed", "")))


def _plan(by_size: bool) -> Callable[[Facts, str], bool]:
    def accepted(facts: Facts, answer: str) -> bool:
        moves = list_of(answer, MOVES)
        return are_moves(moves) and reaches(facts["initial"], facts["goal"], moves, by_size)

    return accepted


def _sudoku(facts: Facts, answer: str) -> bool:
    grid = list_of(answer, grid_pattern(len(facts["grid"])))
    return are_rows(grid) and is_sudoku(grid, facts["grid"], facts["block"])


def _sokoban(facts: Facts, answer: str) -> bool:
    solution = solution_of(answer)
    if solution:
        # The moves end at the first other mark; white space is skipped.
        found = re.match(r"[UDLR\s]*", solution.upper())
        moves = re.sub(r"\s", "", found[0]) if found else ""
    else:
        last = last_match(_STEPS, answer)
        moves = last[0].upper() if last else ""
    return bool(moves) and solves_sokoban(facts, moves)


def _number(facts: Facts, answer: str) -> bool:
    return integer_of(answer) == facts["value"]


def _modular_number(facts: Facts, answer: str) -> bool:
    number, modulus = integer_of(answer), facts["modulus"]
    return number is not None and number % modulus == facts["value"] % modulus


def _chess_number(facts: Facts, answer: str) -> bool:
    return integer_of(answer, search_on=True) == facts["value"]


def _object(facts: Facts, answer: str) -> bool:
    return object_of(answer) == facts["value"]


def _integers(facts: Facts, answer: str) -> bool:
    return integers_of(answer) == facts["value"]


def _board(facts: Facts, answer: str) -> bool:
    found = placement_of(answer)
    return found is not None and found == placement(facts["value"])


def _math(facts: Facts, answer: str) -> bool:
    parts = expressions.parts_of(answer)
    return parts is not None and expressions.same_parts(facts["parts"], parts)


_RULES: Mapping[str, Callable[[Facts, str], bool]] = {
    "BlocksWorld": _plan(False), "RandomHanoi": _plan(True), "Sudoku": _sudoku, "Sokoban": _sokoban,
    "Dungeon": _number, "TrapezoidCounting": _number, "DistMem": _integers, "uci_to_fen": _board,
    "piece_combinations": _chess_number, **dict.fromkeys(MODULAR_NUMBERS, _modular_number),
    **dict.fromkeys(OBJECTS, _object), **dict.fromkeys(MATH, _math),
}  # fmt: skip


def _without_separators(text: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)


def _plain(value: object) -> object:
    """Return a JSON value without differences of white space, of case, and of numbers in quotes."""
    if isinstance(value, dict):
        return {str(key).lower(): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return re.sub(r"\s+", "", str(value)).lower()


def _same_list(right: list[str], answer: str) -> bool:
    brackets = last_brackets(answer)
    solution = (solution_of(answer) or "").split("\n")[0]
    lists = [expressions.split(text) for text in (brackets, solution) if text]
    return any(len(parts) == len(right) and all(map(_alike, right, parts)) for parts in lists)


def _alike(right: str, part: str) -> bool:
    return any(expressions.same(right, text) for text in (part, _from_latex(part))) or _letters(right) == _letters(part)


def _from_latex(part: str) -> str:
    text = re.sub(r"\\(?:dfrac|tfrac)", r"\\frac", re.sub(r"\\left|\\right|\\[,;! ]", "", part))
    text = re.sub(r"\\sqrt\s*\{([^{}]+)\}", r"sqrt(\1)", text)
    return re.sub(r"\\(?:cdot|times)\b", "*", text)


def _letters(text: str) -> str:
    return re.sub(r"[\s${}\\*]+", "", text).casefold()
