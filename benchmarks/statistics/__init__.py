"""Intervals, paired comparisons and power for scores between 0 and 1, clustered by context window or not."""

from benchmarks.statistics.intervals import (
    MIN_CLUSTERS,
    Interval,
    bootstrap_means,
    cluster_ratio_bootstrap,
    clustered_se,
    difference_of_intervals,
    mean_interval,
    proportion_interval,
)
from benchmarks.statistics.paired import PairedDifference, holm, mcnemar_exact, paired_difference
from benchmarks.statistics.power import detectable_difference, samples_for_width, samples_to_detect
from benchmarks.statistics.sign_flip import sign_flip_p

__all__ = [
    "MIN_CLUSTERS",
    "Interval",
    "PairedDifference",
    "bootstrap_means",
    "cluster_ratio_bootstrap",
    "clustered_se",
    "detectable_difference",
    "difference_of_intervals",
    "holm",
    "mcnemar_exact",
    "mean_interval",
    "paired_difference",
    "proportion_interval",
    "samples_for_width",
    "samples_to_detect",
    "sign_flip_p",
]
