"""LongCoT-Mini's puzzles: numbers against slower computations, and solvers whose solutions the rules accept."""

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.suites.longcot_mini.counts import least_health, least_waste, total_strength, trapezoids
from benchmarks.suites.longcot_mini.expressions import same, split
from benchmarks.suites.longcot_mini.puzzles import is_sudoku, reaches, solves_sokoban
from benchmarks.suites.longcot_mini.solvers import hanoi_plan, sokoban_moves, stacking_plan, sudoku_grid

SMALL = settings(max_examples=25)
GRIDS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.integers(-5, 3), min_size=width, max_size=width), min_size=1, max_size=4)
)


@SMALL
@given(GRIDS)
def test_the_least_health_is_enough_and_one_less_is_not(grid):
    def reached(health, i=0, j=0):
        health += grid[i][j]
        if health < 1:
            return False
        if (i, j) == (len(grid) - 1, len(grid[0]) - 1):
            return True
        ways = ((i + 1, j), (i, j + 1))
        return any(reached(health, *way) for way in ways if way[0] < len(grid) and way[1] < len(grid[0]))

    least = least_health(grid)
    assert reached(least) and (least == 1 or not reached(least - 1))


@SMALL
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.lists(st.lists(st.integers(1, 10), max_size=4, unique=True), min_size=1, max_size=4),
)
def test_the_least_waste_is_that_of_the_smallest_boxes(packages, suppliers):
    wastes = [
        sum(min(box for box in boxes if box >= size) - size for size in packages)
        for boxes in suppliers
        if boxes and max(boxes) >= max(packages)
    ]
    assert least_waste(packages, suppliers, 1000) == min(wastes, default=-1)


@SMALL
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_the_total_strength_is_the_sum_over_all_groups(strengths):
    groups = [strengths[a:b] for a, b in combinations(range(len(strengths) + 1), 2)]
    assert total_strength(strengths, 101) == sum(min(group) * sum(group) for group in groups) % 101


@SMALL
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=9, unique=True))
def test_trapezoids_are_convex_quadrilaterals_with_parallel_sides(points):
    def turn(a, b, c):
        return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])

    def is_trapezoid(a, b, c, d):
        turns = [turn(a, b, c), turn(b, c, d), turn(c, d, a), turn(d, a, b)]
        sides = [(q[0] - p[0], q[1] - p[1]) for p, q in ((a, b), (b, c), (c, d), (d, a))]
        parallel = any(s[0] * t[1] == s[1] * t[0] for s, t in ((sides[0], sides[2]), (sides[1], sides[3])))
        return all(each > 0 for each in turns) and parallel

    expected = sum(any(is_trapezoid(*order) for order in permutations(four)) for four in combinations(points, 4))
    assert trapezoids(points) == expected


@st.composite
def two_states(draw):
    count, stacks = draw(st.integers(1, 8)), draw(st.integers(3, 5))

    def state():
        order = draw(st.permutations(range(count)))
        places = [draw(st.integers(0, stacks - 1)) for _ in order]
        return [[block for block, place in zip(order, places, strict=True) if place == i] for i in range(stacks)]

    return state(), state()


@SMALL
@given(two_states())
def test_plans_reach_their_goal(states):
    initial, goal = states
    assert reaches(initial, goal, stacking_plan(initial, goal), by_size=False)
    small_on_top = [[sorted(stack, reverse=True) for stack in state] for state in states]
    assert reaches(*small_on_top, hanoi_plan(*small_on_top), by_size=True)


def test_a_sudoku_is_solved_or_refused():
    givens = [[1, 0, 0, 0], [0, 0, 0, 2], [0, 3, 0, 0], [0, 0, 4, 0]]
    assert is_sudoku(sudoku_grid(givens, 2), givens, 2)
    with pytest.raises(ValueError, match="the Sudoku has no solution"):
        sudoku_grid([[1, 2, 3, 0], [0, 0, 0, 4], [0] * 4, [0] * 4], 2)


def test_a_sokoban_level_is_solved_or_refused():
    room = [[i, j] for i in range(6) for j in range(7) if i in (0, 5) or j in (0, 6)]
    level = {"walls": room, "goals": [[1, 1], [4, 5]], "boxes": [[2, 2], [3, 3]], "player": [1, 2]}
    assert solves_sokoban(level, sokoban_moves(level))
    with pytest.raises(ValueError, match="no solution"):
        sokoban_moves(level | {"boxes": [[1, 5], [3, 3]], "goals": [[2, 2], [3, 2]]})


@pytest.mark.parametrize(
    ("right", "said", "expected"),
    [
        ("2013^{4025}", "2013^4025", True),
        ("2^{2013}-6036", "2^(2013)", False),
        ("4^2017-2*3^2017+2^2017", "2^4034 - 2*3^2017 + 2^2017", True),
        ("3^{2014}/(2^{2014}*2014!)", "(3/2)^2014 / 2014!", True),
        ("2019^{-1/2019}", "1/2019^(1/2019)", True),
        ("π/(4-π)", "pi/(4 - pi)", True),
        ("∛4", "4^(1/3)", True),
        ("n(n+1)(2n+1)/6", "(2n^3 + 3n^2 + n)/6", True),
        ("3^{n+1} - 1", "3^n", False),
        ("sqrt(x^2)", "x", False),
        ("8+5√3", "8 + sqrt 75", True),
        ("4.8 * 10^8", "480000000", True),
        ("ln2", "ln(2)", False),
        ("1/2x", "x/2", True),
        ("-2^2", "-4", True),
        ("2^3^2", "512", True),
        ("3", "03", False),
        ("1.01^100", "1.0 1^100", False),
        ("16 \\sqrt[4]{3}", "16\\sqrt[4]{3}", True),
        ("sin(1)", "sin(1)+0", False),
        ("2 hours", "2 hours", True),
        ("2 hours", "120 minutes", False),
        ("$\\frac{184}{63}$", "184/63", True),
    ],
)
def test_expressions_are_equal_by_value_and_words_by_text(right, said, expected):
    assert same(right, said) == expected


def test_a_list_is_split_outside_of_brackets():
    assert split("[1, (2, 3), {4, 5}]") == ["1", "(2, 3)", "{4, 5}"]
    assert split("(1), (2)") == ["(1)", "(2)"]
    assert split("[]") == []
