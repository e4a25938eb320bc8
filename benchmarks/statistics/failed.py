"""The rule for cells without a score because too many of their samples failed."""

# A cell has no score if more than one in this many of its samples failed.
ONE_IN = 10


def too_many_failed(failed: int, n: int) -> bool:
    """True if more than a tenth of n samples failed. Their mean score then measures the failures, not the method.

    A sample fails if it ends in an error or if no score could be given, as after a failure of the judge. A limit or a
    full context window is a result, not a failure.
    """
    return ONE_IN * failed > n


def failed_words(failed: int, n: int) -> str:
    """Return the reason for a missing score: `12 of 50 samples ended in errors`."""
    return f"{failed} of {n} sample{'' if n == 1 else 's'} ended in errors"
