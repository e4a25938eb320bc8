"""The 20 conditions of OOLONG-Pairs: their wording, and their pairs of users computed from a labelled window."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.suites.oolong.windows import LABELS, Lines

_DESCRIPTION, _ENTITY, _HUMAN, _NUMBER, _LOCATION, _ABBREVIATION = range(len(LABELS))
_COUNTS = {1: "one", 2: "two"}
# Enough for the gold sets of windows of 1M tokens. Windows of 10M tokens have billions of pairs.
MOST_WRITTEN = 50_000_000


@dataclass(frozen=True)
class LabelCount:
    """A user has at least, or exactly, `number` questions with any of `labels`."""

    labels: tuple[int, ...]
    number: int = 1
    exactly: bool = False

    def holds(self, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return a mask of the users who meet it. counts: one row for each user, one column for each label."""
        total = counts[:, list(self.labels)].sum(axis=1)
        return total == self.number if self.exactly else total >= self.number

    def words(self) -> str:
        labels = " or ".join(LABELS[label] for label in self.labels)
        plural = "questions" if self.number > 1 else "question"
        return f"{'exactly' if self.exactly else 'at least'} {_COUNTS[self.number]} {labels} {plural}"


@dataclass(frozen=True)
class DateRule:
    """All of a user's questions with a label are after a day, or all before it. True for a user without any."""

    label: int
    after: bool
    day: datetime.date

    def holds(self, lines: Lines, user_index: NDArray[np.int64], users: int) -> NDArray[np.bool_]:
        day = self.day.toordinal()
        late = lines.days > day if self.after else lines.days < day
        broken = (lines.labels == self.label) & ~late
        return np.bincount(user_index[broken], minlength=users) == 0

    def words(self) -> str:
        side = "after" if self.after else "before"
        return f"every {LABELS[self.label]} question that either of them has is dated {side} {self.day.isoformat()}"


@dataclass(frozen=True)
class Condition:
    """A condition on an unordered pair of different users: one meets `first`, the other `second`.

    Without `second`, both users meet `first`, and `dated` if it is given.
    """

    first: tuple[LabelCount, ...]
    second: tuple[LabelCount, ...] | None = None
    dated: DateRule | None = None

    @property
    def symmetric(self) -> bool:
        return self.second is None

    def words(self) -> str:
        """Return the condition as the last clause of a sentence."""
        if self.second is not None:
            one, other = (" and ".join(count.words() for count in role) for role in (self.first, self.second))
            return f"one of the two users, no matter which, has {one}, and the other has {other}"
        both = f"both users have {' and '.join(count.words() for count in self.first)}"
        return f"{both}, and {self.dated.words()}" if self.dated else both


def _one(*labels: int) -> tuple[LabelCount, ...]:
    """Require at least one question with each label."""
    return tuple(LabelCount((label,)) for label in labels)


def _dated(label: int, after: bool, day: tuple[int, int, int]) -> DateRule:
    return DateRule(label, after, datetime.date(*day))


def _exactly(number: int, label: int) -> LabelCount:
    return LabelCount((label,), number, exactly=True)


CONDITIONS: dict[int, Condition] = {
    1: Condition((LabelCount((_NUMBER, _LOCATION)),)),
    2: Condition((LabelCount((_ENTITY, _HUMAN)),)),
    3: Condition((LabelCount((_DESCRIPTION, _ABBREVIATION)),)),
    4: Condition((LabelCount((_HUMAN, _LOCATION)),), dated=_dated(_HUMAN, True, (2023, 1, 6))),
    5: Condition((LabelCount((_ENTITY, _NUMBER)),), dated=_dated(_ENTITY, False, (2023, 3, 15))),
    6: Condition((LabelCount((_LOCATION, _ABBREVIATION)),)),
    7: Condition((LabelCount((_DESCRIPTION, _NUMBER)),), dated=_dated(_NUMBER, True, (2023, 2, 1))),
    8: Condition((LabelCount((_HUMAN, _DESCRIPTION)),)),
    9: Condition((LabelCount((_ENTITY, _LOCATION)),), dated=_dated(_LOCATION, True, (2023, 4, 10))),
    10: Condition((LabelCount((_NUMBER, _ABBREVIATION)),), dated=_dated(_ABBREVIATION, False, (2023, 5, 20))),
    11: Condition(_one(_ENTITY, _ABBREVIATION), (_exactly(1, _ENTITY),)),
    12: Condition((LabelCount((_NUMBER,), 2),), _one(_LOCATION, _HUMAN)),
    13: Condition((_exactly(1, _DESCRIPTION),), _one(_ABBREVIATION, _ENTITY)),
    14: Condition(_one(_HUMAN, _NUMBER), (_exactly(2, _LOCATION),)),
    15: Condition(_one(_ENTITY, _LOCATION, _ABBREVIATION), (_exactly(1, _NUMBER),)),
    16: Condition(_one(_DESCRIPTION, _HUMAN), (LabelCount((_ENTITY,), 2), _exactly(1, _ABBREVIATION))),
    17: Condition((_exactly(1, _NUMBER),), _one(_LOCATION, _DESCRIPTION)),
    18: Condition((*_one(_ABBREVIATION), _exactly(1, _HUMAN)), _one(_ENTITY, _NUMBER)),
    19: Condition(
        (LabelCount((_LOCATION,), 2), *_one(_ENTITY)), (_exactly(1, _DESCRIPTION), _exactly(1, _ABBREVIATION))
    ),
    20: Condition(_one(_NUMBER, _HUMAN), (*_one(_LOCATION, _ENTITY), _exactly(1, _ABBREVIATION))),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GoldPairs:
    """The pairs of a window that meet a condition. They are stored as the users of each role, to save memory.

    users: ids, ascending. first, second: masks of the users with each role. A pair is gold if one user has the first
    role and the other user the second.
    """

    task: int
    users: NDArray[np.int64]
    first: NDArray[np.bool_]
    second: NDArray[np.bool_]

    def __len__(self) -> int:
        a, b, both = int(self.first.sum()), int(self.second.sum()), int((self.first & self.second).sum())
        # The a * b ordered choices include `both` with the same user twice, and pairs within both roles twice.
        return a * b - both - both * (both - 1) // 2

    @property
    def possible(self) -> int:
        """Return the number of pairs of different users."""
        return len(self.users) * (len(self.users) - 1) // 2

    def holds(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return a mask of the gold pairs among pairs of indices into `users`."""
        return ((self.first[i] & self.second[j]) | (self.first[j] & self.second[i])) & (i != j)

    def written(self, before: str = "(", between: str = ", ", after: str = ")\n") -> str:
        """Format all pairs in ascending order, each as `before` lower id `between` higher id `after`.

        Raises ValueError for more than MOST_WRITTEN pairs.
        """
        if len(self) > MOST_WRITTEN:
            raise ValueError(f"there are {len(self):,} pairs to write: expected at most {MOST_WRITTEN:,}")
        names = np.array([str(user) for user in self.users.tolist()], dtype=object)
        rows = []
        for i, name in enumerate(names):
            later = slice(i + 1, None)
            partners = names[later][(self.first[i] & self.second[later]) | (self.second[i] & self.first[later])]
            if len(partners):
                start = before + name + between
                rows.append(start + (after + start).join(partners) + after)
        return "".join(rows)


def gold_pairs(task: int, lines: Lines) -> GoldPairs:
    """Compute the gold pairs of a task.

    "Or" is inclusive, a date rule over no questions is true, and a user is never paired with itself.
    """
    condition = CONDITIONS[task]
    users, index = np.unique(lines.users, return_inverse=True)
    counts = np.bincount(index * len(LABELS) + lines.labels, minlength=len(users) * len(LABELS))
    counts = counts.reshape(len(users), len(LABELS))
    first = np.logical_and.reduce([count.holds(counts) for count in condition.first])
    if condition.dated is not None:
        first &= condition.dated.holds(lines, index, len(users))
    second = first
    if condition.second is not None:
        second = np.logical_and.reduce([count.holds(counts) for count in condition.second])
    return GoldPairs(task, users, first, second)
