"""The rule for cells without a score."""

import pytest

from benchmarks.statistics.failed import failed_words, too_many_failed


@pytest.mark.parametrize(("failed", "n", "expected"), [(0, 0, False), (1, 10, False), (2, 10, True), (3, 30, False),
                                                       (4, 30, True), (1, 9, True), (7, 70, False)])  # fmt: skip
def test_more_than_a_tenth_is_too_many(failed, n, expected):
    assert too_many_failed(failed, n) is expected
    assert failed_words(failed, n) == f"{failed} of {n} samples ended in errors"
