"""The plan of the 25 questions that are generated for a window."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.sources.draws import Draws
from benchmarks.suites.oolong.questions import COUNTING, TIMELINE, USERS, WindowQuestion
from benchmarks.suites.oolong.windows import LABELS, Lines

_TRIES = 40


@dataclass(frozen=True)
class PlannedQuestion:
    """A place in the plan: its group, and a function that draws a question, which may lack a unique answer."""

    group: str
    draw: Callable[[Draws, Lines], WindowQuestion]


def planned_questions(seed: int, length: int, number: int, lines: Lines) -> tuple[WindowQuestion, ...]:
    """Draw the questions about the number-th window of a length, in the order of the plan, without repetition."""
    asked: dict[Hashable, WindowQuestion] = {}
    for place, slot in enumerate(PLAN):
        question = _question(slot, Draws(seed, "oolong", length, number, place), lines, asked)
        asked[_asks(question)] = question
    return tuple(asked.values())


def _question(slot: PlannedQuestion, draws: Draws, lines: Lines, asked: Container[Hashable]) -> WindowQuestion:
    """Draw a new question with a unique answer; if none is found, a count over lines of the same group."""
    for _ in range(_TRIES):
        question = slot.draw(draws, lines)
        if _asks(question) not in asked and len(question.scope(lines)) and question.answer(lines) is not None:
            return question
    # Each group has more possible counts than places in the plan.
    while _asks(count := _count(slot.group, draws, lines)) in asked:
        pass
    return count


def _count(group: str, draws: Draws, lines: Lines) -> WindowQuestion:
    return WindowQuestion("count", _labels(draws, 1), **_subset(group, draws, lines))


def _asks(question: WindowQuestion) -> Hashable:
    """Return a key that is equal for questions that differ only in the order of labels or users."""
    return replace(question, labels=tuple(sorted(question.labels)), users=tuple(sorted(question.users)))


def _labels(draws: Draws, number: int) -> tuple[int, ...]:
    return tuple(draws.some(range(len(LABELS)), number))


def _asked(kind: str, number: int = 0, subset: str = COUNTING) -> Callable[[Draws, Lines], WindowQuestion]:
    """Return a function that draws questions of a kind with `number` labels, over all lines or a subset."""

    def draw(draws: Draws, lines: Lines) -> WindowQuestion:
        return WindowQuestion(kind, _labels(draws, number), **_subset(subset, draws, lines))

    return draw


def _subset(group: str, draws: Draws, lines: Lines) -> dict:
    """Draw the restriction of a question: users, a month, a range of days, or nothing for counting questions."""
    if group == USERS:
        return {"users": _users(draws, lines)}
    if group == TIMELINE:
        if draws.below(2):
            return {"month": draws.between(1, 12)}
        days = np.sort(lines.days)
        start = draws.below(max(len(days) // 2, 1))
        stop = draws.between(min(start + max(len(days) // 4, 1), len(days) - 1), len(days) - 1)
        return {"days": (int(days[start]), int(days[stop]))}
    return {}


def _users(draws: Draws, lines: Lines) -> tuple[int, ...]:
    """Draw from 2 users for the shortest windows to 20 for long ones, to keep the question shorter than the window."""
    known = np.unique(lines.users).tolist()
    return tuple(draws.some(known, min(20, max(2, len(known) // 10))))


def _two_users(draws: Draws, lines: Lines) -> WindowQuestion:
    known = np.unique(lines.users).tolist()
    return WindowQuestion("top_user_of_label", _labels(draws, 1), users=tuple(draws.some(known, 2)))


def _before_after(draws: Draws, lines: Lines) -> WindowQuestion:
    # The day is far enough from both ends, so there are lines to compare.
    days = np.sort(lines.days)[len(lines) // 6 : -(len(lines) // 6) or None]
    return WindowQuestion("before_after", _labels(draws, 1), day=int(draws.pick(days.tolist())))


def _top_date(draws: Draws, lines: Lines) -> WindowQuestion:
    # Ties for the first place are rarer in a subset of the lines.
    return WindowQuestion("top_date", **_subset(draws.pick((COUNTING, TIMELINE)), draws, lines))


def _dates_seen(draws: Draws, lines: Lines) -> WindowQuestion:
    _, counts = np.unique(lines.days, return_counts=True)
    return WindowQuestion("dates_seen", number=int(draws.pick(np.unique(counts).tolist())))


# Groups take turns, so that the first questions of a window cover all groups.
PLAN: tuple[PlannedQuestion, ...] = (
    PlannedQuestion(COUNTING, _asked("count", 1)),
    PlannedQuestion(USERS, _asked("comparison", 2, USERS)),
    PlannedQuestion(TIMELINE, _asked("count", 1, TIMELINE)),
    PlannedQuestion(COUNTING, _asked("comparison", 2)),
    PlannedQuestion(USERS, _asked("top_user")),
    PlannedQuestion(TIMELINE, _before_after),
    PlannedQuestion(COUNTING, _asked("most_common")),
    PlannedQuestion(USERS, _asked("count", 1, USERS)),
    PlannedQuestion(TIMELINE, _asked("comparison", 2, TIMELINE)),
    PlannedQuestion(COUNTING, _asked("least_common")),
    PlannedQuestion(USERS, _asked("top_user_of_label", 1)),
    PlannedQuestion(TIMELINE, _asked("months_more", 2)),
    PlannedQuestion(COUNTING, _asked("count", 1)),
    PlannedQuestion(USERS, _asked("most_common", 0, USERS)),
    PlannedQuestion(TIMELINE, _top_date),
    PlannedQuestion(COUNTING, _asked("comparison", 2)),
    PlannedQuestion(USERS, _two_users),
    PlannedQuestion(TIMELINE, _asked("most_common", 0, TIMELINE)),
    PlannedQuestion(COUNTING, _asked("count", 1)),
    PlannedQuestion(USERS, _asked("second_user", 0, USERS)),
    PlannedQuestion(TIMELINE, _dates_seen),
    PlannedQuestion(COUNTING, _asked("comparison", 2)),
    PlannedQuestion(USERS, _asked("least_common", 0, USERS)),
    PlannedQuestion(TIMELINE, _before_after),
    PlannedQuestion(USERS, _asked("count", 1, USERS)),
)
