"""The plan of the 25 questions that are generated for a window."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.sources.draws import Draws
from benchmarks.suites.oolong.questions import COUNTING, TIMELINE, USERS, WindowQuestion
from benchmarks.suites.oolong.subsets import TREC_COARSE, Subset
from benchmarks.suites.oolong.windows import Lines

_TRIES = 40
_TRIES_OF_COUNTS = 1000


@dataclass(frozen=True)
class PlannedQuestion:
    """A place in the plan: its group, and a function that draws a question, which may lack a unique answer."""

    group: str
    draw: Callable[[Draws, Lines], WindowQuestion]


def planned_questions(
    seed: int, length: int, number: int, lines: Lines, subset: Subset = TREC_COARSE
) -> tuple[WindowQuestion, ...]:
    """Draw the questions about the number-th window of a length, in the order of the plan, without repetition.

    Raises ValueError if the window has too few lines for so many different questions.
    """
    asked: dict[Hashable, WindowQuestion] = {}
    keys = (subset.prefix,) if subset.prefix else ()
    for place, slot in enumerate(plan_of(subset)):
        question = _question(slot, Draws(seed, "oolong", *keys, length, number, place), lines, asked)
        asked[_asks(question)] = question
    return tuple(asked.values())


def _question(slot: PlannedQuestion, draws: Draws, lines: Lines, asked: Container[Hashable]) -> WindowQuestion:
    """Draw a new question with a unique answer; if none is found, a count over lines of the same group."""
    for _ in range(_TRIES):
        question = slot.draw(draws, lines)
        if _asks(question) not in asked and len(question.scope(lines)) and question.answer(lines) is not None:
            return question
    # Each group has more possible counts and comparisons than places in the plan.
    for _ in range(_TRIES_OF_COUNTS):
        count = _count(slot.group, draws, lines)
        if _asks(count) not in asked:
            return count
    for labels in itertools.combinations(range(len(lines.names)), 2):
        comparison = WindowQuestion("comparison", labels, **_subset(slot.group, draws, lines))
        if _asks(comparison) not in asked:
            return comparison
    raise ValueError(f"a window of {len(lines)} lines is too short for {len(PLAN)} questions; increase lengths")


def _count(group: str, draws: Draws, lines: Lines) -> WindowQuestion:
    return WindowQuestion("count", _labels(draws, lines, 1), **_subset(group, draws, lines))


def _asks(question: WindowQuestion) -> Hashable:
    """Return a key that is equal for questions that differ only in the order of labels or users."""
    return replace(question, labels=tuple(sorted(question.labels)), users=tuple(sorted(question.users)))


def _labels(draws: Draws, lines: Lines, number: int) -> tuple[int, ...]:
    return tuple(draws.some(range(len(lines.names)), number))


def _asked(kind: str, number: int = 0, subset: str = COUNTING) -> Callable[[Draws, Lines], WindowQuestion]:
    """Return a function that draws questions of a kind with `number` labels, over all lines or a subset."""

    def draw(draws: Draws, lines: Lines) -> WindowQuestion:
        return WindowQuestion(kind, _labels(draws, lines, number), **_subset(subset, draws, lines))

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
    return WindowQuestion("top_user_of_label", _labels(draws, lines, 1), users=tuple(draws.some(known, 2)))


def _before_after(draws: Draws, lines: Lines) -> WindowQuestion:
    # The day is far enough from both ends, so there are lines to compare.
    days = np.sort(lines.days)[len(lines) // 6 : -(len(lines) // 6) or None]
    return WindowQuestion("before_after", _labels(draws, lines, 1), day=int(draws.pick(days.tolist())))


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


def plan_of(subset: Subset) -> tuple[PlannedQuestion, ...]:
    """Return the plan for a subset. With few labels, counts over some users or days replace questions over all lines.

    Over all lines, k labels have k counts and k (k - 1) / 2 comparisons that always have an answer.
    """
    labels = len(subset.labels)
    room = labels + labels * (labels - 1) // 2
    plan: list[PlannedQuestion] = []
    for slot in PLAN:
        if slot.group == COUNTING:
            room -= 1
        group = (USERS, TIMELINE)[len(plan) % 2]
        plan.append(PlannedQuestion(group, _asked("count", 1, group)) if slot.group == COUNTING and room < 0 else slot)
    return tuple(plan)
