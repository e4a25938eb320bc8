"""Generated OOLONG samples: windows filled up to a number of tokens, and 25 distinct questions about each."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources.draws import Draws
from benchmarks.sources.units import token_costs
from benchmarks.suites.oolong.instances import question_bank
from benchmarks.suites.oolong.subsets import TREC_COARSE, Subset
from benchmarks.suites.oolong.windows import LabelledWindow, Lines, written_date
from rlm.models.tokens import count_tokens

# Version 2: no question is repeated within a window.
GENERATOR = "oolong-generated-2"
# A shorter window has no room for lines.
SHORTEST = 512
# Tokens reserved for question and instruction. Longer windows have more users, and questions name up to 20 of them.
_ROOM, _ROOM_OF_SHORT, _SHORT = 250, 130, 8192

_FIRST_DAY = datetime.date(2022, 1, 1).toordinal()
_DAYS = datetime.date(2025, 6, 30).toordinal() - _FIRST_DAY + 1

_TOKENS_A_LINE = 26
# The tokens of date and user.
_TOKENS_BEFORE_TEXT = 16
_FEWEST_TOKENS_A_LINE = 20

_PREAMBLE = (
    "Below are {n} lines. Each has a date, the ID of a user and {line}. {classified} one of {count} categories: "
    "{labels}. The categories are not written in the lines: they follow from the {items}. What is asked concerns all "
    "{n} lines; work it out exactly, do not estimate.\n\n"
)


def room_of(length: int) -> int:
    """Tokens of a prompt of this length that are left for an OOLONG question and the instruction."""
    return _ROOM_OF_SHORT if length < _SHORT else _ROOM


def generated_window(
    length: int, index: int, seed: int, encoding: str, room: int, subset: Subset = TREC_COARSE
) -> LabelledWindow:
    """Generate a window of `length` tokens minus `room` tokens for the question and the instruction.

    index: the number of the window among those of its length. Raises ValueError if fewer than four lines fit.
    """
    draws = Draws(seed, "window", *((subset.prefix,) if subset.prefix else ()), length, index)
    order = draws.shuffled(subset.labels)
    units = _units(encoding, subset.name)
    drafted = _drafted(draws, length - room, subset, units)
    user_texts = [f" || User: {user} || Instance:" for user in drafted.ids.tolist()]
    sums = _token_sums(drafted, units, token_costs(user_texts, encoding))
    fits = _fitting(sums, lambda lines: count_tokens(_preamble(lines, order, subset), encoding), length - room)
    if fits < 4:
        raise ValueError(
            f"a window of {length} tokens has room for {fits} lines: expected at least 4; increase lengths"
        )
    days, users, labels = drafted.days[:fits], drafted.users[:fits], drafted.labels[:fits]
    lines = Lines(days.astype(np.int64) + _FIRST_DAY, drafted.ids[users], labels.astype(np.int64), subset.labels)
    parts: list[str] = [""] * (3 * fits)
    parts[0::3] = units.dates[days].tolist()
    parts[1::3] = map(user_texts.__getitem__, users)
    parts[2::3] = units.questions[drafted.questions[:fits]].tolist()
    parts[0] = _preamble(fits, order, subset) + parts[0]
    # Freed before the text is joined, so that peak memory is about twice the size of a long window.
    del drafted, sums, user_texts, days, users, labels
    return LabelledWindow(
        "-".join(filter(None, ("generated", subset.prefix, f"{length}-{index}"))), "".join(parts), lines
    )


@dataclass(frozen=True, eq=False)
class _Drafted:
    """Drafts of more lines than fit: for each its day, user index, label and question index."""

    ids: NDArray[np.int64]
    days: NDArray[np.int32]
    users: NDArray[np.int32]
    labels: NDArray[np.int32]
    questions: NDArray[np.int32]


def _drafted(draws: Draws, budget: int, subset: Subset, units: _Units) -> _Drafted:
    bank = question_bank(subset.name)
    count = max(budget, 0) // _FEWEST_TOKENS_A_LINE + 1
    labels = draws.weighted([draws.between(3, 8) for _ in subset.labels], count).astype(np.int32)
    templates = _scaled(draws, np.diff(bank.first)[labels]) + bank.first[labels]
    questions = (_scaled(draws, bank.size[templates]) + bank.offset[templates]).astype(np.int32)
    del templates
    days = draws.many_below(_DAYS, count).astype(np.int32)
    ids = _user_ids(draws, max(budget // _tokens_a_line(subset, units), 1))
    # One third of the users have most of the lines, as in OOLONG's windows.
    heavy = len(ids) if len(ids) <= 6 else len(ids) // 3
    users = draws.weighted([8] * heavy + [1] * (len(ids) - heavy), count).astype(np.int32)
    return _Drafted(np.array(ids, dtype=np.int64), days, users, labels, questions)


def _token_sums(drafted: _Drafted, units: _Units, user_costs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cumulative token counts of the lines."""
    sums = units.question_costs[drafted.questions]
    sums += units.date_costs[drafted.days]
    sums += user_costs[drafted.users]
    return np.cumsum(sums, out=sums)


def _fitting(sums: NDArray[np.int64], preamble: Callable[[int], int], budget: int) -> int:
    """Return the number of lines that fit into the budget together with the preamble, which states that number."""
    fits = int(np.searchsorted(sums, budget - preamble(len(sums)), side="right"))
    # The preamble of fewer lines can have fewer digits.
    while fits < len(sums) and sums[fits] + preamble(fits + 1) <= budget:
        fits += 1
    return fits


@dataclass(frozen=True, eq=False)
class _Units:
    """The first and last parts of lines, and the token count of each."""

    dates: NDArray[np.object_]
    date_costs: NDArray[np.int64]
    questions: NDArray[np.object_]
    question_costs: NDArray[np.int64]


@lru_cache(maxsize=4)
def _units(encoding: str, name: str) -> _Units:
    dates = [f"Date: {written_date(_FIRST_DAY + day)}" for day in range(_DAYS)]
    questions = [f" {question}\n" for question in question_bank(name).questions]
    return _Units(
        np.array(dates, dtype=object),
        token_costs(dates, encoding),
        np.array(questions, dtype=object),
        token_costs(questions, encoding),
    )


def _tokens_a_line(subset: Subset, units: _Units) -> int:
    if subset is TREC_COARSE:
        return _TOKENS_A_LINE
    return _TOKENS_BEFORE_TEXT + int(units.question_costs.sum()) // len(units.question_costs)


def _preamble(lines: int, labels: Sequence[str], subset: Subset) -> str:
    return _PREAMBLE.format(
        n=lines,
        line=subset.line,
        classified=subset.classified,
        count=len(labels),
        labels=", ".join(f"'{label}'" for label in labels),
        items=subset.items,
    )


def _scaled(draws: Draws, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scale random bits to an integer from 0 to n - 1 for each size n."""
    return (draws.many_below(1 << 32, len(sizes)) * sizes) >> 32


def _user_ids(draws: Draws, lines: int) -> list[int]:
    """Draw user ids: 29 per 100 lines, as in OOLONG's windows, and at least a few."""
    count = max(min(5, lines // 2), 29 * lines // 100)
    low, high = (10_000, 100_000) if count <= 45_000 else (100_000, 1_000_000)
    return draws.some(range(low, high), count)
