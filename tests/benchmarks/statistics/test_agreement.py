"""Agreement and kappa against the definition, statsmodels, a published table and limits that have known values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from benchmarks.statistics import mean_interval
from benchmarks.statistics.agreement import cohen_kappa


def raters(table):
    """The categories of two raters, from a table of counts."""
    cells = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return [i for i, _ in cells], [j for _, j in cells]


def test_the_published_example_of_two_clinicians():
    # Fleiss, Levin & Paik, Statistical Methods for Rates and Proportions, Table 18.1: kappa 0.676.
    found = cohen_kappa(*raters([[75, 1, 4], [5, 4, 1], [0, 0, 10]]))
    assert (found.share.estimate, found.chance) == (pytest.approx(0.89), pytest.approx(0.66))
    assert found.kappa == pytest.approx(0.6765, abs=1e-4)
    assert found.low < found.kappa < found.high


PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=30)


@given(PAIRS)
def test_kappa_is_that_of_the_definition_and_of_statsmodels(pairs):
    first, second = zip(*pairs, strict=True)
    found = cohen_kappa(first, second)
    n = len(pairs)
    agreed = sum(a == b for a, b in pairs) / n
    # Chance: the agreement of every answer of one rater with every answer of the other.
    chance = sum(a == b for a in first for b in second) / n**2
    assert found.share.estimate == pytest.approx(agreed) and found.chance == pytest.approx(chance)
    if chance == 1:
        assert math.isnan(found.kappa) and math.isnan(found.low)
        return
    assert found.kappa == pytest.approx((agreed - chance) / (1 - chance))
    table = [[sum(pair == (a, b) for pair in pairs) for b in "abc"] for a in "abc"]
    assert found.kappa == pytest.approx(cohens_kappa(table, return_results=False))
    assert -1 <= found.low <= found.kappa <= found.high <= 1 + 1e-12


@given(PAIRS, st.randoms())
def test_neither_names_nor_order_nor_the_roles_of_the_raters_matter(pairs, random):
    first, second = zip(*pairs, strict=True)
    expected = cohen_kappa(first, second)
    renamed = [["xya"["abc".index(one)] for one in ratings] for ratings in (second, first)]
    other = cohen_kappa(*renamed)
    shuffled = random.sample(pairs, len(pairs))
    mixed = cohen_kappa(*zip(*shuffled, strict=True))
    for found in (other, mixed):
        values = (found.kappa, found.low, found.high)
        assert values == pytest.approx((expected.kappa, expected.low, expected.high), nan_ok=True)


def test_limits():
    same = cohen_kappa([1, 0] * 20, [1, 0] * 20)
    assert (same.kappa, same.high) == (1, pytest.approx(1)) and 0.8 < same.low < 1
    assert cohen_kappa([1, 0] * 20, [0, 1] * 20).kappa == -1
    independent = cohen_kappa([1, 1, 0, 0] * 10, [1, 0, 1, 0] * 10)
    assert independent.kappa == pytest.approx(0) and independent.low < 0 < independent.high
    empty = cohen_kappa([], [])
    assert math.isnan(empty.kappa) and empty.share.n == 0
    with pytest.raises(ValueError, match="expected the same items"):
        cohen_kappa([1], [1, 0])


def test_clusters_widen_the_interval_as_that_of_the_agreement():
    first = np.repeat([1, 0, 1, 0, 1, 0, 1, 0], 10)
    second = np.repeat([1, 0, 1, 1, 1, 0, 0, 0], 10)
    windows = np.repeat(range(8), 10)
    alone, together = cohen_kappa(first, second), cohen_kappa(first, second, windows)
    assert alone.kappa == together.kappa == pytest.approx(0.5)
    assert together.low < alone.low < alone.high < together.high
    share = mean_interval((first == second).astype(float), windows)
    assert together.low == pytest.approx((share.low - 0.5) / 0.5)
