"""Calibration error: the distance between stated confidence and the fraction of correct answers."""

from __future__ import annotations

from collections.abc import Sequence

BIN_SAMPLES = 100


def calibration_error(
    confidences: Sequence[float], correct: Sequence[bool | float], bin_samples: int = BIN_SAMPLES
) -> float | None:
    """Compute the root mean square calibration error, 0 to 1, over bins of equal size; None for no samples.

    confidences: 0 to 1. Samples are sorted by confidence and split into bins of `bin_samples`. The remainder joins the
    last bin. Samples of equal confidence all count with their mean of `correct`, so the result does not depend on the
    order of the samples. The error is sqrt(sum over bins of n_bin / n * (mean correct - mean confidence)^2): Hendrycks
    et al., "Deep Anomaly Detection with Outlier Exposure" (2019), used by BrowseComp-Plus. Its official code omits the
    last bin and so returns 0 for up to 199 samples; here every bin counts.
    Raises ValueError for lists of different lengths and for confidences outside 0 to 1.
    """
    if len(confidences) != len(correct):
        raise ValueError(f"there are {len(confidences)} confidences and {len(correct)} judgements: expected one each")
    if not all(0 <= confidence <= 1 for confidence in confidences):
        raise ValueError("a confidence is out of range: expected values between 0 and 1")
    if not confidences:
        return None
    import numpy as np

    levels, level, counts = np.unique(np.asarray(confidences, dtype=float), return_inverse=True, return_counts=True)
    stated = np.repeat(levels, counts)
    right = np.repeat(np.bincount(level, weights=np.asarray(correct, dtype=float)) / counts, counts)
    cuts = [bin_samples * i for i in range(1, max(1, len(stated) // bin_samples))]
    squares = [
        len(bin_right) * (bin_right.mean() - bin_stated.mean()) ** 2
        for bin_stated, bin_right in zip(np.split(stated, cuts), np.split(right, cuts), strict=True)
    ]
    return float(np.sqrt(sum(squares) / len(stated)))
