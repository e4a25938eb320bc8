"""Calibration error: how far the confidence that answers state is from how often they are right."""

from __future__ import annotations

from collections.abc import Sequence

BIN_SAMPLES = 100


def calibration_error(
    confidences: Sequence[float], correct: Sequence[bool | float], bin_samples: int = BIN_SAMPLES
) -> float | None:
    """Root mean square calibration error, 0 to 1, over bins of equally many samples; None for no samples.

    confidences: 0 to 1. Samples are sorted by confidence and cut into bins of `bin_samples`; what is left over joins
    the last bin, and fewer samples than one bin are one bin. The error is
    sqrt(sum over bins of n_bin / n * (mean correct - mean confidence)^2): Hendrycks et al., "Deep Anomaly Detection
    with Outlier Exposure" (2019), as BrowseComp-Plus uses it. Its official code leaves the last bin out of the sum, so
    that it gives 0 for up to 199 samples; here every bin counts.
    Raises ValueError for lists of different lengths and for confidences outside of 0 to 1.
    """
    if len(confidences) != len(correct):
        raise ValueError(f"{len(confidences)} confidences but {len(correct)} judgements")
    if not all(0 <= confidence <= 1 for confidence in confidences):
        raise ValueError("confidences must lie between 0 and 1")
    if not confidences:
        return None
    import numpy as np

    order = np.argsort(np.asarray(confidences, dtype=float), kind="stable")
    stated = np.asarray(confidences, dtype=float)[order]
    right = np.asarray(correct, dtype=float)[order]
    cuts = [bin_samples * i for i in range(1, max(1, len(order) // bin_samples))]
    squares = [
        len(bin_right) * (bin_right.mean() - bin_stated.mean()) ** 2
        for bin_stated, bin_right in zip(np.split(stated, cuts), np.split(right, cuts), strict=True)
    ]
    return float(np.sqrt(sum(squares) / len(order)))
