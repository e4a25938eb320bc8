"""The gold of the 20 conditions: against a plain reading of the table, and the real 32K window."""

import datetime
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.suites.oolong.windows import Lines, labelled_window
from benchmarks.suites.oolong_pairs.conditions import CONDITIONS, gold_pairs

D, E, H, N, L, A = range(6)


def has(user, *labels):
    return any(user.count(label) for label in labels)


def after(user, label, *date):
    return all(day > datetime.date(*date) for each, day in user.dated if each == label)


def before(user, label, *date):
    return all(day < datetime.date(*date) for each, day in user.dated if each == label)


class User:
    def __init__(self, dated):
        self.dated = dated

    def count(self, label):
        return sum(each == label for each, _ in self.dated)


# The table once more, as one writes it down user by user.
BOTH = {
    1: lambda u: has(u, N, L),
    2: lambda u: has(u, E, H),
    3: lambda u: has(u, D, A),
    4: lambda u: has(u, H, L) and after(u, H, 2023, 1, 6),
    5: lambda u: has(u, E, N) and before(u, E, 2023, 3, 15),
    6: lambda u: has(u, L, A),
    7: lambda u: has(u, D, N) and after(u, N, 2023, 2, 1),
    8: lambda u: has(u, H, D),
    9: lambda u: has(u, E, L) and after(u, L, 2023, 4, 10),
    10: lambda u: has(u, N, A) and before(u, A, 2023, 5, 20),
}
ROLES = {
    11: (lambda u: has(u, E) and has(u, A), lambda u: u.count(E) == 1),
    12: (lambda u: u.count(N) >= 2, lambda u: has(u, L) and has(u, H)),
    13: (lambda u: u.count(D) == 1, lambda u: has(u, A) and has(u, E)),
    14: (lambda u: has(u, H) and has(u, N), lambda u: u.count(L) == 2),
    15: (lambda u: has(u, E) and has(u, L) and has(u, A), lambda u: u.count(N) == 1),
    16: (lambda u: has(u, D) and has(u, H), lambda u: u.count(E) >= 2 and u.count(A) == 1),
    17: (lambda u: u.count(N) == 1, lambda u: has(u, L) and has(u, D)),
    18: (lambda u: has(u, A) and u.count(H) == 1, lambda u: has(u, E) and has(u, N)),
    19: (lambda u: u.count(L) >= 2 and has(u, E), lambda u: u.count(D) == 1 and u.count(A) == 1),
    20: (lambda u: has(u, N) and has(u, H), lambda u: has(u, L) and has(u, E) and u.count(A) == 1),
}


def by_hand(task, lines):
    users = {}
    for day, user, label in zip(lines.days.tolist(), lines.users.tolist(), lines.labels.tolist(), strict=True):
        users.setdefault(user, []).append((label, datetime.date.fromordinal(day)))
    users = {user: User(dated) for user, dated in users.items()}
    first, second = ROLES.get(task) or (BOTH[task], BOTH[task])
    return [
        (a, b)
        for a, b in itertools.combinations(sorted(users), 2)
        if (first(users[a]) and second(users[b])) or (first(users[b]) and second(users[a]))
    ]


def listed(gold):
    return [tuple(map(int, line.strip("()").split(", "))) for line in gold.written().splitlines()]


RULE_DAYS = [datetime.date(2023, *day).toordinal() for day in ((1, 6), (3, 15), (2, 1), (4, 10), (5, 20))]
LINE = st.tuples(
    st.sampled_from([day + step for day in RULE_DAYS for step in (-1, 0, 1)]), st.integers(1, 6), st.integers(0, 5)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=30))
def test_gold_pairs_follow_the_table_of_conditions(rows):
    lines = Lines(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))
    for task in CONDITIONS:
        gold = gold_pairs(task, lines)
        assert listed(gold) == by_hand(task, lines), task
        assert len(gold) == len(listed(gold))


def test_the_real_window_has_the_official_numbers_of_pairs(shared_data):
    text = (shared_data / "oolong" / "oolong_pairs_32k_window0_context_with_labels.txt").read_text()
    window = labelled_window("0", text)
    assert window.text == (shared_data / "oolong" / "oolong_pairs_32k_window0_context.txt").read_text()
    assert {task: len(gold_pairs(task, window.lines)) for task in (1, 4, 19)} == {1: 8001, 4: 3160, 19: 60}
    for task in CONDITIONS:
        assert listed(gold_pairs(task, window.lines)) == by_hand(task, window.lines)


@pytest.mark.parametrize("task", CONDITIONS)
def test_the_words_of_a_condition_name_its_labels_and_dates(task):
    words = CONDITIONS[task].words()
    assert ("both users" in words) == (task <= 10)
    assert ("dated" in words) == (task in (4, 5, 7, 9, 10))
    assert len({CONDITIONS[other].words() for other in CONDITIONS}) == 20
