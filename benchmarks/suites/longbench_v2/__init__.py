"""LongBench-v2: multiple-choice questions of six domains over long contexts."""

from benchmarks.suites.longbench_v2.suite import LongBenchV2

__all__ = ["LongBenchV2"]
