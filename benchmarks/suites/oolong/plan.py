"""Which questions the generated OOLONG split asks of a window, and what they are asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.sources.draws import Draws
from benchmarks.suites.oolong.questions import COUNTING, TIMELINE, USERS, Question
from benchmarks.suites.oolong.windows import LABELS, Lines

_TRIES = 40


@dataclass(frozen=True)
class Slot:
    """One question of a window: its group, and how it is drawn; a draw may ask what has no single answer."""

    group: str
    draw: Callable[[Draws, Lines], Question]


def ask(slot: Slot, draws: Draws, lines: Lines) -> Question:
    """A question for a slot that has one answer; a count over the same kind of lines where none was found."""
    for _ in range(_TRIES):
        question = slot.draw(draws, lines)
        if len(question.scope(lines)) and question.answer(lines) is not None:
            return question
    return Question("count", (draws.below(len(LABELS)),), **_subset(slot.group, draws, lines))


def _labels(draws: Draws, number: int) -> tuple[int, ...]:
    return tuple(draws.some(range(len(LABELS)), number))


def _asked(kind: str, number: int = 0, subset: str = COUNTING) -> Callable[[Draws, Lines], Question]:
    """Draws of a kind that names `number` labels, over all lines or a subset of them."""

    def draw(draws: Draws, lines: Lines) -> Question:
        return Question(kind, _labels(draws, number), **_subset(subset, draws, lines))

    return draw


def _subset(group: str, draws: Draws, lines: Lines) -> dict:
    """What restricts a question: some users, or a month or a range of days; nothing for counting questions."""
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
    """Up to 20 users in long windows and 2 in the shortest, so that the question stays short beside the window."""
    known = np.unique(lines.users).tolist()
    return tuple(draws.some(known, min(20, max(2, len(known) // 10))))


def _two_users(draws: Draws, lines: Lines) -> Question:
    known = np.unique(lines.users).tolist()
    return Question("top_user_of_label", _labels(draws, 1), users=tuple(draws.some(known, 2)))


def _before_after(draws: Draws, lines: Lines) -> Question:
    # Not too near either end, so that there are lines to compare.
    days = np.sort(lines.days)[len(lines) // 6 : -(len(lines) // 6) or None]
    return Question("before_after", _labels(draws, 1), day=int(draws.pick(days.tolist())))


def _top_date(draws: Draws, lines: Lines) -> Question:
    # Over all lines the first place is often shared; over some of them less so.
    return Question("top_date", **_subset(draws.pick((COUNTING, TIMELINE)), draws, lines))


def _dates_seen(draws: Draws, lines: Lines) -> Question:
    _, counts = np.unique(lines.days, return_counts=True)
    return Question("dates_seen", number=int(draws.pick(np.unique(counts).tolist())))


# The groups by turns, so that any first few questions are a fair sample.
PLAN: tuple[Slot, ...] = (
    Slot(COUNTING, _asked("count", 1)),
    Slot(USERS, _asked("comparison", 2, USERS)),
    Slot(TIMELINE, _asked("count", 1, TIMELINE)),
    Slot(COUNTING, _asked("comparison", 2)),
    Slot(USERS, _asked("top_user")),
    Slot(TIMELINE, _before_after),
    Slot(COUNTING, _asked("most_common")),
    Slot(USERS, _asked("count", 1, USERS)),
    Slot(TIMELINE, _asked("comparison", 2, TIMELINE)),
    Slot(COUNTING, _asked("least_common")),
    Slot(USERS, _asked("top_user_of_label", 1)),
    Slot(TIMELINE, _asked("months_more", 2)),
    Slot(COUNTING, _asked("count", 1)),
    Slot(USERS, _asked("most_common", 0, USERS)),
    Slot(TIMELINE, _top_date),
    Slot(COUNTING, _asked("comparison", 2)),
    Slot(USERS, _two_users),
    Slot(TIMELINE, _asked("most_common", 0, TIMELINE)),
    Slot(COUNTING, _asked("count", 1)),
    Slot(USERS, _asked("second_user", 0, USERS)),
    Slot(TIMELINE, _dates_seen),
    Slot(COUNTING, _asked("comparison", 2)),
    Slot(USERS, _asked("least_common", 0, USERS)),
    Slot(TIMELINE, _before_after),
    Slot(USERS, _asked("count", 1, USERS)),
)
